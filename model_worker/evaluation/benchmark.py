"""`keepsake-worker bench`: what the server makes of a pack's models, against calling them one by one.

Everything is measured in one run on one machine, so the ratios mean something; the numbers alone mean little. What
computes runs in threads that end, in the loop as in the server (why: `model_worker.server.batching`).
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
import torch
from aiohttp import web
from PIL import Image, ImageDraw, ImageFont

from db.geometry import WHOLE, Box
from db.types import Calibration, Region
from model_worker.api.protocol import GenerateRequest, PerceiveRequest, PromptConcept
from model_worker.evaluation.writer_speed import WriterSpeed, writer_speed
from model_worker.generation.multimodal.writer import ImageTextWriter
from model_worker.generation.types import GenerationInput
from model_worker.perception.single_pass import Detections
from model_worker.server.app import Worker
from model_worker.server.batching import in_a_thread_that_ends
from model_worker.server.models import Models, MultimodalModel

CLIENTS = (1, 4, 16, 64)
PICTURES = 16
TOKEN = "of-a-benchmark-alone"  # noqa: S105 (of a server that lives for seconds)
MAX_WAITING = 128
SIDE, MARGIN = 420, 60
"""Pixels of the plot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What so many clients at once got: requests a second, and milliseconds that half and 95 % waited at most."""

    clients: int
    per_second: float
    times_the_loop: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """The result. ``loop`` is requests a second of the same models called one by one, without a server.

    ``pictures_kept`` is the share of the pictures shown to the writer that it had encoded before; None for a blind one.
    ``writer`` is None for one that is blind, or elsewhere.
    """

    pack: str
    device: str
    perceive_loop: float
    perceive: tuple[Load, ...]
    generate_loop: float
    generate: tuple[Load, ...]
    server_ms: float
    memory_gb: float
    gpu_memory_gb: float
    pictures_kept: float | None
    writer: WriterSpeed | None


def bench(models: Models, seconds: float, plot: Path | None) -> BenchResult:
    """Measure a pack's models for so many seconds a line."""
    pictures = [_picture(number) for number in range(PICTURES)]
    questions = [_question(number, pictures) for number in range(PICTURES)]
    perceive_loop = asyncio.run(
        in_a_thread_that_ends(
            lambda: _loop(lambda number: models.perceiver.perceive([pictures[number % PICTURES]]), seconds)
        )
    )
    generate_loop = asyncio.run(
        in_a_thread_that_ends(lambda: _loop(lambda number: _write_one(models, questions[number % PICTURES]), seconds))
    )
    perceive_requests = [PerceiveRequest(picture=_digest(picture)).model_dump_json() for picture in pictures]
    generate_requests = [question.request.model_dump_json() for question in questions]
    kinds = (
        _Requests(path="perceive", bodies=perceive_requests, loop_per_second=perceive_loop),
        _Requests(path="generate", bodies=generate_requests, loop_per_second=generate_loop),
    )
    perceive, generate = asyncio.run(_served(models, pictures, kinds, seconds))
    result = BenchResult(
        pack=models.pack,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        perceive_loop=round(perceive_loop, 2),
        perceive=perceive,
        generate_loop=round(generate_loop, 2),
        generate=generate,
        server_ms=round(asyncio.run(_server_ms(pictures)), 2),
        memory_gb=round(psutil.Process().memory_info().rss / 1e9, 2),
        gpu_memory_gb=round(torch.cuda.max_memory_allocated() / 1e9, 2) if torch.cuda.is_available() else 0.0,
        pictures_kept=_pictures_kept(models),
        writer=asyncio.run(in_a_thread_that_ends(lambda: _writer_speed(models))),
    )
    if plot is not None:
        draw_loads(result, plot)
    return result


def draw_loads(result: BenchResult, path: Path) -> None:
    """Draw how many times the loop each number of clients got, for both kinds of requests (PNG)."""
    picture = Image.new("RGB", (SIDE + 2 * MARGIN, SIDE + 2 * MARGIN), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=15)
    top = max(1.0, *(load.times_the_loop for load in (*result.perceive, *result.generate)))
    draw.rectangle((MARGIN, MARGIN, MARGIN + SIDE, MARGIN + SIDE), outline="#888888")
    once = MARGIN + SIDE - SIDE / top
    draw.line((MARGIN, once, MARGIN + SIDE, once), fill="#bbbbbb", width=2)
    for colour, name, loads in (("#2e86ab", "perceive", result.perceive), ("#e4572e", "generate", result.generate)):
        points = [
            (MARGIN + SIDE * place / (len(loads) - 1), MARGIN + SIDE - SIDE * load.times_the_loop / top)
            for place, load in enumerate(loads)
        ]
        draw.line(points, fill=colour, width=3)
        draw.text((points[-1][0] - 70, points[-1][1] - 22), name, fill=colour, font=font)
    for place, clients in enumerate(CLIENTS):
        across = MARGIN + SIDE * place / (len(CLIENTS) - 1)
        draw.text((across - 6, MARGIN + SIDE + 8), str(clients), fill="black", font=font)
    draw.text((MARGIN, 20), f"{result.pack}: times the loop (up to {top:.1f}), by clients", fill="black", font=font)
    picture.save(path)


def _pictures_kept(models: Models) -> float | None:
    if not isinstance(models.writer, MultimodalModel):
        return None
    features = models.writer.features
    return round(features.hits / max(1, features.hits + features.misses), 3)


def _writer_speed(models: Models) -> WriterSpeed | None:
    if not isinstance(models.writer, ImageTextWriter):
        return None
    return writer_speed(models.writer, (_picture(number) for number in itertools.count(PICTURES)))


def _loop(call: Callable[[int], object], seconds: float) -> float:
    """Return how often a second something can be done one after the other."""
    call(0)  # what is made once isn't counted
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        call(done)
        done += 1
    return done / (time.perf_counter() - started)


def _write_one(models: Models, prompt: GenerationInput) -> None:
    for _ in models.writer.write([prompt], [threading.Event()]):
        pass


@dataclass(frozen=True, slots=True)
class _Requests:
    """Requests of one kind, which come round; ``loop_per_second`` is how many the models do without a server."""

    path: str
    bodies: Sequence[str]
    loop_per_second: float


async def _served(
    models: Models, pictures: Sequence[Image.Image], kinds: Sequence[_Requests], seconds: float
) -> list[tuple[Load, ...]]:
    """Return, for each kind of requests, what each number of clients got."""
    async with _serving(models, pictures) as (session, url):
        return [
            tuple([await _load(session, url, requests, clients, seconds) for clients in CLIENTS]) for requests in kinds
        ]


async def _load(session: aiohttp.ClientSession, url: str, requests: _Requests, clients: int, seconds: float) -> Load:
    """Let so many clients ask, each again as soon as it is answered, no two for the same picture at first."""
    started = time.perf_counter()
    numbers = (itertools.count(client, clients) for client in range(clients))
    of_clients = await asyncio.gather(
        *(_client(session, f"{url}/{requests.path}", requests.bodies, each, started + seconds) for each in numbers)
    )
    waited = [wait for waits in of_clients for wait in waits]
    per_second = len(waited) / (time.perf_counter() - started)
    p50, p95 = np.quantile(waited, (0.5, 0.95))
    return Load(
        clients=clients,
        per_second=round(per_second, 2),
        times_the_loop=round(per_second / requests.loop_per_second, 2),
        p50_ms=round(1000 * p50, 1),
        p95_ms=round(1000 * p95, 1),
    )


async def _client(
    session: aiohttp.ClientSession, url: str, bodies: Sequence[str], numbers: Iterator[int], end: float
) -> list[float]:
    """Ask until the end (of the performance counter); returns the seconds that each answer took."""
    waited = []
    while (began := time.perf_counter()) < end:
        await _post(session, url, bodies[next(numbers) % len(bodies)])
        waited.append(time.perf_counter() - began)
    return waited


async def _server_ms(pictures: Sequence[Image.Image]) -> float:
    """Return the milliseconds that a request takes when the model takes none."""
    digest = _digest(pictures[0])
    models = Models(pack="nothing", perceiver=_InstantPerceiver(), writer=_InstantWriter())
    async with _serving(models, pictures) as (session, url):
        question = PerceiveRequest(picture=digest).model_dump_json()
        await _post(session, f"{url}/perceive", question)
        started = time.perf_counter()
        for _ in range(200):
            await _post(session, f"{url}/perceive", question)
        return 1000 * (time.perf_counter() - started) / 200


@asynccontextmanager
async def _serving(models: Models, pictures: Sequence[Image.Image]) -> Any:
    """Serve models on a free port, with these pictures held; gives a session and the address."""
    runner = web.AppRunner(
        Worker(lambda: models, TOKEN, max_waiting=MAX_WAITING).app(), access_log=None, shutdown_timeout=1
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        for picture in pictures:
            async with session.put(f"{url}/pictures/{_digest(picture)}", data=_png(picture)) as response:
                response.raise_for_status()
        yield session, url
    await runner.cleanup()


async def _post(session: aiohttp.ClientSession, url: str, body: str) -> None:
    async with session.post(url, data=body) as response:
        await response.read()
        response.raise_for_status()


def _picture(number: int) -> Image.Image:
    """Return a picture with something in it, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((800, 600), Image.Resampling.BICUBIC)


def _question(number: int, pictures: Sequence[Image.Image]) -> GenerationInput:
    shown, known = pictures[number], pictures[(number + 1) % PICTURES]
    concept = PromptConcept(
        name="Mochi", info="a tabby cat who hates the vacuum cleaner", category="cat", avatar=_digest(known)
    )
    request = GenerateRequest(
        question="What does Mochi hate?",
        has_picture=True,
        concepts=(concept,),
        picture=_digest(shown),
    )
    return GenerationInput(request, {_digest(picture): picture for picture in (shown, known)})


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _digest(picture: Image.Image) -> str:
    return hashlib.sha256(_png(picture)).hexdigest()


@dataclass
class _InstantPerceiver:
    """A perceiver that takes no time: what is left is the server's own."""

    embedding_id: str = "nothing/1"
    calibration: Calibration = field(
        default_factory=lambda: Calibration(embedding_id="nothing/1", slope=1.0, offset=0.0, threshold=0.5)
    )

    def perceive(
        self, pictures: Sequence[Image.Image], categories: Sequence[Sequence[str]] | None = None
    ) -> list[Detections]:
        return [Detections((self.refer(picture),), ()) for picture in pictures]

    def refer(self, picture: Image.Image, box: Box | None = None) -> Region:
        return Region(box or WHOLE, np.zeros(1280, dtype=np.float32), 1.0)

    def embed(self, picture: Image.Image, box: Box) -> Region:
        return self.refer(picture, box)


class _InstantWriter:
    sees_pictures = False

    def write(
        self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]
    ) -> Iterator[list[tuple[int, str]]]:
        yield [(index, "words") for index in range(len(asked))]
