"""The bot's way to the model worker: HTTP, with the messages of `model_worker.api.protocol`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TypeVar

import aiohttp
from aiohttp.http_exceptions import LineTooLong
from pydantic import ValidationError

from db.geometry import Box
from model_worker.api.errors import (
    AnswerBrokeOffError,
    WorkerBusyError,
    WorkerError,
    WorkerRefusedError,
    WorkerUnavailableError,
    error_from_wire,
)
from model_worker.api.images import LARGEST_BYTES
from model_worker.api.packs import Verification
from model_worker.api.protocol import (
    LARGEST_MESSAGE,
    AnswerLine,
    ErrorAnswer,
    GenerateRequest,
    Message,
    MissingPictures,
    MissingRequest,
    PerceiveRequest,
    Perception,
    ReferenceView,
    ReferRequest,
    VerifyAnswer,
    VerifyRequest,
    WorkerHealth,
)

log = logging.getLogger("keepsake.worker-client")

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 120.0
REQUEST_SECONDS = 300.0
"""For a request as a whole, a streamed answer too: a worker that dribbles holds nobody for longer."""
LONGEST_ANSWER = 20_000
"""Characters: some ten messages, several times what a pack's writer may write."""
LARGEST_ANSWER = 50 * LONGEST_ANSWER
"""Bytes of an answer on the wire: each piece of a word comes in an envelope."""
PART_BYTES = 64 * 1024
BUSY_SECONDS = 5
KEEP_ALIVE_SECONDS = 150.0
"""Shorter than the worker keeps a connection, longer than the simulated Discord waits for timers to end."""

NO_PICTURES: Mapping[str, bytes] = MappingProxyType({})

GetAdapter = Callable[[], Awaitable[bytes | None]]
"""Returns an adapter's file, None when it is gone."""
NOT_WITH_ADAPTER = frozenset({404, 500})
"""How the worker answers a question for an adapter that it lacks, or that breaks it."""

MessageType = TypeVar("MessageType", bound=Message)


class WorkerClient:
    """A session with one worker. It recovers by itself when the worker is back."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None
        self._ready: WorkerHealth | None = None
        self._refused_adapters: set[str] = set()

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def perceive(
        self, picture: bytes, embedding_id: str | None = None, categories: Sequence[str] = ()
    ) -> Perception:
        """Return what the worker finds in a picture (any format it reads).

        ``categories`` are what to search for in particular; ``embedding_id`` asks for the embedder of another pack than
        the worker's own.

        Raises UnknownEmbedderError, ImageError, and any other WorkerError, as everything here.
        """
        request = PerceiveRequest(picture=_sha256(picture), embedding_id=embedding_id, categories=tuple(categories))
        return _read(Perception, await self._about(picture, "/perceive", request))

    async def refer(
        self, picture: bytes, box: Box | None = None, *, exact: bool = False, embedding_id: str | None = None
    ) -> ReferenceView:
        """Return what of a picture is remembered; `fetch_picture` returns the picture itself, as it is stored.

        ``box`` says where to search it, or, if ``exact``, that this very box is the thing; ``embedding_id`` is as
        in `perceive`.
        """
        request = ReferRequest(picture=_sha256(picture), box=box, exact=exact, embedding_id=embedding_id)
        return _read(ReferenceView, await self._about(picture, "/refer", request))

    async def check_picture(self, picture: bytes) -> None:
        """Let the worker read a picture, which nobody else does. Raises ImageError when it can't be read."""
        async with self._asked("PUT", f"/pictures/{_sha256(picture)}", data=picture):
            pass

    async def fetch_picture(self, sha256: str) -> bytes:
        """Return the picture (JPEG) that a `Perception` or a `ReferenceView` of just now names.

        Raises WorkerBusyError when so many came since that the worker hasn't room for it any more.
        """
        async with self._asked("GET", f"/pictures/{sha256}", fine=(404,)) as response:
            if response.status == 404:
                raise WorkerBusyError(seconds=BUSY_SECONDS)
            return await _body(response, LARGEST_BYTES)

    async def generate(
        self,
        request: GenerateRequest,
        pictures: Mapping[str, bytes] = NO_PICTURES,
        adapter: GetAdapter | None = None,
    ) -> AsyncIterator[str]:
        """Yield the pieces of an answer. Closing the iterator stops the worker's writing.

        ``pictures`` are those that the request names, by their SHA-256; only what the worker lacks is sent. So is the
        adapter that it names, which ``adapter`` returns; when that can't be used, the base model answers.
        """
        if pictures and await self.sees_pictures():
            await self._send_missing(pictures)
        async with self._answering(request, adapter) as response:
            length = 0
            async for line in _lines(response):
                said = _read(AnswerLine, line)
                if said.error is not None:
                    raise error_from_wire(said.error)
                if said.done:
                    return
                length += len(said.text)
                if length > LONGEST_ANSWER:
                    raise WorkerUnavailableError(detail=f"it answered more than {LONGEST_ANSWER:,} characters")
                yield said.text
        raise AnswerBrokeOffError

    @asynccontextmanager
    async def _answering(
        self, request: GenerateRequest, get: GetAdapter | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Begin an answer: with the adapter that the request names where that can be, or else without."""
        name = request.adapter
        if name is not None and get is not None and name not in self._refused_adapters:
            async with self._asked("POST", "/generate", message=request, fine=NOT_WITH_ADAPTER) as response:
                status = response.status
                if status not in NOT_WITH_ADAPTER:
                    yield response
                    return
            problem = await self._send_adapter(name, get) if status == 404 else f"it answers {status} with it"
            if problem is None:
                async with self._asked("POST", "/generate", message=request, fine=NOT_WITH_ADAPTER) as response:
                    if response.status not in NOT_WITH_ADAPTER:
                        yield response
                        return
                    problem = f"it answers {response.status} with it"
            log.warning("The worker can't use the adapter %s, so its base model answers: %s", name, problem)
        async with self._asked("POST", "/generate", message=request.model_copy(update={"adapter": None})) as response:
            yield response

    async def _send_adapter(self, name: str, get: GetAdapter) -> str | None:
        """Send an adapter that the worker lacks; returns None, or why that can't be. What it refused stays refused."""
        data = await get()
        if data is None:
            return "it is gone from the memory"
        try:
            async with self._asked("PUT", f"/adapters/{name}", data=data):
                return None
        except WorkerRefusedError as problem:
            self._refused_adapters.add(name)
            return str(problem)
        except WorkerError as problem:
            return str(problem)

    async def sees_pictures(self) -> bool:
        """Whether the pack's writer sees pictures itself; asked once a session."""
        ready = await self._once_ready()
        return ready is not None and ready.sees_pictures

    async def base(self) -> str | None:
        """Return the fingerprint of the model that adapters are for, None when there are none; asked once a session."""
        ready = await self._once_ready()
        return None if ready is None else ready.base

    async def takes_adapters(self) -> bool:
        """Whether the pack's writer answers with adapters; as long as the worker doesn't say, it may."""
        ready = await self._once_ready()
        return ready is None or ready.base is not None

    async def verification(self) -> Verification | None:
        """Return when the pack's writer verifies what recall found; asked once a session."""
        ready = await self._once_ready()
        return None if ready is None else ready.verification

    async def verify(self, request: VerifyRequest, pictures: Mapping[str, bytes]) -> list[float]:
        """Return how probable each candidate is to the writer. ``pictures`` are all that the request names."""
        await self._send_missing(pictures)
        async with self._asked("POST", "/verify", message=request) as response:
            return list(_read(VerifyAnswer, await _body(response)).probabilities)

    async def _once_ready(self) -> WorkerHealth | None:
        """Return how the worker is, asked until it is ready, and then no more."""
        if self._ready is None:
            health = await self.health()
            if health.state != "ready":
                return None
            self._ready = health
        return self._ready

    async def _send_missing(self, pictures: Mapping[str, bytes]) -> None:
        """Send those of some pictures that the worker says it lacks."""
        request = MissingRequest(pictures=tuple(pictures))
        async with self._asked("POST", "/pictures/missing", message=request) as response:
            missing = _read(MissingPictures, await _body(response)).missing
        for sha256 in missing:
            async with self._asked("PUT", f"/pictures/{sha256}", data=pictures[sha256]):
                pass

    async def health(self) -> WorkerHealth:
        """Return how the worker is."""
        async with self._asked("GET", "/health") as response:
            return _read(WorkerHealth, await _body(response))

    async def _about(self, picture: bytes, path: str, request: PerceiveRequest | ReferRequest) -> bytes:
        """Ask about a picture, which is sent only if the worker lacks it."""
        async with self._asked("POST", path, message=request, fine=(404,)) as response:
            if response.status != 404:
                return await _body(response)
        async with self._asked("PUT", f"/pictures/{request.picture}", data=picture):
            pass
        async with self._asked("POST", path, message=request) as response:
            return await _body(response)

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        *,
        message: Message | None = None,
        data: bytes | None = None,
        fine: Collection[int] = (),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask something, with a message or other bytes as its body; ``fine`` are statuses that aren't errors."""
        if message is not None:
            data = message.model_dump_json().encode()
        try:
            # A redirect would carry pictures and the token to somebody whom the host never named.
            async with self._opened().request(
                method, self._url + path, data=data, headers=self._headers, allow_redirects=False
            ) as response:
                if response.status not in fine:
                    await _check(response)
                yield response
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            raise WorkerUnavailableError(detail=str(error)) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
                ),
                connector=aiohttp.TCPConnector(keepalive_timeout=KEEP_ALIVE_SECONDS),
            )
        return self._session


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raise what the worker answered, if it isn't what was asked for."""
    if response.status < 300:
        return
    try:
        answer = ErrorAnswer.model_validate_json(await _body(response))
    except ValidationError:
        raise WorkerUnavailableError(detail=f"it answered {response.status}") from None
    raise error_from_wire(answer.error)


async def _body(response: aiohttp.ClientResponse, max_bytes: int = LARGEST_MESSAGE) -> bytes:
    """Return all of an answer. Raises WorkerUnavailableError when it is longer than anything the worker has to say."""
    parts, size = [], 0
    async for part in response.content.iter_chunked(PART_BYTES):
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            response.close()
            raise WorkerUnavailableError(detail=f"it answered more than {max_bytes:,} bytes")
    return b"".join(parts)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the lines of an answer. Raises WorkerUnavailableError when one, or all of them, are longer than any."""
    left = LARGEST_ANSWER
    try:
        async for line in response.content:
            left -= len(line)
            if left < 0:
                raise ValueError("too many lines")
            yield line
    except (ValueError, LineTooLong) as error:
        response.close()
        raise WorkerUnavailableError(detail=f"it answered more than {LARGEST_ANSWER:,} bytes") from error


def _sha256(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()


def _read(kind: type[MessageType], body: bytes) -> MessageType:
    """Return what the worker answered. Raises WorkerUnavailableError when it isn't what this version reads."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise WorkerUnavailableError(detail=f"it speaks another version: {error}") from error
