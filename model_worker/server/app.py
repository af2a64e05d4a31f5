"""The worker's HTTP interface: its routes, and what each does."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from aiohttp import web

from db.types import Region
from model_worker.api.errors import ImageTooLargeError
from model_worker.api.images import LARGEST_BYTES
from model_worker.api.protocol import (
    GenerateRequest,
    Message,
    MissingPictures,
    MissingRequest,
    PerceiveRequest,
    Perception,
    ReferenceView,
    ReferRequest,
    RegionOnWire,
    VerifyAnswer,
    VerifyRequest,
)
from model_worker.generation.adapters.errors import AdapterError
from model_worker.generation.pair import ImagePair
from model_worker.generation.types import GenerationInput
from model_worker.perception.windows import cropped
from model_worker.server.auth import require_token
from model_worker.server.decoder import Decoder
from model_worker.server.embedders import DetectionRequest, Embedder, ReferenceRequest
from model_worker.server.errors import RequestError, answer_errors
from model_worker.server.image_cache import CachedImage, ImageCache
from model_worker.server.loading import LoadFormer, LoadModels, load_former
from model_worker.server.metrics import Metrics
from model_worker.server.models import AdapterStore, MultimodalModel
from model_worker.server.queues import ModelQueues
from model_worker.server.requests import Room, read_body, read_message
from model_worker.server.streaming import stream_answer

MAX_WAITING = 32
CACHE_BYTES = 256 * 1024 * 1024
SECONDS_BETWEEN_LOOKS = 60.0
"""For pictures that nobody asks about any more."""
LARGEST_ADAPTER = 512 * 1024 * 1024
ROOM = LARGEST_ADAPTER
"""Bytes of pictures and adapters that are being taken at once: some twenty-five of the largest pictures."""

Result = TypeVar("Result")


class Worker:
    """One pack, served. The models load in the background; until then requests are told so."""

    def __init__(
        self, load: LoadModels, token: str, *, max_waiting: int = MAX_WAITING, load_former: LoadFormer = load_former
    ) -> None:
        self._token = token
        self._queues = ModelQueues(load, load_former, max_waiting)
        self._images = ImageCache(CACHE_BYTES)
        self._reading = ThreadPoolExecutor(1)
        self._decoding = ThreadPoolExecutor(1)
        self._decoder = Decoder()
        self._room = Room(ROOM)
        self._metrics = Metrics()

    def app(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[answer_errors(self._metrics), require_token(self._token)])
        app.add_routes(
            [
                web.put("/pictures/{sha256}", self._take_picture),
                web.get("/pictures/{sha256}", self._give_picture),
                web.post("/pictures/missing", self._missing),
                web.post("/perceive", self._perceive),
                web.post("/refer", self._refer),
                web.put("/adapters/{sha256}", self._take_adapter),
                web.post("/generate", self._generate),
                web.post("/verify", self._verify),
                web.get("/health", self._health),
                web.get("/metrics", self._show_metrics),
            ]
        )
        app.cleanup_ctx.append(self._loading)
        return app

    async def _loading(self, _: web.Application) -> AsyncIterator[None]:
        forgetting = asyncio.create_task(self._forget_now_and_then())
        async with self._queues.loading():
            yield
        forgetting.cancel()
        self._decoder.close()

    async def _forget_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            self._images.drop_unused()

    async def _take_picture(self, request: web.Request) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        with self._room.taken_by(request, LARGEST_BYTES):
            data = await read_body(request, LARGEST_BYTES, ImageTooLargeError(None, LARGEST_BYTES))
            if hashlib.sha256(data).hexdigest() != sha256:
                raise RequestError(400, "The picture isn't the one its SHA-256 says.")
            if self._images.get(sha256) is None:
                self._images.put(sha256, await self._decoded(data))
        return web.Response(status=204)

    async def _give_picture(self, request: web.Request) -> web.StreamResponse:
        """Give the bot a picture as it stores it: one that an answer to `/perceive` or `/refer` named."""
        jpeg = self._image(request.match_info["sha256"]).jpeg
        if jpeg is None:
            raise RequestError(404, "That picture was sent, not made here.")
        return web.Response(body=jpeg, content_type="image/jpeg")

    async def _missing(self, request: web.Request) -> web.StreamResponse:
        """Say which of some pictures have to be sent before a question about them is asked."""
        asked = await read_message(request, MissingRequest)
        here = self._images.pictures(asked.pictures)
        return _answer(MissingPictures(missing=tuple(sha256 for sha256 in asked.pictures if sha256 not in here)))

    async def _perceive(self, request: web.Request) -> web.StreamResponse:
        asked = await read_message(request, PerceiveRequest)
        image, embedder = self._image(asked.picture), await self._embedder(asked.embedding_id)
        found, stored = await asyncio.gather(
            embedder.perceive.do(DetectionRequest(image.picture, asked.categories)), self._read(image.as_answer)
        )
        self._images.keep(stored)
        return _answer(
            Perception(
                picture_sha256=stored.sha256,
                width=stored.picture.width,
                height=stored.picture.height,
                regions=tuple(_on_wire(region) for region in found.regions),
                tags=found.tags,
                calibration=embedder.model.calibration,
            )
        )

    async def _refer(self, request: web.Request) -> web.StreamResponse:
        asked = await read_message(request, ReferRequest)
        image, embedder = self._image(asked.picture), await self._embedder(asked.embedding_id)
        stored = await self._read(image.as_reference)
        self._images.keep(stored)
        region = await embedder.refer.do(ReferenceRequest(stored.picture, asked.box, asked.exact))
        return _answer(
            ReferenceView(
                picture_sha256=stored.sha256,
                width=stored.picture.width,
                height=stored.picture.height,
                region=_on_wire(region),
                calibration=embedder.model.calibration,
            )
        )

    async def _take_adapter(self, request: web.Request) -> web.StreamResponse:
        """Keep weights that were trained for somebody, so that requests may name them; whose they are isn't said."""
        adapters, sha256 = self._adapters(), request.match_info["sha256"]
        if adapters is None:
            raise RequestError(409, "This pack's writer takes no adapters.")
        with self._room.taken_by(request, LARGEST_ADAPTER):
            data = await read_body(request, LARGEST_ADAPTER, RequestError(413, "That adapter is too large."))
            if hashlib.sha256(data).hexdigest() != sha256:
                raise RequestError(400, "The adapter isn't the one its SHA-256 says.")
            try:
                await self._read(lambda: adapters.take(sha256, data))
            except AdapterError as problem:
                raise RequestError(422, str(problem)) from problem
        return web.Response(status=204)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        asked = await read_message(request, GenerateRequest)
        queues, adapters = self._queues.ready(), self._adapters()
        if asked.adapter is not None and adapters is not None and asked.adapter not in adapters:
            raise RequestError(404, "That adapter isn't here (any more): send it again.")
        pictures = self._images.pictures(asked.pictures) if queues.models.writer.sees_pictures else {}
        return await stream_answer(request, queues.generation.stream(GenerationInput(asked, pictures)))

    async def _verify(self, request: web.Request) -> web.StreamResponse:
        """Say how probable it is, to the writer, that regions show what recall took them for."""
        asked = await read_message(request, VerifyRequest)
        queue = self._queues.ready().verification
        if queue is None:
            raise RequestError(409, "This pack's writer doesn't verify.")
        pictures = self._images.pictures(asked.pictures)
        if len(pictures) < len(asked.pictures):
            raise RequestError(404, "A picture isn't here (any more): send it again.")
        shown = pictures[asked.picture]
        pairs = [
            ImagePair(
                region=cropped(shown, item.box),
                reference=pictures[item.reference],
                name=item.name,
                category=item.category,
            )
            for item in asked.candidates
        ]
        return _answer(VerifyAnswer(probabilities=tuple(await asyncio.gather(*(queue.do(pair) for pair in pairs)))))

    async def _health(self, _: web.Request) -> web.StreamResponse:
        return _answer(self._queues.health(pictures_cached=len(self._images)))

    async def _show_metrics(self, _: web.Request) -> web.StreamResponse:
        self._metrics.show_cache(len(self._images), self._images.bytes)
        queues = self._queues.loaded()
        if queues is not None and isinstance(queues.models.writer, MultimodalModel):
            features = queues.models.writer.features
            self._metrics.show_features(features.hits, features.misses)
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _decoded(self, data: bytes) -> CachedImage:
        """Decode a picture, one at a time; what else is read doesn't wait for one that takes long."""
        decode = partial(CachedImage.from_bytes, data, self._decoder.decode)
        return await asyncio.get_running_loop().run_in_executor(self._decoding, decode)

    async def _read(self, work: Callable[[], Result]) -> Result:
        """Read pictures and adapters beside the event loop, one at a time and always in the same thread."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, work)

    def _image(self, sha256: str) -> CachedImage:
        image = self._images.get(sha256)
        if image is None:
            raise RequestError(404, "That picture isn't here (any more): send it again.")
        return image

    async def _embedder(self, embedding_id: str | None) -> Embedder:
        """Return the embedder that a request wants: by the id of its embeddings, or else the pack's own."""
        return await self._queues.ready().embedders.embedder_for(embedding_id)

    def _adapters(self) -> AdapterStore | None:
        return self._queues.ready().models.adapters


def _on_wire(region: Region) -> RegionOnWire:
    return RegionOnWire(box=region.box, embedding=region.embedding, objectness=region.objectness)


def _answer(message: Message) -> web.Response:
    return web.Response(text=message.model_dump_json(), content_type="application/json")
