"""A repository on a hub that is written anew under the same name is noticed. The hub is a fake: none can be reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from model_worker.api.hub import checkpoint
from model_worker.api.hub_pins import check_pinned, pinned, pins_file
from model_worker.api.packs import HubModel, PackError

FIRST, LATER = "a" * 40, "b" * 40
MODEL = HubModel(repository="org/model", megabytes=1, licence="MIT")


class Hub:
    """A hub with one repository: its newest commit, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newest = FIRST
        self.asked: list[str | None] = []

    def commit(self, revision: str, weights: bytes) -> Path:
        snapshot = self.folder / revision
        snapshot.mkdir()
        (snapshot / "model.safetensors").write_bytes(weights)
        self.newest = revision
        return snapshot

    def snapshot_download(self, _: str, *, revision: str | None, local_files_only: bool = False, **__: Any) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        self.asked.append(revision)
        return str(self.folder / (revision or self.newest))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KEEPSAKE_WEIGHTS", raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


def test_the_commit_that_came_first_is_asked_for_from_then_on(hub: Hub) -> None:
    hub.commit(FIRST, b"good")
    checkpoint(MODEL)
    hub.commit(LATER, b"changed by somebody")

    again = checkpoint(MODEL)

    assert hub.asked == [None, FIRST]
    assert (again / "model.safetensors").read_bytes() == b"good"


def test_a_packs_own_commit_goes_before(hub: Hub) -> None:
    hub.commit(LATER, b"new")
    checkpoint(MODEL.model_copy(update={"revision": LATER}))
    assert hub.asked == [LATER]


def test_weights_that_are_not_what_came_first_are_refused_by_name(hub: Hub) -> None:
    snapshot = hub.commit(FIRST, b"good")
    checkpoint(MODEL)
    check_pinned("org/model", snapshot)

    (snapshot / "model.safetensors").write_bytes(b"tampered with")

    with pytest.raises(PackError, match=r"model\.safetensors of org/model is not what was fetched first"):
        check_pinned("org/model", snapshot)


def test_a_broken_list_of_pins_says_which_file_it_is(hub: Hub) -> None:
    pins_file().parent.mkdir(parents=True)
    pins_file().write_text("{")
    with pytest.raises(PackError, match=r"hub-pins\.json"):
        pinned("org/model")
