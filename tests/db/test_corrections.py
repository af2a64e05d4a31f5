"""What viewers said about recognitions."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
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
