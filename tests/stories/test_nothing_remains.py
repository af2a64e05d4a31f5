"""After “Delete everything” nothing is left: every store is searched for somebody's number, words and pictures."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from bot.service import importing, privacy
from bot.service.app import Actor, App
from db import concepts, job_queue, sharing, training
from db.pool import viewing
from db.setup.redaction import RedactingFormatter
from db.training import RunState
from db.types import Viewer, server_owner
from tests.support.adapters import learn, say_consent
from tests.support.discord import BOTH, CAT, CAT_AGAIN, CUP, MOTORCYCLE, STRANGER, Server, fill, press
from tests.support.memory import a_concept, a_jpeg, a_reference

pytestmark = [pytest.mark.slow, pytest.mark.simcord(settle_timeout=60)]

WORDS = ("Xyloquark", "gronkelpiff", "Wobbeltang", "snurfling", "Zimtfrosch", "Quabbelix", "brimblewick")
"""What Alice calls things and says of them, and nobody else does."""

ALL_COLUMNS = """
    SELECT table_schema, table_name, column_name, data_type
      FROM information_schema.columns
      JOIN information_schema.tables USING (table_schema, table_name)
     WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
"""

OLD_JOBS = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock, args, status)
    SELECT 'default', 'move_memory', 'move ' || owner, jsonb_build_object('owner_id', owner), status
      FROM (SELECT %s::text AS owner) AS whose,
           unnest(ARRAY['todo', 'succeeded', 'failed', 'cancelled', 'aborted']::procrastinate_job_status[]) AS status
"""


def cells(url: str) -> list[tuple[str, str]]:
    """Every cell of every table as the administrator sees it: where it is, and its text; bytes as hexadecimal."""
    found = []
    with psycopg.connect(url) as administrator:
        for schema, table, column, kind in administrator.execute(ALL_COLUMNS).fetchall():
            value = "encode({}, 'hex')" if kind == "bytea" else "{}::text"
            query = sql.SQL("SELECT DISTINCT " + value + " FROM {}.{}").format(
                sql.Identifier(column), sql.Identifier(schema), sql.Identifier(table)
            )
            found += [(f"{table}.{column}", row[0]) for row in administrator.execute(query) if row[0] is not None]
    return found


def pictures_of(url: str, owner: str) -> set[str]:
    """The hashes of an owner's pictures, and how they begin after what all JPEGs begin with."""
    with psycopg.connect(url) as administrator:
        kept = administrator.execute("SELECT jpeg FROM picture WHERE owner_id = %s", [owner]).fetchall()
    jpegs = [bytes(row[0]) for row in kept]
    return {hashlib.sha256(jpeg).hexdigest() for jpeg in jpegs} | {jpeg[-200:-100].hex() for jpeg in jpegs}


def postgres_log(url: str) -> str:
    with psycopg.connect(url) as administrator:
        [directory] = administrator.execute("SHOW data_directory").fetchone() or [""]
    return (Path(directory) / "log").read_text(errors="replace")


def where(traces: set[str], found: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """Where which trace is found; a number not as part of another."""
    patterns = {
        trace: re.compile(rf"(?<!\d){trace}(?!\d)" if trace.isdecimal() else re.escape(trace), re.IGNORECASE)
        for trace in traces
    }
    return {(place, trace) for place, text in found for trace, is_in in patterns.items() if is_in.search(text)}


async def _show_something_of_bobs(place: Server) -> None:
    """Let Alice, as an admin for once, add a picture to what Bob shares, which he then takes back to himself."""
    server = server_owner(place.env.guild.id)
    bob = Viewer(place.bob.id, place.env.guild.id)
    async with viewing(place.pool, bob) as connection:
        lamp = await concepts.remember(connection, replace(a_concept(server, "The lamp", 3), created_by=bob.user_id))
    async with viewing(place.pool, replace(bob, user_id=place.alice.id, is_admin=True)) as connection:
        await concepts.add_reference(connection, lamp, a_reference(30), place.alice.id)
    async with viewing(place.pool, bob) as connection:
        await sharing.unshare(connection, await concepts.get(connection, server, lamp.concept_id), bob.personal)


async def do_everything(place: Server, admin: Any, app: App, url: str) -> None:
    """Let Alice do what the product offers, and others do with her what it lets them."""
    alice, bob, channel = place.alice, place.bob, place.channel
    viewer = Viewer(alice.id, place.env.guild.id)
    await alice.slash(channel, "remember", name="Xyloquark", image=CAT, info="a gronkelpiff", category="cat")
    await alice.slash(channel, "remember", name="Wobbeltang", image=CUP, info="a snurfling", share=True)
    await alice.slash(channel, "remember", name="Quabbelix", image=MOTORCYCLE)
    await alice.slash(channel, "forget", name="Quabbelix")
    asked = await alice.slash(channel, "ask", question="Who is this?", image=CAT_AGAIN)
    await alice.click(asked.response.message, label="right")
    await alice.send(channel, f"{place.mention} who is Xyloquark, brimblewick?")
    await alice.send(channel, f"{place.mention} who is this?", attachments=[CAT_AGAIN])
    await bob.send(channel, f"{place.mention} who is Wobbeltang?")

    posted = await alice.send(channel, "look!", attachments=[STRANGER])
    shown = (await bob.context_menu(channel, "Remember this", posted)).response
    await bob.submit_modal(await bob.select(shown.message, ["1"], custom_id="part"), {"name": "Eileen"})
    linked = await bob.slash(channel, "remember", name="Somebody", image=BOTH, person=alice.user)
    await bob.click(linked.response.message, label="They agree")
    await _show_something_of_bobs(place)

    card = (await alice.slash(channel, "privacy")).response
    await alice.select(card.message, ["everything"], custom_id="in_public")
    await say_consent(place.pool, viewer)
    await learn(place.pool, viewer, "learned of Xyloquark")
    await learn(place.pool, viewer, "learned of Wobbeltang", owner=server_owner(place.env.guild.id))
    async with viewing(place.pool, viewer) as connection:
        failed = await training.start_run(connection, viewer.personal, "starter")
        await training.finish_run(connection, viewer.personal, failed, RunState.FAILED, None, "no room for Xyloquark")
        await job_queue.ask_for_training(connection, viewer.personal)
    actor = Actor(user_id=alice.id, server_id=place.env.guild.id)
    [archive, *_] = await privacy.export(app, actor, 10_000_000)

    async def fetched() -> bytes:
        return archive.data

    await importing.plan_import(app, actor, fetched)  # and then she thinks better of it

    governed = (await admin.slash(channel, "server memory")).response
    await press(admin, governed, "approval")
    await alice.slash(channel, "remember", name="Zimtfrosch", image=CAT_AGAIN, share=True)
    with psycopg.connect(url) as administrator:
        administrator.execute(OLD_JOBS, [viewer.personal])


async def test_delete_everything_leaves_nothing_in_any_store(
    server: Server, admin: Any, app: App, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await do_everything(server, admin, app, database_url)
    number = str(server.alice.id)
    shown_elsewhere = hashlib.sha256(a_jpeg(30)).hexdigest()
    traces = {number, *WORDS, shown_elsewhere, *pictures_of(database_url, f"user:{number}")}
    before = {trace for _, trace in where(traces, cells(database_url))}
    assert len(before) >= len(traces) - 1, "nearly all of it is there to be found"  # what is only asked is kept nowhere
    assert "spoken.owner_id" in {place for place, _ in where({number}, cells(database_url))}
    assert any("Wobbeltang" in answer.content for answer in await server.answers()), "others were told of it"

    card = (await server.alice.slash(server.channel, "privacy")).response
    await fill(server.alice, card, "delete", word="DELETE")

    assert where(traces, cells(database_url)) == {("rate.owner_id", number)}, "the card that is shown again was counted"
    with psycopg.connect(database_url) as administrator:
        looked = administrator.execute("SELECT what FROM rate WHERE owner_id = %s", [f"user:{number}"]).fetchall()
    assert looked == [("look",)]
    logged = "\n".join(RedactingFormatter().format(record) for record in caplog.records)
    assert where(traces, [("log", logged), ("log of Postgres", postgres_log(database_url))]) == set()
    answers = [("channel", answer.content) for answer in await server.answers()]
    assert where(traces, answers) == set()
    assert not any(answer.attachments for answer in await server.answers())
