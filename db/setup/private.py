"""Files that nobody else on the machine may read: what people remember, passwords, logs."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where there is no root whose folders have to be opened
    fcntl = None  # type: ignore[assignment]

OTHERS_READ_AND_WALK = stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH


def keep_private(home: Path) -> None:
    """Let what this process makes be its user's alone, and so what an older version made in Keepsake's folder.

    Only what is Keepsake's own is changed: the folder may hold other things, and the database sees to its own files.
    """
    os.umask(0o077)
    trainings = home / "finetune"
    for path in (home, *home.glob("*.log"), trainings, *trainings.rglob("*")):
        if path.exists() and not path.is_symlink():
            with contextlib.suppress(PermissionError):  # another user's: it is for them to close
                path.chmod(0o700 if path.is_dir() else 0o600)


def secret_in(file: Path) -> str:
    """Return the secret that a file holds, a new one if there is no such file; processes at once get the same."""
    if not file.exists():
        new = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):
            os.link(new, file)
        new.unlink()
    return file.read_text().strip()


@contextlib.contextmanager
def modes_kept(folders: Iterable[Path]) -> Iterator[None]:
    """Let others into folders while the body runs, and no longer: afterwards their modes are as they were.

    One process at a time: a second one would take the folders that the first has opened for open ones.
    """
    ordered = sorted(folders)  # parents first, as everybody: nobody waits for who waits for them
    with contextlib.ExitStack() as stack:
        for folder in ordered:
            stack.enter_context(_locked(folder))
        before = {folder: folder.stat().st_mode for folder in ordered}
        try:
            for folder, mode in before.items():
                if mode | OTHERS_READ_AND_WALK != mode:
                    folder.chmod(stat.S_IMODE(mode) | OTHERS_READ_AND_WALK)
            yield
        finally:
            for folder, mode in before.items():
                if folder.stat().st_mode != mode:
                    folder.chmod(stat.S_IMODE(mode))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; it is free again when the process is gone, however it ended."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)
