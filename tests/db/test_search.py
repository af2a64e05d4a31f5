"""Looking through a memory: by page, by category, by words with typing errors in them."""

from __future__ import annotations

import asyncpg
import pytest

from db import concepts, search
from db.pool import viewing
from tests.support.members import ANNA, BO, remember


@pytest.fixture
async def shelf(pool: asyncpg.Pool) -> asyncpg.Pool:
    await remember(pool, ANNA, "Roadster", "my blue bicycle, bought from Henrik; the bike has a bell", category="bike")
    await remember(pool, ANNA, "Mochi", "a tabby cat who hates the vacuum cleaner", category="Cat")
    await remember(pool, ANNA, "Tasse", "die blaue Tasse aus Lissabon", category="cup")
    await remember(pool, ANNA, "もち", "餅が好き", category="cat")
    await remember(pool, BO, "Bike of Bo", "blue bike", category="bike")
    return pool


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("vacuum", "Mochi"),
        ("vacum clener", "Mochi"),
        ("hating", "Mochi"),
        ("blue bikes", "Roadster"),
        ("Lissabon", "Tasse"),
        ("henrick", "Roadster"),
        ("もち", "もち"),
        ("tabby bicycle", None),
        ("zebra", ""),
        ("the", "Mochi"),
        ("' OR 1=1; --", ""),
        ("🐟", ""),
    ],
)
async def test_words_find_what_was_said_in_spite_of_typing_errors(
    shelf: asyncpg.Pool, words: str, first: str | None
) -> None:
    async with viewing(shelf, ANNA) as connection:
        found = [concept.name for concept in await search.browse(connection, [ANNA.personal], search=words)]
    if first is None:
        assert set(found) == {"Mochi", "Roadster"}
    else:
        assert found[:1] == ([first] if first else [])


async def test_hostile_searches_find_nothing_and_break_nothing(shelf: asyncpg.Pool) -> None:
    async with viewing(shelf, ANNA) as connection:
        for words in ("\x00", "\ud800", "a" * 10_000, " ".join(str(number) for number in range(5000)), "%_\\", "&|!:*"):
            assert await search.browse(connection, [ANNA.personal], search=words) == []
            assert await search.about(connection, [ANNA.personal], words) == ()


async def test_a_memory_is_leafed_through_by_page_and_category(shelf: asyncpg.Pool) -> None:
    async with viewing(shelf, ANNA) as connection:
        everything = [concept.name for concept in await search.browse(connection, [ANNA.personal])]
        second = [concept.name for concept in await search.browse(connection, [ANNA.personal], limit=2, offset=2)]
        cats = [concept.name for concept in await search.browse(connection, [ANNA.personal], category="CAT")]
        kinds = await search.categories(connection, [ANNA.personal])
    assert everything == ["Mochi", "Roadster", "Tasse", "もち"]
    assert second == ["Tasse", "もち"]
    assert cats == ["Mochi", "もち"]
    assert [text.lower() for text in kinds] == ["cat", "bike", "cup"]


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("what did I say about the blue bike?", ["Roadster"]),
        ("Who hates the vacuum cleaner?", ["Mochi"]),
        ("What do you know about Henrik's bicycle?", ["Roadster"]),
        ("how are you today?", []),
        ("what do I like?", []),
        ("tell me a joke", []),
        ("what is the capital of France?", []),
    ],
)
async def test_a_question_is_about_what_its_words_say(shelf: asyncpg.Pool, question: str, about: list[str]) -> None:
    async with viewing(shelf, ANNA) as connection:
        found = await search.about(connection, concepts.owners(ANNA), question)
    assert [concept.name for concept in found] == about
