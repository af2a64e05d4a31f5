"""Answers streamed from one writer to many readers: requests that wait together are written together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from model_worker.api.errors import WorkerError
from model_worker.generation.types import GenerationInput, Pieces
from model_worker.server.batching import Batcher

Write = Callable[[Sequence[GenerationInput], Sequence[threading.Event]], Iterator[Pieces]]


@dataclass(slots=True, eq=False)
class Reader:
    """Somebody who waits for an answer; ``gone`` stops its writing."""

    asked: GenerationInput
    loop: asyncio.AbstractEventLoop
    gone: threading.Event = field(default_factory=threading.Event)
    pieces: asyncio.Queue[str | WorkerError] = field(default_factory=asyncio.Queue)

    def take(self, piece: str | WorkerError) -> None:
        """Hand a piece over, from the writing thread."""
        self.loop.call_soon_threadsafe(self.pieces.put_nowait, piece)


class GenerationQueue:
    """Streams answers. ``write`` is `model_worker.words.generate.Writer.write`."""

    def __init__(self, write: Write, largest: int, max_waiting: int) -> None:
        self._write = write
        self._batcher: Batcher[Reader, None] = Batcher(self._write_batch, largest, max_waiting)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._batcher.waiting

    @property
    def at_work(self) -> bool:
        """Whether something waits, or is being written."""
        return self._batcher.at_work

    async def stream(self, asked: GenerationInput) -> AsyncGenerator[str, None]:
        """Yield an answer's pieces. Leaving early stops it. Raises WorkerBusyError, and the writer's errors."""
        reader = Reader(asked, asyncio.get_running_loop())
        written = asyncio.ensure_future(self._batcher.do(reader))
        try:
            while not (written.done() and reader.pieces.empty()):
                piece = asyncio.ensure_future(reader.pieces.get())
                await asyncio.wait({piece, written}, return_when=asyncio.FIRST_COMPLETED)
                if piece.done():
                    yield _written(piece.result())
                else:
                    piece.cancel()
            await written
        finally:
            reader.gone.set()
            written.cancel()

    def _write_batch(self, readers: Sequence[Reader]) -> list[None]:
        asked, gone = [reader.asked for reader in readers], [reader.gone for reader in readers]
        for pieces in self._write(asked, gone):
            for index, piece in pieces:
                readers[index].take(piece)
        return [None] * len(readers)


def _written(piece: str | WorkerError) -> str:
    """Return a piece of an answer. Raises what the writer gave instead of one."""
    if isinstance(piece, WorkerError):
        raise piece
    return piece
