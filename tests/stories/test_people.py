"""Stories of people who are remembered: with somebody's word that they agree, and shared only when they do."""

from __future__ import annotations

from typing import Any

import pytest

from bot.client import Keepsake
from tests.support.discord import CAT, STRANGER, Server, fill, labels, memories, open_card, press, said, told

pytestmark = [pytest.mark.slow, pytest.mark.simcord(settle_timeout=60)]


async def test_the_first_person_is_stored_after_the_word_is_given_and_the_next_at_once(server: Server) -> None:
    asked = await server.alice.slash(server.channel, "remember", name="Eileen", image=STRANGER, category="friend")
    assert asked.ephemeral
    assert "Do they agree?" in asked.response.content
    assert await server.memory_of(server.alice) == []

    await server.alice.click(asked.response.message, label="They agree")
    assert "I'll remember **Eileen**" in asked.response.content
    assert labels(asked.response) == []
    again = await server.alice.slash(server.channel, "remember", name="Bo", image=CAT, category="brother")
    assert "I'll remember **Bo**" in again.response.content

    card = (await server.alice.slash(server.channel, "privacy")).response
    assert "You gave your word" in said(card)
    assert "You gave your word" not in said((await server.bob.slash(server.channel, "privacy")).response)


async def test_who_does_not_give_their_word_keeps_nothing(server: Server) -> None:
    asked = await server.alice.slash(server.channel, "remember", name="Bob", image=STRANGER, person=server.bob.user)
    await server.alice.click(asked.response.message, label="Cancel")
    assert "I kept nothing" in asked.response.content
    assert await server.memory_of(server.alice) == []


async def test_making_a_person_of_something_asks_as_well(server: Server) -> None:
    await server.remember_cat()
    shown = await open_card(server, server.alice, "Mochi")
    asked = told(await fill(server.alice, shown, "edit", name="Mochi", info="", category="girlfriend"))
    assert "Do they agree?" in asked.content
    assert "girlfriend" not in said(shown)
    await server.alice.click(asked.message, label="They agree")
    assert "girlfriend" in said(shown)
    assert "Thank you" in asked.content

    edited = await server.bob.slash(server.channel, "remember", name="Cat", image=CAT)
    edited = await server.bob.slash(server.channel, "edit", name="Cat", category="friend")
    await server.bob.click(edited.response.message, label="They agree")
    assert "(friend)" in edited.response.content


async def test_an_import_with_people_asks_in_its_confirmation(server: Server) -> None:
    asked = await server.alice.slash(server.channel, "remember", name="Eileen", image=STRANGER, category="friend")
    await server.alice.click(asked.response.message, label="They agree")
    card = (await server.alice.slash(server.channel, "privacy")).response
    exported = told(await press(server.alice, card, "export"))
    [file] = exported.attachments
    of_bob = (await server.bob.slash(server.channel, "privacy")).response
    await fill(server.bob, of_bob, "import", file=("keepsake.zip", await file.read()))
    assert "These are people: Eileen" in said(of_bob)
    await server.bob.click(of_bob.message, label="They agree: import")

    assert await server.memory_of(server.bob) == ["Eileen"]
    assert "You gave your word" in said(of_bob)


@pytest.fixture
def people_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPSAKE_PEOPLE", "off")


async def test_where_the_host_switched_people_off_the_bot_says_so(people_off: None, server: Server) -> None:
    refused = await server.alice.slash(server.channel, "remember", name="Eileen", image=STRANGER, category="friend")
    assert "doesn't want me to remember people" in refused.response.content
    assert await server.memory_of(server.alice) == []


def letters(member: Any) -> list[Any]:
    """What the bot wrote to somebody directly, the oldest first."""
    return [message for message in member.user.dm_channel.history() if message.author.bot]


async def share_bob(server: Server) -> Any:
    """Alice remembers Bob, with his account, and wants to share that."""
    person = {"name": "Bobby", "image": STRANGER, "info": "an astronaut", "person": server.bob.user, "share": True}
    asked = await server.alice.slash(server.channel, "remember", **person)
    await server.alice.click(asked.response.message, label="They agree")
    return asked.response


async def names_here(server: Server, member: Any) -> str:
    return said(await memories(server, member, server=True))


async def test_who_has_an_account_is_asked_and_shared_when_they_agree(server: Server, admin: Any) -> None:
    waits = await share_bob(server)
    assert "for you alone" in waits.content
    assert f"I've asked <@{server.bob.id}>" in waits.content
    [letter] = letters(server.bob)
    for words in (f"<@{server.alice.id}> wants to share", "Kitchen", "Bobby", "an astronaut"):
        assert words in letter.content
    assert len(letter.attachments) == 1
    assert "Bobby" not in await names_here(server, admin)

    await server.env.restart_bot(Keepsake(server.env.bot.app))
    await server.bob.user.click(letter, label="I agree")

    assert "`/privacy`" in letters(server.bob)[0].content
    assert labels(letters(server.bob)[0]) == []
    assert f"<@{server.bob.id}> agreed to **Bobby**" in letters(server.alice)[-1].content
    assert "everyone there can see it" in letters(server.alice)[-1].content
    assert "Bobby" in await names_here(server, admin)
    assert await server.memory_of(server.alice) == []


async def test_who_says_no_is_not_shared_and_not_asked_again(server: Server, admin: Any) -> None:
    await share_bob(server)
    await server.bob.user.click(letters(server.bob)[0], label="No")
    assert "said no to **Bobby**" in letters(server.alice)[-1].content

    shown = await open_card(server, server.alice, "Bobby")
    await press(server.alice, shown, "share")
    assert "That is a person" in said(shown)
    again = told(await press(server.alice, shown, "yes"))

    assert "said no" in again.content
    assert len(letters(server.bob)) == 1
    assert "Bobby" not in await names_here(server, admin)


async def test_who_takes_no_letters_is_asked_in_their_privacy(server: Server, admin: Any) -> None:
    server.env.inject_error("POST", "/users/@me/channels", status=403)
    waits = await share_bob(server)
    assert "I couldn't write to them" in waits.content

    card = (await server.bob.slash(server.channel, "privacy")).response
    assert "wants to share a memory of you on Kitchen" in said(card)
    question = told(await server.bob.select(card.message, ["0"], custom_id="requests"))
    assert "an astronaut" in question.content
    await server.bob.click(question.message, label="I agree")

    assert "Bobby" in await names_here(server, admin)


async def test_after_the_person_the_admins_are_asked_where_they_want_that(server: Server, admin: Any) -> None:
    governing = (await admin.slash(server.channel, "server memory")).response
    await press(admin, governing, "approval")
    await share_bob(server)
    governing = (await admin.slash(server.channel, "server memory")).response
    assert "waiting for approval" not in said(governing)

    await server.bob.user.click(letters(server.bob)[0], label="I agree")
    assert "the admins have to approve it" in letters(server.alice)[-1].content
    governing = (await admin.slash(server.channel, "server memory")).response
    await press(admin, governing, "waiting")
    await admin.click(governing.message, label="Approve")

    assert "Bobby" in await names_here(server, server.bob)


async def test_who_has_no_account_waits_for_an_admin_who_sees_them(server: Server, admin: Any) -> None:
    asked = await server.alice.slash(
        server.channel, "remember", name="Eileen", image=STRANGER, info="an astronaut", category="friend", share=True
    )
    await server.alice.click(asked.response.message, label="They agree")
    assert "admins have to approve" in asked.response.content
    assert "Eileen" not in await names_here(server, server.bob)

    governing = (await admin.slash(server.channel, "server memory")).response
    await press(admin, governing, "waiting")
    assert "an astronaut" in said(governing)
    assert len(governing.message.attachments) == 1
    await admin.click(governing.message, label="Approve")

    assert "Eileen" in await names_here(server, server.bob)


async def test_a_shared_thing_does_not_become_a_person(server: Server) -> None:
    shared = await server.alice.slash(server.channel, "remember", name="The cup", image=CAT, share=True)
    assert "everyone on this server" in shared.response.content
    asked = await server.alice.slash(server.channel, "edit", name="The cup", category="friend")
    refused = await server.alice.click(asked.response.message, label="They agree")
    assert "an admin has to approve them first" in told(refused).content
    assert "friend" not in await names_here(server, server.bob)


async def test_who_is_linked_sees_it_and_takes_it_out(server: Server, admin: Any) -> None:
    await share_bob(server)
    await server.bob.user.click(letters(server.bob)[0], label="I agree")
    person = {"name": "Secret", "image": CAT, "info": "secret words", "person": server.bob.user}
    await server.alice.slash(server.channel, "remember", **person)

    card = (await server.bob.slash(server.channel, "privacy")).response
    assert "**Bobby** on Kitchen" in said(card)
    assert "Somebody's own memory" in said(card)
    assert "ecret" not in said(card)
    deleted = told(await server.bob.select(card.message, ["0"], custom_id="linked"))
    assert "I deleted it there" in deleted.content
    assert "Bobby" not in await names_here(server, admin)
    unlinked = told(await server.bob.select(card.message, ["0"], custom_id="linked"))
    assert "isn't linked" in unlinked.content

    assert "Linked to your account" not in said(card)
    assert await server.memory_of(server.alice) == ["Secret"]
