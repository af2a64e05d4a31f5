"""What an archive holds, as types; and what is said when one can't be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db.types import Box, Channel, StoredCorrection, Vector

VERSION = 1
MAX_PROBLEMS = 10


class ArchiveError(ValueError):
    """A file that can't be imported; each of ``problems`` is a sentence for the person who sent it."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)[:MAX_PROBLEMS]
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class ArchivedEmbedding:
    """An embedding of a reference, by the pack that made it. Exported because it is stored; never imported."""

    embedding_id: str
    vector: Vector


@dataclass(frozen=True, slots=True)
class ArchivedReference:
    """One picture of a concept (JPEG, or as somebody's RAP memory has it), and where in it the thing is."""

    picture: bytes
    picture_sha256: str
    box: Box
    created_at: datetime
    is_avatar: bool
    embeddings: tuple[ArchivedEmbedding, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchivedConcept:
    """A concept with all of its references and its history."""

    name: str
    info: str
    category: str
    created_at: datetime
    times_recognised: int
    last_seen: datetime | None
    learned: Channel
    linked_user: int | None
    references: tuple[ArchivedReference, ...]


@dataclass(frozen=True, slots=True)
class ArchivedAnswer:
    """The picture of an answer, and who was seen in it."""

    picture: bytes
    created_at: datetime
    seen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Archive:
    """A memory as a whole."""

    concepts: tuple[ArchivedConcept, ...]
    corrections: tuple[StoredCorrection, ...]
    answers: tuple[ArchivedAnswer, ...]
    may_train: bool
    objects: bool
    exported_at: datetime
