"""Concepts: remember, find, change, forget, suggest."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import asyncpg
import numpy as np
import pytest

from db import concepts, pictures
from db.errors import NameTakenError, NotRememberedError
from db.geometry import Box
from db.names import InvalidTextError
from db.pool import viewing
from db.types import Viewer, server_owner, user_owner
from tests.support.memory import a_concept, a_reference, an_embedding

ANNA = Viewer(1, 10)
MINE = user_owner(1)
OURS = server_owner(10)


async def _counts(pool: asyncpg.Pool) -> dict[str, int]:
    async with viewing(pool, ANNA) as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("picture", "concept", "reference", "embedding")
        }


async def test_remember_and_find(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, " Mochi "))
    assert (mochi.name, mochi.info, mochi.category) == ("Mochi", "Sleeps on the piano.", "cat")
    assert (mochi.owner_id, mochi.created_by, mochi.references) == (MINE, 1, 1)
    assert (mochi.times_recognised, mochi.last_seen, mochi.is_shared) == (0, None, False)
    async with viewing(pool, ANNA) as connection:
        assert await concepts.find(connection, ANNA, "MOCHI") == [mochi]
        assert await concepts.find(connection, ANNA, "Moch") == []
        assert await concepts.find(connection, ANNA, "a\x00\ud83d") == []
        assert await concepts.count(connection, MINE) == 1
        avatar = await pictures.avatar(connection, mochi)
        stored = await connection.fetchval("SELECT vector FROM embedding")
    reference = a_reference(0)
    assert avatar is not None
    assert (avatar.picture, avatar.width, avatar.height, avatar.box) == (
        reference.picture,
        16,
        12,
        reference.box,
    )
    assert np.allclose(stored.to_numpy(), an_embedding(0), atol=1e-3)


@pytest.mark.parametrize(
    "broken",
    [
        {"embedding": np.array([np.nan, 1.0], dtype=np.float32)},
        {"embedding_id": ""},
        {"box": Box(left=0.9, top=0.0, right=0.1, bottom=1.0)},
        {"picture_sha256": "no digest"},
    ],
)
async def test_remembering_is_all_or_nothing(pool: asyncpg.Pool, broken: dict[str, object]) -> None:
    reference = replace(a_reference(), **broken)
    with pytest.raises((asyncpg.PostgresError, ValueError)):
        async with viewing(pool, ANNA) as connection:
            await concepts.remember(connection, a_concept(MINE, "Mochi", reference=reference))
    assert await _counts(pool) == {"picture": 0, "concept": 0, "reference": 0, "embedding": 0}
    async with viewing(pool, ANNA) as connection:
        await concepts.remember(connection, a_concept(MINE, "Mochi"))


@pytest.mark.parametrize(("name", "other"), [("Strauß", "STRAUSS"), ("IŞIK", "ışık"), ("Ame\u0301lie", "amélie")])
async def test_a_name_is_taken_without_regard_to_case(pool: asyncpg.Pool, name: str, other: str) -> None:
    async with viewing(pool, ANNA) as connection:
        await concepts.remember(connection, a_concept(MINE, name))
        with pytest.raises(NameTakenError):
            await concepts.remember(connection, a_concept(MINE, other, seed=1))
        # The transaction goes on, and other owners have names of their own.
        await concepts.remember(connection, a_concept(OURS, other, seed=1))
        found = await concepts.find(connection, ANNA, name)
    assert [concept.owner_id for concept in found] == [MINE, OURS]
    assert await _counts(pool) == {"picture": 2, "concept": 2, "reference": 2, "embedding": 2}


async def test_one_name_given_twice_at_once_is_stored_once(pool: asyncpg.Pool) -> None:
    async def attempt(seed: int) -> str:
        try:
            async with viewing(pool, ANNA) as connection:
                await concepts.remember(connection, a_concept(MINE, "Mochi", seed))
        except NameTakenError:
            return "taken"
        return "stored"

    results = await asyncio.gather(*(attempt(seed) for seed in range(8)))
    assert sorted(results) == ["stored"] + ["taken"] * 7
    assert await _counts(pool) == {"picture": 1, "concept": 1, "reference": 1, "embedding": 1}


async def test_edit(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, "Mochi"))
        await concepts.remember(connection, a_concept(MINE, "Rex", 1))
        changed = await concepts.edit(connection, mochi, info="Sleeps on the stove.")
        assert changed == replace(mochi, info="Sleeps on the stove.")
        assert (await concepts.edit(connection, mochi, info="", category="dog")).info == ""
        assert (await concepts.edit(connection, mochi, name="MOCHI")).name == "MOCHI"
        with pytest.raises(NameTakenError):
            await concepts.edit(connection, mochi, name="rex")
        with pytest.raises(InvalidTextError):
            await concepts.edit(connection, mochi, name="<image>")
        assert (await concepts.edit(connection, mochi, name="Mochiko")).category == "dog"
        assert await concepts.find(connection, ANNA, "Mochi") == []
        with pytest.raises(NotRememberedError):
            await concepts.edit(connection, replace(mochi, concept_id=uuid4()), info="x")


async def test_forget_takes_all_but_pictures_still_used(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, "Mochi", 0))
        await concepts.add_reference(connection, mochi, a_reference(1), created_by=1)
        rex = await concepts.remember(connection, a_concept(MINE, "Rex", 0))  # in the same picture as Mochi
        assert await concepts.forget(connection, mochi.owner_id, mochi.concept_id) == "Mochi"
    assert await _counts(pool) == {"picture": 1, "concept": 1, "reference": 1, "embedding": 1}
    async with viewing(pool, ANNA) as connection:
        assert await pictures.avatar(connection, rex) is not None
        with pytest.raises(NotRememberedError):
            await concepts.forget(connection, mochi.owner_id, mochi.concept_id)
        await concepts.forget(connection, rex.owner_id, rex.concept_id)
    assert await _counts(pool) == {"picture": 0, "concept": 0, "reference": 0, "embedding": 0}


async def test_forgetting_and_remembering_with_one_picture_at_once(pool: asyncpg.Pool) -> None:
    async def forget(name: str) -> None:
        async with viewing(pool, ANNA) as connection:
            [concept] = await concepts.find(connection, ANNA, name)
            await concepts.forget(connection, concept.owner_id, concept.concept_id)

    async def remember(name: str) -> None:
        async with viewing(pool, ANNA) as connection:
            await concepts.remember(connection, a_concept(MINE, name))

    await remember("0")
    for turn in range(20):
        await asyncio.gather(forget(str(turn)), remember(str(turn + 1)))
    assert await _counts(pool) == {"picture": 1, "concept": 1, "reference": 1, "embedding": 1}


async def test_suggestions(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        for seed, (owner, name) in enumerate(
            [(MINE, "Mochi"), (MINE, "Tamochi"), (MINE, "Rex"), (OURS, "mochi"), (OURS, "100%_mo\\")]
        ):
            await concepts.remember(connection, a_concept(owner, name, seed))
        assert await concepts.suggest_names(connection, ANNA, "MO") == [
            "Mochi",
            "100%_mo\\",
            "Tamochi",
            "Rex",
        ]
        assert await concepts.suggest_names(connection, ANNA, "%") == ["100%_mo\\", "Mochi", "Rex", "Tamochi"]
        assert len(await concepts.suggest_names(connection, ANNA, "", limit=2)) == 2
        assert await concepts.suggest_names(connection, Viewer(2, 10), "mochi") == ["mochi", "100%_mo\\"]
        assert await concepts.did_you_mean(connection, ANNA, "mohci") == ["Mochi", "mochi", "Tamochi"]
        assert await concepts.did_you_mean(connection, ANNA, "Kilimanjaro") == []
        assert [concept.name for concept in await concepts.list_concepts(connection, MINE)] == [
            "Mochi",
            "Rex",
            "Tamochi",
        ]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("mohci", ["Mochi"]),  # two letters swapped
        ("grandm", ["Grandma"]),
        ("kilimanjarro", ["Kilimanjaro"]),
        ("さくぁ", ["さくら"]),
        ("МУКРА", ["Мурка"]),
        ("zanzibar", []),
        ("%", []),
        ("", []),
        ("\x00\udfff", []),
    ],
)
async def test_did_you_mean_names_that_look_alike(pool: asyncpg.Pool, typed: str, meant: list[str]) -> None:
    async with viewing(pool, ANNA) as connection:
        for seed, name in enumerate(["Mochi", "Grandma", "Kilimanjaro", "さくら", "Мурка"]):
            await concepts.remember(connection, a_concept(MINE, name, seed))

        assert await concepts.did_you_mean(connection, ANNA, typed) == meant


async def test_mark_recognised(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, "Mochi"))
        mug = await concepts.remember(connection, a_concept(OURS, "Mug", 1))
        await concepts.mark_recognised(connection, [])

    async def answer(order: list[int]) -> None:
        async with viewing(pool, ANNA) as connection:
            await concepts.mark_recognised(connection, [[mochi, mug][index] for index in order])

    await asyncio.gather(*(answer([0, 1]) for _ in range(10)), *(answer([1, 0]) for _ in range(10)))
    async with viewing(pool, ANNA) as connection:
        [after] = await concepts.find(connection, ANNA, "mochi")
    assert after.times_recognised == 20
    assert after.last_seen is not None
