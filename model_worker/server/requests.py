"""Reading what was sent: within a bound, and as the message that the route takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from aiohttp import web
from pydantic import ValidationError

from model_worker.api.errors import QuestionTooLongError, WorkerBusyError, WorkerError
from model_worker.api.protocol import Message
from model_worker.server.errors import RequestError

LONGEST_MESSAGE = 64 * 1024
"""Characters."""
MAX_BYTES_A_CHARACTER = 4
PART_BYTES = 1024 * 1024
BODY_SECONDS = 300.0
"""As long as the bot's client waits for a request as a whole."""
BUSY_SECONDS = 2

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
    """Return a request's body. Raises ``too_large`` as soon as it is.

    Raises RequestError when it is broken (400), or takes too long to arrive (408).
    """
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.content.iter_chunked(PART_BYTES):
                parts.append(part)
                size += len(part)
                if size > max_bytes:
                    raise too_large
    except web.RequestPayloadError as error:
        raise RequestError(400, "the body isn't encoded as its header says") from error
    except TimeoutError as error:
        raise RequestError(408, "the body didn't arrive in time") from error
    return b"".join(parts)


class Room:
    """How many bytes of bodies may be held at once, whoever sends them."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes

    @contextmanager
    def taken_by(self, request: web.Request, max_bytes: int) -> Iterator[None]:
        """Hold room for a request's body: what it says it has, or the most that it may. Raises WorkerBusyError."""
        says = None if "Content-Encoding" in request.headers else request.content_length
        size = max_bytes if says is None else min(says, max_bytes)
        if size > self._left:
            raise WorkerBusyError(BUSY_SECONDS)
        self._left -= size
        try:
            yield
        finally:
            self._left += size
