"""Undo and proposals: what is out of the way of recall, and comes back to the last bit."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

from db import concepts, pictures, trash
from db.errors import NameTakenError, NotRememberedError, UndoExpiredError
from db.maintenance import delete_what_is_due
from db.pool import viewing
from db.types import server_owner
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
    assert rows(database_url) == {table: [] for table in ROWS}
    async with viewing(pool, ANNA) as connection:
        await trash.undo(connection, ANNA.personal, gone.set_aside_id)

    assert rows(database_url) == before


async def test_undo_is_for_who_forgot_it_and_only_for_a_while(pool: asyncpg.Pool, database_url: str) -> None:
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, mug, 1)
    for viewer, owner in ((BO, SERVER), (BO, BO.personal), (ELSEWHERE, server_owner(20))):
        with pytest.raises(UndoExpiredError):
            async with viewing(pool, viewer) as connection:
                await trash.undo(connection, owner, gone.set_aside_id)
    run_as_administrator(database_url, "UPDATE set_aside SET expires_at = now()")
    with pytest.raises(UndoExpiredError):
        async with viewing(pool, ANNA) as connection:
            await trash.undo(connection, SERVER, gone.set_aside_id)
    assert (await delete_what_is_due(pool))["set_aside"] == 1


async def test_undo_waits_when_the_name_is_taken_by_now(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi", "the first")
    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, mochi, 1)
    await remember(pool, ANNA, "MOCHI", "the second")
    with pytest.raises(NameTakenError):
        async with viewing(pool, ANNA) as connection:
            await trash.undo(connection, ANNA.personal, gone.set_aside_id)
    async with viewing(pool, ANNA) as connection:
        [second] = await concepts.find(connection, ANNA, "mochi")
        await concepts.edit(connection, second, name="Another")
        await trash.undo(connection, ANNA.personal, gone.set_aside_id)
    assert await names(pool, ANNA, ANNA.personal) == ["Another", "Mochi"]


async def test_a_proposal_is_taken_in_or_declined(pool: asyncpg.Pool) -> None:
    mochi, rex = await remember(pool, ANNA, "Mochi"), await remember(pool, ANNA, "Rex")
    async with viewing(pool, ANNA) as connection:
        for concept in (mochi, rex):
            await trash.propose(connection, concept, SERVER, 1)
    assert await names(pool, BO, SERVER) == []
    async with viewing(pool, governing(BO)) as connection:
        first, second = await trash.proposals(connection, SERVER)
        await trash.approve(connection, SERVER, first.set_aside_id)
        assert await trash.decline(connection, SERVER, second.set_aside_id) == "Rex"
        assert await trash.proposals(connection, SERVER) == []
        with pytest.raises(NotRememberedError):
            await trash.approve(connection, SERVER, uuid4())
    assert await names(pool, BO, SERVER) == ["Mochi"]
    assert await names(pool, ANNA, ANNA.personal) == ["Mochi", "Rex"]
