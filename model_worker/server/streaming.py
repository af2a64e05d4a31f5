"""Answers streamed from a writer to many readers: requests that wait together are written together."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from model_worker.api.errors import AnswerBrokeOffError, WorkerError, error_to_wire
from model_worker.api.protocol import AnswerLine
from model_worker.generation.types import GenerationInput, Pieces
from model_worker.server.batching import Batcher

log = logging.getLogger("keepsake.worker")

Write = Callable[[Sequence[GenerationInput], Sequence[threading.Event]], Iterator[Pieces]]


@dataclass(slots=True, eq=False, kw_only=True)
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
    """Streams answers. ``write`` is that of a `model_worker.server.models.GenerationModel`."""

    def __init__(self, write: Write, max_batch: int, max_waiting: int) -> None:
        self._write = write
        self._batcher: Batcher[Reader, None] = Batcher(self._write_batch, max_batch, max_waiting)

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
        reader = Reader(asked=asked, loop=asyncio.get_running_loop())
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


async def stream_answer(request: web.Request, pieces: AsyncGenerator[str, None]) -> web.StreamResponse:
    """Answer a request with an answer's pieces, an `AnswerLine` each (newline-delimited JSON).

    What goes wrong before the first piece is raised, so that it gets a status of its own.
    """
    try:
        first = await anext(pieces, None)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        if first is not None:
            await _send(response, AnswerLine(text=first))
        await _send_rest(response, pieces)
        await response.write_eof()
    finally:
        await pieces.aclose()
    return response


async def _send_rest(response: web.StreamResponse, pieces: AsyncGenerator[str, None]) -> None:
    try:
        async for piece in pieces:
            await _send(response, AnswerLine(text=piece))
        await _send(response, AnswerLine(done=True))
    except ConnectionError:
        raise
    except WorkerError as error:
        await _send(response, AnswerLine(error=error_to_wire(error)))
    except Exception:
        log.exception("An answer broke off")
        await _send(response, AnswerLine(error=error_to_wire(AnswerBrokeOffError(detail="the worker's log says why"))))


async def _send(response: web.StreamResponse, line: AnswerLine) -> None:
    await response.write(line.model_dump_json(exclude_defaults=True).encode() + b"\n")
