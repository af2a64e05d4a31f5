"""Stories of learning as people see it: allowed, asked for, watched, taken back. The trainer is played by hand."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import psycopg
import pytest

from bot import privacy
from bot.assistant import Assistant, Question
from bot.jobs import look_after_stalled, make_queue, working
from bot.worker_client import WorkerClient
from db import adapters, job_queue, servers
from db.models import OwnerId, ServerSettings, Viewer
from db.pool import viewing
from db.roles import app_url
from model_worker.words.adapter_problem import AdapterProblem
from model_worker.words.asked import Asked
from tests.fake_models import FakeWriter
from tests.test_adapters_in_memory import (
    ANNA,
    ANNA_ELSEWHERE,
    BASE,
    BO,
    ELSEWHERE,
    SERVER,
    consent,
    in_use,
    learn,
    remember,
)
from tests.test_worker import served


def jobs(database_url: str) -> list[tuple[str, str, str]]:
    """What is in the queue: queue, task, owner."""
    with psycopg.connect(database_url) as administrator:
        found = administrator.execute(
            "SELECT queue_name, task_name, args ->> 'owner_id' FROM procrastinate_jobs"
            " WHERE status = 'todo' AND args ? 'owner_id' ORDER BY 1, 2, 3"
        )
        return [tuple(row) for row in found]


def training_of(*owners: OwnerId) -> list[tuple[str, str, str]]:
    return [("training", "train", owner) for owner in owners]


# The queue


async def test_asking_again_while_one_waits_is_harmless_and_undone_with_its_transaction(
    pool: asyncpg.Pool, database_url: str
) -> None:
    for _ in range(2):
        async with viewing(pool, ANNA) as connection:
            await job_queue.ask_for_training(connection, ANNA.personal)
            await job_queue.ask_for_training(connection, ANNA.personal)
            assert await job_queue.training_waits(connection, ANNA.personal)
    try:
        async with viewing(pool, BO) as connection:
            await job_queue.ask_for_training(connection, BO.personal)
            raise RuntimeError
    except RuntimeError:
        pass
    assert jobs(database_url) == training_of(ANNA.personal)


async def test_the_bot_leaves_trainings_to_the_trainer(pool: asyncpg.Pool, database_url: str) -> None:
    async with viewing(pool, ANNA) as connection:
        await job_queue.ask_for_training(connection, ANNA.personal)
    queue = make_queue(app_url(database_url), Assistant(pool, WorkerClient("http://127.0.0.1:9", "nobody")), None)
    async with working(queue):
        await queue.configure_task("delete_what_is_due").defer_async(timestamp=0)
        while await queue.job_manager.list_jobs_async(queue=job_queue.DEFAULT):
            await asyncio.sleep(0.05)
    assert jobs(database_url) == training_of(ANNA.personal)


async def test_a_training_whose_trainer_was_killed_is_put_back_but_not_for_ever(
    pool: asyncpg.Pool, database_url: str
) -> None:
    async with viewing(pool, ANNA) as connection:
        await job_queue.ask_for_training(connection, ANNA.personal)
    queue = make_queue(app_url(database_url), Assistant(pool, WorkerClient("http://127.0.0.1:9", "nobody")), None)
    async with queue.open_async():
        for has_tries_left in (True, True, True, False):
            with psycopg.connect(database_url) as administrator:
                administrator.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL")
            await look_after_stalled(queue)
            assert bool(jobs(database_url)) is has_tries_left


# Taking consent back


async def test_who_takes_consent_back_is_forgotten_by_servers_that_learn_again_without_them(
    pool: asyncpg.Pool, database_url: str
) -> None:
    for viewer in (ANNA, BO):
        await consent(pool, viewer)
    for viewer, owner in ((ANNA, SERVER), (BO, SERVER), (ANNA_ELSEWHERE, ELSEWHERE)):
        await remember(pool, viewer, "The mug" if viewer is not BO else "The lamp", owner=owner)
    await learn(pool, ANNA, "of the server", owner=SERVER)
    await learn(pool, ANNA_ELSEWHERE, "elsewhere", owner=ELSEWHERE)
    async with viewing(pool, ANNA_ELSEWHERE) as connection:
        await servers.change_settings(connection, ELSEWHERE, 1, ServerSettings(trains=False), "paused")
        await job_queue.ask_for_training(connection, ANNA.personal)

    await privacy.set_may_train(pool, ANNA, may=False)

    assert await in_use(pool, ANNA, SERVER) is None
    assert await in_use(pool, ANNA_ELSEWHERE, ELSEWHERE) is None
    assert jobs(database_url) == training_of(SERVER)  # elsewhere it is paused, and Anna's own is not wanted any more


async def test_who_is_erased_is_forgotten_by_servers_that_learn_again_without_them(
    pool: asyncpg.Pool, database_url: str
) -> None:
    await consent(pool, ANNA)
    await remember(pool, ANNA, "The mug", owner=SERVER)
    await learn(pool, ANNA, "of the server", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        await job_queue.ask_for_training(connection, ANNA.personal)

    await privacy.erase(pool, ANNA)

    assert await in_use(pool, BO, SERVER) is None
    assert jobs(database_url) == training_of(SERVER)


# Whose adapter answers


@dataclass
class HeldAdapters:
    """Holds any adapter of its base; ``taken`` is what it was sent, ``refuses`` and ``forgets`` what it does then."""

    base: str = BASE
    held: dict[str, bytes] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    refuses: bool = False
    forgets: bool = False

    def __contains__(self, name: str) -> bool:
        return name in self.held

    def take(self, name: str, data: bytes) -> None:
        self.taken.append(data.decode())
        if self.refuses:
            raise AdapterProblem("That adapter was made for another model.")
        if not self.forgets:
            self.held[name] = data


@dataclass
class Learned(FakeWriter):
    """Says what the adapter that it answers with was made of."""

    adapters: HeldAdapters = field(default_factory=HeldAdapters)
    breaks: bool = False

    def write(self, asked: Sequence[Asked], cancelled: Sequence[threading.Event]) -> Iterator[list[tuple[int, str]]]:
        for index, one in enumerate(asked):
            name = one.request.adapter
            if self.breaks and name is not None:
                raise RuntimeError("out of memory, say")
            yield [(index, self.adapters.held[name].decode() if name else "the base")]


@asynccontextmanager
async def answering(pool: asyncpg.Pool, writes: Learned) -> AsyncIterator[Assistant]:
    async with served(writes=writes) as worker:
        yield Assistant(pool, worker.client)


async def answer_for(assistant: Assistant, viewer: Viewer) -> str:
    reply = await assistant.ask(Question(viewer, "how are you?"))
    return "".join([piece async for piece in reply.words])


@pytest.fixture
async def learned(pool: asyncpg.Pool) -> None:
    """Anna's own memory was learned from, and that of two servers."""
    await consent(pool, ANNA)
    await remember(pool, ANNA, "Mochi")
    await remember(pool, ANNA, "The mug", owner=SERVER)
    await remember(pool, ANNA_ELSEWHERE, "The statue", owner=ELSEWHERE)
    await learn(pool, ANNA, "Anna's own")
    await learn(pool, ANNA, "the server's", owner=SERVER)
    await learn(pool, ANNA_ELSEWHERE, "the other server's", owner=ELSEWHERE)


@pytest.mark.usefixtures("learned")
async def test_nobody_is_answered_with_what_was_learned_from_another_user_or_another_server(
    pool: asyncpg.Pool,
) -> None:
    expected = {
        ANNA: "Anna's own",
        ANNA_ELSEWHERE: "Anna's own",
        Viewer(1): "Anna's own",
        BO: "the server's",
        Viewer(2, 20): "the other server's",
        Viewer(2, 30): "the base",
        Viewer(2): "the base",
    }
    async with answering(pool, Learned()) as assistant:
        for _ in range(2):  # the second time the worker holds all of them
            assert {viewer: await answer_for(assistant, viewer) for viewer in expected} == expected
        several = await asyncio.gather(*(answer_for(assistant, viewer) for viewer in expected))
        assert dict(zip(expected, several, strict=True)) == expected

        await privacy.set_may_train(pool, ANNA, may=False)

        assert {await answer_for(assistant, viewer) for viewer in expected} == {"the base"}


@pytest.mark.usefixtures("learned")
async def test_an_adapter_crosses_once_and_another_only_when_it_is_in_use(pool: asyncpg.Pool) -> None:
    writes = Learned()
    async with answering(pool, writes) as assistant:
        for _ in range(2):
            await answer_for(assistant, ANNA)
        await learn(pool, ANNA, "Anna's second")
        assert await answer_for(assistant, ANNA) == "Anna's second"
        async with viewing(pool, ANNA) as connection:
            await adapters.roll_back(connection, ANNA.personal, 1)
        assert await answer_for(assistant, ANNA) == "Anna's own"
        assert writes.adapters.taken == ["Anna's own", "Anna's second"]

        writes.adapters.held.clear()  # as after a restart
        assert await answer_for(assistant, ANNA) == "Anna's own"


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize("base", ["another model", None])
async def test_what_was_learned_for_another_model_waits_for_it(pool: asyncpg.Pool, base: str | None) -> None:
    writes = Learned(adapters=HeldAdapters(base=base)) if base else FakeWriter()
    async with served(writes=writes) as worker:
        said = await answer_for(Assistant(pool, worker.client), ANNA)
    assert said.strip() == ("the base" if base else "how are you?")


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize("trouble", ["refuses", "forgets", "breaks", "gone"])
async def test_no_answer_fails_because_of_an_adapter(
    pool: asyncpg.Pool, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    held = HeldAdapters(refuses=trouble == "refuses", forgets=trouble == "forgets")
    writes = Learned(adapters=held, breaks=trouble == "breaks")
    caplog.set_level(logging.WARNING, "keepsake.worker-client")
    async with answering(pool, writes) as assistant:
        reply = await assistant.ask(Question(ANNA, "how are you?"))
        if trouble == "gone":
            await privacy.set_may_train(pool, ANNA, may=False)
        assert "".join([piece async for piece in reply.words]) == "the base"
        assert await answer_for(assistant, BO) == "the base"
        if trouble == "refuses":
            caplog.clear()
            assert await answer_for(assistant, ANNA) == "the base"
            assert held.taken == ["Anna's own", "the server's"]
    warned = [one for one in caplog.records if one.name == "keepsake.worker-client"]
    assert bool(warned) is (trouble != "refuses")
