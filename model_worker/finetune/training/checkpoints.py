"""Where trainings keep checkpoints while they last, and that nobody's stay there afterwards. Imports no torch."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from db.types import OwnerId


def folder_of(folder: Path, owner: OwnerId) -> Path:
    """Return where an owner's checkpoints are while they are trained."""
    return folder / hashlib.sha256(owner.encode()).hexdigest()[:16]


def checkpoint_of(folder: Path, what: str) -> Path:
    """Return the folder of one training's checkpoints; those of other data, recipes or models in it are deleted."""
    mine = folder / hashlib.sha256(what.encode()).hexdigest()[:16]
    for other in folder.glob("*"):
        if other != mine:
            shutil.rmtree(other, ignore_errors=True)
    return mine


def delete_all_but(folder: Path, owners: Sequence[OwnerId]) -> None:
    """Delete what killed trainings left, of owners who took their consent back since."""
    wanted = {folder_of(folder, owner) for owner in owners}
    for path in folder.glob("*"):
        if path.is_dir() and path not in wanted:
            shutil.rmtree(path, ignore_errors=True)
