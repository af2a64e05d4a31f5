"""What an archive holds, as types that are its JSON, too; and what can be wrong with one.

The checks of what a text, a box or a vector says are made when a stranger's file is read (``READING``), not when a
memory is written: whatever is stored can be taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
)

from bot.archive.vectors import pack_vector, unpack_vector
from db.errors import UserFacingError
from db.geometry import Box
from db.names import InvalidTextError, check_category, check_info, check_name
from db.types import NO_CHANNEL, Channel, Source, Vector, Verdict

VERSION: Final = 1
LARGEST_FILE = 50_000_000
"""Bytes of an archive: more than one part of an export has."""
MAX_PROBLEMS = 10
LONGEST_VECTOR = 8192
LARGEST_COUNT = 2_000_000_000
READING: Final = "reading"
"""The context of pydantic's validation in which what a stranger wrote is checked."""
FORMER_VERDICTS = {"not_them": Verdict.INCORRECT}
"""What older archives call it."""


class ProblemKind(StrEnum):
    """What is wrong with a file that was to be imported."""

    TOO_MUCH = "too_much"
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


class InvalidEntryError(ValueError):
    """Something in a file that can't be used; what comes after it is read all the same."""

    def __init__(self, kind: ProblemKind, cause: InvalidTextError | None = None) -> None:
        super().__init__(kind)
        self.kind, self.cause = kind, cause


def _when_reading(check: Callable[[Any], Any]) -> AfterValidator:
    """Return a check of what a stranger wrote; one that raises InvalidTextError says what is wrong with a text."""

    def checked(value: Any, info: ValidationInfo) -> Any:
        if info.context != READING:
            return value
        try:
            return check(value)
        except InvalidTextError as error:
            raise InvalidEntryError(ProblemKind.INVALID_TEXT, error) from error

    return AfterValidator(checked)


def _check_storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidEntryError(ProblemKind.NOT_TEXT)
    return text


def _check_box(box: Box) -> Box:
    if not (0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1):
        raise InvalidEntryError(ProblemKind.INVALID_BOX)
    return box


def _check_length(vector: Vector) -> Vector:
    norm = float(np.linalg.norm(vector)) if 0 < len(vector) <= LONGEST_VECTOR else 0.0
    if not 0.5 <= norm <= 2:
        raise InvalidEntryError(ProblemKind.INVALID_EMBEDDING)
    return vector


def _vector(given: object) -> Vector:
    if isinstance(given, np.ndarray):
        return given
    try:
        if isinstance(given, str):
            return unpack_vector(given)
    except ValueError:
        pass
    raise InvalidEntryError(ProblemKind.INVALID_EMBEDDING)


def _moment(given: object) -> datetime | None:
    """Return a moment; None when there is none, or it isn't one, or it is still to come."""
    moment = _any_moment(given)
    return moment if moment is not None and moment <= now() else None


def _any_moment(given: object) -> datetime | None:
    """Return a moment; None when there is none, or it isn't one."""
    if isinstance(given, datetime):
        return given
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else None
        moment = moment and (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))
    except (ValueError, OverflowError):
        return None
    return moment


def now() -> datetime:
    """Return this moment, in UTC."""
    return datetime.now(UTC)


def _id(given: object) -> int | None:
    return given if type(given) is int and 0 < given < 2**63 else None


def _channel(given: object) -> Channel:
    if isinstance(given, Channel):
        return given
    place = given if isinstance(given, dict) else {}
    return Channel(_id(place.get("server_id")), _id(place.get("channel_id")))


def _source(given: object) -> Source | None:
    """Return the message that a picture is from; where something is said of one, but not well, it is from some."""
    if given is None or isinstance(given, Source):
        return given
    said = given if isinstance(given, dict) else {}
    return Source(_id(said.get("author")), _id(said.get("message")))


Name = Annotated[str, _when_reading(check_name)]
Info = Annotated[str, _when_reading(check_info)]
Category = Annotated[str, _when_reading(check_category)]
StorableText = Annotated[str, _when_reading(_check_storable)]
Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)]
Part = Annotated[Box, _when_reading(_check_box)]
"""A box within its picture."""
Embedding = Annotated[Vector, PlainValidator(_vector), _when_reading(_check_length), PlainSerializer(pack_vector)]
"""As text: base64 of float16."""
_as_iso = PlainSerializer(datetime.isoformat, when_used="unless-none")
Moment = Annotated[datetime, BeforeValidator(lambda given: _moment(given) or now()), _as_iso]
"""Where there is none that can be, it is now."""
PastMoment = Annotated[datetime | None, BeforeValidator(_moment), _as_iso]
UserId = Annotated[int | None, BeforeValidator(_id)]
Place = Annotated[Channel, BeforeValidator(_channel)]
PictureSource = Annotated[Source | None, BeforeValidator(_source)]
Flag = Annotated[bool, BeforeValidator(lambda given: given is True)]
EarlierOrNowVerdict = Annotated[Verdict, BeforeValidator(lambda given: FORMER_VERDICTS.get(str(given), given))]

Paths = Annotated[
    tuple[str, ...],
    FailFast(),
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
    PlainSerializer(lambda paths: paths[0] if len(paths) == 1 else paths),
]
"""A single one stands there by itself."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class ArchivedEmbedding(_Part):
    """An embedding of a reference, by the pack that made it. Exported because it is stored; never imported."""

    embedding_id: StorableText
    vector: Embedding


class ArchivedReference(_Part):
    """One picture of a concept, named by its SHA-256, and where in it the thing is.

    ``source`` is the message that it was taken from; None: it was uploaded.
    ``content`` is the picture itself (JPEG, or as somebody's RAP memory has it): a file of its own beside the JSON.
    """

    sha256: str = Field(validation_alias="picture", serialization_alias="picture")
    content: bytes = Field(default=b"", exclude=True, repr=False)
    box: Part
    created_at: Moment = Field(default_factory=now)
    is_avatar: Flag = False
    source: PictureSource = Field(default=None, exclude_if=lambda source: source is None)
    embeddings: Annotated[tuple[ArchivedEmbedding, ...], FailFast()] = ()


class ArchivedNote(_Part):
    """Something that is known of a concept, and when and where it was said. Who imports it says it anew."""

    text: Info
    said_at: Moment = Field(default_factory=now)
    meant_at: Annotated[datetime | None, BeforeValidator(_any_moment), _as_iso] = None
    said: Place = NO_CHANNEL


class ArchivedConcept(_Part):
    """A concept with all of its references and its history.

    ``notes`` are what ``info`` is made of; an older archive has none.
    """

    name: Name
    info: Info = ""
    category: Category = ""
    created_at: Moment = Field(default_factory=now)
    times_recognised: Count = 0
    last_seen: PastMoment = None
    learned: Place = NO_CHANNEL
    linked_user: UserId = None
    notes: Annotated[tuple[ArchivedNote, ...], FailFast()] = Field(default=(), exclude_if=lambda notes: not notes)
    references: Annotated[tuple[ArchivedReference, ...], FailFast()] = ()


class ArchivedCorrection(_Part):
    """What somebody said about a recognition of one of their own concepts."""

    concept_name: Name = Field(validation_alias="concept", serialization_alias="concept")
    verdict: EarlierOrNowVerdict
    embedding_id: StorableText
    vector: Embedding
    created_at: Moment = Field(default_factory=now)


class ArchivedAnswer(_Part):
    """The picture of an answer (``content``; ``picture`` is its file), and who was seen in it."""

    picture: str = ""
    content: bytes = Field(default=b"", exclude=True, repr=False)
    created_at: Moment
    seen: tuple[str, ...]


class Archive(_Part):
    """A memory as a whole: `keepsake.json`, and the pictures beside it.

    ``said_elsewhere`` are notes of concepts that are others'.
    """

    version: Literal[1] = VERSION
    exported_at: Moment = Field(default_factory=now)
    may_train: Flag = False
    objects: Flag = False
    vouched_at: PastMoment = None
    concepts: tuple[ArchivedConcept, ...] = ()
    corrections: tuple[ArchivedCorrection, ...] = ()
    answers: tuple[ArchivedAnswer, ...] = ()
    said_elsewhere: tuple[ArchivedNote, ...] = Field(default=(), exclude_if=lambda notes: not notes)


class RapConcept(_Part):
    """A concept in a memory file of RAP (arXiv 2410.13360): paths of pictures, text without limits."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    name: str = ""
    image: Paths
    info: str = ""
    category: str = ""


class RapMemory(_Part):
    """A memory file of RAP: concepts by their name in angle brackets, and which of them a picture shows."""

    concept_dict: dict[str, RapConcept]
    path_to_concept: dict[str, str]
