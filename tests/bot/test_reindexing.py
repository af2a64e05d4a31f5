"""Changing packs: memories move to the other embedder in the background, and nobody notices but the doctor."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import psycopg
import pytest
from PIL import Image

from bot.demo.pictures import png
from bot.metrics import serve_metrics
from bot.runtime.jobs import make_queue, running_jobs
from bot.service import feedback, memories
from bot.service.app import Actor, App
from bot.service.ask import Question, ask
from bot.service.reindexing import SLICE, memories_to_reindex, reindex_slice
from bot.service.remember import add_picture, remember
from bot.service.worker_client import WorkerClient
from db import concepts, reindexing, trash
from db.geometry import WHOLE
from db.pool import viewing
from db.roles import app_url
from db.types import Verdict, server_owner
from model_worker.api.errors import UnknownEmbedderError
from model_worker.server.models import PerceptionModel
from tests.support.fake_models import FakePerceiver
from tests.support.served import TOKEN, Served, served

ANNA = Actor(user_id=1, server_id=10, channel_id=100)
BO = Actor(user_id=2, server_id=10, channel_id=100)
MINE, OURS = ANNA.viewer.personal, server_owner(10)
COLOURS = ("red", "lime", "blue")


def of(colour: str) -> bytes:
    return png(Image.new("RGB", (40, 30), colour))


def old() -> FakePerceiver:
    return FakePerceiver(embedding_id="old/1")


def new() -> FakePerceiver:
    return FakePerceiver(embedding_id="new/1", turned=1)


def only_old(embedding_id: str) -> PerceptionModel:
    if embedding_id != "old/1":
        raise UnknownEmbedderError(embedding_id)
    return old()


def nothing(embedding_id: str) -> PerceptionModel:
    raise UnknownEmbedderError(embedding_id)


@asynccontextmanager
async def with_pack(
    pool: asyncpg.Pool, sees: FakePerceiver, load_former: Callable[[str], PerceptionModel] = only_old
) -> AsyncIterator[App]:
    async with served(sees, load_former=load_former) as worker:
        yield App(pool=pool, worker=worker.client)


async def remember_colours(pool: asyncpg.Pool) -> None:
    """With the old pack: Anna remembers red and lime for herself, and shares blue."""
    async with with_pack(pool, old()) as app:
        for colour in COLOURS:
            await remember(app, ANNA, colour, of(colour), share=colour == "blue")


async def remember_shades(app: App, colour: str) -> None:
    """One concept of Anna's with more pictures than a slice."""
    concept = (await remember(app, ANNA, colour, of(colour))).concept
    for level in range(SLICE):
        shade = Image.new("RGB", (40, 30), colour)
        shade.putpixel((level, 0), (0, 0, 0))
        await add_picture(app, ANNA, concept, png(shade))


async def told(app: App, actor: Actor, colour: str) -> list[str]:
    """Who is recognised in a picture of this colour."""
    reply = await ask(app, actor, Question(text="who is this?", picture=of(colour)))
    return [match.concept.name for match in reply.context.recalled.recognised]


async def in_use(pool: asyncpg.Pool) -> tuple[str, ...]:
    async with viewing(pool, ANNA.viewer) as connection:
        return await reindexing.in_use(connection, [MINE, OURS])


async def kinds(database_url: str) -> set[tuple[str, int]]:
    async with await psycopg.AsyncConnection.connect(database_url) as administrator:
        rows = await administrator.execute("SELECT embedding_id, count(*) FROM embedding GROUP BY 1")
        return {(row[0], row[1]) for row in await rows.fetchall()}


async def move_all(app: App) -> None:
    for move in await memories_to_reindex(app):
        while not await reindex_slice(app, move.owner_id):
            pass


async def test_recall_goes_by_the_old_embeddings_until_the_new_ones_are_complete(
    pool: asyncpg.Pool, database_url: str
) -> None:
    await remember_colours(pool)
    async with with_pack(pool, new()) as app:
        for colour in COLOURS:
            assert await told(app, ANNA, colour) == [colour]
        assert await in_use(pool) == ("old/1",)

        assert await reindex_slice(app, MINE)  # hers has moved, the server's not yet
        assert await in_use(pool) == ("new/1", "old/1")
        for colour in COLOURS:
            assert await told(app, ANNA, colour) == [colour]
        assert await told(app, BO, "blue") == ["blue"]

        await move_all(app)
        assert await in_use(pool) == ("new/1",)
        for colour in COLOURS:
            assert await told(app, ANNA, colour) == [colour]
        assert await memories_to_reindex(app) == []
    assert await kinds(database_url) == {("new/1", 3)}


async def test_a_large_memory_moves_in_slices(pool: asyncpg.Pool) -> None:
    async with with_pack(pool, old()) as app:
        await remember_shades(app, "red")
    async with with_pack(pool, new()) as app:
        assert not await reindex_slice(app, MINE)

        [left] = await memories_to_reindex(app)
        assert (left.embedding_id, left.missing) == ("old/1", 1)
        assert await told(app, ANNA, "red") == ["red"]
        assert await reindex_slice(app, MINE)


async def test_what_is_remembered_while_memories_move_is_known_before_and_after(pool: asyncpg.Pool) -> None:
    await remember_colours(pool)
    async with with_pack(pool, new()) as app:
        again = await remember(app, ANNA, "red again", of("red"))
        await remember(app, ANNA, "yellow", of("yellow"))

        assert again.alike is not None
        assert again.alike.name == "red"
        assert await told(app, ANNA, "yellow") == ["yellow"]
        await move_all(app)
        assert await told(app, ANNA, "yellow") == ["yellow"]


async def test_a_new_memory_goes_by_the_new_embeddings_from_the_start(pool: asyncpg.Pool) -> None:
    async with with_pack(pool, new()) as app:
        await remember(app, ANNA, "red", of("red"))

        assert await in_use(pool) == ("new/1",)
        assert await memories_to_reindex(app) == []
        assert await told(app, ANNA, "red") == ["red"]


async def test_without_the_old_pack_a_memory_is_asleep_until_it_has_moved(pool: asyncpg.Pool) -> None:
    await remember_colours(pool)
    async with with_pack(pool, new(), nothing) as app:
        assert await told(app, ANNA, "red") == []  # and nobody else is taken for it
        await remember(app, ANNA, "yellow", of("yellow"))

        await move_all(app)

        assert await told(app, ANNA, "red") == ["red"]
        assert await told(app, ANNA, "yellow") == ["yellow"]


class SwitchesMeanwhile(WorkerClient):
    """Perceives; the memory moves before the answer is there."""

    def __init__(self, client: WorkerClient, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(client._url, TOKEN)
        self._meanwhile: list[Callable[[], Awaitable[None]]] = [meanwhile]

    async def perceive(  # type: ignore[no-untyped-def]  # noqa: ANN201
        self, picture: bytes, embedding_id: str | None = None, categories: Sequence[str] = ()
    ):
        seen = await super().perceive(picture, embedding_id, categories)
        if self._meanwhile:
            await self._meanwhile.pop()()
        return seen


async def test_a_picture_that_is_looked_at_while_the_memory_goes_over_is_looked_at_again(pool: asyncpg.Pool) -> None:
    await remember_colours(pool)
    async with with_pack(pool, new()) as app:
        client = SwitchesMeanwhile(app.worker, lambda: move_all(app))

        assert await told(replace(app, worker=client), ANNA, "red") == ["red"]
        await client.close()


async def test_what_comes_back_from_before_the_move_is_moved_too(pool: asyncpg.Pool) -> None:
    await remember_colours(pool)
    async with viewing(pool, ANNA.viewer) as connection:
        [red] = await concepts.find(connection, ANNA.viewer, "red")
        aside = await trash.forget_for_now(connection, red, 1)
    async with with_pack(pool, new()) as app:
        await move_all(app)

        await memories.undo(app, ANNA, MINE, aside.concept_id)
        assert [move.owner_id for move in await memories_to_reindex(app)] == [MINE]
        await move_all(app)

        assert await told(app, ANNA, "red") == ["red"]


async def test_a_word_about_an_answer_from_before_the_move_counts(pool: asyncpg.Pool) -> None:
    await remember_colours(pool)
    async with with_pack(pool, new()) as app:
        reply = await ask(app, ANNA, Question(text="who is this?", picture=of("red")))
        assert reply.context.answer_id is not None
        await move_all(app)

        answer = await feedback.answer_of(app, ANNA, reply.context.answer_id)
        await feedback.judge(app, ANNA, answer, answer.sightings[0].region, Verdict.INCORRECT)

        assert await told(app, ANNA, "red") == []


class Killed(BaseException):
    """The process is gone."""


async def _killed_at(monkeypatch: pytest.MonkeyPatch, step: int, work: Awaitable[None]) -> bool:
    """Run the work; at its ``step``-th step, after what it does and before that is committed, the process is gone."""
    taken = 0

    def dying(function: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def step_of_it(*arguments: object, **named: object) -> object:
            nonlocal taken
            result = await function(*arguments, **named)
            taken += 1
            if taken == step:
                raise Killed
            return result

        return step_of_it

    with monkeypatch.context() as patched:
        for owner, name in (
            *((reindexing, item) for item in ("count_missing", "references_without", "store", "switch")),
            (WorkerClient, "refer"),
        ):
            patched.setattr(owner, name, dying(getattr(owner, name)))
        try:
            await work
        except Killed:
            return True
    return False


async def test_killed_at_any_point_it_loses_nothing_and_goes_on(
    pool: asyncpg.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await remember_colours(pool)
    steps = 1
    async with with_pack(pool, new()) as app:
        while await _killed_at(monkeypatch, steps, move_all(app)):
            for colour in COLOURS:
                assert await told(app, ANNA, colour) == [colour], steps
            steps += 1

    assert steps > 3  # each run went on from where the last one was killed, so it isn't many
    assert await kinds(database_url) == {("new/1", 3)}


MOVES_UNTIL_KILLED = """
import asyncio, sys
from bot.service.app import App
from bot.runtime.jobs import make_queue, running_jobs
from bot.service.worker_client import WorkerClient
from db.pool import open_pool

async def main(url, worker_url, token):
    app = App(pool=await open_pool(url), worker=WorkerClient(worker_url, token))
    queue = make_queue(url, app, None)
    async with running_jobs(queue):
        await queue.configure_task("move_memories").defer_async(timestamp=0)
        await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
async def test_a_process_that_is_really_killed_leaves_it_to_the_next_one(pool: asyncpg.Pool, database_url: str) -> None:
    async with with_pack(pool, old()) as app:
        await remember_shades(app, "red")
        await remember_shades(app, "blue")
    async with served(FakePerceiver(embedding_id="new/1", turned=1), load_former=only_old) as worker:
        app = App(pool=pool, worker=worker.client)
        process = await _moving(database_url, worker)
        while not any(kind == "new/1" for kind, _ in await kinds(database_url)):
            assert process.returncode is None
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        await process.wait()

        assert await told(app, ANNA, "red") == ["red"]
        queue = make_queue(app_url(database_url), app, None)
        async with running_jobs(queue):
            await queue.configure_task("move_memories").defer_async(timestamp=0)
            while await in_use(pool) != ("new/1",):
                await asyncio.sleep(0.05)

        assert await kinds(database_url) == {("new/1", 2 * (SLICE + 1))}
        assert await told(app, ANNA, "red") == ["red"]


async def _moving(database_url: str, worker: Served) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", MOVES_UNTIL_KILLED, app_url(database_url), worker.url, TOKEN, env=dict(os.environ)
    )


async def test_a_worker_without_that_pack_says_so(pool: asyncpg.Pool) -> None:
    async with served(new(), load_former=nothing) as worker:
        for _ in range(2):
            with pytest.raises(UnknownEmbedderError) as raised:
                await worker.client.perceive(of("red"), "other/1")
            assert raised.value.embedding_id == "other/1"
            with pytest.raises(UnknownEmbedderError):
                await worker.client.refer(of("red"), WHOLE, embedding_id="other/1")
        assert (await worker.client.perceive(of("red"), "new/1")).calibration.embedding_id == "new/1"


async def test_how_far_it_is_can_be_read_by_a_monitor(pool: asyncpg.Pool, unused_tcp_port: int) -> None:
    await remember_colours(pool)
    serve_metrics(f"127.0.0.1:{unused_tcp_port}")
    async with with_pack(pool, new()) as app:
        await memories_to_reindex(app)

        read = await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{unused_tcp_port}/metrics")
        assert b"keepsake_memories_to_move 2.0" in read.read()
