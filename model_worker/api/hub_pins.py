"""What was fetched of a hub repository the first time: its commit, and the SHA-256 of each file of weights.

A repository on a hub can be written anew under the same name. From the first download on it is asked for by the commit
that came then, and `keepsake-worker pull` compares every file of weights with what came then: trust on first use, as
SSH trusts a host's key. Delete a repository's line to take what the hub has now.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from model_worker.api.packs import PackError
from model_worker.api.settings import WorkerSettings

CHUNK_BYTES = 1024 * 1024


class Pin(BaseModel):
    """One repository as it came first: the commit (40 hex digits), and SHA-256 by file name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    revision: str
    files: dict[str, str]


PINS = TypeAdapter(dict[str, Pin])


def pins_file() -> Path:
    """Return where pins are kept."""
    return WorkerSettings.read().cache.expanduser() / "keepsake" / "hub-pins.json"


def pinned(repository: str) -> Pin | None:
    """Return how a repository came first, None when it never did. Raises PackError when the file is broken."""
    return _read().get(repository)


def pin(repository: str, folder: Path) -> Pin:
    """Note how a repository came; ``folder`` is the hub's snapshot of it, named by its commit."""
    made = Pin(revision=folder.name, files=digests_of(folder))
    file = pins_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    entries = {**_read(), repository: made}
    draft = file.with_suffix(".new")
    draft.write_bytes(PINS.dump_json(entries, indent=1))
    draft.replace(file)
    return made


def check_pinned(repository: str, folder: Path) -> None:
    """Check that a repository's weights are those that came first. Raises PackError, naming what changed."""
    first = pinned(repository)
    if first is None:
        return
    now = digests_of(folder)
    changed = sorted(name for name, digest in first.files.items() if now.get(name) != digest)
    if changed:
        raise PackError(
            f"{', '.join(changed)} of {repository} is not what was fetched first. If you changed it, delete "
            f"{repository} from {pins_file()}; if you didn't, don't use it."
        )


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of weights in a folder, by name."""
    return {file.name: _digest(file) for file in sorted(folder.glob("*.safetensors"))}


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _read() -> dict[str, Pin]:
    file = pins_file()
    if not file.is_file():
        return {}
    try:
        return PINS.validate_json(file.read_bytes())
    except (ValidationError, json.JSONDecodeError) as error:
        raise PackError(f"{file} can't be read: delete it to pin anew what the hub has now.") from error
