"""The process that reads an archive: `python -m bot.archive.child`, with the file on its standard input.

It gives itself limits of memory and time before it looks at a byte, is given no secret, and says what it found on its
standard output: a `Head`, a line for each concept, then the pictures one after the other.
"""

from __future__ import annotations

import sys
from typing import BinaryIO, Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from bot.archive.reader import read_archive
from bot.archive.schema import LARGEST_FILE, Archive, ArchivedConcept, ArchiveError, ArchiveProblem, ProblemKind
from db.names import InvalidTextError, TextField
from model_worker.api.limits import limit_this_process

MAX_MEMORY = 1_000_000_000
"""Bytes of address space."""
MAX_CPU_SECONDS = 20


class Cause(BaseModel):
    """What is wrong with a text: its error's name and fields."""

    model_config = ConfigDict(frozen=True)

    error: str
    field: TextField
    length: int | None = None
    max_length: int | None = None

    @classmethod
    def of(cls, error: InvalidTextError) -> Self:
        """Return what is said of an error."""
        return cls(error=type(error).__name__, **vars(error))


class Problem(BaseModel):
    """What is wrong with a file, as `bot.archive.schema.ArchiveProblem` has it."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    kind: ProblemKind
    file: str
    concept: str
    field: str
    other: str
    count: int
    max_count: int
    cause: Cause | None = None

    @classmethod
    def of(cls, problem: ArchiveProblem) -> Self:
        """Return what is said of a problem; the reader finds causes in texts alone."""
        cause = Cause.of(problem.cause) if isinstance(problem.cause, InvalidTextError) else None
        given = {name: getattr(problem, name) for name in cls.model_fields if name != "cause"}
        return cls(**given, cause=cause)


class Head(BaseModel):
    """The first line: what is wrong, or how many concepts follow, and which pictures (SHA-256, bytes)."""

    model_config = ConfigDict(frozen=True)

    problems: tuple[Problem, ...] = ()
    concepts: NonNegativeInt = 0
    pictures: tuple[tuple[str, NonNegativeInt], ...] = ()


def main() -> int:
    """Read the archive, and say what is in it."""
    limit_this_process(MAX_MEMORY, MAX_CPU_SECONDS)
    data = sys.stdin.buffer.read(LARGEST_FILE + 1)
    try:
        if len(data) > LARGEST_FILE:
            raise ArchiveError.of(ProblemKind.FILE_TOO_LARGE)
        say(read_archive(data), sys.stdout.buffer)
    except ArchiveError as error:
        _write_line(sys.stdout.buffer, Head(problems=tuple(Problem.of(item) for item in error.problems)))
    return 0


def say(archive: Archive, output: BinaryIO) -> None:
    """Write what may be imported: no embeddings, corrections or answers, and each picture once."""
    pictures = {reference.sha256: reference.content for concept in archive.concepts for reference in concept.references}
    sizes = tuple((sha256, len(content)) for sha256, content in pictures.items())
    _write_line(output, Head(concepts=len(archive.concepts), pictures=sizes))
    for concept in archive.concepts:
        _write_line(output, _without_embeddings(concept))
    for content in pictures.values():
        output.write(content)


def _without_embeddings(concept: ArchivedConcept) -> ArchivedConcept:
    bare = tuple(reference.model_copy(update={"embeddings": ()}) for reference in concept.references)
    return concept.model_copy(update={"references": bare})


def _write_line(output: BinaryIO, message: BaseModel) -> None:
    output.write(message.model_dump_json(by_alias=True).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
