"""Undo and proposals: what is out of the way of recall, and comes back to the last bit."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest

from db import concepts, consent, pictures, trash
from db.errors import NameTakenError, UndoExpiredError
from db.maintenance import delete_what_is_due
from db.pool import viewing
from db.types import Viewer, server_owner
from tests.support.members import (
    ANNA,
    BO,
    ELSEWHERE,
    ROWS,
    SERVER,
    answer,
    governing,
    names,
    remember,
    rows,
    run_as_administrator,
)
from tests.support.memory import a_reference


async def test_undoing_brings_everything_back_to_the_last_bit(pool: asyncpg.Pool, database_url: str) -> None:
    mochi = await remember(pool, ANNA, "Mochi", "a cat")
    async with viewing(pool, ANNA) as connection:
        await concepts.add_reference(connection, mochi, a_reference(3), 1)
        second = (await pictures.references(connection, mochi))[1]
        await pictures.choose_avatar(connection, mochi, second.reference_id)
    await answer(pool, ANNA, mochi)
    before = rows(database_url)

    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, mochi, 1)
    assert await seen_by(pool, ANNA) == {table: 0 for table in ROWS if table not in {"picture", "correction"}}
    async with viewing(pool, ANNA) as connection:
        await trash.undo(connection, ANNA.personal, gone.concept_id)

    assert rows(database_url) == before


async def test_undo_is_for_who_forgot_it_and_only_for_a_while(pool: asyncpg.Pool, database_url: str) -> None:
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, mug, 1)
    for viewer, owner in ((BO, SERVER), (BO, BO.personal), (ELSEWHERE, server_owner(20))):
        with pytest.raises(UndoExpiredError):
            async with viewing(pool, viewer) as connection:
                await trash.undo(connection, owner, gone.concept_id)
    run_as_administrator(database_url, "UPDATE concept SET forgotten_at = now() - interval '10 minutes'")
    with pytest.raises(UndoExpiredError):
        async with viewing(pool, ANNA) as connection:
            await trash.undo(connection, SERVER, gone.concept_id)
    assert (await delete_what_is_due(pool))["concept"] == 1
    assert rows(database_url) == {table: [] for table in ROWS}


async def test_undo_waits_when_the_name_is_taken_by_now(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi", "the first")
    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, mochi, 1)
    await remember(pool, ANNA, "MOCHI", "the second")
    with pytest.raises(NameTakenError):
        async with viewing(pool, ANNA) as connection:
            await trash.undo(connection, ANNA.personal, gone.concept_id)
    async with viewing(pool, ANNA) as connection:
        [second] = await concepts.find(connection, ANNA, "mochi")
        await concepts.edit(connection, second, name="Another")
        await trash.undo(connection, ANNA.personal, gone.concept_id)
    assert await names(pool, ANNA, ANNA.personal) == ["Another", "Mochi"]


async def test_what_is_forgotten_is_in_nobodys_way(pool: asyncpg.Pool) -> None:
    """Its pictures are others', too: nothing of it goes with them, and nothing of them with it."""
    twin = a_reference(5)
    first = await remember(pool, ANNA, "Mochi", reference=twin)
    second = await remember(pool, ANNA, "Rex", reference=twin)
    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, first, 1)
        await concepts.forget(connection, ANNA.personal, second.concept_id)
        back = await trash.undo(connection, ANNA.personal, gone.concept_id)
        assert len(await pictures.references(connection, back)) == 1


async def test_forgetting_takes_no_more_than_a_moment_however_large_it_is(pool: asyncpg.Pool) -> None:
    """Eight pictures of 17 MB each couldn't be forgotten, neither by their owner nor by an admin."""
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        for number in range(8):
            large = replace(a_reference(number), picture=bytes(17_000_000), picture_sha256=f"{number:064}")
            await concepts.add_reference(connection, mug, large, 1)
    async with viewing(pool, governing(BO)) as connection:
        gone = await trash.forget_for_now(connection, mug, 2)
        assert (await trash.undo(connection, SERVER, gone.concept_id)).references == 9


async def test_who_undoes_is_refused_what_they_may_not_put(pool: asyncpg.Pool) -> None:
    anna = await remember(pool, BO, "Anna", owner=SERVER, person=1)
    async with viewing(pool, BO) as connection:
        gone = await trash.forget_for_now(connection, anna, 2)
    async with viewing(pool, Viewer(1)) as connection:
        await consent.object_to_sharing(connection, Viewer(1))
    with pytest.raises(UndoExpiredError):
        async with viewing(pool, BO) as connection:
            await trash.undo(connection, SERVER, gone.concept_id)


async def seen_by(pool: asyncpg.Pool, viewer: Viewer) -> dict[str, int]:
    async with viewing(pool, viewer) as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in ROWS
            if table not in {"picture", "correction"}
        }
