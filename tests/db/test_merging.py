"""Two concepts that turn out to be the same one."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest

from db import merging, pictures
from db.errors import CannotMergeError
from db.names import TextTooLongError
from db.pool import viewing
from tests.support.members import ANNA, SERVER, answer, names, remember, rows
from tests.support.memory import a_jpeg


async def test_merging_keeps_the_pictures_and_words_of_both(pool: asyncpg.Pool, database_url: str) -> None:
    mochi, chelsea = await remember(pool, ANNA, "Mochi", "a cat"), await remember(pool, ANNA, "Chelsea", "hates rain")
    await answer(pool, ANNA, mochi, "incorrect")
    await answer(pool, ANNA, chelsea, "right")

    async with viewing(pool, ANNA) as connection:
        merged = await merging.merge(connection, ANNA, mochi, chelsea)
        shown = await pictures.references(connection, merged)

    assert (merged.name, merged.info, merged.references) == ("Mochi", "a cat\nhates rain", 2)
    assert {reference.picture for reference in shown} == {a_jpeg(5), a_jpeg(7)}
    assert [reference.is_avatar for reference in shown].count(True) == 1
    assert await names(pool, ANNA, ANNA.personal) == ["Mochi"]
    with psycopg.connect(database_url) as administrator:
        verdicts = administrator.execute("SELECT verdict, concept_id FROM correction").fetchall()
    assert verdicts == [("right", mochi.concept_id)]


async def test_what_is_too_long_together_is_not_merged_and_nothing_is_lost(
    pool: asyncpg.Pool, database_url: str
) -> None:
    concept, two = await remember(pool, ANNA, "Mochi", "a" * 600), await remember(pool, ANNA, "Rex", "b" * 600)
    before = rows(database_url)
    with pytest.raises(TextTooLongError):
        async with viewing(pool, ANNA) as connection:
            await merging.merge(connection, ANNA, concept, two)
    assert rows(database_url) == before


async def test_only_two_of_one_memory_are_merged(pool: asyncpg.Pool) -> None:
    mochi, mug = await remember(pool, ANNA, "Mochi"), await remember(pool, ANNA, "The mug", owner=SERVER)
    for kept, other in ((mochi, mug), (mug, mochi), (mochi, mochi)):
        with pytest.raises(CannotMergeError):
            async with viewing(pool, ANNA) as connection:
                await merging.merge(connection, ANNA, kept, other)
