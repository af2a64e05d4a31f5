"""Erasing somebody: everything of theirs, and nothing of others."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from db import concepts, consent, erasure, footprint, rate_limits, trash
from db.errors import NotRememberedError
from db.pool import viewing
from db.rate_limits import Limit
from db.types import Viewer, server_owner
from tests.support.members import ANNA, BO, ELSEWHERE, SERVER, answer, governing, names, remember, run_as_administrator
from tests.support.memory import a_reference


def vars_of(counted: object) -> list[int]:
    return [getattr(counted, name) for name in counted.__slots__]  # type: ignore[attr-defined]


async def test_erasing_takes_what_somebody_else_forgot_too(pool: asyncpg.Pool) -> None:
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    lamp = await remember(pool, BO, "The lamp", owner=SERVER)
    async with viewing(pool, governing(ANNA)) as connection:
        await concepts.add_reference(connection, lamp, a_reference(30), 1)
    async with viewing(pool, governing(BO)) as connection:
        for concept in (mug, lamp):
            await trash.forget_for_now(connection, concept, 2)

    async with viewing(pool, Viewer(1)) as connection:
        await erasure.erase(connection, Viewer(1))

    with pytest.raises(NotRememberedError):
        async with viewing(pool, BO) as connection:
            await trash.undo(connection, SERVER, mug.concept_id)
    async with viewing(pool, BO) as connection:
        assert (await trash.undo(connection, SERVER, lamp.concept_id)).references == 1


async def test_erasing_takes_everything_of_one_and_nothing_of_others(pool: asyncpg.Pool, database_url: str) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    await remember(pool, ANNA, "The mug", owner=SERVER)
    await remember(pool, ELSEWHERE, "The statue", owner=server_owner(20))
    rex = await remember(pool, BO, "Rex")
    lamp = await remember(pool, BO, "The lamp", owner=SERVER)
    await answer(pool, ANNA, mochi)
    await answer(pool, BO, rex)
    async with viewing(pool, governing(ANNA)) as connection:
        await consent.set_may_train(connection, ANNA, may=True)
        await concepts.add_reference(connection, lamp, a_reference(30), 1)
        await rate_limits.use(connection, ANNA.personal, Limit("ask", 5, timedelta(hours=1)))
        assert (await footprint.stored(connection, ANNA)).shared == 2
    run_as_administrator(
        database_url,
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES"
        """ ('q', 't', '{"owner_id": "user:1"}'), ('q', 't', '{"owner_id": "user:2"}')""",
    )

    async with viewing(pool, Viewer(1)) as connection:
        erased = await erasure.erase(connection, Viewer(1))

    assert (erased.rows["concept"], erased.rows["shared concepts"], erased.servers) == (1, 2, 2)
    assert erased.rows["pending job"] == 1
    assert await names(pool, BO, SERVER) == ["The lamp"]
    assert await names(pool, BO, BO.personal) == ["Rex"]
    async with viewing(pool, BO) as connection:
        assert (await concepts.get(connection, SERVER, lamp.concept_id)).references == 1
        assert (await footprint.stored(connection, BO)).answers == 1
    async with viewing(pool, Viewer(1)) as connection:
        assert set(vars_of(await footprint.stored(connection, Viewer(1)))) == {0}
