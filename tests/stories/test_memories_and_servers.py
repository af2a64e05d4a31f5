"""Stories of people who look after their memories, and of admins who govern a server's; real parts under simcord."""

from __future__ import annotations

import io
import json
import zipfile
from types import SimpleNamespace
from typing import Any

import pytest

from bot.client import Keepsake
from bot.service import permissions
from bot.ui.actor import actor_of
from db.maintenance import known_servers
from db.types import Viewer
from tests.support.discord import (
    BOTH,
    CAT,
    CAT_AGAIN,
    CUP,
    STRANGER,
    Server,
    fill,
    memories,
    open_card,
    options,
    press,
    said,
    told,
)

pytestmark = [pytest.mark.slow, pytest.mark.simcord(settle_timeout=60)]


async def test_memories_are_listed_found_and_filtered(server: Server) -> None:
    await server.remember_cat(category="cat")
    await server.alice.slash(server.channel, "remember", name="The cup", image=CUP, info="my blue cup from Lisbon")

    everything = await memories(server, server.alice)
    found = await memories(server, server.alice, find="lisbom")
    cats = await memories(server, server.alice, category="Cat")
    of_bob = await memories(server, server.bob)

    assert everything.ephemeral
    assert "Mochi" in said(everything)
    assert "The cup" in said(everything)
    assert len(everything.attachments) == 2
    assert "The cup" in said(found)
    assert "Mochi" not in said(found)
    assert "Mochi" in said(cats)
    assert "The cup" not in said(cats)
    assert "Nothing here yet" in said(of_bob)


async def test_what_was_told_is_found_by_its_words_in_chat(server: Server) -> None:
    await server.alice.slash(server.channel, "remember", name="The cup", image=CUP, info="my blue cup from Lisbon")
    told = await server.alice.slash(server.channel, "ask", question="What did I say about the blue cup from Lisbon?")
    of_bob = await server.bob.slash(server.channel, "ask", question="What did I say about the blue cup from Lisbon?")
    assert "Lisbon" in told.response.content
    assert "The cup" in told.response.content
    assert "The cup" not in of_bob.response.content


async def test_a_card_changes_what_is_known(server: Server) -> None:
    await server.remember_cat(category="cat")
    shown = await open_card(server, server.alice, "Mochi")
    assert "vacuum" in said(shown)
    assert "1 picture" in said(shown)

    await fill(server.alice, shown, "edit", name="Mochi", info="hates thunder", category="tabby")
    assert "thunder" in said(shown)
    await fill(server.alice, shown, "add", picture=CAT_AGAIN)
    assert "2 pictures" in said(shown)
    second = options(shown, "avatar")[1]["value"]
    await server.alice.select(shown.message, [second], custom_id="avatar")
    assert options(shown, "avatar")[1]["label"] == "Picture 2 (the avatar)"
    await server.alice.select(shown.message, [second], custom_id="remove")
    assert "1 picture" in said(shown)


async def test_forgetting_is_confirmed_and_can_be_undone_even_after_a_restart(server: Server) -> None:
    await server.remember_cat()
    shown = await open_card(server, server.alice, "Mochi")
    await press(server.alice, shown, "forget")
    assert "ten minutes" in said(shown)
    gone = await press(server.alice, shown, "yes")
    assert await server.memory_of(server.alice) == []
    note = told(gone)

    await server.env.restart_bot(Keepsake(server.env.bot.app))
    back = await server.alice.click(note.message, label="undo")

    assert "is back" in back.response.content
    seen = await server.alice.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "Mochi" in seen.response.content


async def test_sharing_moves_it_to_the_server_and_back(server: Server) -> None:
    await server.remember_cat()
    shown = await open_card(server, server.alice, "Mochi")
    await press(server.alice, shown, "share")
    assert "admins can change it" in said(shown)
    await press(server.alice, shown, "yes")
    seen = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "alice told this server about Mochi: “a tabby cat" in seen.response.content
    seen = await server.alice.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "You told me about Mochi: “a tabby cat" in seen.response.content

    of_bob = await open_card(server, server.bob, "Mochi", server=True)
    assert "Forget" not in said(of_bob)
    mine = await open_card(server, server.alice, "Mochi", server=True)
    await press(server.alice, mine, "unshare")

    seen = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "Mochi" not in seen.response.content
    assert await server.memory_of(server.alice) == ["Mochi"]


async def test_an_admin_takes_out_what_others_shared_but_does_not_take_it(server: Server, admin: Any) -> None:
    await server.remember_cat(share=True)
    shown = (await admin.slash(server.channel, "server memory")).response
    await press(admin, shown, "list")
    [value] = [option["value"] for option in options(shown, "open")]
    await admin.select(shown.message, [value], custom_id="open")
    assert "Forget…" in said(shown)
    assert "Stop sharing" not in said(shown)


async def test_two_that_are_the_same_become_one(server: Server) -> None:
    await server.remember_cat()
    twin = await server.alice.slash(server.channel, "remember", name="Chelsea", image=CAT_AGAIN, info="a tabby")
    assert "looks a lot like **Mochi**" in twin.response.content

    done = await server.alice.click(twin.response.message, label="they are the same")

    assert "2 pictures" in done.response.content
    assert await server.memory_of(server.alice) == ["Mochi"]


async def test_remember_this_on_any_message(server: Server) -> None:
    await server.remember_cat()
    posted = await server.bob.send(server.channel, "look!", attachments=[BOTH, STRANGER])

    shown = (await server.alice.context_menu(server.channel, "Remember this", posted)).response
    assert shown.ephemeral
    assert len(shown.attachments) == 2
    parts = options(shown, "part")
    [known] = [entry for entry in parts if "Mochi" in entry["label"]]
    stranger = next(entry for entry in parts if "picture 2" in entry["label"])

    modal = await server.alice.select(shown.message, [stranger["value"]], custom_id="part")
    asked = await server.alice.submit_modal(modal, {"name": "Eileen", "info": "an astronaut", "category": "person"})
    assert "Eileen" not in said(shown)
    await server.alice.click(told(asked).message, label="They agree")
    assert "Eileen" in said(shown)

    again = (await server.alice.context_menu(server.channel, "Remember this", posted)).response
    modal = await server.alice.select(again.message, [known["value"]], custom_id="part")
    await server.alice.submit_modal(modal, {"name": "Another cat"})
    assert "Is it the same?" in said(again)
    await server.alice.click(again.message, label="Yes, it's Mochi")
    assert "now have 2 pictures" in said(again)
    assert await server.memory_of(server.alice) == ["Eileen", "Mochi"]


async def test_who_wrote_a_message_decides_about_the_copies_of_its_picture(server: Server) -> None:
    posted = await server.bob.send(server.channel, "look!", attachments=[STRANGER])
    shown = (await server.alice.context_menu(server.channel, "Remember this", posted)).response
    modal = await server.alice.select(shown.message, ["1"], custom_id="part")
    await server.alice.submit_modal(modal, {"name": "Eileen"})
    assert await server.memory_of(server.alice) == ["Eileen"]

    card = (await server.bob.slash(server.channel, "privacy")).response
    assert "1 picture of your messages that others keep" in said(card)
    await press(server.bob, card, "copies")
    assert "that others keep" not in said(card)

    await press(server.bob, card, "object")
    for menu in ("Remember this", "Who is in this?"):
        refused = (await server.alice.context_menu(server.channel, menu, posted)).response
        assert "doesn't want others to use their pictures" in said(refused)


async def test_everything_is_taken_away_deleted_and_brought_back(server: Server) -> None:
    await server.remember_cat(category="cat")
    await server.alice.slash(server.channel, "remember", name="The cup", image=CUP)
    await server.alice.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    shown = (await server.alice.slash(server.channel, "privacy")).response
    assert shown.ephemeral
    assert "2 concepts with 2 pictures" in said(shown)

    exported = await press(server.alice, shown, "export")
    [file] = told(exported).attachments
    data = await file.read()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert set(json.loads(archive.read("database.json"))["concept_dict"]) == {"<Mochi>", "<The cup>"}

    wrong = await fill(server.alice, shown, "delete", word="no")
    assert "I deleted nothing" in told(wrong).content
    gone = await fill(server.alice, shown, "delete", word="DELETE")
    assert "receipt" in told(gone).content
    assert "2 × concept" in told(gone).content
    assert "Nothing yet" in said(shown)

    await fill(server.alice, shown, "import", file=("memory.zip", data))
    assert "2 concepts with 2 pictures would be new" in said(shown)
    assert await server.memory_of(server.alice) == []
    await press(server.alice, shown, "yes")
    assert await server.memory_of(server.alice) == ["Mochi", "The cup"]
    seen = await server.alice.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "Mochi" in seen.response.content


@pytest.mark.parametrize(
    ("file", "sentence"),
    [(b"not a zip", "zip"), (b'{"concept_dict": {"<bo>": {"name": "bo", "image": "bo.png"}}}', "picture")],
)
async def test_a_file_that_cannot_be_imported_gets_a_sentence(server: Server, file: bytes, sentence: str) -> None:
    shown = (await server.alice.slash(server.channel, "privacy")).response
    result = await fill(server.alice, shown, "import", file=("memory.zip", file))
    assert sentence in told(result).content


async def test_who_objects_is_in_nobodys_shared_memory(server: Server) -> None:
    person = {"name": "Bob", "image": STRANGER, "person": server.bob.user, "share": True}
    asked = await server.alice.slash(server.channel, "remember", **person)
    await server.alice.click(asked.response.message, label="They agree")
    [letter] = [message for message in server.bob.user.dm_channel.history() if message.author.bot]
    await server.bob.user.click(letter, label="I agree")
    shown = (await server.bob.slash(server.channel, "privacy")).response
    assert "1 shared concept linked to your account" in said(shown)

    await press(server.bob, shown, "object")

    seen = await server.alice.slash(server.channel, "ask", question="Who is this?", image=STRANGER)
    again = await server.alice.slash(server.channel, "remember", **person)
    assert "Bob" not in seen.response.content
    assert "doesn't want to be" in again.response.content


async def test_consent_is_off_until_it_is_given_and_can_be_withdrawn(server: Server) -> None:
    shown = (await server.alice.slash(server.channel, "privacy")).response
    assert "I don't train" in said(shown)
    await press(server.alice, shown, "consent")
    assert "I may train" in said(shown)
    await press(server.alice, shown, "consent")
    assert "I don't train" in said(shown)


async def test_only_admins_have_the_admins_command(server: Server, admin: Any) -> None:
    assert "server memory" in admin.available_commands(server.channel)
    assert "server memory" not in server.bob.available_commands(server.channel)


def take_role(place: Server, member: Any) -> None:
    [role] = place.env.backend.get_guild(place.env.guild.id).members[member.id].role_ids
    place.env.backend.remove_member_role(place.env.guild.id, member.id, role)


async def test_who_is_no_admin_any_more_can_do_nothing_with_a_card_that_is_still_open(
    server: Server, admin: Any
) -> None:
    await server.remember_cat(share=True)
    governs = (await admin.slash(server.channel, "server memory")).response
    leafs = (await admin.slash(server.channel, "server memory")).response
    await press(admin, leafs, "list")
    [value] = [option["value"] for option in options(leafs, "open")]
    await admin.select(leafs.message, [value], custom_id="open")
    purges = (await admin.slash(server.channel, "server memory")).response
    await press(admin, purges, "purge")

    take_role(server, admin)

    refusals = [
        await press(admin, governs, "lock"),
        await press(admin, governs, "audit"),
        await press(admin, governs, "learned"),
        await fill(admin, governs, "limits", member="1", server="1", days="1"),
        await fill(admin, purges, "everything", word="delete"),
        await fill(admin, leafs, "edit", name="Mine now", info="", category=""),
        await press(admin, leafs, "all"),
    ]
    assert all("Only the admins" in told(refusal).content for refusal in refusals)
    shared = await memories(server, server.alice, server=True)
    assert "Mochi" in said(shared)
    assert "Mine now" not in said(shared)
    forgotten = await server.alice.slash(server.channel, "forget", name="Mochi")
    assert "forgotten" in forgotten.response.content  # it was not locked


async def test_who_is_given_the_admins_command_in_the_servers_settings_governs_until_it_is_taken_away(
    server: Server,
) -> None:
    command = server.env.bot.synced_commands["server"]
    helper = server.env.guild.create_role("Helpers")
    member = server.env.guild.add_member(server.env.create_user("hal"), roles=[helper])
    assert "server memory" not in member.available_commands(server.channel)

    server.env.guild.set_command_permissions(command, {helper: True})
    shown = (await member.slash(server.channel, "server memory")).response
    await press(member, shown, "lock")
    assert "Unlock" in said(shown)

    server.env.guild.set_command_permissions(command, {helper: True, member: False})
    refused = await press(member, shown, "lock")
    assert "Only the admins" in told(refused).content
    assert "Unlock" in said(shown)


async def test_admins_govern_who_shares(server: Server, admin: Any) -> None:
    shown = (await admin.slash(server.channel, "server memory")).response
    await admin.select(shown.message, ["admins"], custom_id="who")
    refused = await server.remember_cat(share=True)
    assert "only admins may share" in refused.response.content

    await admin.select(shown.message, ["everyone"], custom_id="who")
    await press(admin, shown, "approval")
    waits = await server.remember_cat(share=True)
    assert "admins have to approve" in waits.response.content
    seen = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "Mochi" not in seen.response.content

    shown = (await admin.slash(server.channel, "server memory")).response
    await press(admin, shown, "waiting")
    for words in ("Mochi", "vacuum", f"<@{server.alice.id}> asks"):
        assert words in said(shown)
    assert len(shown.message.attachments) == 1
    await admin.click(shown.message, label="Approve")
    assert "Nothing waits" in said(shown)
    assert "approved **Mochi**" in told_in_private(server.alice)[-1]
    seen = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "Mochi" in seen.response.content

    await press(admin, shown, "back")
    await press(admin, shown, "audit")
    assert "turned approval on" in said(shown)
    exported = await press(admin, shown, "export")
    [file] = told(exported).attachments
    assert b"shared" in await file.read()


def told_in_private(member: Any) -> list[str]:
    """What the bot wrote to somebody directly, the oldest first."""
    return [message.content for message in member.user.dm_channel.history() if message.author.bot]


async def test_what_waits_for_the_admins_is_withdrawn_or_declined(server: Server, admin: Any) -> None:
    governing = (await admin.slash(server.channel, "server memory")).response
    await press(admin, governing, "approval")
    await server.remember_cat(share=True)
    await server.alice.slash(server.channel, "remember", name="The cup", image=CUP, share=True)

    card = (await server.alice.slash(server.channel, "privacy")).response
    assert "**Mochi** waits for the admins of Kitchen" in said(card)
    await server.alice.select(card.message, ["0"], custom_id="withdraw")
    assert "Mochi" not in said(card)
    assert await server.memory_of(server.alice) == ["Mochi", "The cup"]

    governing = (await admin.slash(server.channel, "server memory")).response
    await press(admin, governing, "waiting")
    assert "The cup" in said(governing)
    await server.alice.slash(server.channel, "edit", name="The cup", info="an insult, since you looked")
    await admin.click(governing.message, label="Approve")
    await press(admin, governing, "back")
    await press(admin, governing, "waiting")
    assert "an insult" in said(governing)
    await admin.click(governing.message, label="Decline")
    assert "declined **The cup**" in told_in_private(server.alice)[-1]
    assert "Nothing here yet" in said(await memories(server, server.bob, server=True))


async def test_admins_govern_where_and_how_long(server: Server, admin: Any) -> None:
    other = server.env.guild.create_text_channel("quiet")
    shown = (await admin.slash(server.channel, "server memory")).response
    await admin.select(shown.message, [other], custom_id="denied_channels")
    refused = await server.alice.slash(other, "ask", question="Who is this?", image=CAT)
    assert "in this channel" in refused.response.content
    await server.alice.send(other, f"{server.mention} who is this?", attachments=[CAT])
    channel = server.env.bot.get_channel(other.id)
    assert [item async for item in channel.history() if item.author.bot] == []

    await fill(admin, shown, "limits", member="x", server="10", days="0")
    await fill(admin, shown, "limits", member="1", server="10", days="0")
    assert "I keep answers not at all" in said(shown)
    await server.remember_cat(share=True)
    full = await server.alice.slash(server.channel, "remember", name="The cup", image=CUP, share=True)
    assert "may share 1 memory at most" in full.response.content
    seen = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "Mochi" in seen.response.content
    assert not seen.response.components  # nothing is stored, so there is nothing to judge


async def test_admins_lock_and_purge(server: Server, admin: Any) -> None:
    await server.remember_cat(share=True)
    await server.bob.slash(server.channel, "remember", name="The cup", image=CUP, share=True)
    shown = (await admin.slash(server.channel, "server memory")).response
    await press(admin, shown, "lock")
    refused = await server.alice.slash(server.channel, "forget", name="Mochi")
    assert "locked" in refused.response.content

    await press(admin, shown, "purge")
    await admin.select(shown.message, [server.alice], custom_id="member")
    await press(admin, shown, "yes")
    left = await memories(server, server.bob, server=True)
    assert "The cup" in said(left)
    assert "Mochi" not in said(left)

    await press(admin, shown, "purge")
    await fill(admin, shown, "everything", word="delete")
    left = await memories(server, server.bob, server=True)
    assert "Nothing here yet" in said(left)


async def test_names_and_infos_cannot_break_a_card_or_ping(server: Server) -> None:
    info = "# Big\n> quote <@123> @everyone [x](https://evil.example) `code` **bold** ||spoiler||"
    await server.alice.slash(server.channel, "remember", name="**Bold** `x` ||y||", image=CAT, info=info)
    shown = await open_card(server, server.alice, "**Bold** `x` ||y||")
    text = said(shown)
    assert "\\*\\*Bold\\*\\*" in text
    assert "\\<@\u200b123>" in text
    assert "@everyone" not in text
    assert "\\# Big" in text


async def test_cards_have_a_sentence_when_what_they_show_is_gone(server: Server) -> None:
    await server.remember_cat()
    shown = await open_card(server, server.alice, "Mochi")
    await server.alice.slash(server.channel, "forget", name="Mochi")
    result = await fill(server.alice, shown, "edit", name="Mochi", info="", category="")
    assert "don't remember that any more" in told(result).content


async def test_who_forgot_it_for_the_server_undoes_it_and_nobody_else(server: Server, admin: Any) -> None:
    await server.remember_cat(share=True)
    gone = await admin.slash(server.channel, "forget", name="Mochi")
    seen = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "Mochi" not in seen.response.content
    back = await admin.click(gone.response.message, label="undo")
    assert "is back" in back.response.content
    seen = await server.bob.slash(server.channel, "ask", question="Who is this?", image=CAT_AGAIN)
    assert "Mochi" in seen.response.content


async def test_a_server_that_removes_the_bot_and_invites_it_again(server: Server) -> None:
    await server.remember_cat(share=True)
    guild = server.env.bot.get_guild(server.env.guild.id)

    hears = server.env.bot.get_cog("Server")

    await hears.on_guild_remove(guild)
    [known] = await known_servers(server.pool)
    assert known.left_at is not None

    await hears.on_guild_join(guild)
    [known] = await known_servers(server.pool)
    assert known.left_at is None


async def test_limits_say_when_to_come_back(server: Server) -> None:
    for number in range(permissions.EXPORTS.burst + 1):
        shown = (await server.alice.slash(server.channel, "privacy")).response
        result = await press(server.alice, shown, "export")
        assert ("come back in" in told(result).content) is (number == permissions.EXPORTS.burst)


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("remember", {"name": "Text", "image": ("a.txt", b"words")}, "isn't a picture"),
        ("edit", {"name": "Nobody", "info": "x"}, "don't remember anyone"),
        ("edit", {"name": "Mochi", "new_name": "x" * 65}, "at most 64"),
        ("memories", {"find": "zebra"}, "nothing like that"),
        ("ask", {"question": "Who is this?", "image": ("a.txt", b"words")}, "isn't a picture"),
    ],
)
async def test_bad_input_of_every_command_gets_a_sentence(
    server: Server, command: str, options: dict[str, Any], sentence: str
) -> None:
    await server.remember_cat()
    result = await server.alice.slash(server.channel, command, **options)
    assert sentence in said(result.response)


@pytest.mark.parametrize("command", ["memories", "privacy", "server memory"])
async def test_commands_say_so_when_the_memory_is_away(server: Server, admin: Any, command: str) -> None:
    server.pool.terminate()
    result = await admin.slash(server.channel, command)
    assert "can't reach my memory" in result.response.content


def test_where_only_the_user_has_the_bot_there_is_no_servers_memory() -> None:
    def interaction(**has: bool) -> Any:
        return SimpleNamespace(
            user=SimpleNamespace(id=1),
            guild_id=10,
            channel_id=100,
            permissions=SimpleNamespace(manage_guild=False),
            is_user_integration=lambda: has["by_user"],
            is_guild_integration=lambda: has["by_server"],
        )

    assert actor_of(interaction(by_user=True, by_server=False)).viewer == Viewer(1)
    assert actor_of(interaction(by_user=True, by_server=True)).viewer == Viewer(1, 10)
    assert actor_of(interaction(by_user=False, by_server=True)).viewer == Viewer(1, 10)
