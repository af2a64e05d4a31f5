"""Adapters as files: safetensors, whose metadata says what they fit, what they were made of and how good they are.

Nothing is believed about such a file: it may be damaged, made for another model, or made by somebody else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from model_worker.generation.adapters.errors import AdapterError

MANIFEST = "keepsake"
LONGEST_HEADER = 16 * 1024 * 1024
SAMPLES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an adapter says of itself.

    ``base`` is the fingerprint of the model that it changes, ``data`` a SHA-256 of what it was trained on (which
    says nothing of it), ``metrics`` shares (0 to 1) and losses by name. ``modules`` are the layers that it changes.
    """

    base: str
    data: str
    recipe: str
    pack: str
    rank: int
    alpha: int
    modules: tuple[str, ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter, read: its manifest, and its weights by peft's names."""

    manifest: Manifest
    weights: dict[str, torch.Tensor]


def write_adapter(adapter: AdapterFile) -> bytes:
    """Return an adapter as a file; its weights are stored as bfloat16."""
    weights = {name: weight.detach().to("cpu", torch.bfloat16).contiguous() for name, weight in adapter.weights.items()}
    return save(weights, {MANIFEST: json.dumps(asdict(adapter.manifest), sort_keys=True)})


def read_adapter(data: bytes) -> AdapterFile:
    """Read what `write_adapter` wrote. Raises AdapterError on anything else."""
    try:
        manifest = _manifest_from(json.loads(_header(data)["__metadata__"][MANIFEST]))
        weights = load(data)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise AdapterError(f"That file is no adapter, or it is damaged: {error}.") from error
    if not weights or not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise AdapterError("That adapter has no weights, or some that aren't numbers.")
    return AdapterFile(manifest, weights)


def adapter_id(data: bytes) -> str:
    """Return what an adapter is named by: the SHA-256 of its file."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(model: Any) -> str:
    """Return what tells a model from others: a SHA-256 of every weight's name and shape, and of some of its numbers.

    The numbers are rounded to bfloat16, so that it doesn't matter in which precision a model was loaded. Weights in few
    bits have no numbers to compare; the rest of the model tells them apart.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        if not weight.is_floating_point():
            continue
        flat = weight.detach().flatten()
        places = torch.linspace(0, flat.numel() - 1, min(SAMPLES, flat.numel()), dtype=torch.float64).long()
        numbers = flat[places.to(flat.device)].to("cpu", torch.bfloat16)
        digest.update(f"{name} {tuple(weight.shape)}".encode() + numbers.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def _header(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= min(LONGEST_HEADER, len(data) - 8):
        raise ValueError("it has no header")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    return header


def _manifest_from(data: dict[str, Any]) -> Manifest:
    rank, alpha = int(data["rank"]), int(data["alpha"])
    if not (1 <= rank <= 1024 and 1 <= alpha <= 4096):
        raise ValueError("its rank can't be used")
    return Manifest(
        base=str(data["base"]),
        data=str(data["data"]),
        recipe=str(data["recipe"]),
        pack=str(data["pack"]),
        rank=rank,
        alpha=alpha,
        modules=tuple(str(item) for item in data["modules"]),
        metrics={str(name): float(value) for name, value in data["metrics"].items()},
    )
