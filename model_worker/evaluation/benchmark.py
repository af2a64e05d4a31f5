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
from collections.abc import Awaitable, Callable, Iterator, Sequence
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
TOKEN = "bench"  # noqa: S105 (of a server that lives for seconds)
MAX_WAITING = 128
SIDE, MARGIN = 420, 60
"""Pixels of the plot."""

Ask = Callable[[aiohttp.ClientSession, str, int], Awaitable[None]]


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
    perceive, generate = asyncio.run(_served(models, pictures, questions, seconds, perceive_loop, generate_loop))
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


def _write_one(models: Models, asked: GenerationInput) -> None:
    for _ in models.writer.write([asked], [threading.Event()]):
        pass


async def _served(
    models: Models,
    pictures: Sequence[Image.Image],
    questions: Sequence[GenerationInput],
    seconds: float,
    perceive_loop: float,
    generate_loop: float,
) -> tuple[tuple[Load, ...], tuple[Load, ...]]:
    bodies = [question.request.model_dump_json() for question in questions]
    digests = [_digest(picture) for picture in pictures]

    async def perceive(session: aiohttp.ClientSession, url: str, number: int) -> None:
        request = PerceiveRequest(picture=digests[number % PICTURES])
        await _post(session, f"{url}/perceive", request.model_dump_json())

    async def generate(session: aiohttp.ClientSession, url: str, number: int) -> None:
        await _post(session, f"{url}/generate", bodies[number % PICTURES])

    async with _serving(models, pictures) as (session, url):
        seen = [await _load(perceive, session, url, clients, seconds, perceive_loop) for clients in CLIENTS]
        written = [await _load(generate, session, url, clients, seconds, generate_loop) for clients in CLIENTS]
    return tuple(seen), tuple(written)


async def _load(ask: Ask, session: aiohttp.ClientSession, url: str, clients: int, seconds: float, loop: float) -> Load:
    """Let so many clients ask, each again as soon as it is answered."""
    waited: list[float] = []
    started = time.perf_counter()

    async def client(place: int) -> None:
        number = place
        while time.perf_counter() - started < seconds:
            asked = time.perf_counter()
            await ask(session, url, number)
            waited.append(time.perf_counter() - asked)
            number += clients

    await asyncio.gather(*(client(place) for place in range(clients)))
    per_second = len(waited) / (time.perf_counter() - started)
    p50, p95 = np.quantile(waited, (0.5, 0.95))
    return Load(
        clients=clients,
        per_second=round(per_second, 2),
        times_the_loop=round(per_second / loop, 2),
        p50_ms=round(1000 * p50, 1),
        p95_ms=round(1000 * p95, 1),
    )


async def _server_ms(pictures: Sequence[Image.Image]) -> float:
    """Return the milliseconds that a request takes when the model takes none."""
    digest = _digest(pictures[0])
    async with _serving(Models(pack="nothing", perceiver=_SeesAtOnce(), writer=_WritesAtOnce()), pictures) as (
        session,
        url,
    ):
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
class _SeesAtOnce:
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


class _WritesAtOnce:
    sees_pictures = False

    def write(
        self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]
    ) -> Iterator[list[tuple[int, str]]]:
        yield [(index, "words") for index in range(len(asked))]
