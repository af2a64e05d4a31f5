"""What answers showed, for their buttons."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import asyncpg
import numpy as np

from db import concepts, sightings
from db.geometry import Box
from db.pool import viewing
from db.types import Sighting, Viewer, user_owner
from tests.support.memory import PACK, a_concept, a_jpeg, an_embedding

ANNA = Viewer(1, 10)
MINE = user_owner(1)


async def test_answers_are_kept_for_their_buttons(pool: asyncpg.Pool) -> None:
    jpeg = a_jpeg(3)
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, "Mochi"))
        seen = [
            Sighting(
                region=0,
                box=Box(left=0, top=0, right=0.5, bottom=1),
                embedding_id=PACK,
                embedding=an_embedding(1),
                concept=mochi,
                probability=0.75,
            ),
            Sighting(
                region=3, box=Box(left=0.5, top=0, right=1, bottom=1), embedding_id=PACK, embedding=an_embedding(2)
            ),
        ]
        answer_id = await sightings.store_answer(connection, ANNA, jpeg, 16, 12, seen)
    async with viewing(pool, ANNA) as connection:
        answer = await sightings.load_answer(connection, ANNA, answer_id)
    assert answer is not None
    assert (answer.picture, answer.width, answer.height) == (jpeg, 16, 12)
    assert answer.picture_sha256 == hashlib.sha256(jpeg).hexdigest()
    known, unknown = answer.sightings
    assert (known.region, known.box, known.concept, known.probability) == (
        0,
        Box(left=0, top=0, right=0.5, bottom=1),
        mochi,
        0.75,
    )
    assert (unknown.region, unknown.concept, unknown.probability) == (3, None, None)
    assert unknown.embedding.dtype == np.float32
    assert np.allclose(unknown.embedding, an_embedding(2), atol=1e-3)
    assert answer.sighting(3) is unknown
    assert answer.sighting(1) is None

    async with viewing(pool, ANNA) as connection:
        await sightings.rename_sighting(connection, ANNA, answer_id, replace(known, concept=None, probability=None))
        again = await sightings.load_answer(connection, ANNA, answer_id)
    assert again is not None
    assert [sighting.concept for sighting in again.sightings] == [None, None]
