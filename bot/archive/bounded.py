"""Reading a stranger's archive within bounds: in a process of its own, one at a time for the whole bot.

What that process says is believed no more than the file was: every line and picture has a largest size, and is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

from pydantic import ValidationError

from bot.archive.child import Cause, Head, Problem
from bot.archive.reader import LARGEST_JSON, MAX_BYTES, MAX_ENTRIES
from bot.archive.schema import READING, Archive, ArchivedConcept, ArchiveError, ArchiveProblem, ProblemKind
from bot.errors import ArchiveBusyError, ImportExpiredError
from db.names import InvalidTextError
from model_worker.api.settings import bare_environment

MAX_SECONDS = 30
MAX_SECONDS_TO_WAIT = 60
"""For the archives that came before."""
LONGEST_LINE = 4_000_000
"""Bytes: a concept with ten pictures and a long text has some ten thousand, the list of all pictures two million."""
MAX_WAITING = 8
"""Archives that are read or wait to be; each is held meanwhile."""
ROOT = Path(__file__).parents[2]
MAX_SECONDS_OF_USER = 600
"""For all that belongs to one step of an import: Discord lets it be answered within 15 minutes."""
MAX_HELD = 4
"""Archives that wait for their owner to say yes; one more, and the oldest has to be sent again."""

MAX_HELD_BYTES = 200_000_000
"""Of their pictures together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReader:
    """Reads archives, one after the other, and holds the last few of them till their owners decide."""

    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_WAITING))
    _importing: set[int] = field(default_factory=set)
    _held: OrderedDict[UUID, tuple[ArchivedConcept, ...]] = field(default_factory=OrderedDict)

    def hold(self, concepts: tuple[ArchivedConcept, ...]) -> UUID:
        """Hold what was read; returns under which key."""
        key = uuid4()
        self._held[key] = concepts
        while len(self._held) > MAX_HELD or (len(self._held) > 1 and self._held_bytes() > MAX_HELD_BYTES):
            self._held.popitem(last=False)
        return key

    def _held_bytes(self) -> int:
        return sum(len(ref.content) for held in self._held.values() for concept in held for ref in concept.references)

    def take(self, key: UUID) -> tuple[ArchivedConcept, ...]:
        """Return what was held, and hold it no longer. Raises ImportExpiredError."""
        try:
            return self._held.pop(key)
        except KeyError as error:
            raise ImportExpiredError from error

    @asynccontextmanager
    async def import_of(self, user_id: int) -> AsyncIterator[None]:
        """Let a user import, one archive at a time, and not for ever: each of its pictures is the worker's to look at.

        Raises ArchiveBusyError when they do already, ArchiveError when it takes too long.
        """
        if user_id in self._importing:
            raise ArchiveBusyError
        self._importing.add(user_id)
        try:
            async with asyncio.timeout(MAX_SECONDS_OF_USER):
                yield
        except TimeoutError as error:
            raise ArchiveError.of(ProblemKind.TOO_MUCH) from error
        finally:
            self._importing.discard(user_id)

    async def read(self, data: bytes) -> Archive:
        """Read what may be imported of an archive: concepts with their pictures, without embeddings and corrections.

        Raises ArchiveError with what is wrong with it, ArchiveBusyError when too many wait to be read.
        """
        if self._room.locked():
            raise ArchiveBusyError
        async with self._room, self._its_turn():
            try:
                async with asyncio.timeout(MAX_SECONDS), _child() as child:
                    return await _exchange(child, data)
            except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValidationError) as error:
                raise ArchiveError.of(ProblemKind.TOO_MUCH) from error

    @asynccontextmanager
    async def _its_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(MAX_SECONDS_TO_WAIT):
                await self._turn.acquire()
        except TimeoutError as error:
            raise ArchiveBusyError from error
        try:
            yield
        finally:
            self._turn.release()


@asynccontextmanager
async def _child() -> AsyncIterator[Process]:
    """Start the process that reads; it is gone with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot.archive.child",
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        limit=LONGEST_LINE,
        cwd=ROOT,
        env=bare_environment(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _exchange(child: Process, data: bytes) -> Archive:
    """Give the process the file, and take what it says of it."""
    assert child.stdin is not None and child.stdout is not None  # noqa: S101, PT018 (they are pipes)
    giving = asyncio.create_task(_give(child.stdin, data))
    try:
        return await _taken(child.stdout)
    finally:
        giving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await giving


async def _give(pipe: StreamWriter, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # it ended early, and says why, or not
        pipe.write(data)
        await pipe.drain()
        pipe.close()


async def _taken(pipe: StreamReader) -> Archive:
    head = Head.model_validate_json(await pipe.readuntil(b"\n"))
    if head.problems:
        raise ArchiveError(tuple(_problem(said) for said in head.problems))
    if len(head.pictures) > MAX_ENTRIES or sum(size for _, size in head.pictures) > MAX_BYTES:
        raise ArchiveError.of(ProblemKind.TOO_MUCH)
    concepts = await _concepts(pipe, min(head.concepts, MAX_ENTRIES))
    pictures = {digest: await _picture(pipe, digest, size) for digest, size in head.pictures}
    return Archive(concepts=tuple(_with_pictures(concept, pictures) for concept in concepts))


async def _concepts(pipe: StreamReader, count: int) -> list[ArchivedConcept]:
    found, left = [], LARGEST_JSON
    for _ in range(count):
        line = await pipe.readuntil(b"\n")
        left -= len(line)
        if left < 0:
            raise ArchiveError.of(ProblemKind.TOO_MUCH)
        found.append(ArchivedConcept.model_validate_json(line, context=READING))
        await asyncio.sleep(0)  # what has arrived is read without waiting: others are served in between
    return found


async def _picture(pipe: StreamReader, digest: str, size: int) -> bytes:
    content = await pipe.readexactly(size)
    if sha256(content).hexdigest() != digest:
        raise ArchiveError.of(ProblemKind.TOO_MUCH)
    return content


def _with_pictures(concept: ArchivedConcept, pictures: Mapping[str, bytes]) -> ArchivedConcept:
    references = [item.model_copy(update={"content": pictures.get(item.sha256, b"")}) for item in concept.references]
    return concept.model_copy(update={"references": tuple(references)})


def _problem(said: Problem) -> ArchiveProblem:
    cause = None if said.cause is None else _cause(said.cause)
    given = {name: getattr(said, name) for name in Problem.model_fields if name != "cause"}
    return ArchiveProblem(**given, cause=cause)


def _cause(said: Cause) -> InvalidTextError:
    kinds = {kind.__name__: kind for kind in InvalidTextError.__subclasses__()}
    kind = kinds.get(said.error, InvalidTextError)
    return kind(**{given.name: getattr(said, given.name) for given in fields(kind)})
