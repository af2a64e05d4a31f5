"""The README's table of what is kept, line by line: it is kept as it says, as long as it says, and goes as it says."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bot.runtime.jobs import maintain_servers
from db.maintenance import delete_what_is_due
from db.types import Viewer
from tests.support import adapters
from tests.support.discord import CAT, CAT_AGAIN, CUP, INFO, STRANGER, Server, fill, open_card, press, said
from tests.support.tables import OWNED_TABLES

pytestmark = [pytest.mark.slow, pytest.mark.simcord(settle_timeout=60)]

README = Path(__file__).parents[2] / "README.md"


@dataclass(frozen=True)
class Kept:
    """A server with people on it, and what its database holds, as the administrator sees it."""

    server: Server
    admin: Any
    url: str

    def count(self, table: str, where: str = "true") -> int:
        [row] = self.rows(f"SELECT count(*) FROM {table} WHERE {where}")
        return int(row[0])

    def rows(self, query: str) -> list[Any]:
        with psycopg.connect(self.url) as administrator:
            return administrator.execute(query.encode()).fetchall()

    def everything(self) -> str:
        """Return all that the database holds, as text."""
        with psycopg.connect(self.url) as administrator:
            tables = [row[0] for row in administrator.execute(OWNED_TABLES)]
            return "\n".join(
                str(row[0]) for table in tables for row in administrator.execute(f"SELECT t::text FROM {table} t")
            )

    def lasts(self, table: str) -> timedelta:
        """Return how long the one row of a table is kept."""
        [row] = self.rows(f"SELECT expires_at - now() FROM {table}")
        kept: timedelta = row[0]
        return kept

    async def after(self, passed: timedelta, table: str, column: str = "expires_at") -> None:
        """Let the rows of a table grow older, and what is due be deleted."""
        with psycopg.connect(self.url) as administrator:
            administrator.execute(f"UPDATE {table} SET {column} = {column} - %s".encode(), [passed])
        await delete_what_is_due(self.server.pool)

    async def privacy(self, member: Any) -> Any:
        return (await member.slash(self.server.channel, "privacy")).response

    async def ask(self, member: Any) -> Any:
        return await member.slash(self.server.channel, "ask", question="Who is this?", image=CAT_AGAIN)


Experiment = Callable[[Kept], Awaitable[None]]
EXPERIMENTS: dict[str, Experiment] = {}


def line(begins: str) -> Callable[[Experiment], Experiment]:
    """Mark the experiment for the line of the table that begins with these words."""

    def register(experiment: Experiment) -> Experiment:
        EXPERIMENTS[begins] = experiment
        return experiment

    return register


@line("concepts: name")
async def _(kept: Kept) -> None:
    place = kept.server
    asked = await place.remember_cat(category="cat", person=place.bob.user)
    assert kept.count("concept") == 0
    await place.alice.click(asked.response.message, label="They agree")
    [row] = kept.rows("SELECT owner_id, name, category, linked_user, learned_channel FROM concept")
    assert row == (f"user:{place.alice.id}", "Mochi", "cat", place.bob.id, place.channel.id)
    [note] = kept.rows("SELECT text, author, said_channel, said_at > now() - interval '1 minute' FROM note")
    assert note == (INFO, place.alice.id, place.channel.id, True)
    await place.bob.slash(place.channel, "remember", name="The cup", image=CUP, share=True)
    assert kept.count("concept", f"owner_id = 'server:{place.env.guild.id}'") == 1

    await place.alice.slash(place.channel, "forget", name="Mochi")
    shown = await open_card(place, place.bob, "The cup", server=True)
    await press(place.bob, shown, "forget")
    await press(place.bob, shown, "yes")

    await kept.after(timedelta(minutes=10), "concept", "forgotten_at")
    assert "Mochi" not in kept.everything()
    assert kept.count("concept") == 0


@line("their pictures")
async def _(kept: Kept) -> None:
    place = kept.server
    await place.alice.slash(place.channel, "remember", name="Mochi", image=("cat.png", _talkative(CAT[1])))
    shown = await open_card(place, place.alice, "Mochi")
    await fill(place.alice, shown, "add", picture=CAT_AGAIN)
    jpegs = [bytes(row[0]) for row in kept.rows("SELECT jpeg FROM picture")]
    assert len(jpegs) == kept.count("embedding", f"owner_id = 'user:{place.alice.id}'") == 2
    for jpeg in jpegs:
        with Image.open(io.BytesIO(jpeg)) as picture:
            assert picture.format == "JPEG"
            assert not picture.getexif()
            assert b"somewhere" not in jpeg

    [second] = kept.rows("SELECT reference_id FROM reference WHERE reference_id NOT IN (SELECT avatar_id FROM concept)")
    await place.alice.select(shown.message, [second[0].hex], custom_id="remove")
    assert (kept.count("picture"), kept.count("embedding")) == (1, 1)
    await place.alice.slash(place.channel, "forget", name="Mochi")
    await kept.after(timedelta(minutes=10), "concept", "forgotten_at")
    assert (kept.count("picture"), kept.count("embedding")) == (0, 0)


@line("what you forgot")
async def _(kept: Kept) -> None:
    place = kept.server
    await place.remember_cat()
    await place.alice.slash(place.channel, "forget", name="Mochi")
    assert "Mochi" not in said((await kept.ask(place.alice)).response)
    assert kept.count("concept", "forgotten_at > now() - interval '1 minute'") == 1

    await kept.after(timedelta(minutes=9), "concept", "forgotten_at")
    assert "vacuum" in kept.everything()
    await kept.after(timedelta(minutes=1), "concept", "forgotten_at")
    assert "vacuum" not in kept.everything()


@line("what you proposed")
async def _(kept: Kept) -> None:
    place = kept.server
    shown = (await kept.admin.slash(place.channel, "server memory")).response
    await press(kept.admin, shown, "approval")
    for way in ("withdraw", "forget", "by itself"):
        await place.remember_cat(share=True)
        [row] = kept.rows("SELECT owner_id, concept_owner_id FROM proposal")
        assert row == (f"server:{place.env.guild.id}", f"user:{place.alice.id}")
        assert timedelta(days=29) < kept.lasts("proposal") <= timedelta(days=30)
        if way == "withdraw":
            await place.alice.select((await kept.privacy(place.alice)).message, ["0"], custom_id="withdraw")
        elif way == "by itself":
            await kept.after(timedelta(days=30), "proposal")
        if way != "forget":
            assert kept.count("concept", f"owner_id = 'user:{place.alice.id}' AND forgotten_at IS NULL") == 1
        await place.alice.slash(place.channel, "forget", name="Mochi")
        assert kept.count("proposal") == 0


@line("answers to pictures")
async def _(kept: Kept) -> None:
    place = kept.server
    await place.remember_cat()
    await kept.ask(place.bob)
    assert kept.rows("SELECT owner_id, jpeg IS NOT NULL FROM answer") == [(f"user:{place.bob.id}", True)]
    assert kept.count("sighting") > 0
    assert timedelta(days=29) < kept.lasts("answer") <= timedelta(days=30)
    await kept.after(timedelta(days=30), "answer")
    assert (kept.count("answer"), kept.count("sighting")) == (0, 0)

    shown = (await kept.admin.slash(place.channel, "server memory")).response
    await fill(kept.admin, shown, "limits", member="10", server="10", days="365")
    await kept.ask(place.bob)
    assert timedelta(days=364) < kept.lasts("answer") <= timedelta(days=365)
    await fill(place.bob, await kept.privacy(place.bob), "delete", word="DELETE")
    assert kept.count("answer") == 0

    await fill(kept.admin, shown, "limits", member="10", server="10", days="0")
    await kept.ask(place.bob)
    assert kept.count("answer") == 0


@line("pictures of your messages")
async def _(kept: Kept) -> None:
    place = kept.server
    for remove in ("copies", "delete", "object"):
        posted = await place.bob.send(place.channel, "look!", attachments=[STRANGER])
        shown = (await place.alice.context_menu(place.channel, "Remember this", posted)).response
        modal = await place.alice.select(shown.message, ["1"], custom_id="part")
        await place.alice.submit_modal(modal, {"name": "Eileen"})
        [row] = kept.rows("SELECT owner_id, source_author, source_message FROM reference")
        assert row == (f"user:{place.alice.id}", place.bob.id, posted.id)

        card = await kept.privacy(place.bob)
        if remove == "delete":
            await fill(place.bob, card, "delete", word="DELETE")
        else:
            await press(place.bob, card, remove)
        assert (kept.count("reference"), kept.count("picture")) == (0, 0)


@line("which of the bot's messages")
async def _(kept: Kept) -> None:
    place = kept.server
    for take_back in ("the cross", "the question", "by itself"):
        asked = await place.bob.send(place.channel, f"{place.mention} what is a purple elephant?")
        answer = (await place.answers())[-1]
        assert kept.rows("SELECT owner_id, message_id FROM spoken") == [(f"user:{place.bob.id}", answer.id)]
        assert "elephant" not in kept.everything()
        assert timedelta(days=29) < kept.lasts("spoken") <= timedelta(days=30)
        if take_back == "the cross":
            await place.bob.click(answer, custom_id="keepsake:back")
        elif take_back == "the question":
            await place.bob.delete(asked)
        else:
            await kept.after(timedelta(days=30), "spoken")
        assert kept.count("spoken") == 0


@line("what may be said of yours in public")
async def _(kept: Kept) -> None:
    place = kept.server
    card = await kept.privacy(place.bob)
    await place.bob.select(card.message, ["nothing"], custom_id="in_public")
    assert kept.rows("SELECT owner_id, in_public FROM person") == [(f"user:{place.bob.id}", "nothing")]
    await place.bob.select(card.message, ["names"], custom_id="in_public")
    assert kept.rows("SELECT in_public FROM person") == [("names",)]


@line("right / not them")
async def _(kept: Kept) -> None:
    place = kept.server
    await place.remember_cat(share=True)
    seen = await kept.ask(place.bob)
    await place.bob.click(seen.response.message, label="right")
    assert kept.rows("SELECT owner_id FROM correction") == [(f"user:{place.bob.id}",)]
    await place.alice.slash(place.channel, "forget", name="Mochi")
    await kept.after(timedelta(minutes=10), "concept", "forgotten_at")
    assert kept.count("correction") == 0


@line("consent to training (off), objection")
async def _(kept: Kept) -> None:
    place = kept.server
    assert (kept.count("person"), kept.count("objection")) == (0, 0)
    card = await kept.privacy(place.bob)
    await press(place.bob, card, "consent")
    await press(place.bob, card, "object")
    assert kept.rows("SELECT owner_id, may_train FROM person") == [(f"user:{place.bob.id}", True)]
    assert kept.rows("SELECT user_id FROM objection") == [(place.bob.id,)]
    await press(place.bob, card, "consent")
    await press(place.bob, card, "object")
    assert (kept.count("person", "may_train"), kept.count("objection")) == (0, 0)


@line("what was learned")
async def _(kept: Kept) -> None:
    place = kept.server
    alice = Viewer(place.alice.id)
    await place.remember_cat()
    for removed in ("consent", "forget"):
        await adapters.say_consent(place.pool, alice)
        for version in range(6):
            await adapters.learn(place.pool, alice, f"learned {removed} {version}")
        assert kept.count("adapter", f"owner_id = '{alice.personal}'") == 5
        if removed == "consent":
            await press(place.alice, await kept.privacy(place.alice), "consent")
        else:
            await place.alice.slash(place.channel, "forget", name="Mochi")
        assert (kept.count("adapter"), kept.count("training_run", "report IS NOT NULL")) == (0, 0)


@line("how often you asked")
async def _(kept: Kept) -> None:
    place = kept.server
    await place.remember_cat()
    await kept.ask(place.alice)
    before = kept.count("rate", f"owner_id = 'user:{place.alice.id}'")
    await kept.ask(place.alice)
    assert kept.count("rate", f"owner_id = 'user:{place.alice.id}'") == before > 0
    await kept.after(timedelta(hours=24), "rate", "next_at")
    assert kept.count("rate") == 0


@line("a server's settings and audit log")
async def _(kept: Kept) -> None:
    place = kept.server
    await place.remember_cat(share=True)
    await place.alice.slash(place.channel, "edit", name="Mochi", info="hates thunder")
    assert (kept.count("server"), kept.count("audit") > 0) == (1, True)
    assert "vacuum" not in kept.everything()

    gone = _NotThere()
    await maintain_servers(place.pool, gone)
    with psycopg.connect(kept.url) as administrator:
        administrator.execute("UPDATE server SET left_at = left_at - interval '29 days'")
    await maintain_servers(place.pool, gone)
    assert kept.count("audit") > 0
    with psycopg.connect(kept.url) as administrator:
        administrator.execute("UPDATE server SET left_at = left_at - interval '1 day'")
    await maintain_servers(place.pool, gone)
    assert (kept.count("server"), kept.count("audit"), kept.count("concept")) == (0, 0, 0)


class _NotThere:
    """The bot was removed from every server."""

    async def is_on(self, server_id: int) -> bool:
        return False

    async def has_member(self, server_id: int, user_id: int) -> bool:
        return False


def _talkative(png: bytes) -> bytes:
    """Return a picture that says where it was taken, in every way that a PNG can."""
    with Image.open(io.BytesIO(png)) as picture:
        exif, text, file = Image.Exif(), PngInfo(), io.BytesIO()
        exif[0x010E] = "somewhere at home"
        text.add_text("Comment", "somewhere at home")
        picture.save(file, "PNG", exif=exif, pnginfo=text)
    return file.getvalue()


@pytest.mark.parametrize("begins", EXPERIMENTS)
async def test_what_the_readme_says_of_this_is_so(begins: str, server: Server, admin: Any, database_url: str) -> None:
    await EXPERIMENTS[begins](Kept(server, admin, database_url))


def test_every_line_of_the_table_has_an_experiment() -> None:
    table = README.read_text().split("| what is kept |")[1].split("\n\n")[0]
    lines = [row.removeprefix("| ") for row in table.splitlines()[2:]]
    unknown = [row for row in lines if not row.startswith(tuple(EXPERIMENTS))]
    missing = [begins for begins in EXPERIMENTS if not any(row.startswith(begins) for row in lines)]
    assert (unknown, missing) == ([], [])
    assert len(lines) == len(EXPERIMENTS)
