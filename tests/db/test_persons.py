"""People: what counts as one, and that nobody is kept before somebody gave their word that they agree."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest

from db import archives, concepts, erasure, merging, persons, recall, search
from db.archives import Arriving
from db.errors import PeopleOffError, UserFacingError, WordMissingError
from db.geometry import WHOLE
from db.pool import open_pool, viewing
from db.roles import app_url
from db.types import Concept, Region
from tests.support.leaks.world import CALIBRATION
from tests.support.members import ANNA, names, remember, run_as_administrator
from tests.support.memory import ASight, a_concept, a_reference


@pytest.mark.parametrize(
    "category",
    [
        *(
            "person",
            "Women",
            "my best friend",
            "ＦＲＩＥＮＤ",
            "chıld",
            "CHİLD",
            "NIÑO",
            "Mädchen",
            "bébé",
            "per\u200dson",
        )
    ],
)
async def test_a_word_for_a_person_makes_one(pool: asyncpg.Pool, category: str) -> None:
    async with viewing(pool, ANNA) as connection:
        assert await persons.people_among(connection, [(None, category)]) == (0,)


@pytest.mark.parametrize("category", ["", "cat", "personal mug", "mankini", "もち", "-", "womansy"])
async def test_other_words_do_not(pool: asyncpg.Pool, category: str) -> None:
    async with viewing(pool, ANNA) as connection:
        assert await persons.people_among(connection, [(None, category)]) == ()
        assert await persons.people_among(connection, [(None, "cat"), (7, category)]) == (1,)


async def test_nobody_is_kept_before_the_word_is_given_and_it_is_given_once(pool: asyncpg.Pool) -> None:
    with pytest.raises(WordMissingError):
        await remember(pool, ANNA, "Bo", category="friend")
    assert await names(pool, ANNA, ANNA.personal) == []

    async with viewing(pool, ANNA) as connection:
        await persons.vouch(connection, ANNA)
        first = await persons.vouched_at(connection, ANNA)
    bo = await remember(pool, ANNA, "Bo", category="friend")
    async with viewing(pool, ANNA) as connection:
        await persons.vouch(connection, ANNA)
        assert await persons.vouched_at(connection, ANNA) == first
    assert bo.is_person


async def test_no_other_door_makes_a_person_without_the_word(pool: asyncpg.Pool) -> None:
    mug = await remember(pool, ANNA, "Mug")
    await _is_refused(pool, WordMissingError, mug)
    async with viewing(pool, ANNA) as connection:
        assert (await concepts.edit(connection, mug, info="still a mug", category="cup")).category == "cup"


async def test_merging_into_a_person_passes_the_same_check(pool: asyncpg.Pool, database_url: str) -> None:
    bo, other = await remember(pool, ANNA, "Bo", person=2), await remember(pool, ANNA, "Bob")
    run_as_administrator(database_url, "UPDATE person SET vouched_at = NULL")
    with pytest.raises(WordMissingError):
        async with viewing(pool, ANNA) as connection:
            await merging.merge(connection, ANNA, other, bo)
    async with viewing(pool, ANNA) as connection:
        assert (await merging.merge(connection, ANNA, bo, other)).linked_user == 2


async def test_where_people_are_off_no_door_lets_one_in_and_none_is_named(
    pool: asyncpg.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mug = await remember(pool, ANNA, "Mug")
    bo = await remember(pool, ANNA, "Bo", "likes jazz", person=2, reference=a_reference(5))
    sight = ASight([Region(WHOLE, a_reference(5).embedding, 1.0)], CALIBRATION)
    async with viewing(pool, ANNA) as connection:
        assert await _recalled(connection, sight) == {"Bo"}

    monkeypatch.setenv("KEEPSAKE_PEOPLE", "off")
    without = await open_pool(app_url(database_url), largest=2)
    try:
        await _is_refused(without, PeopleOffError, mug)
        with pytest.raises(PeopleOffError):
            await remember(without, ANNA, "Carol", category="woman")
        async with viewing(without, ANNA) as connection:
            assert await _recalled(connection, sight) == set()
            listed = await search.browse(connection, [ANNA.personal])
            kept = await archives.whole_concepts(connection, ANNA.personal)
            assert {concept.name for concept in listed} == {whole.concept.name for whole in kept} == {"Bo", "Mug"}
            await concepts.edit(connection, bo, info="")
            await concepts.forget(connection, ANNA.personal, bo.concept_id)
    finally:
        await without.close()


async def test_delete_everything_deletes_the_word(pool: asyncpg.Pool) -> None:
    await remember(pool, ANNA, "Bo", person=2)
    async with viewing(pool, ANNA) as connection:
        await erasure.erase(connection, ANNA)
        assert await persons.vouched_at(connection, ANNA) is None
    with pytest.raises(WordMissingError):
        await remember(pool, ANNA, "Bo", category="friend")


async def _is_refused(pool: asyncpg.Pool, error: type[UserFacingError], mug: Concept) -> None:
    """Try every door but `remember` that could make a person."""
    for change in ({"category": "friend"}, {"linked_user": 2}):
        with pytest.raises(error):
            async with viewing(pool, ANNA) as connection:
                await concepts.edit(connection, mug, **change)  # type: ignore[arg-type]
    arriving = Arriving(
        new=replace(a_concept(ANNA.personal, "Somebody"), category="man"),
        more=(),
        notes=(),
        created_at=mug.created_at,
        times_recognised=0,
        last_seen=None,
    )
    with pytest.raises(error):
        async with viewing(pool, ANNA) as connection:
            await archives.bring_in(connection, [arriving])
    assert "Somebody" not in await names(pool, ANNA, ANNA.personal)


async def _recalled(connection: asyncpg.Connection, sight: ASight) -> set[str]:
    """Return whom a picture shows, a text names, and words are about."""
    found = await recall.recall(connection, ANNA, [sight], "Where is Bo?")
    about = await search.about(connection, [ANNA.personal], "Who was into jazz?")
    return {concept.name for concept in [*found.mentioned, *(match.concept for match in found.recognised), *about]}
