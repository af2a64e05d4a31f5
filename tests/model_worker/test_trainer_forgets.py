"""What a trainer keeps on its disk, on whichever machine that is, goes when it fails and when somebody says so."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import asyncpg
import psycopg
import pytest

from bot.service import privacy
from bot.service.app import Actor, App
from db import training
from db.job_queue import FORGETTING, checkpoint_name
from db.pool import viewing
from db.roles import app_url
from db.setup.redaction import RedactingFormatter
from db.types import OwnerId
from model_worker.api.packs import load_pack
from model_worker.api.recipes import recipe_of
from model_worker.finetune.jobs.trainer import Trainer, make_queue
from model_worker.finetune.training.checkpoints import owner_folder
from tests.support.adapters import ANNA, BO, SERVER, learn, remember, say_consent


def trainer_in(folder: Path, pool: asyncpg.Pool, url: str, script: str = "", *arguments: str) -> Trainer:
    return Trainer(
        app_url=url,
        pool=pool,
        recipe=recipe_of(load_pack("starter")),
        folder=folder,
        command=(sys.executable, "-c", script, *arguments),
    )


def leave_checkpoint(folder: Path, owner: OwnerId) -> Path:
    file = owner_folder(folder, owner) / "a run" / "weights-8.safetensors"
    file.parent.mkdir(parents=True)
    file.write_text("what was learned of Mochi")
    return file


def jobs_to_forget(url: str) -> list[dict[str, str]]:
    with psycopg.connect(url) as administrator:
        found = administrator.execute("SELECT args FROM procrastinate_jobs WHERE queue_name = %s", [FORGETTING])
        return [row[0] for row in found]


@pytest.mark.parametrize("says", ["withdraws", "erases"])
async def test_who_takes_back_what_was_learned_is_forgotten_by_a_trainer_elsewhere(
    pool: asyncpg.Pool, database_url: str, tmp_path: Path, without_worker: App, says: str
) -> None:
    for viewer in (ANNA, BO):
        await say_consent(pool, viewer)
        await remember(pool, viewer, "Mochi" if viewer is ANNA else "Rex")
    await remember(pool, ANNA, "The mug", owner=SERVER)
    await learn(pool, ANNA, "of the server", owner=SERVER)
    for viewer in (ANNA, BO):
        async with viewing(pool, viewer) as connection:
            await training.start_run(connection, viewer.personal, "starter")
    left = {owner: leave_checkpoint(tmp_path, owner) for owner in (ANNA.personal, BO.personal, SERVER)}

    actor = Actor(user_id=ANNA.user_id, server_id=None)
    if says == "withdraws":
        await privacy.set_may_train(without_worker, actor, may=False)
    else:
        await privacy.erase(without_worker, actor)

    assert {job["folder"] for job in jobs_to_forget(database_url)} == {
        checkpoint_name(ANNA.personal),
        checkpoint_name(SERVER),
    }
    queue = make_queue(trainer_in(tmp_path, pool, app_url(database_url)))
    async with queue.open_async():
        await queue.run_worker_async(
            queues=[FORGETTING], wait=False, delete_jobs="always", install_signal_handlers=False
        )
    assert jobs_to_forget(database_url) == []
    assert [owner for owner, file in left.items() if file.exists()] == [BO.personal]


async def test_who_was_never_trained_on_gives_a_trainer_nothing_to_forget(
    pool: asyncpg.Pool, database_url: str, without_worker: App
) -> None:
    await remember(pool, ANNA, "Mochi")
    await privacy.erase(without_worker, Actor(user_id=ANNA.user_id, server_id=None))
    assert jobs_to_forget(database_url) == []


@pytest.mark.parametrize("name", ["..", "../other", "/tmp", "", "abc", "A" * 16])
async def test_a_job_names_no_folder_but_an_owners(
    pool: asyncpg.Pool, database_url: str, tmp_path: Path, name: str
) -> None:
    beside = tmp_path / "other"
    beside.mkdir()
    mine = tmp_path / "finetune"
    mine.mkdir()
    queue = make_queue(trainer_in(mine, pool, app_url(database_url)))
    await queue.tasks["forget_checkpoints"](folder=name)
    assert beside.exists()
    assert mine.exists()


def test_a_log_says_of_no_owner_who_it_is(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("procrastinate.worker").error("Job train[7](owner_id='user:123456789') ended: Error")
    [line] = [RedactingFormatter().format(record) for record in caplog.records]
    assert "123456789" not in line
    assert "train[7]" in line
