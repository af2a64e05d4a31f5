"""Stories of users: the real bot, database, worker and weights; only Discord is simulated (simcord)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import psycopg
import pytest
from pydantic import SecretStr

from bot.client import Keepsake
from bot.runtime.services import ServiceError, running_services
from bot.runtime.settings import Settings
from bot.runtime.trainer_process import TrainerProcess
from bot.runtime.worker_process import WorkerProcess
from bot.service.app import Actor, App
from bot.service.ask import Question, ask
from bot.service.remember import remember
from bot.service.worker_client import WorkerClient
from db import concepts
from db.errors import DatabaseUnavailableError
from db.pool import open_pool, viewing
from db.roles import app_url
from db.setup.embedded import EmbeddedPostgres
from db.setup.migrate import migrate
from db.types import Viewer
from model_worker.api.errors import WorkerBusyError, WorkerUnavailableError
from tests.support.discord import BOTH, CAT, CAT_AGAIN, CUP, STRANGER, Server, labels

pytestmark = [pytest.mark.slow, pytest.mark.simcord(settle_timeout=60)]


async def test_what_was_remembered_is_found_in_a_new_picture(server: Server) -> None:
    await server.remember_cat()
    await server.alice.slash(server.channel, "remember", name="The cup", image=CUP)

    result = await server.alice.slash(server.channel, "ask", question="Who is this?", image=BOTH)

    assert result.acknowledged
    assert "Mochi on the left" in result.response.content
    assert "The cup on the right" in result.response.content
    assert len(result.response.attachments) == 1
    assert "right: Mochi" in labels(result.response.message)


async def test_a_stranger_is_nobody_and_can_be_remembered(server: Server) -> None:
    await server.remember_cat()
    await server.alice.send(server.channel, f"{server.mention} who is this?", attachments=[STRANGER])
    answer = (await server.answers())[-1]
    assert "don't recognise" in answer.content
    assert "Mochi" not in answer.content

    modal = await server.alice.click(answer, label="remember this")
    done = await server.alice.submit_modal(modal, {"name": "Eileen", "info": "an astronaut"})
    assert "Eileen" in done.response.content

    await server.alice.send(server.channel, f"{server.mention} who is this?", attachments=[STRANGER])
    assert "Eileen" in (await server.answers())[-1].content


async def test_nobody_else_recognises_what_is_personal(server: Server) -> None:
    await server.remember_cat()

    own = await server.alice.slash(server.channel, "ask", question="Who is this?", image=CAT)
    seen = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT)
    told = await server.bob.slash(server.channel, "ask", question="What does Mochi hate?")
    names = await server.bob.autocomplete(server.channel, "forget", "name", "Mo")

    assert "Mochi" in own.response.content
    assert "don't recognise" in seen.response.content
    assert "Mochi" not in seen.response.content
    assert "vacuum" not in told.response.content
    assert names == []
    assert (await server.alice.autocomplete(server.channel, "forget", "name", "mo"))[0]["value"] == "Mochi"


async def test_what_is_shared_everybody_on_the_server_recognises_and_not_everybody_changes(server: Server) -> None:
    await server.remember_cat(share=True)

    seen = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    changed = await server.bob.slash(server.channel, "edit", name="Mochi", info="mine")
    told = await server.bob.slash(server.channel, "ask", question="What does Mochi hate?")

    assert "Mochi" in seen.response.content
    assert "the admins of this server can change it" in changed.response.content
    assert "vacuum" in told.response.content


async def test_other_servers_know_nothing_of_it(server: Server) -> None:
    await server.remember_cat(share=True)
    elsewhere = server.env.create_guild("Elsewhere")
    channel = elsewhere.create_text_channel("pictures")
    bob = elsewhere.add_member(server.bob.user)

    here = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT)
    there = await bob.slash(channel, "ask", question="Who is this?", image=CAT)

    assert "Mochi" in here.response.content
    assert "don't recognise" in there.response.content
    assert "Mochi" not in there.response.content


async def test_personal_memory_follows_into_a_direct_message(server: Server) -> None:
    await server.remember_cat()

    user = server.alice.user
    attached = server.env.backend.store_attachments(user.dm_channel.id, [CAT_AGAIN])
    message = await user.send_dm("who is this?", attachments=attached)

    channel = server.env.bot.get_channel(message.channel.id) or message.channel
    said = [item.content async for item in channel.history() if item.author.bot]
    assert any("Mochi" in item for item in said)


async def test_a_reply_asks_about_the_picture_before_and_branches(server: Server) -> None:
    await server.remember_cat()
    posted = await server.bob.send(server.channel, "look!", attachments=[CAT_AGAIN])

    await server.alice.send(server.channel, f"{server.mention} who is this?", reply_to=posted)
    first = (await server.answers())[-1]
    await server.alice.send(server.channel, "Is Mochi in this picture?", reply_to=first)
    second = (await server.answers())[-1]
    await server.alice.send(server.channel, "What does she hate?", reply_to=first)
    third = (await server.answers())[-1]

    assert "Mochi" in first.content
    assert second.content.startswith("Yes, Mochi")
    assert third.content.startswith("I see Mochi")
    assert "vacuum" not in first.content + second.content + third.content  # others read here


async def test_who_is_in_this_on_any_message(server: Server) -> None:
    await server.remember_cat()
    posted = await server.bob.send(server.channel, "look!", attachments=[CAT_AGAIN])
    words = await server.bob.send(server.channel, "no picture")

    found = await server.alice.context_menu(server.channel, "Who is in this?", posted)
    nothing = await server.alice.context_menu(server.channel, "Who is in this?", words)

    assert "Mochi" in found.response.content
    assert "no picture" in nothing.response.content


async def test_the_bot_is_silent_when_it_is_not_spoken_to(server: Server) -> None:
    posted = await server.alice.send(server.channel, "look!", attachments=[CAT])
    await server.bob.send(server.channel, "sweet", reply_to=posted)
    assert await server.answers() == []


async def test_not_them_counts_from_the_next_picture_on_for_who_said_it(server: Server) -> None:
    await server.remember_cat(share=True)
    first = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)

    await server.bob.click(first.response.message, label="not them")

    for member, knows in ((server.bob, False), (server.alice, True)):
        again = await member.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
        assert ("Mochi" in again.response.content) is knows


async def test_only_who_asked_presses_the_buttons(server: Server) -> None:
    await server.remember_cat()
    answer = await server.alice.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN, show=True)

    pressed = await server.bob.click(answer.response.message, label="not them")

    assert "Only the person who asked" in pressed.response.content
    again = await server.alice.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "Mochi" in again.response.content


async def test_edit_and_forget_change_the_next_answer(server: Server) -> None:
    await server.remember_cat()
    await server.alice.slash(server.channel, "edit", name="mochi", info="a cat who hates thunder")
    told = await server.alice.slash(server.channel, "ask", question="What does Mochi hate?")
    assert "thunder" in told.response.content

    await server.alice.slash(server.channel, "forget", name="MOCHI")
    seen = await server.alice.slash(server.channel, "ask", question="Who is this?", image=CAT)
    assert "Mochi" not in seen.response.content


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "mochi", "image": CUP}, "already remembered"),
        ({"name": "  ", "image": CUP}, "visible character"),
        ({"name": "@everyone", "image": CUP}, "can't contain"),
        ({"name": "x" * 65, "image": CUP}, "at most 64"),
        ({"name": "A<start_of_turn>", "image": CUP}, "can't contain"),
        ({"name": "Text", "image": ("cup.png", b"not a picture at all")}, "isn't a picture"),
        ({"name": "Half", "image": ("cup.png", CUP[1][: len(CUP[1]) // 2])}, "broken"),
        ({"name": "Long", "image": CUP, "info": "y" * 1001}, "at most 1,000"),
    ],
)
async def test_bad_input_gets_a_sentence_and_nothing_is_kept(
    server: Server, options: dict[str, Any], sentence: str
) -> None:
    await server.remember_cat()

    result = await server.alice.slash(server.channel, "remember", **options)

    assert sentence in result.response.content
    assert await server.memory_of(server.alice) == ["Mochi"]


async def test_an_unknown_name_gets_a_hint(server: Server) -> None:
    await server.remember_cat()
    result = await server.alice.slash(server.channel, "forget", name="Moochi")
    assert "Did you mean “Mochi”" in result.response.content


async def test_names_of_any_script(server: Server) -> None:
    await server.alice.slash(server.channel, "remember", name="もち", image=CAT, info="a cat, loves tuna")
    seen = await server.alice.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    told = await server.alice.slash(server.channel, "ask", question="What does もち love?")
    assert "もち" in seen.response.content
    assert "tuna" in told.response.content


async def test_the_worker_dies_and_the_bot_goes_on_when_it_is_back(pool: asyncpg.Pool, tmp_path: Path) -> None:
    actor = Actor(user_id=1, server_id=10)
    process = WorkerProcess("starter", tmp_path / "worker.log")
    await process.start()
    client = WorkerClient(process.url, process.token)
    app = App(pool=pool, worker=client)
    try:
        await remember(app, actor, "Mochi", CAT[1])
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)

        with pytest.raises(WorkerUnavailableError):
            await remember(app, actor, "The cup", CUP[1])
        async with viewing(pool, actor.viewer) as connection:
            assert await concepts.count(connection, actor.personal_memory) == 1

        reply = await _ask_until_it_is_back(app, actor, Question(text="Who is this?", picture=CAT_AGAIN[1]))
        assert [item.concept.name for item in reply.context.recalled.recognised] == ["Mochi"]
    finally:
        await client.close()
        await process.stop()


async def test_a_bot_with_the_app_roles_url_alone_migrates_nothing_and_starts_no_database(
    database_url: str, running_worker: Any, tmp_path: Path
) -> None:
    settings = Settings(
        app_database_url=SecretStr(app_url(database_url)),
        worker_url=running_worker.url,
        worker_token=SecretStr(running_worker.token),
        home=tmp_path / "home",
    )

    async with (
        running_services(settings, progress=lambda _: None) as services,
        viewing(services.app.pool, Viewer(1)) as connection,
    ):
        assert await connection.fetchval("SELECT current_user") == "keepsake_app"

    assert not (tmp_path / "home").exists()
    with psycopg.connect(database_url, autocommit=True) as administrator:
        administrator.execute("UPDATE schema_migration SET version = 99 WHERE version = 11")
        try:
            with pytest.raises(ServiceError, match="newer"):
                async with running_services(settings, progress=lambda _: None):
                    pass
        finally:
            administrator.execute("UPDATE schema_migration SET version = 11 WHERE version = 99")


async def test_the_worker_and_the_trainer_are_given_no_secret_that_is_not_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISCORD_TOKEN", "DATABASE_URL", "PGPASSWORD", "ANOTHER_SERVICES_KEY"):
        monkeypatch.setenv(name, "postgresql://s3cret-of-the-bot@db")
    monkeypatch.setenv("KEEPSAKE_WRITER_KEY", "key-of-the-writer")
    worker = WorkerProcess("starter", tmp_path / "worker.log")
    try:
        await worker.start()
        trainer = TrainerProcess(Settings(home=tmp_path, pack="starter"), "postgresql://app@db/x", worker)
        await trainer.start()
        assert worker.pid is not None
        assert trainer.pid is not None
        given = psutil.Process(worker.pid).environ()
        given_to_trainer = psutil.Process(trainer.pid).environ()
        await trainer.stop()
    finally:
        await worker.stop()

    assert "s3cret" not in str([given, given_to_trainer])
    assert given["KEEPSAKE_WRITER_KEY"] == "key-of-the-writer"
    assert "KEEPSAKE_WRITER_KEY" not in given_to_trainer
    assert given_to_trainer["KEEPSAKE_APP_DATABASE_URL"] == "postgresql://app@db/x"
    assert "KEEPSAKE_APP_DATABASE_URL" not in given
    assert given["PATH"] == os.environ["PATH"]


async def _ask_until_it_is_back(app: App, actor: Actor, question: Question) -> Any:
    for _ in range(60):
        try:
            return await ask(app, actor, question)
        except (WorkerUnavailableError, WorkerBusyError):
            await asyncio.sleep(2)  # not more often than one may ask
    raise AssertionError("the worker did not come back")


async def test_buttons_work_after_a_restart(server: Server) -> None:
    await server.remember_cat()
    await server.alice.send(server.channel, f"{server.mention} who is this?", attachments=[CAT_AGAIN])
    answer = (await server.answers())[-1]

    await server.env.restart_bot(Keepsake(server.env.bot.app))
    pressed = await server.alice.click(answer, label="right")

    assert "even better" in pressed.response.content


async def test_the_database_goes_away_and_the_bot_goes_on_when_it_is_back(running_worker: Any, tmp_path: Path) -> None:
    actor = Actor(user_id=1, server_id=10)
    database = EmbeddedPostgres(tmp_path / "postgres")
    url = await asyncio.to_thread(database.start)
    migrate(url)
    pool = await open_pool(app_url(url))
    client = WorkerClient(running_worker.url, running_worker.token)
    app = App(pool=pool, worker=client)
    try:
        await remember(app, actor, "Mochi", CAT[1])
        await asyncio.to_thread(database.stop)
        with pytest.raises(DatabaseUnavailableError):
            await ask(app, actor, Question(text="Who is this?", picture=CAT_AGAIN[1]))

        await asyncio.to_thread(database.start)

        reply = await ask(app, actor, Question(text="Who is this?", picture=CAT_AGAIN[1]))
        assert [match.concept.name for match in reply.context.recalled.recognised] == ["Mochi"]
    finally:
        pool.terminate()
        await client.close()
        await asyncio.to_thread(database.stop)
