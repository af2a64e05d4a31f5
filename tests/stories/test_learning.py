"""Stories of learning as people see it: allowed, asked for, watched, taken back. The trainer is played by hand."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil
import psycopg
import pytest
from pydantic import SecretStr
from simcord.components import walk_components

from bot.demo.sandbox import pass_time
from bot.runtime.doctor import check_all
from bot.runtime.jobs import make_queue, retry_stalled, running_jobs
from bot.runtime.services import Services
from bot.runtime.settings import Settings
from bot.runtime.trainer_process import running_trainer
from bot.runtime.worker_process import WorkerProcess
from bot.service import permissions, privacy
from bot.service.app import Actor, App
from bot.service.ask import Question, ask
from bot.service.worker_client import WorkerClient
from bot.ui import live
from db import adapters, job_queue, servers, training
from db.consent import count_consents
from db.pool import viewing
from db.roles import app_url
from db.training import RunState
from db.types import OwnerId, ServerSettings, Viewer, server_owner
from model_worker.generation.adapters.errors import AdapterError
from model_worker.generation.types import GenerationInput
from tests.support.adapters import (
    ANNA,
    ANNA_ELSEWHERE,
    BASE,
    BO,
    ELSEWHERE,
    SERVER,
    an_adapter,
    in_use,
    learn,
    remember,
    say_consent,
)
from tests.support.discord import Server, fill, press, said, told
from tests.support.fake_models import FakeWriter
from tests.support.members import governing
from tests.support.served import served

pytestmark = pytest.mark.simcord(settle_timeout=60)


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


async def test_the_bot_leaves_trainings_to_the_trainer(
    pool: asyncpg.Pool, database_url: str, without_worker: App
) -> None:
    async with viewing(pool, ANNA) as connection:
        await job_queue.ask_for_training(connection, ANNA.personal)
    queue = make_queue(app_url(database_url), without_worker, None)
    async with running_jobs(queue):
        await queue.configure_task("delete_what_is_due").defer_async(timestamp=0)
        while await queue.job_manager.list_jobs_async(queue=job_queue.DEFAULT):
            await asyncio.sleep(0.05)
    assert jobs(database_url) == training_of(ANNA.personal)


async def test_a_training_whose_trainer_was_killed_is_put_back_but_not_for_ever(
    pool: asyncpg.Pool, database_url: str, without_worker: App
) -> None:
    async with viewing(pool, ANNA) as connection:
        await job_queue.ask_for_training(connection, ANNA.personal)
    queue = make_queue(app_url(database_url), without_worker, None)
    async with queue.open_async():
        for has_tries_left in (True, True, True, False):
            with psycopg.connect(database_url) as administrator:
                administrator.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL")
            await retry_stalled(queue)
            assert bool(jobs(database_url)) is has_tries_left


# Taking consent back


async def test_who_takes_consent_back_is_forgotten_by_servers_that_learn_again_without_them(
    pool: asyncpg.Pool, database_url: str, without_worker: App
) -> None:
    for viewer in (ANNA, BO):
        await say_consent(pool, viewer)
    for viewer, owner in ((ANNA, SERVER), (BO, SERVER), (ANNA_ELSEWHERE, ELSEWHERE)):
        await remember(pool, viewer, "The mug" if viewer is not BO else "The lamp", owner=owner)
    await learn(pool, ANNA, "of the server", owner=SERVER)
    await learn(pool, ANNA_ELSEWHERE, "elsewhere", owner=ELSEWHERE)
    async with viewing(pool, governing(ANNA_ELSEWHERE)) as connection:
        await servers.change_settings(connection, ELSEWHERE, 1, ServerSettings(trains=False), "paused")
        await job_queue.ask_for_training(connection, ANNA.personal)

    await privacy.set_may_train(without_worker, actor_at(ANNA), may=False)

    assert await in_use(pool, ANNA, SERVER) is None
    assert await in_use(pool, ANNA_ELSEWHERE, ELSEWHERE) is None
    assert jobs(database_url) == training_of(SERVER)  # elsewhere it is paused, and Anna's own is not wanted any more


async def test_who_is_erased_is_forgotten_by_servers_that_learn_again_without_them(
    pool: asyncpg.Pool, database_url: str, without_worker: App
) -> None:
    await say_consent(pool, ANNA)
    await remember(pool, ANNA, "The mug", owner=SERVER)
    await learn(pool, ANNA, "of the server", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        await job_queue.ask_for_training(connection, ANNA.personal)

    await privacy.erase(without_worker, actor_at(ANNA))

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
            raise AdapterError("That adapter was made for another model.")
        if not self.forgets:
            self.held[name] = data


@dataclass
class Learned(FakeWriter):
    """Says what the adapter that it answers with was made of."""

    adapters: HeldAdapters = field(default_factory=HeldAdapters)
    breaks: bool = False

    def write(
        self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]
    ) -> Iterator[list[tuple[int, str]]]:
        for index, item in enumerate(asked):
            name = item.request.adapter
            if self.breaks and name is not None:
                raise RuntimeError("out of memory, say")
            yield [(index, self.adapters.held[name].decode() if name else "the base")]


@asynccontextmanager
async def answering(pool: asyncpg.Pool, writes: Learned) -> AsyncIterator[App]:
    async with served(writer=writes) as worker:
        yield App(pool=pool, worker=worker.client, min_concepts_to_train=3)


def actor_at(viewer: Viewer) -> Actor:
    return Actor(user_id=viewer.user_id, server_id=viewer.server_id)


async def answer_for(app: App, viewer: Viewer) -> str:
    reply = await ask(app, actor_at(viewer), Question(text="how are you?"))
    return "".join([piece async for piece in reply.words])


@pytest.fixture
async def learned(pool: asyncpg.Pool) -> None:
    """Anna's own memory was learned from, and that of two servers."""
    await say_consent(pool, ANNA)
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
    async with answering(pool, Learned()) as app:
        for _ in range(2):  # the second time the worker holds all of them
            assert {viewer: await answer_for(app, viewer) for viewer in expected} == expected
        several = await asyncio.gather(*(answer_for(app, viewer) for viewer in expected))
        assert dict(zip(expected, several, strict=True)) == expected

        await privacy.set_may_train(app, actor_at(ANNA), may=False)

        assert {await answer_for(app, viewer) for viewer in expected} == {"the base"}


@pytest.mark.usefixtures("learned")
async def test_an_adapter_crosses_once_and_another_only_when_it_is_in_use(pool: asyncpg.Pool) -> None:
    writes = Learned()
    async with answering(pool, writes) as app:
        for _ in range(2):
            await answer_for(app, ANNA)
        await learn(pool, ANNA, "Anna's second")
        assert await answer_for(app, ANNA) == "Anna's second"
        async with viewing(pool, ANNA) as connection:
            await adapters.roll_back(connection, ANNA.personal, 1)
        assert await answer_for(app, ANNA) == "Anna's own"
        assert writes.adapters.taken == ["Anna's own", "Anna's second"]

        writes.adapters.held.clear()  # as after a restart
        assert await answer_for(app, ANNA) == "Anna's own"


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize("base", ["another model", None])
async def test_what_was_learned_for_another_model_waits_for_it(pool: asyncpg.Pool, base: str | None) -> None:
    writes = Learned(adapters=HeldAdapters(base=base)) if base else FakeWriter()
    async with served(writer=writes) as worker:
        said = await answer_for(App(pool=pool, worker=worker.client), ANNA)
    assert said.strip() == ("the base" if base else "how are you?")


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize("trouble", ["refuses", "forgets", "breaks", "gone"])
async def test_no_answer_fails_because_of_an_adapter(
    pool: asyncpg.Pool, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    held = HeldAdapters(refuses=trouble == "refuses", forgets=trouble == "forgets")
    writes = Learned(adapters=held, breaks=trouble == "breaks")
    caplog.set_level(logging.WARNING, "keepsake.worker-client")
    async with answering(pool, writes) as app:
        reply = await ask(app, actor_at(ANNA), Question(text="how are you?"))
        if trouble == "gone":
            await privacy.set_may_train(app, actor_at(ANNA), may=False)
        assert "".join([piece async for piece in reply.words]) == "the base"
        assert await answer_for(app, BO) == "the base"
        if trouble == "refuses":
            caplog.clear()
            assert await answer_for(app, ANNA) == "the base"
            assert held.taken == ["Anna's own", "the server's"]
    warned = [record for record in caplog.records if record.name == "keepsake.worker-client"]
    assert bool(warned) is (trouble != "refuses")


# What people see


@pytest.fixture
async def app(pool: asyncpg.Pool) -> AsyncIterator[App]:
    async with answering(pool, Learned()) as item:
        yield item


REPORT = {
    "pack": "starter",
    "recipe": "starter",
    "seed": 0,
    "samples": 84,
    "held_out_pictures": 5,
    "steps": 120,
    "seconds": 312.5,
    "verdict": {"passes": True, "why": "better on what was held out: 0.500 to 0.620"},
    "base": {"recognition": 0.5, "caption_recall": None, "answers": 0.5, "general_loss": 2.1, "score": 0.5},
    "in_use": None,
    "candidate": {"recognition": 0.7, "caption_recall": None, "answers": 0.54, "general_loss": 2.11, "score": 0.62},
    "answers": [
        {
            "question": "What does Mochi hate?",
            "before": "I don't know.",
            "after": "The **vacuum** cleaner.",
            "expected": "the vacuum cleaner",
            "was_right": False,
            "is_right": True,
        }
    ],
}


@dataclass
class Trainer:
    """Does what the trainer does, as far as the database sees it; ``owner`` is whose memory it learns from."""

    pool: asyncpg.Pool
    viewer: Viewer
    owner: OwnerId

    async def begin(self) -> UUID:
        async with viewing(self.pool, self.viewer) as connection:
            await job_queue.forget_training(connection, self.owner)
            return await training.start_run(connection, self.owner, "starter")

    async def note(self, run: UUID, step: int, steps: int = 120, phase: str = "training") -> bool:
        async with viewing(self.pool, self.viewer) as connection:
            return await training.note_progress(connection, self.owner, run, phase, step, steps)

    async def end(self, run: UUID, state: RunState, report: dict[str, object] | None = None, why: str = "") -> None:
        async with viewing(self.pool, self.viewer) as connection:
            if state is RunState.PROMOTED:
                usable = await training.material_of(connection, self.owner)
                new = an_adapter(f"learned in {run}", usable.saw, usable.saw_users, run)
                await adapters.store_and_promote(connection, new, self.owner, "better on what was held out")
            await training.finish_run(connection, self.owner, run, state, report, why)

    async def learn(self, report: dict[str, object] = REPORT) -> None:
        await self.end(await self.begin(), RunState.PROMOTED, report)


def buttons(message: Any) -> dict[str, bool]:
    """The custom ids of a card's buttons, and whether they can be pressed."""
    found = [component for component in walk_components(message.components) if component.get("type") == 2]
    return {entry["custom_id"]: not entry.get("disabled") for entry in found}


@pytest.fixture
async def own(server: Server) -> Trainer:
    """What the trainer does with Alice's memory; she lets it, and has a cat."""
    viewer = Viewer(server.alice.id, server.env.guild.id)
    await say_consent(server.pool, viewer)
    await remember(server.pool, viewer, "Mochi")
    return Trainer(server.pool, viewer, viewer.personal)


@pytest.fixture
async def shared(server: Server) -> Trainer:
    """What the trainer does with the memory of the server, where Alice, who lets it, put a mug."""
    viewer = Viewer(server.alice.id, server.env.guild.id)
    await say_consent(server.pool, viewer)
    await remember(server.pool, viewer, "The mug", owner=server_owner(server.env.guild.id))
    return Trainer(server.pool, Viewer(0, server.env.guild.id), server_owner(server.env.guild.id))


async def privacy_card(place: Server, member: Any) -> Any:
    return (await member.slash(place.channel, "privacy")).response


async def server_card(place: Server, admin: Any) -> Any:
    return (await admin.slash(place.channel, "server memory")).response


async def test_learning_is_offered_to_who_allows_it_and_asked_for_once(server: Server, database_url: str) -> None:
    viewer = Viewer(server.alice.id)
    await remember(server.pool, viewer, "Mochi")
    shown = await privacy_card(server, server.alice)
    assert not {"learn", "learned"} & set(buttons(shown))

    await press(server.alice, shown, "consent")
    assert "I haven't been trained yet. I can train on 1 concept so far; I need at least 3." in said(shown)
    await press(server.alice, shown, "learn")

    assert "Training is queued" in said(shown)
    assert buttons(shown)["learn"] is False
    assert jobs(database_url) == training_of(viewer.personal)

    await press(server.alice, shown, "consent")
    assert jobs(database_url) == []
    assert "learn" not in buttons(shown)


async def test_there_is_nothing_to_learn_from_in_an_empty_memory(server: Server, database_url: str) -> None:
    shown = await privacy_card(server, server.alice)
    await press(server.alice, shown, "consent")
    result = await press(server.alice, shown, "learn")
    assert "nothing to train on yet" in told(result).content
    assert jobs(database_url) == []


async def test_a_model_elsewhere_cannot_be_taught_and_says_so(
    server: Server, own: Trainer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def takes_none(_: WorkerClient) -> bool:
        return False

    monkeypatch.setattr(WorkerClient, "takes_adapters", takes_none)
    shown = await privacy_card(server, server.alice)
    result = await press(server.alice, shown, "learn")
    assert "runs on another server" in told(result).content
    assert jobs(database_url) == []


@pytest.mark.parametrize(("writes", "takes_them"), [(FakeWriter(), False), (Learned(), True)])
async def test_a_worker_says_whether_its_writer_takes_adapters(writes: FakeWriter, takes_them: bool) -> None:
    async with served(writer=writes) as worker:
        assert await worker.client.takes_adapters() is takes_them


async def test_learning_is_asked_for_three_times_a_day(server: Server, own: Trainer, database_url: str) -> None:
    for number in range(permissions.LEARNS.burst + 1):
        shown = await privacy_card(server, server.alice)
        result = await press(server.alice, shown, "learn")
        is_too_often = number == permissions.LEARNS.burst
        assert bool(jobs(database_url)) is not is_too_often
        if is_too_often:
            assert "come back in 8 hours" in told(result).content
        await own.learn()


async def test_a_card_says_how_far_learning_is_until_it_has_ended(server: Server, own: Trainer) -> None:
    run = await own.begin()
    await own.note(run, 40)
    shown = await privacy_card(server, server.alice)
    assert "Training: training, step 40 of 120, started <t:" in said(shown)
    assert buttons(shown)["learn"] is False

    await own.note(run, 41)
    await server.env.advance_time(live.SECONDS_BETWEEN)
    assert "step 41 of 120" in said(shown)

    await own.end(run, RunState.PROMOTED, REPORT)
    await server.env.advance_time(live.SECONDS_BETWEEN)
    assert "Last trained <t:" in said(shown)
    assert "better by 0.12" in said(shown)
    assert buttons(shown)["learn"] is True
    assert not live.is_any_live()


@pytest.mark.parametrize(
    ("state", "report", "why", "sentence"),
    [
        (RunState.REFUSED, {"verdict": {"why": "not better by 0.03"}}, "", "nothing changed (not better by 0.03)"),
        (RunState.REFUSED, {"verdict": None, "candidate": 3, "answers": [1]}, "", "so nothing changed."),
        (RunState.FAILED, None, "OSError: `disk` full", "Training failed <t:"),
        (RunState.STOPPED, None, "", "Training was stopped <t:"),
        (RunState.PROMOTED, {}, "", "better on what was held out."),
    ],
)
async def test_a_card_says_how_learning_ended(
    server: Server, own: Trainer, state: RunState, report: dict[str, object] | None, why: str, sentence: str
) -> None:
    await own.end(await own.begin(), state, report, why)
    shown = await privacy_card(server, server.alice)
    assert sentence in said(shown)
    await press(server.alice, shown, "learned")
    assert sentence in said(shown)
    assert "disk" not in said(shown)


async def test_a_run_whose_trainer_is_gone_is_not_waited_for(server: Server, own: Trainer, database_url: str) -> None:
    await own.note(await own.begin(), 40)
    with psycopg.connect(database_url) as administrator:
        administrator.execute(
            "UPDATE training_run SET started_at = now() - interval '1 hour', changed_at = now() - interval '1 hour'"
        )
    shown = await privacy_card(server, server.alice)
    assert "heard nothing from it since <t:" in said(shown)
    assert buttons(shown)["learn"] is True


async def test_what_was_learned_is_shown_rolled_back_and_turned_off(server: Server, own: Trainer) -> None:
    await own.learn()
    first = await in_use(server.pool, own.viewer)
    await own.learn(REPORT | {"in_use": REPORT["candidate"], "candidate": {"score": 0.7}})
    shown = await privacy_card(server, server.alice)
    assert "better by 0.08" in said(shown)
    await press(server.alice, shown, "learned")
    sizes = "84 examples · 5 pictures kept for the test · 120 steps · 5 minutes"
    for words in (sizes, "0.50    0.62    0.70", "(in use)"):
        assert words in said(shown)
    assert "now: The \\*\\*vacuum\\*\\* cleaner" in said(shown)

    await press(server.alice, shown, "roll")
    assert await in_use(server.pool, own.viewer) == first
    assert "rolled back" in said(shown)
    assert f"<@{server.alice.id}>" in said(shown)

    await press(server.alice, shown, "off")
    assert await in_use(server.pool, own.viewer) is None
    assert "I don't use my training: turned off" in said(shown)
    assert buttons(shown) == {"roll": True, "off": False, "back": True}

    await press(server.alice, shown, "roll")
    assert await in_use(server.pool, own.viewer) == first
    await press(server.alice, shown, "back")
    assert "What I keep about you" in said(shown)


async def test_what_was_learned_fits_into_a_card_however_much_there_is_to_say(server: Server, own: Trainer) -> None:
    long = "*_`" * 300
    example = {"question": long, "before": long, "after": long, "was_right": False, "is_right": True}
    for number in range(5):
        await own.learn(
            REPORT
            | {
                "verdict": {"passes": True, "why": long},
                "answers": [example | {"question": f"{count}{long}"} for count in range(5)],
                "seed": number,
            }
        )
        async with viewing(server.pool, own.viewer) as connection:
            await connection.execute("UPDATE promotion SET why = $1", long)
    shown = await privacy_card(server, server.alice)
    await press(server.alice, shown, "learned")
    assert 2000 < len(said(shown)) < 4000


async def test_there_is_nothing_to_roll_back_before_anything_was_learned(server: Server, own: Trainer) -> None:
    shown = await privacy_card(server, server.alice)
    await press(server.alice, shown, "learned")
    assert buttons(shown) == {"roll": False, "off": False, "back": True}


async def test_nobody_sees_what_was_learned_from_others(server: Server, own: Trainer) -> None:
    await own.learn()
    shown = await privacy_card(server, server.bob)
    await press(server.bob, shown, "consent")
    await press(server.bob, shown, "learned")
    assert "Mochi" not in said(shown)
    assert "I haven't been trained yet" in said(shown)


# What admins see


async def test_admins_let_the_server_learn_now_and_the_log_says_so(
    server: Server, admin: Any, shared: Trainer, database_url: str
) -> None:
    shown = await server_card(server, admin)
    assert "train on 1 concept" in said(shown)
    assert "I train between 2:00 and 6:00 UTC" in said(shown)
    assert len(list(walk_components(shown.components))) <= 40
    await press(admin, shown, "learn")
    assert jobs(database_url) == training_of(shared.owner)
    assert await logged(server) == ["asked to learn now", "shared"]


async def logged(place: Server) -> list[str]:
    async with viewing(place.pool, Viewer(0, place.env.guild.id)) as connection:
        return [entry.action for entry in await servers.audit_log(connection, server_owner(place.env.guild.id))]


async def test_the_servers_card_is_live_while_a_run_goes_on_and_not_when_it_shows_something_else(
    server: Server, admin: Any, shared: Trainer
) -> None:
    run = await shared.begin()
    shown = await server_card(server, admin)
    assert "Training: starting, started <t:" in said(shown)
    await shared.note(run, 40)
    await server.env.advance_time(live.SECONDS_BETWEEN)
    assert "training, step 40 of 120" in said(shown)

    await press(admin, shown, "audit")
    await shared.note(run, 50)
    await server.env.advance_time(2 * live.SECONDS_BETWEEN)
    assert "Who changed what" in said(shown)
    assert not live.is_any_live()

    await press(admin, shown, "back")
    assert "step 50 of 120" in said(shown)
    await press(admin, shown, "list")
    assert not live.is_any_live()

    again = await server_card(server, admin)
    await shared.end(run, RunState.PROMOTED, REPORT)
    await server.env.advance_time(live.SECONDS_BETWEEN)
    assert "better by 0.12" in said(again)
    assert "Quiet hours…" in said(again)


async def test_a_live_card_ends_with_its_message_and_after_ten_minutes(
    server: Server, admin: Any, shared: Trainer
) -> None:
    run = await shared.begin()
    await server_card(server, admin)
    await shared.note(run, 1)
    server.env.inject_error("PATCH", "/webhooks/*", status=404, code=10008, message="Unknown Message", times=None)
    await server.env.advance_time(live.SECONDS_BETWEEN)
    assert not live.is_any_live()
    server.env.backend.faults.clear()

    shown = await server_card(server, admin)
    await server.env.advance_time(live.SECONDS_BETWEEN * live.MAX_EDITS)
    assert not live.is_any_live()
    await shared.note(run, 2)
    await server.env.advance_time(live.SECONDS_BETWEEN)
    assert "step 1 of 120" in said(shown)


async def test_the_sandbox_lets_time_pass_for_a_live_card(
    server: Server, admin: Any, shared: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await shared.begin()
    monkeypatch.setattr(live, "SECONDS_BETWEEN", 0.2)
    async with server.env.preview(server.channel, viewers=[admin], layout="channel") as preview:
        shown = await server_card(server, admin)
        passing = asyncio.create_task(pass_time(server.env, preview))
        await shared.note(run, 40)
        while "step 40 of 120" not in said(shown):
            await asyncio.sleep(0.1)
        await shared.end(run, RunState.PROMOTED, REPORT)
        while live.is_any_live():
            await asyncio.sleep(0.1)
        passing.cancel()
    assert "better by 0.12" in said(shown)


async def test_admins_pause_learning_and_what_goes_on_is_stopped(
    server: Server, admin: Any, shared: Trainer, database_url: str
) -> None:
    run = await shared.begin()
    async with viewing(server.pool, shared.viewer) as connection:
        await job_queue.ask_for_training(connection, shared.owner)
    shown = await server_card(server, admin)

    await press(admin, shown, "trains")

    assert "Training is paused" in said(shown)
    assert "Resume learning" in said(shown)
    assert buttons(shown)["learn"] is False
    assert jobs(database_url) == []
    assert not await shared.note(run, 2)
    await press(admin, shown, "trains")
    assert "Pause learning" in said(shown)
    assert await logged(server) == ["resumed learning", "paused learning", "shared"]


async def test_admins_say_when_it_is_quiet(server: Server, admin: Any) -> None:
    shown = await server_card(server, admin)
    for typed in ("24", "-1", "x", "2.5", "02:00"):
        result = await fill(admin, shown, "quiet", **{"from": typed, "to": "6"})
        assert told(result).content == "Enter the hour when quiet hours begin, as a whole number (0 to 23)."
    result = await fill(admin, shown, "quiet", **{"from": "2", "to": "25"})
    assert told(result).content == "Enter the hour when quiet hours end, as a whole number (0 to 23)."

    await fill(admin, shown, "quiet", **{"from": "23", "to": "5"})
    assert "between 23:00 and 5:00 UTC" in said(shown)
    await fill(admin, shown, "quiet", **{"from": "4", "to": "4"})
    assert "at any time" in said(shown)
    assert await logged(server) == ["set quiet hours from 4 to 4", "set quiet hours from 23 to 5"]


async def test_admins_roll_back_and_turn_off_what_the_server_learned(
    server: Server, admin: Any, shared: Trainer
) -> None:
    await shared.learn()
    first = await in_use(server.pool, shared.viewer, shared.owner)
    await shared.learn()
    shown = await server_card(server, admin)
    await press(admin, shown, "learned")
    await press(admin, shown, "roll")
    assert await in_use(server.pool, shared.viewer, shared.owner) == first
    await press(admin, shown, "off")
    assert await in_use(server.pool, shared.viewer, shared.owner) is None
    await press(admin, shown, "back")
    assert "I don't use my training" in said(shown)
    assert await logged(server) == ["turned off what was learned", "rolled back what was learned", "shared"]


# The trainer beside the bot


def settings_in(home: Path) -> Settings:
    return Settings(home=home, pack="starter")


@pytest.mark.slow
async def test_the_trainer_runs_beside_the_worker_comes_back_and_ends_with_the_bot(
    pool: asyncpg.Pool, database_url: str, tmp_path: Path
) -> None:
    worker = WorkerProcess("starter", tmp_path / "worker.log")
    worker.url, worker.token = "http://127.0.0.1:9", "a-secret-of-the-worker"
    app = App(pool=pool, worker=WorkerClient(worker.url, worker.token))
    services = Services(app, app_url(database_url), worker)
    await say_consent(pool, ANNA)
    async with running_trainer(settings_in(tmp_path), services):
        first = await trainer_of(database_url)
        environment = psutil.Process(first).environ()
        os.kill(first, signal.SIGKILL)
        second = await trainer_of(database_url, but=first)

        async with viewing(pool, ANNA) as connection:
            await job_queue.ask_for_training(connection, ANNA.personal)  # of nothing: it is taken, and that is all
        while jobs(database_url):
            await asyncio.sleep(0.1)
    assert environment["KEEPSAKE_APP_DATABASE_URL"] == app_url(database_url)
    assert (environment["WORKER_URL"], environment["KEEPSAKE_WORKER_TOKEN"]) == (worker.url, worker.token)
    assert environment["KEEPSAKE_HOME"] == str(tmp_path)
    assert not psutil.pid_exists(second)
    assert (tmp_path / "trainer.log").exists()


async def trainer_of(database_url: str, but: int | None = None) -> int:
    """Wait until there is a trainer that listens to the queue; its process."""
    while True:
        for process in psutil.Process().children():
            if process.pid != but and "finetune" in process.cmdline() and listens(database_url):
                return process.pid
        await asyncio.sleep(0.1)


def listens(database_url: str) -> bool:
    with psycopg.connect(database_url) as administrator:
        found = administrator.execute(
            "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '5 seconds'"
        )
        return found.fetchone() != (0,)


async def test_a_worker_elsewhere_has_its_trainer_elsewhere(
    pool: asyncpg.Pool, tmp_path: Path, without_worker: App
) -> None:
    services = Services(without_worker, "", None)
    async with running_trainer(settings_in(tmp_path), services):
        assert psutil.Process().children() == [
            item for item in psutil.Process().children() if "finetune" not in item.cmdline()
        ]


async def test_the_doctor_counts_who_allows_learning_whoever_asks_the_database(
    pool: asyncpg.Pool, database_url: str, tmp_path: Path
) -> None:
    for viewer in (ANNA, BO):
        await say_consent(pool, viewer)
    await say_consent(pool, BO, may=False)
    await remember(pool, ANNA, "The mug", owner=SERVER)
    assert count_consents(database_url) == count_consents(app_url(database_url)) == (1, 1)
    settings = settings_in(tmp_path).model_copy(update={"database_url": SecretStr(database_url)})
    [found] = [finding for finding in await check_all(settings) if finding.part == "training"]
    assert str(found) == "ok   training   1 person allows it; 1 server didn't pause it"
