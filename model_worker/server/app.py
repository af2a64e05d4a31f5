"""The worker's HTTP interface: pictures, perceive, refer, generate, health, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

from aiohttp import web
from PIL import Image

from db.geometry import Box
from model_worker.api.errors import (
    AnswerBrokeOffError,
    ImageTooLargeError,
    ModelsFailedError,
    ModelsLoadingError,
    QuestionTooLongError,
    WorkerBusyError,
    WorkerError,
    WorkerRefusedError,
    WorkerUnavailableError,
    WrongTokenError,
    error_to_wire,
)
from model_worker.api.images import (
    LARGEST_BYTES,
    WORKING_SIDE,
    decode_picture,
    encode_jpeg,
    is_plain_jpeg,
)
from model_worker.api.protocol import (
    GenerateRequest,
    Perception,
    ReferenceView,
    perception_to_json,
    reference_to_json,
    request_from_json,
    verify_from_json,
)
from model_worker.generation.adapters.errors import AdapterError
from model_worker.generation.pair import ImagePair
from model_worker.generation.types import GenerationInput
from model_worker.perception.windows import cropped
from model_worker.server.batching import Batcher, in_a_thread_that_ends
from model_worker.server.embedders import LARGEST_BATCH, DetectionRequest, Embedder, EmbedderPool, ReferenceRequest
from model_worker.server.image_cache import CachedImage, ImageCache
from model_worker.server.loading import (
    Adapts,
    HeldAdapters,
    Load,
    LoadFormer,
    Looks,
    Models,
    load_former,
)
from model_worker.server.metrics import Metrics
from model_worker.server.streaming import GenerationQueue

log = logging.getLogger("keepsake.worker")

MAX_WAITING = 32
LOADING_SECONDS = 5
"""After how long it is worth asking again whether the models are loaded."""
HELD_BYTES = 256 * 1024 * 1024
LONGEST_QUESTION = 64 * 1024
LARGEST_ADAPTER = 512 * 1024 * 1024
MAX_NAMED = 32
LONGEST_CATEGORY = 64
DIGEST = re.compile(r"[0-9a-f]{64}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestError(Exception):
    """A request that no client of ours sends, or that it knows what to do about; the text is for who reads the log."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class Queues:
    """The models at work: each has its own queue."""

    models: Models
    eyes: EmbedderPool
    writing: GenerationQueue
    verify: Batcher[ImagePair, float] | None


class Worker:
    """One pack, served. The models load in the background; until then requests are told so."""

    def __init__(
        self, load: Load, token: str, *, max_waiting: int = MAX_WAITING, load_former: LoadFormer = load_former
    ) -> None:
        self._load = load
        self._load_former = load_former
        self._token = token
        self._max_waiting = max_waiting
        self._held = ImageCache(HELD_BYTES)
        self._decoding = ThreadPoolExecutor(1)
        self._desks: Queues | None = None
        self._failure: str | None = None
        self._measures = Metrics()

    def app(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(client_max_size=LARGEST_BYTES + 1024, middlewares=[self._answer_problems])
        app.add_routes(
            [
                web.put("/pictures/{sha256}", self._take_picture),
                web.post("/perceive", self._perceive),
                web.post("/refer", self._refer),
                web.put("/adapters/{sha256}", self._take_adapter),
                web.post("/generate", self._generate),
                web.post("/verify", self._verify),
                web.post("/pictures/missing", self._missing),
                web.get("/health", self._health),
                web.get("/metrics", self._show_measures),
            ]
        )
        app.cleanup_ctx.append(self._loading)
        return app

    async def _loading(self, _: web.Application):  # type: ignore[no-untyped-def]  # noqa: ANN202
        loading = asyncio.create_task(self._load_models())
        yield
        loading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loading

    async def _load_models(self) -> None:
        try:
            models = await in_a_thread_that_ends(self._load)
        except Exception as error:
            log.exception("The models could not be loaded")
            self._failure = f"The models could not be loaded: {error}"
            return
        self._desks = Queues(
            models=models,
            eyes=EmbedderPool(models.sees, self._load_former, self._max_waiting),
            writing=GenerationQueue(models.writes.write, LARGEST_BATCH, self._max_waiting),
            verify=Batcher(models.writes.verify, LARGEST_BATCH, self._max_waiting)
            if models.verification is not None and isinstance(models.writes, Looks)
            else None,
        )

    @web.middleware
    async def _answer_problems(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.monotonic()
        route = request.match_info.route.resource
        name = route.canonical if route is not None else "unknown"
        try:
            self._check_token(request)
            response = await handler(request)
        except RequestError as problem:
            response = _refusal(WorkerRefusedError(detail=str(problem)), problem.status)
        except WorkerError as error:
            response = _refusal(error, error.status)
        except web.HTTPRequestEntityTooLarge:
            response = _refusal(ImageTooLargeError(None, LARGEST_BYTES), ImageTooLargeError.status)
        except web.HTTPException as error:
            response = _refusal(WorkerRefusedError(detail=error.reason), error.status)
        except ConnectionError:
            raise
        except Exception:
            log.exception("A request failed")
            response = _refusal(WorkerUnavailableError(detail="something went wrong; the worker's log says what"), 500)
        self._measures.count(name, response.status, time.monotonic() - started)
        return response

    def _check_token(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise WrongTokenError(detail="The worker wants its token (KEEPSAKE_WORKER_TOKEN).")

    def _ready(self) -> Queues:
        if self._failure is not None:
            raise ModelsFailedError(detail=self._failure)
        if self._desks is None:
            raise ModelsLoadingError(LOADING_SECONDS)
        return self._desks

    async def _take_picture(self, request: web.Request) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        data = await request.read()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise RequestError(400, "The picture isn't the one its SHA-256 says.")
        if self._held.get(sha256) is None:
            loop = asyncio.get_running_loop()
            self._held.put(sha256, await loop.run_in_executor(self._decoding, _held, data))
        return web.Response(status=204)

    async def _take_adapter(self, request: web.Request) -> web.StreamResponse:
        """Hold weights that were trained for somebody, so that requests may name them; whose they are isn't said."""
        adapters = self._adapters()
        if adapters is None:
            raise RequestError(409, "This pack's writer takes no adapters.")
        data = await _read_adapter(request)
        if hashlib.sha256(data).hexdigest() != request.match_info["sha256"]:
            raise RequestError(400, "The adapter isn't the one its SHA-256 says.")
        take = partial(adapters.take, request.match_info["sha256"], data)
        try:
            await asyncio.get_running_loop().run_in_executor(self._decoding, take)
        except AdapterError as problem:
            raise RequestError(422, str(problem)) from problem
        return web.Response(status=204)

    def _adapters(self) -> HeldAdapters | None:
        writes = self._ready().models.writes
        return writes.adapters if isinstance(writes, Adapts) else None

    async def _perceive(self, request: web.Request) -> web.StreamResponse:
        sha256, held, data = await self._picture_of(request)
        picture, eye = held.picture, await self._eye_for(data)
        sight = await eye.perceive.do(DetectionRequest(picture, _categories(data.get("categories"))))
        perception = Perception(
            picture_sha256=sha256,
            width=picture.width,
            height=picture.height,
            regions=sight.regions,
            tags=sight.tags,
            calibration=eye.sees.calibration,
        )
        return web.Response(text=perception_to_json(perception), content_type="application/json")

    async def _refer(self, request: web.Request) -> web.StreamResponse:
        _, held, data = await self._picture_of(request)
        box = _box(data.get("box"))
        if data.get("exact") is True and box is None:
            raise RequestError(400, "“exact” needs a “box”.")
        eye = await self._eye_for(data)
        jpeg, picture = await asyncio.get_running_loop().run_in_executor(self._decoding, _stored, held)
        region = await eye.refer.do(ReferenceRequest(picture, box, data.get("exact") is True))
        view = ReferenceView(
            jpeg=jpeg,
            picture_sha256=hashlib.sha256(jpeg).hexdigest(),
            width=picture.width,
            height=picture.height,
            region=region,
            calibration=eye.sees.calibration,
        )
        return web.Response(text=reference_to_json(view), content_type="application/json")

    async def _eye_for(self, data: Mapping[str, object]) -> Embedder:
        """Return the eye that a request wants: by the id of its embeddings, or else the pack's own."""
        embedding_id = data.get("embedding_id")
        if embedding_id is not None and not isinstance(embedding_id, str):
            raise RequestError(400, "“embedding_id” has to be text.")
        return await self._ready().eyes.that_make(embedding_id)

    async def _picture_of(self, request: web.Request) -> tuple[str, CachedImage, dict[str, object]]:
        data = _json_object(await request.text())
        sha256 = data.get("picture")
        if not isinstance(sha256, str) or DIGEST.fullmatch(sha256) is None:
            raise RequestError(400, "“picture” has to be the SHA-256 of a picture.")
        held = self._held.get(sha256)
        if held is None:
            raise RequestError(404, "That picture isn't here (any more): send it again.")
        return sha256, held, data

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        if len(text) > LONGEST_QUESTION:
            raise QuestionTooLongError
        try:
            question = request_from_json(text)
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError(400, "That isn't a question I can read.") from error
        desks, adapters = self._ready(), self._adapters()
        if question.adapter is not None and adapters is not None and question.adapter not in adapters:
            raise RequestError(404, "That adapter isn't here (any more): send it again.")
        held = {sha256: self._held.get(sha256) for sha256 in self._needed(question)}
        pictures = {sha256: cached_image.picture for sha256, cached_image in held.items() if cached_image is not None}
        pieces = desks.writing.stream(GenerationInput(question, pictures))
        try:
            first = await anext(pieces, None)  # what goes wrong before the first piece has its own status
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await response.prepare(request)
            if first is not None:
                await _send(response, {"text": first})
            try:
                async for piece in pieces:
                    await _send(response, {"text": piece})
                await _send(response, {"done": True})
            except ConnectionError:
                raise
            except WorkerError as error:
                await _send(response, {"error": error_to_wire(error)})
            except Exception:
                log.exception("An answer broke off")
                await _send(response, {"error": error_to_wire(AnswerBrokeOffError(detail="the worker's log says why"))})
            await response.write_eof()
        finally:
            await pieces.aclose()
        return response

    async def _missing(self, request: web.Request) -> web.StreamResponse:
        """Say which of some pictures have to be sent before a question about them is asked."""
        named = _json_object(await request.text()).get("pictures")
        if not isinstance(named, list) or len(named) > MAX_NAMED:
            raise RequestError(400, f"“pictures” has to be a list of at most {MAX_NAMED}.")
        return web.json_response({"missing": [item for item in named if self._held.get(str(item)) is None]})

    async def _verify(self, request: web.Request) -> web.StreamResponse:
        """Say how probable it is, to the writer, that regions show what recall took them for."""
        try:
            question = verify_from_json(await request.text())
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError(400, "Those aren't candidates I can read.") from error
        desk = self._ready().verify
        if desk is None or len(question.candidates) > MAX_NAMED:
            raise RequestError(409, "This pack's writer doesn't verify, or not so many at once.")
        held = {
            text: self._held.get(text)
            for text in (question.picture, *(candidate.reference for candidate in question.candidates))
        }
        pictures = {sha256: cached_image.picture for sha256, cached_image in held.items() if cached_image is not None}
        if len(pictures) < len(held):
            raise RequestError(404, "A picture isn't here (any more): send it again.")
        pairs = [
            ImagePair(
                cropped(pictures[question.picture], candidate.box),
                pictures[candidate.reference],
                candidate.name,
                candidate.category,
            )
            for candidate in question.candidates
        ]
        return web.json_response({"probabilities": await asyncio.gather(*(desk.do(pair) for pair in pairs))})

    def _needed(self, question: GenerateRequest) -> tuple[str, ...]:
        """Return the pictures that are needed to answer; a writer that doesn't see needs none."""
        return question.pictures if self._ready().models.writes.sees_pictures else ()

    async def _health(self, _: web.Request) -> web.StreamResponse:
        desks = self._desks
        state = "failed" if self._failure else "loading" if desks is None else "ready"
        return web.json_response(
            {
                "state": state,
                "why": self._failure,
                "pack": None if desks is None else desks.models.pack,
                "embedding_id": None if desks is None else desks.models.sees.embedding_id,
                "sees_pictures": desks is not None and desks.models.writes.sees_pictures,
                "verification": None
                if desks is None or desks.models.verification is None
                else asdict(desks.models.verification),
                "base": desks.models.writes.adapters.base
                if desks is not None and isinstance(desks.models.writes, Adapts)
                else None,
                "device": _device(),
                "pictures_held": len(self._held),
                "waiting": 0 if desks is None else desks.eyes.waiting + desks.writing.waiting,
                "at_work": desks is not None and (desks.eyes.at_work or desks.writing.at_work),
            }
        )

    async def _show_measures(self, _: web.Request) -> web.StreamResponse:
        self._measures.hold(len(self._held), self._held.bytes)
        if self._desks is not None and isinstance(self._desks.models.writes, Looks):
            features = self._desks.models.writes.features
            self._measures.encode(features.hits, features.misses)
        return web.Response(body=self._measures.text(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _read_adapter(request: web.Request) -> bytes:
    """Return a body that may be larger than a picture. Raises RequestError when it is too large."""
    parts, size = [], 0
    async for part in request.content.iter_chunked(1024 * 1024):
        parts.append(part)
        size += len(part)
        if size > LARGEST_ADAPTER:
            raise RequestError(413, "That adapter is too large.")
    return b"".join(parts)


def _held(data: bytes) -> CachedImage:
    return CachedImage(decode_picture(data), data if is_plain_jpeg(data) else None)


def _stored(held: CachedImage) -> tuple[bytes, Image.Image]:
    """Return a picture as it is stored, and as it will be decoded again.

    A reference's embedding is that of its stored picture, so that whoever embeds it later gets the same.
    """
    jpeg = held.jpeg
    if jpeg is None or max(held.picture.size) > WORKING_SIDE:
        jpeg = encode_jpeg(held.picture)
    return jpeg, decode_picture(jpeg)


def _refusal(error: WorkerError, status: int) -> web.Response:
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, WorkerBusyError) else {}
    return web.json_response({"error": error_to_wire(error)}, status=status, headers=headers)


async def _send(response: web.StreamResponse, line: dict[str, object]) -> None:
    await response.write((json.dumps(line, ensure_ascii=False) + "\n").encode())


def _json_object(text: str) -> dict[str, object]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise RequestError(400, "That isn't JSON.") from error
    if not isinstance(data, dict):
        raise RequestError(400, "That isn't a JSON object.")
    return data


def _box(data: object) -> Box | None:
    if data is None:
        return None
    try:
        box = Box(**{side: float(value) for side, value in dict(data).items()})  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        raise RequestError(400, "“box” needs left, top, right and bottom.") from error
    if not (0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1):
        raise RequestError(400, "“box” has to lie within the picture (fractions from 0 to 1).")
    return box


def _categories(data: object) -> tuple[str, ...]:
    if data is None:
        return ()
    if not isinstance(data, list) or not all(isinstance(text, str) and len(text) <= LONGEST_CATEGORY for text in data):
        raise RequestError(400, "“categories” has to be a list of words.")
    return tuple(data[:MAX_NAMED])


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
