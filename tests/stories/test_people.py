"""Stories of people who are remembered: nobody is before somebody gave their word that they agree."""

from __future__ import annotations

import pytest

from tests.support.discord import CAT, STRANGER, Server, fill, labels, open_card, press, said, told

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
