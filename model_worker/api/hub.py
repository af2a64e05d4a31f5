"""Where a hub model's files are: in a folder of one's own, in the hub's cache, or, when missing, downloaded."""

from __future__ import annotations

from pathlib import Path

from model_worker.api.hub_pins import pin, pinned
from model_worker.api.packs import HubModel, PackError
from model_worker.api.settings import WorkerSettings

FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""What is fetched of a repository: never pickles."""


def checkpoint(model: HubModel) -> Path:
    """Return the folder of a model's files; the hub is asked only when they are nowhere here.

    ``KEEPSAKE_WEIGHTS`` names a folder with a subfolder for each repository (``org/name``), in the hub's layout.

    Raises PackError, naming the model, its size, and how to bring it here.
    """
    return local_checkpoint(model) or _downloaded(model)


def local_checkpoint(model: HubModel) -> Path | None:
    """Return the folder of a model's files if they are here, None otherwise."""
    own = WorkerSettings.read().weights
    if own is not None:
        folder = own / model.repository
        if (folder / "config.json").is_file() or (folder / "open_clip_config.json").is_file():
            return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                model.repository, revision=_revision(model), allow_patterns=list(FILES), local_files_only=True
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError):
        return None


def _downloaded(model: HubModel) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(model.repository, revision=_revision(model), allow_patterns=list(FILES)))
        if pinned(model.repository) is None:
            pin(model.repository, folder)
        return folder
    except PackError:
        raise
    except Exception as error:  # the hub's library and what is below it raise dozens of kinds
        size = f"{model.megabytes / 1000:.1f} GB"
        raise PackError(
            f"The model {model.repository} ({size}) isn't here, and the hub can't be reached: {_first_line(error)}. "
            f"Fetch it where there is a network (`keepsake-worker pull`), or put its files into a folder "
            f"“{model.repository}” below the one that KEEPSAKE_WEIGHTS names; HF_HUB_OFFLINE=1 never asks the hub."
        ) from error


def _revision(model: HubModel) -> str | None:
    """Return the commit to ask for: the pack's, else the one that came first, else whatever is there."""
    first = pinned(model.repository)
    return model.revision or (None if first is None else first.revision)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")[:200] or type(error).__name__
