"""The pictures of a concept: more of them, which one is shown, and the last one."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from db import concepts, pictures
from db.errors import LastReferenceError, NotRememberedError
from db.pool import viewing
from db.types import Viewer, user_owner
from tests.support.members import remember
from tests.support.memory import a_concept, a_jpeg, a_reference

ANNA = Viewer(1, 10)
MINE = user_owner(1)


async def _counts(pool: asyncpg.Pool) -> dict[str, int]:
    async with viewing(pool, ANNA) as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("picture", "concept", "reference", "embedding")
        }


async def test_the_last_picture_stays(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    async with viewing(pool, ANNA) as connection:
        await concepts.add_reference(connection, mochi, a_reference(3), 1)
        first, second = await pictures.references(connection, mochi)
        left = await concepts.remove_reference(connection, mochi, first.reference_id)
        assert left.references == 1
        shown = await pictures.avatar(connection, mochi)
        assert shown is not None
        assert shown.picture == second.picture
        with pytest.raises(LastReferenceError):
            await concepts.remove_reference(connection, mochi, second.reference_id)


async def test_more_references(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, "Mochi", 0))
        more = await concepts.add_reference(connection, mochi, a_reference(1), created_by=1)
        same_picture = await concepts.add_reference(connection, mochi, a_reference(1), created_by=1)
        avatar = await pictures.avatar(connection, mochi)
    assert (more.references, same_picture.references) == (2, 3)
    assert avatar is not None
    assert avatar.picture == a_jpeg(0)
    assert await _counts(pool) == {"picture": 2, "concept": 1, "reference": 3, "embedding": 3}
    async with viewing(pool, ANNA) as connection:
        with pytest.raises(NotRememberedError):
            await concepts.add_reference(connection, replace(mochi, concept_id=uuid4()), a_reference(2), 1)
