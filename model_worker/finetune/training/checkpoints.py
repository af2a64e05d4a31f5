"""Where trainings keep checkpoints while they last, and that nobody's stay there afterwards. Imports no torch."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from db.job_queue import checkpoint_name
from db.types import OwnerId
from model_worker.api.recipes import Recipe


def owner_folder(folder: Path, owner: OwnerId) -> Path:
    """Return where an owner's checkpoints are while they are trained: its name doesn't say who that is."""
    return folder / checkpoint_name(owner)


def run_folder(folder: Path, *, base: str, data_hash: str, recipe: Recipe, seed: int) -> Path:
    """Return the folder of one run's checkpoints, which no run with other data, recipe, model or seed may go on from.

    ``base`` is the fingerprint of the model, ``data_hash`` a SHA-256 of what it is trained on.
    """
    return folder / _short_hash(f"{base} {data_hash} {recipe} {seed}")


def delete_other_runs(checkpoint: Path) -> None:
    """Delete the checkpoints beside this one: what they were trained on has changed since."""
    for other in checkpoint.parent.glob("*"):
        if other != checkpoint:
            shutil.rmtree(other, ignore_errors=True)


def delete_all_but(folder: Path, owners: Sequence[OwnerId]) -> None:
    """Delete what killed trainings left, but of these owners: whose training waits, to go on from there."""
    wanted = {owner_folder(folder, owner) for owner in owners}
    for path in folder.glob("*"):
        if path.is_dir() and path not in wanted:
            shutil.rmtree(path, ignore_errors=True)


def delete_named(folder: Path, name: str) -> None:
    """Delete an owner's checkpoints, by the name of their folder (`db.job_queue.checkpoint_name`)."""
    if re.fullmatch("[0-9a-f]{16}", name):
        shutil.rmtree(folder / name, ignore_errors=True)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
