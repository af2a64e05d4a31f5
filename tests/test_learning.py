"""Stories of learning as people see it: allowed, asked for, watched, taken back. The trainer is played by hand."""

from __future__ import annotations

import asyncio

import asyncpg
import psycopg

from bot import privacy
from bot.assistant import Assistant
from bot.jobs import look_after_stalled, make_queue, working
from bot.worker_client import WorkerClient
from db import job_queue, servers
from db.models import OwnerId, ServerSettings
from db.pool import viewing
from db.roles import app_url
from tests.test_adapters_in_memory import ANNA, ANNA_ELSEWHERE, BO, ELSEWHERE, SERVER, consent, in_use, learn, remember


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
