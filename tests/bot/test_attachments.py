"""Files that people attach are read within bounds of size and time, whatever Discord says of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp
import pytest

from bot.errors import FileNotFetchedError, FileTooLargeError
from bot.ui import attachments


@dataclass
class Attached:
    """An attachment that says how large it is, and then has so many bytes."""

    size: int
    really: int = 10
    seconds: float = 0
    error: Exception | None = None
    reads: int = 0

    async def read(self) -> bytes:
        self.reads += 1
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return bytes(self.really)


async def test_a_file_is_read() -> None:
    assert len(await attachments.read_file(Attached(10), largest=10)) == 10


@pytest.mark.parametrize(("attached", "reads"), [(Attached(11), 0), (Attached(10, really=11), 1)])
async def test_one_that_is_too_large_is_refused_before_it_is_read_or_after(attached: Attached, reads: int) -> None:
    with pytest.raises(FileTooLargeError):
        await attachments.read_file(attached, largest=10)
    assert attached.reads == reads


async def test_one_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "FETCH_SECONDS", 0.01)
    with pytest.raises(FileNotFetchedError):
        await attachments.read(Attached(10, seconds=60))


async def test_one_whose_server_is_away_is_said_to_be_gone() -> None:
    with pytest.raises(FileNotFetchedError):
        await attachments.read(Attached(10, error=aiohttp.ClientConnectionError()))


async def test_several_may_not_be_too_large_together_either() -> None:
    found = [Attached(attachments.LARGEST_BYTES) for _ in range(4)]
    with pytest.raises(FileTooLargeError):
        await attachments.read_all(found)
    assert [attached.reads for attached in found] == [0] * 4
    assert len(await attachments.read_all(found[:3])) == 3
