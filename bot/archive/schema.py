"""What an archive holds, as types; and what can be wrong with one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from db.errors import UserFacingError
from db.geometry import Box
from db.types import Channel, StoredCorrection, Vector

VERSION = 1
MAX_PROBLEMS = 10


class ProblemKind(StrEnum):
    """What is wrong with a file that was to be imported."""

    NESTED_TOO_DEEPLY = "nested_too_deeply"
    NOT_A_ZIP = "not_a_zip"
    TOO_MANY_FILES = "too_many_files"
    DUPLICATE_FILES = "duplicate_files"
    ENCRYPTED = "encrypted"
    FILE_BROKEN = "file_broken"
    FILE_NOT_UNPACKED = "file_not_unpacked"
    FILE_TOO_LARGE = "file_too_large"
    FILE_NOT_JSON = "file_not_json"
    WITHOUT_PICTURES = "without_pictures"
    NO_MEMORY = "no_memory"
    UNKNOWN_VERSION = "unknown_version"
    EMPTY = "empty"
    NOT_A_DICTIONARY = "not_a_dictionary"
    NOT_A_LIST = "not_a_list"
    NOT_AN_OBJECT = "not_an_object"
    NOT_TEXT = "not_text"
    INVALID_TEXT = "invalid_text"
    SAME_NAME = "same_name"
    NAMED_TWICE = "named_twice"
    NO_PICTURE = "no_picture"
    PICTURE_MISSING = "picture_missing"
    PICTURE_CHANGED = "picture_changed"
    PICTURE_UNREADABLE = "picture_unreadable"
    INVALID_BOX = "invalid_box"
    INVALID_EMBEDDING = "invalid_embedding"
    INVALID_COUNT = "invalid_count"
    INVALID_VERDICT = "invalid_verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveProblem:
    """Something in a file that can't be used: what, and of which file, concept or field as far as that is known.

    ``other`` is the name that is the same; ``cause`` says what is wrong with a text or a picture.
    """

    kind: ProblemKind
    file: str = ""
    concept: str = ""
    field: str = ""
    other: str = ""
    count: int = 0
    max_count: int = 0
    cause: UserFacingError | None = None


class ArchiveError(UserFacingError):
    """A file that can't be imported, and all that is wrong with it, as far as it was looked for."""

    problems: tuple[ArchiveProblem, ...]

    @classmethod
    def of(cls, kind: ProblemKind, *, file: str = "", field: str = "", count: int = 0, max_count: int = 0) -> Self:
        """Return the error of a file in which nothing more is looked for, because of this."""
        return cls((ArchiveProblem(kind=kind, file=file, field=field, count=count, max_count=max_count),))


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
