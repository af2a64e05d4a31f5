"""Reading what was sent: within a bound, and as the message that the route takes."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web
from pydantic import ValidationError

from model_worker.api.errors import QuestionTooLongError, WorkerError
from model_worker.api.protocol import Message
from model_worker.server.errors import RequestError

LONGEST_MESSAGE = 64 * 1024
"""Characters."""
MAX_BYTES_A_CHARACTER = 4
PART_BYTES = 1024 * 1024

MessageType = TypeVar("MessageType", bound=Message)


async def read_message(request: web.Request, kind: type[MessageType]) -> MessageType:
    """Return a request's body as a message. Raises QuestionTooLongError and RequestError (400).

    The latter names the first field that is wrong.
    """
    body = await read_body(request, LONGEST_MESSAGE * MAX_BYTES_A_CHARACTER, QuestionTooLongError())
    if len(body.decode("utf-8", "replace")) > LONGEST_MESSAGE:
        raise QuestionTooLongError
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(step) for step in problem["loc"])
        raise RequestError(400, f"{place}: {problem['msg']}" if place else problem["msg"]) from error


async def read_body(request: web.Request, max_bytes: int, too_large: WorkerError | RequestError) -> bytes:
    """Return a request's body. Raises ``too_large`` as soon as it is, and RequestError (400) when it is broken."""
    parts, size = [], 0
    try:
        async for part in request.content.iter_chunked(PART_BYTES):
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                raise too_large
    except web.RequestPayloadError as error:
        raise RequestError(400, "the body isn't encoded as its header says") from error
    return b"".join(parts)
