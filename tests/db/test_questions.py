"""The three transactions of a question, as the database sees them; who may see what is in `test_recall.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import pytest

from db import questions, servers, sightings
from db.concepts import get, remember
from db.errors import RateLimitedError
from db.geometry import WHOLE
from db.pool import viewing
from db.rate_limits import Limit
from db.types import Concept, RetrievalResult, ServerSettings, Sighting, Viewer, server_owner, user_owner
from tests.support.members import governing
from tests.support.memory import PACK, a_concept, a_jpeg, an_embedding

ANNA = Viewer(1, 10)
SPARING = Limit("ask", 1, timedelta(hours=1))


def nobody(_: RetrievalResult) -> Sequence[Concept]:
    return []


async def mochi(pool: asyncpg.Pool) -> Concept:
    async with viewing(pool, ANNA) as connection:
        return await remember(connection, a_concept(ANNA.personal, "Mochi"))


async def test_a_plan_knows_the_memories_and_counts_for_each_owner(pool: asyncpg.Pool) -> None:
    await mochi(pool)
    settings = ServerSettings(retention_days=3)
    async with viewing(pool, governing(ANNA)) as connection:
        await servers.change_settings(connection, server_owner(10), 1, settings, "set retention days 3")

    plan = await questions.plan_question(pool, ANNA, [(user_owner(1), SPARING), (server_owner(10), SPARING)])

    assert (plan.embedding_ids, plan.categories, plan.adapters) == ((PACK,), ("cat",), ())
    assert plan.keep_for == timedelta(days=3)
    with pytest.raises(RateLimitedError):  # the server's limit is used up, whoever asks there
        await questions.plan_question(pool, Viewer(2, 10), [(user_owner(2), SPARING), (server_owner(10), SPARING)])
    elsewhere = await questions.plan_question(pool, Viewer(2, 20), [(user_owner(2), SPARING)])  # that one didn't count
    assert elsewhere.keep_for == sightings.KEPT_FOR


async def test_a_text_is_about_who_it_names_or_what_its_words_are_or_who_was_spoken_of_last(pool: asyncpg.Pool) -> None:
    known = await mochi(pool)
    for text, earlier in (
        ("What does Mochi like?", []),
        ("Who sleeps on the piano?", []),
        ("And what else?", ["Tell me of Mochi", "Of whom else?"]),
    ):
        recalled = await questions.recall_for_question(pool, ANNA, text, earlier=earlier, wants_avatars_of=nobody)
        assert [concept.name for concept in recalled.result.mentioned] == ["Mochi"], text
        assert (recalled.avatars, recalled.embedding_ids) == ({}, (PACK,))

    shown = await questions.recall_for_question(pool, ANNA, "Mochi?", wants_avatars_of=lambda result: result.mentioned)
    assert shown.avatars[known.concept_id].picture == a_jpeg()
    of_bo = await questions.recall_for_question(pool, Viewer(2, 10), "Mochi?", wants_avatars_of=nobody)
    assert of_bo.result == RetrievalResult((), ())


@pytest.mark.parametrize("keep_for", [timedelta(days=1), timedelta(0)])
async def test_who_was_recognised_is_counted_whether_the_answer_is_kept_or_not(
    pool: asyncpg.Pool, keep_for: timedelta
) -> None:
    known = await mochi(pool)
    seen = [
        Sighting(
            region=region, box=WHOLE, embedding_id=PACK, embedding=an_embedding(), concept=concept, probability=None
        )
        for region, concept in enumerate([known, None])
    ]

    answer_id = await questions.keep_answer(pool, ANNA, a_jpeg(), 16, 12, seen, keep_for)

    async with viewing(pool, ANNA) as connection:
        assert (await get(connection, known.owner_id, known.concept_id)).times_recognised == 1
        kept = None if answer_id is None else await sightings.load_answer(connection, ANNA, answer_id)
    assert (kept is not None) is bool(keep_for)
    if kept is not None:
        assert [item.concept and item.concept.name for item in kept.sightings] == ["Mochi", None]
