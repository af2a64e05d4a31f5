"""What the worker can't do, as types that carry data and cross the wire: a code, and the fields.

The worker raises them, and so does the bot's client with what the worker answered. The words for a person are the
bot's; ``detail`` is for the log alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, field
from typing import Any, ClassVar

from db.errors import UserFacingError


class WorkerError(UserFacingError):
    """Something that the worker can't or won't do. ``detail`` tells an operator more; no person is shown it."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    detail: str = field(default="", kw_only=True)


class WorkerUnavailableError(WorkerError):
    """The worker can't be reached, went away in the middle, or broke."""

    code = "unavailable"


class ModelsFailedError(WorkerUnavailableError):
    """The worker's models could not be loaded."""

    code = "models_failed"
    status = 503


class WrongTokenError(WorkerUnavailableError):
    """Bot and worker were given different tokens."""

    code = "wrong_token"
    status = 401


class WriterUnavailableError(WorkerUnavailableError):
    """The server elsewhere that writes for the worker can't be reached, or broke."""

    code = "writer_unavailable"
    status = 502


class ModelOutOfMemoryError(WorkerUnavailableError):
    """The model ran out of memory for a question alone."""

    code = "out_of_memory"
    status = 507


class AnswerBrokeOffError(WorkerUnavailableError):
    """An answer ended in the middle."""

    code = "answer_broke_off"


class WorkerBusyError(WorkerError):
    """The worker has too much to do; ``seconds`` is when to try again."""

    code = "busy"
    status = 503

    seconds: int


class ModelsLoadingError(WorkerBusyError):
    """The worker's models are still being loaded."""

    code = "models_loading"


class WorkerRefusedError(WorkerError):
    """The worker can't use what it was sent."""

    code = "refused"
    status = 400


class QuestionTooLongError(WorkerRefusedError):
    """A question, with all that belongs to it, is longer than the worker takes."""

    code = "question_too_long"
    status = 413


class WriterRefusedError(WorkerRefusedError):
    """The server elsewhere that writes for the worker can't use a question."""

    code = "writer_refused"
    status = 422


class UnknownEmbedderError(WorkerRefusedError):
    """The worker has no pack that makes these embeddings, or its models can't be loaded."""

    code = "unknown_embedder"
    status = 409

    embedding_id: str


class ImageError(WorkerError):
    """Bytes that can't be used as a picture."""

    code = "image"
    status = 422


class ImageEmptyError(ImageError):
    """There are no bytes."""

    code = "image_empty"


class ImageFormatError(ImageError):
    """It is no picture, or one of a format that isn't read."""

    code = "image_format"


class ImageBrokenError(ImageError):
    """It is damaged, or not all of it arrived."""

    code = "image_broken"


class ImageTooLargeError(ImageError):
    """It has more bytes than are taken; ``size`` isn't known when it was cut off."""

    code = "image_too_large"
    status = 413

    size: int | None
    max_size: int


class TooManyPixelsError(ImageError):
    """It has more pixels than are taken; ``pixels`` isn't known when its header doesn't say."""

    code = "too_many_pixels"

    pixels: int | None
    max_pixels: int


class ImageTooHardError(ImageError):
    """Reading it takes more time or memory than a picture may."""

    code = "image_too_hard"


class ImageTooSmallError(ImageError):
    """It has too few pixels to see anything; sides in pixels."""

    code = "image_too_small"

    width: int
    height: int


class ImageTooLongError(ImageError):
    """It is too long a strip; sides in pixels."""

    code = "image_too_long"

    width: int
    height: int


def error_to_wire(error: WorkerError) -> dict[str, object]:
    """Return an error as the worker answers it: its code, and its fields."""
    return {"code": error.code, **asdict(error)}


def error_from_wire(data: object) -> WorkerError:
    """Return the error that `error_to_wire` wrote; what can't be read is a refusal with that in its detail."""
    if not isinstance(data, Mapping):
        return WorkerRefusedError(detail=str(data))
    given: dict[str, Any] = {str(name): value for name, value in data.items() if name != "code"}
    kind = {error.code: error for error in _kinds(WorkerError)}.get(str(data.get("code")), WorkerRefusedError)
    try:
        return kind(**given)
    except TypeError:
        return WorkerRefusedError(detail=str(data))


def _kinds(kind: type[WorkerError]) -> Iterator[type[WorkerError]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _kinds(derived)
