"""What people allow: being trained on, and being shared."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import pytest

from db import concepts, consent, proposals, sharing
from db.errors import ObjectedError
from db.pool import viewing
from db.types import Viewer, server_owner
from tests.support.members import ANNA, BO, SERVER, names, remember, say


async def test_consent_is_off_until_it_is_given(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        assert not await consent.may_train(connection, ANNA)
        await consent.set_may_train(connection, ANNA, may=True)
        assert await consent.may_train(connection, ANNA)
        await consent.set_may_train(connection, ANNA, may=False)
        assert not await consent.may_train(connection, ANNA)


async def test_an_objection_deletes_what_is_shared_of_a_person_and_keeps_it_out(pool: asyncpg.Pool) -> None:
    await remember(pool, BO, "Anna", owner=SERVER, person=1)
    await remember(pool, Viewer(2, 20), "Anna", owner=server_owner(20), person=1)
    private = await remember(pool, BO, "Anna", person=1)
    await remember(pool, BO, "The lamp", owner=SERVER)

    async with viewing(pool, Viewer(1)) as connection:
        assert await consent.object_to_sharing(connection, Viewer(1)) == 2

    assert await names(pool, BO, SERVER) == ["The lamp"]
    assert await names(pool, Viewer(2, 20), server_owner(20)) == []
    assert await names(pool, BO, BO.personal) == ["Anna"]
    with pytest.raises(ObjectedError):
        await remember(pool, BO, "Anna again", owner=SERVER, person=1)
    with pytest.raises(ObjectedError):
        async with viewing(pool, BO) as connection:
            await proposals.propose(connection, private, SERVER)
    with pytest.raises(ObjectedError):
        async with viewing(pool, BO) as connection:
            await sharing.copy(connection, private, SERVER)
    async with viewing(pool, BO) as connection:
        [lamp] = await concepts.find(connection, BO, "The lamp")
        with pytest.raises(ObjectedError):
            await concepts.edit(connection, lamp, linked_user=1)

    async with viewing(pool, ANNA) as connection:
        await consent.withdraw_objection(connection, ANNA)
    await remember(pool, BO, "Anna again", owner=SERVER, person=1)


async def test_nobody_objects_for_somebody_else(pool: asyncpg.Pool) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with viewing(pool, BO) as connection:
            await connection.execute("INSERT INTO objection (user_id) VALUES (1)")
    async with viewing(pool, ANNA) as connection:
        await consent.object_to_sharing(connection, ANNA)
    async with viewing(pool, BO) as connection:
        await connection.execute("DELETE FROM objection")
        assert await consent.objects(connection, 1)


async def test_linking_and_objecting_in_the_same_moment_never_both_hold(pool: asyncpg.Pool) -> None:
    known = [await remember(pool, BO, f"Anna {number}", person=1) for number in range(12)]
    async with viewing(pool, BO) as connection:
        for concept in known:
            await sharing.share(connection, concept, SERVER)
    await say(pool, 1, agrees=True)

    async def link(number: int) -> None:
        with contextlib.suppress(ObjectedError):
            async with viewing(pool, BO) as connection:
                await sharing.share(connection, known[number], SERVER)

    async def object_now() -> None:
        async with viewing(pool, Viewer(1)) as connection:
            await consent.object_to_sharing(connection, Viewer(1))

    await asyncio.gather(
        *(link(number) for number in range(6)), object_now(), *(link(number) for number in range(6, 12))
    )
    assert await names(pool, BO, SERVER) == []
