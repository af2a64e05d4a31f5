"""What crosses the wire between bot and worker: one type for the writer and the reader of each message.

Everything is JSON, read and written by pydantic; embeddings are base64 of little-endian float32. Pictures are in no
message: they go by their SHA-256. Imports no torch: the bot reads it as well.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PlainSerializer,
    PlainValidator,
    PositiveInt,
    model_validator,
)

from db.geometry import Box
from db.types import Calibration, Region, Vector
from model_worker.api.packs import MAX_REGIONS, Verification

MAX_NAMED = 32
"""Pictures, candidates or categories in one message."""
LONGEST_CATEGORY = 64
MAX_TAGS = 32
MAX_DIMENSIONS = 4096
"""Numbers in an embedding: twice what any pack's has."""
LARGEST_MESSAGE = 2 * 1024 * 1024
"""Bytes of what the worker answers, pictures aside: a perception of most regions, of most dimensions, fits."""


def _encode_embedding(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _decode_embedding(value: Any) -> Vector:
    if isinstance(value, str):
        value = np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float32)
    if not (isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == np.float32 and len(value)):
        raise ValueError("an embedding is a vector of float32, or base64 of one")
    if len(value) > MAX_DIMENSIONS:
        raise ValueError(f"an embedding has at most {MAX_DIMENSIONS} numbers")
    if not np.isfinite(value).all():
        raise ValueError("an embedding has to be finite")
    return value


def _check_within_picture(box: Box) -> Box:
    if not (0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1):
        raise ValueError("a box has to lie within the picture (fractions from 0 to 1)")
    return box


Embedding = Annotated[Vector, PlainValidator(_decode_embedding), PlainSerializer(_encode_embedding, when_used="json")]
BoxInPicture = Annotated[Box, AfterValidator(_check_within_picture)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Category = Annotated[str, Field(max_length=LONGEST_CATEGORY)]


class Message(BaseModel):
    """What is sent one way or the other. What it doesn't know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class RegionOnWire(Region):
    """A region whose embedding can cross the wire."""

    embedding: Embedding


class Tag(Message):
    """A word for what the scene shows, with the classifier's probability."""

    label: str
    probability: float


class PerceiveRequest(Message):
    """Asks what is in a picture that was sent before.

    ``categories`` are what to search for in particular; ``embedding_id`` asks for the embedder of another pack than the
    worker's own.
    """

    picture: Sha256
    embedding_id: str | None = None
    categories: tuple[Category, ...] = Field(default=(), max_length=MAX_NAMED)


class Perception(Message):
    """All that the worker found in one picture: nothing in it is about any user.

    ``picture_sha256`` names the picture as it is stored with an answer: an upright JPEG without metadata, of ``width``
    × ``height``. The worker made it, gives it to who asks (``GET /pictures/…``), and knows it by that name.
    """

    picture_sha256: Sha256
    width: PositiveInt
    height: PositiveInt
    regions: tuple[RegionOnWire, ...] = Field(max_length=MAX_REGIONS)
    tags: tuple[Tag, ...] = Field(max_length=MAX_TAGS)
    calibration: Calibration


class ReferRequest(Message):
    """A picture to be remembered. ``box`` is where the thing is to be searched, or, if ``exact``, the thing itself."""

    picture: Sha256
    box: BoxInPicture | None = None
    exact: bool = False
    embedding_id: str | None = None

    @model_validator(mode="after")
    def _check_exact(self) -> Self:
        if self.exact and self.box is None:
            raise ValueError("“exact” needs a “box”")
        return self


class ReferenceView(Message):
    """A picture made ready to be remembered, and the thing in it; the picture goes by its name as a `Perception`'s."""

    picture_sha256: Sha256
    width: PositiveInt
    height: PositiveInt
    region: RegionOnWire
    calibration: Calibration


class Told(Message):
    """What somebody other than who asks told about a concept; ``who`` is their name, None where it isn't known."""

    text: str
    who: str | None = None


class PromptConcept(Message):
    """A concept as the generator is told about it.

    ``where`` is words such as "on the left", None when it was only mentioned in the text;
    ``certainty`` is words such as "almost certainly"; ``avatar`` is the SHA-256 of a picture of it;
    ``info`` is what who asks told about it, ``others`` what others did: the server's members where it is ``shared``.
    ``withheld`` is whether more is known of it than may be said here, where others read.
    """

    name: str
    info: str = ""
    category: str = ""
    where: str | None = None
    certainty: str | None = None
    avatar: str | None = None
    others: tuple[Told, ...] = ()
    shared: bool = False
    withheld: bool = False


class Turn(Message):
    """One message of the conversation so far, oldest first in a request."""

    role: Literal["user", "assistant"]
    text: str


class GenerateRequest(Message):
    """A question and everything that may be used to answer it; ``picture`` is its SHA-256, for writers that see.

    ``adapter`` names the weights that were trained for who asks, by the SHA-256 of their file.
    """

    question: str
    has_picture: bool
    tags: tuple[Tag, ...] = ()
    concepts: tuple[PromptConcept, ...] = ()
    history: tuple[Turn, ...] = ()
    picture: str | None = None
    adapter: str | None = None

    @property
    def pictures(self) -> tuple[str, ...]:
        """The SHA-256 of every picture that belongs to it."""
        named = [self.picture, *(concept.avatar for concept in self.concepts)]
        return tuple(dict.fromkeys(text for text in named if text is not None))


class ErrorAnswer(Message):
    """What is answered with a status of 400 or more: an error of `model_worker.api.errors`, its code and its data."""

    error: dict[str, Any]


class AnswerLine(Message):
    """One line of a streamed answer: a piece of its text, that it is done, or the error that it broke off with.

    ``error`` is as in an `ErrorAnswer`.
    """

    text: str = ""
    done: bool = False
    error: dict[str, Any] | None = None


class MissingRequest(Message):
    """Asks which of these pictures have to be sent before a question about them."""

    pictures: tuple[Sha256, ...] = Field(max_length=MAX_NAMED)


class MissingPictures(Message):
    """The pictures that have to be sent."""

    missing: tuple[Sha256, ...]


class Candidate(Message):
    """What a region was taken for by recall; ``reference`` is the SHA-256 of a picture of it."""

    box: BoxInPicture
    reference: Sha256
    name: str
    category: str = ""


class VerifyRequest(Message):
    """Whether the regions of a picture (its SHA-256) show what recall took them for."""

    picture: Sha256
    candidates: tuple[Candidate, ...] = Field(max_length=MAX_NAMED)

    @property
    def pictures(self) -> tuple[str, ...]:
        """The SHA-256 of every picture that belongs to it."""
        return tuple(dict.fromkeys([self.picture, *(candidate.reference for candidate in self.candidates)]))


class VerifyAnswer(Message):
    """How probable each candidate is to the writer, in the request's order."""

    probabilities: tuple[float, ...]


class WorkerHealth(Message):
    """How the worker is: ``why`` says why it failed.

    ``base`` is the fingerprint of the model that adapters are for, None when its writer takes none.
    """

    state: Literal["loading", "ready", "failed"]
    device: str
    why: str | None = None
    pack: str | None = None
    embedding_id: str | None = None
    sees_pictures: bool = False
    verification: Verification | None = None
    base: str | None = None
    pictures_cached: NonNegativeInt = 0
    waiting: NonNegativeInt = 0
    at_work: bool = False
