"""What viewers said about recognitions."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import psycopg
import pytest

from db import concepts, corrections
from db.errors import NotRememberedError
from db.geometry import WHOLE
from db.pool import viewing
from db.types import Sighting, Verdict, Viewer, user_owner
from tests.support.memory import PACK, a_concept, an_embedding

ANNA = Viewer(1, 10)
MINE = user_owner(1)


async def test_the_latest_correction_counts(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, "Mochi"))
        seen = Sighting(
            region=0,
            box=WHOLE,
            embedding_id=PACK,
            embedding=an_embedding(1),
            concept=mochi,
            probability=0.75,
        )
        for verdict in (Verdict.RIGHT, Verdict.INCORRECT, Verdict.INCORRECT):
            await corrections.store(connection, ANNA, seen, verdict)
        await corrections.store(connection, ANNA, replace(seen, embedding=an_embedding(2)), Verdict.RIGHT)
        stored = [row["verdict"] for row in await connection.fetch("SELECT verdict FROM correction")]
        assert sorted(stored) == ["incorrect", "right"]
        with pytest.raises(NotRememberedError):
            await corrections.store(connection, ANNA, replace(seen, concept=None), Verdict.RIGHT)
        await concepts.forget(connection, mochi.owner_id, mochi.concept_id)
        assert await connection.fetch("SELECT * FROM correction") == []
        with pytest.raises(NotRememberedError):
            await corrections.store(connection, ANNA, seen, Verdict.RIGHT)


@pytest.mark.parametrize("table", ["correction", "embedding", "sighting"])
@pytest.mark.parametrize("length", [0.0, 0.25, 2.0, 600.0])
def test_no_table_takes_a_vector_that_would_stand_before_all_others(
    database_url: str, table: str, length: float
) -> None:
    with psycopg.connect(database_url) as administrator:
        [checked] = administrator.execute(
            "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conname = %s", (f"{table}_is_sound",)
        ).fetchall()
        asked = f"SELECT {checked[0]} FROM (SELECT %s::halfvec AS vector) AS given"
        assert administrator.execute(asked, (str([length, 0.0]),)).fetchone() == (False,)
        assert administrator.execute(asked, (str([0.8, 0.6]),)).fetchone() == (True,)


async def test_a_correction_is_sound_or_not_stored(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, "Mochi"))
        hostile = Sighting(
            region=0, box=WHOLE, embedding_id=PACK, embedding=600 * an_embedding(1), concept=mochi, probability=0.75
        )
        with pytest.raises(asyncpg.CheckViolationError):
            await corrections.store(connection, ANNA, hostile, Verdict.RIGHT)
