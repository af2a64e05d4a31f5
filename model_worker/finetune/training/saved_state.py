"""The state of a training on the disk: written whole or not at all, so that whoever is killed can go on from it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

STATE = "progress.pt"
"""The file that says which weights belong to a checkpoint: without it there is none."""


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """How far a training is: what a checkpoint holds beside the weights.

    ``best_loss`` is the lowest of validation (nats a token), infinite before the first.
    """

    step: int = 0
    best_loss: float = math.inf
    checks_without_better: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A state with the weights of then (by peft's names), the best weights so far, and the optimizer's moments."""

    state: TrainingState
    weights: dict[str, torch.Tensor]
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Save a checkpoint so that, whenever this is killed, the folder holds the one before or this one, whole.

    The weights go into files with names of their own, then one rename makes the checkpoint valid, and only then
    the weights of the one before are deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old = set(folder.glob("*.safetensors"))
    step = checkpoint.state.step
    names = {"weights": f"weights-{step}.safetensors", "best": f"best-{step}.safetensors"}
    save_file(checkpoint.weights, folder / names["weights"])
    if checkpoint.best_weights:
        save_file(checkpoint.best_weights, folder / names["best"])
    draft = folder / "progress.new"
    content = {
        "progress": asdict(checkpoint.state),
        "optimizer": checkpoint.optimizer,
        "weights": names["weights"],
        "best": names["best"] if checkpoint.best_weights else "",
    }
    torch.save(content, draft)
    draft.replace(folder / STATE)
    for path in old - {folder / name for name in names.values()}:
        path.unlink()


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the checkpoint of a folder, None when it has none."""
    if not (folder / STATE).is_file():
        return None
    saved = torch.load(folder / STATE, weights_only=True)
    return Checkpoint(
        state=TrainingState(**saved["progress"]),
        weights=load_file(folder / saved["weights"]),
        best_weights=load_file(folder / saved["best"]) if saved["best"] else {},
        optimizer=saved["optimizer"],
    )
