"""Stories of what is said where others read: who is meant, what a private memory gives, and taking an answer back."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import discord
import pytest
from PIL import Image

from bot.client import Keepsake
from bot.service.app import Actor, App
from bot.service.ask import Question, Reply, ask
from bot.service.conversation import take_back_answers_to
from bot.service.worker_client import WorkerClient
from bot.ui import answering
from bot.ui.stream import InReply
from db import consent, spoken
from db.pool import viewing
from db.types import InPublic, Viewer
from model_worker.api.protocol import GenerateRequest
from tests.support.discord import CAT_AGAIN, Server, labels

pytestmark = [pytest.mark.slow, pytest.mark.simcord(settle_timeout=14.0)]

SECRET = "my therapist; every Tuesday at nine"


@pytest.fixture
async def secret(server: Server) -> Server:
    """Bob remembers Anna, for himself alone."""
    await server.bob.slash(server.channel, "remember", name="Anna", image=("cat.png", CAT_AGAIN[1]), info=SECRET)
    return server


async def choose(server: Server, member: Any, choice: InPublic) -> None:
    viewer = Viewer(member.id)
    async with viewing(server.pool, viewer) as connection:
        await consent.set_in_public(connection, viewer, choice)


async def answers_kept(pool: asyncpg.Pool, member: Any) -> int:
    async with viewing(pool, Viewer(member.id)) as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM answer")
    return count


async def public_words(server: Server) -> str:
    return "\n".join(message.content for message in await server.answers())


# Who is meant.


async def test_a_reply_to_somebody_who_mentions_the_bot_is_not_meant_for_it(secret: Server) -> None:
    asked = await secret.alice.send(secret.channel, f"{secret.mention} who is Anna?")
    before = len(await secret.answers())

    await secret.bob.send(secret.channel, "stop it", reply_to=asked)
    await secret.bob.send(secret.channel, "stop it", reply_to=asked, attachments=[CAT_AGAIN])

    assert len(await secret.answers()) == before
    assert "therapist" not in await public_words(secret)


async def test_friends_who_talk_below_an_answer_are_left_alone(secret: Server) -> None:
    await secret.alice.send(secret.channel, f"{secret.mention} hello")
    answer = (await secret.answers())[-1]
    before = len(await secret.answers())

    talk = await secret.bob.send(secret.channel, "Anna would laugh", reply_to=answer)
    await secret.alice.send(secret.channel, "who is Anna?", reply_to=talk)

    assert len(await secret.answers()) == before


async def test_a_reply_to_an_answer_goes_on_for_who_was_answered_alone(secret: Server) -> None:
    await secret.alice.send(secret.channel, f"{secret.mention} hello")
    answer = (await secret.answers())[-1]

    await secret.bob.send(secret.channel, "and me?", reply_to=answer)
    left_alone = (await secret.answers())[-1]
    await secret.alice.send(secret.channel, "hello again", reply_to=answer)
    goes_on = (await secret.answers())[-1]

    assert left_alone.id == answer.id
    assert goes_on.id != answer.id


async def test_where_the_bot_is_not_wanted_nothing_is_fetched(
    secret: Server, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []

    async def fetch(_: object, message_id: int) -> discord.Message:
        fetched.append(message_id)
        raise AssertionError("nothing is to be fetched here")

    shown = (await admin.slash(secret.channel, "server memory")).response
    await admin.select(shown.message, [secret.channel], custom_id="denied_channels")
    posted = await secret.alice.send(secret.channel, "look!", attachments=[CAT_AGAIN])
    monkeypatch.setattr(discord.abc.Messageable, "fetch_message", fetch)

    await secret.bob.send(secret.channel, f"{secret.mention} who is this?", reply_to=posted)

    assert fetched == []
    assert await secret.answers() == []


async def test_the_bots_own_role_means_the_bot_and_another_role_does_not(secret: Server) -> None:
    other = secret.env.guild.create_role("Cats")
    [own] = [role for role in secret.env.bot.get_guild(secret.env.guild.id).roles if role.managed]
    own.tags = discord.RoleTags({"bot_id": str(secret.env.bot.user.id)})  # simcord doesn't say whose a managed role is

    await secret.bob.send(secret.channel, f"{other.mention} who is Anna?")
    of_another = await secret.answers()
    await secret.bob.send(secret.channel, f"{own.mention} who is Anna?")

    assert of_another == []
    assert "Anna" in (await secret.answers())[-1].content


# What a private memory gives.


async def test_others_read_a_name_and_who_asked_reads_the_rest_alone(secret: Server) -> None:
    await secret.bob.send(secret.channel, f"{secret.mention} who is Anna?")
    answer = (await secret.answers())[-1]

    alone = await secret.bob.click(answer, custom_id="keepsake:known")
    pried = await secret.alice.click(answer, custom_id="keepsake:known")

    assert "Anna" in answer.content
    assert "therapist" not in answer.content
    assert "therapist" in alone.response.content
    assert alone.response.ephemeral
    assert "Anna" not in pried.response.content
    assert "therapist" not in pried.response.content


async def test_a_question_in_the_words_of_a_secret_names_nobody(secret: Server) -> None:
    await secret.bob.send(secret.channel, f"{secret.mention} who is my therapist?")
    assert "Anna" not in (await secret.answers())[-1].content


async def test_a_picture_in_public_gives_names_and_no_more(secret: Server) -> None:
    await secret.bob.send(secret.channel, f"{secret.mention} who is this?", attachments=[CAT_AGAIN])
    answer = (await secret.answers())[-1]
    assert "I see Anna" in answer.content
    assert "therapist" not in answer.content
    assert "What I know (only you see it)" in labels(answer)


async def test_nothing_of_mine_in_public_is_not_even_a_hint(secret: Server) -> None:
    await choose(secret, secret.bob, InPublic.NOTHING)
    await secret.bob.send(secret.channel, f"{secret.mention} who is this?", attachments=[CAT_AGAIN])
    of_a_secret = (await secret.answers())[-1]
    await secret.bob.send(secret.channel, f"{secret.mention} who is Zoe?")
    of_nobody = (await secret.answers())[-1]

    alone = await secret.bob.click(of_a_secret, custom_id="keepsake:known")

    assert "Anna" not in of_a_secret.content
    assert of_a_secret.attachments == []
    assert "What I know (only you see it)" in labels(of_a_secret)
    assert "What I know (only you see it)" in labels(of_nobody)
    assert "therapist" in alone.response.content


async def test_everything_may_be_said_when_its_owner_says_so(secret: Server) -> None:
    await choose(secret, secret.bob, InPublic.EVERYTHING)
    await secret.bob.send(secret.channel, f"{secret.mention} who is Anna?")
    assert "therapist" in (await secret.answers())[-1].content


async def test_a_direct_message_says_all(secret: Server) -> None:
    answered = await secret.bob.slash(secret.channel, "ask", question="Who is Anna?")
    assert answered.response.ephemeral
    assert "therapist" in answered.response.content


async def test_shown_to_all_is_public_too(secret: Server) -> None:
    answered = await secret.bob.slash(secret.channel, "ask", question="Who is Anna?", show=True)
    assert not answered.response.ephemeral
    assert "therapist" not in answered.response.content


async def test_a_long_private_answer_goes_on_privately(server: Server) -> None:
    info = "tuna and thunder. " * 55
    for name in ("Anna", "Ben", "Cleo"):
        await server.bob.slash(server.channel, "remember", name=name, image=CAT_AGAIN, info=info.strip())

    answered = await server.bob.slash(server.channel, "ask", question="Tell me about Anna and Ben and Cleo")

    assert answered.followups
    assert all(part.ephemeral for part in [answered.response, *answered.followups])


async def test_its_buttons_work_after_a_restart(secret: Server, app: App) -> None:
    await secret.bob.send(secret.channel, f"{secret.mention} who is this?", attachments=[CAT_AGAIN])
    answer = (await secret.answers())[-1]
    await secret.env.restart_bot(Keepsake(app))

    alone = await secret.bob.click(answer, custom_id="keepsake:known")
    await secret.bob.click(answer, custom_id="keepsake:back")

    assert "therapist" in alone.response.content
    assert alone.response.ephemeral
    assert await secret.answers() == []


async def test_what_was_told_links_to_nothing_and_shows_no_previews(server: Server) -> None:
    info = "sold at https://evil.example and discord.gg/cats"
    await server.bob.slash(server.channel, "remember", name="Anna", image=CAT_AGAIN, info=info)
    await choose(server, server.bob, InPublic.EVERYTHING)

    await server.bob.send(server.channel, f"{server.mention} who is Anna?")

    answer = (await server.answers())[-1]
    assert "evil.example" in answer.content
    assert "://" not in answer.content
    assert "discord.gg/" not in answer.content
    assert answer.flags.suppress_embeds


# Long answers.


@pytest.fixture
async def long(server: Server) -> Server:
    """Bob may be told about three friends in public, which takes several messages."""
    for name in ("Anna", "Ben", "Cleo"):
        info = ("tuna and thunder. " * 55).strip()
        await server.bob.slash(server.channel, "remember", name=name, image=CAT_AGAIN, info=info)
    await choose(server, server.bob, InPublic.EVERYTHING)
    return server


async def test_a_reply_to_a_later_part_goes_on_with_what_was_said(
    long: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[str]] = []
    generate = WorkerClient.generate

    def generating(client: WorkerClient, request: GenerateRequest, *given: Any) -> AsyncIterator[str]:
        told.append([turn.text for turn in request.history])
        return generate(client, request, *given)

    monkeypatch.setattr(WorkerClient, "generate", generating)
    await long.bob.send(long.channel, f"{long.mention} Tell me about Anna and Ben and Cleo")
    parts = await long.answers()

    await long.bob.send(long.channel, "and then?", reply_to=parts[-1])

    assert len(parts) > 1
    assert "Tell me about Anna and Ben and Cleo" in told[-1]


async def test_all_parts_of_a_long_answer_go_with_its_question(long: Server) -> None:
    asked = await long.bob.send(long.channel, f"{long.mention} Tell me about Anna and Ben and Cleo")
    parts = await long.answers()

    await long.bob.delete(asked)

    assert len(parts) > 1
    assert await long.answers() == []


async def test_a_question_deleted_between_two_parts_leaves_neither(
    long: Server, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = InReply.add

    async def adding(place: InReply, *given: Any) -> None:
        await take_back_answers_to(app, [asked_for(place)])
        await add(place, *given)

    def asked_for(place: InReply) -> int:
        reference = place._messages[0].reference
        assert reference is not None
        return reference.message_id or 0

    monkeypatch.setattr(InReply, "add", adding)

    await long.bob.send(long.channel, f"{long.mention} Tell me about Anna and Ben and Cleo")

    assert await long.answers() == []


# Pictures that are hidden, and answers that go.


async def test_a_question_deleted_while_it_is_answered_gets_no_answer(
    secret: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asking(app: App, actor: Actor, question: Question) -> Reply:
        reply = await ask(app, actor, question)
        async with viewing(app.pool, actor.viewer) as connection:
            [first] = await spoken.parts(connection, actor.viewer)
        await take_back_answers_to(app, [first.question_id or 0])
        return reply

    monkeypatch.setattr(answering, "ask", asking)

    await secret.bob.send(secret.channel, f"{secret.mention} who is this?", attachments=[CAT_AGAIN])

    assert await secret.answers() == []
    assert await answers_kept(secret.pool, secret.bob) == 0


@pytest.mark.parametrize("how", ["question", "button"])
async def test_a_direct_answer_is_taken_back_too(secret: Server, how: str) -> None:
    person = secret.bob.user
    channel = person.dm_channel
    picture = secret.env.backend.store_attachments(channel.id, [CAT_AGAIN])
    asked = await person.send_dm("who is this?", attachments=picture)
    [answer] = [message for message in channel.history() if message.author.bot]
    kept = await answers_kept(secret.pool, secret.bob)

    if how == "question":
        await person.delete(asked)
    else:
        await person.click(answer, custom_id="keepsake:back")

    assert kept == 1
    assert [message for message in channel.history() if message.author.bot] == []
    assert await answers_kept(secret.pool, secret.bob) == 0


async def test_a_hidden_picture_comes_back_hidden(secret: Server) -> None:
    hidden = ("SPOILER_cat.png", CAT_AGAIN[1])
    await secret.bob.send(secret.channel, f"{secret.mention} who is this?", attachments=[hidden])
    [shown] = (await secret.answers())[-1].attachments
    assert shown.is_spoiler()
    assert Image.open(io.BytesIO(await shown.read())).format == "JPEG"


async def test_who_deletes_their_question_takes_the_answer_with_it(secret: Server) -> None:
    asked = await secret.bob.send(secret.channel, f"{secret.mention} who is this?", attachments=[CAT_AGAIN])
    assert len(await secret.answers()) == 1

    await secret.bob.delete(asked)

    assert await secret.answers() == []
    viewer = Viewer(secret.bob.id)
    async with viewing(secret.pool, viewer) as connection:
        assert await spoken.parts(connection, viewer) == []
        assert await connection.fetchval("SELECT count(*) FROM answer") == 0


async def test_only_who_asked_takes_an_answer_back(secret: Server) -> None:
    await secret.bob.send(secret.channel, f"{secret.mention} who is this?", attachments=[CAT_AGAIN])
    answer = (await secret.answers())[-1]

    await secret.alice.click(answer, custom_id="keepsake:back")
    still_there = len(await secret.answers())
    await secret.bob.click(answer, custom_id="keepsake:back")

    assert still_there == 1
    assert await secret.answers() == []


async def test_deleting_everything_takes_the_answers_in_channels_too(secret: Server) -> None:
    await secret.bob.send(secret.channel, f"{secret.mention} who is this?", attachments=[CAT_AGAIN])
    card = (await secret.bob.slash(secret.channel, "privacy")).response
    form = await secret.bob.click(card.message, custom_id="delete")

    await secret.bob.submit_modal(form, {"word": "DELETE"})

    assert await secret.answers() == []


async def test_a_forward_is_nobodys_question(secret: Server) -> None:
    asked = await secret.alice.send(secret.channel, f"{secret.mention} who is Anna?")
    before = len(await secret.answers())

    await secret.bob.forward(asked, secret.channel)

    assert len(await secret.answers()) == before


async def test_a_name_is_given_to_the_message_that_asks_for_it_and_to_no_later_one(secret: Server) -> None:
    await secret.bob.send(secret.channel, f"{secret.mention} who is Anna?")
    answer = (await secret.answers())[-1]

    await secret.bob.send(secret.channel, "and when?", reply_to=answer)

    later = (await secret.answers())[-1]
    assert later.id != answer.id
    assert "Anna" not in later.content
