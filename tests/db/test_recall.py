"""Recall: which concepts are named, and which are in the regions of a picture."""

from __future__ import annotations

import asyncpg
import numpy as np
import pytest

from db import concepts, corrections, trash
from db.geometry import WHOLE, Box
from db.pool import viewing
from db.recall import mentioned_in, recall
from db.types import Calibration, Concept, OwnerId, Region, Sighting, Vector, Verdict, Viewer, server_owner, user_owner
from tests.support.memory import PACK, ASight, a_concept, a_reference, an_embedding

ANNA = Viewer(1, 10)
BO = Viewer(2, 10)
CALIBRATION = Calibration(embedding_id=PACK, slope=12.0, offset=-6.0, threshold=0.5)
LEFT, RIGHT = Box(left=0, top=0, right=0.5, bottom=1), Box(left=0.5, top=0, right=1, bottom=1)


async def remember(
    pool: asyncpg.Pool, name: str, embedding: Vector, owner: OwnerId = ANNA.personal, viewer: Viewer = ANNA
) -> Concept:
    new = a_concept(owner, name, reference=a_reference(hash(name) % 1000, embedding))
    async with viewing(pool, viewer) as connection:
        return await concepts.remember(connection, new)


async def seen(pool: asyncpg.Pool, *regions: Region, viewer: Viewer = ANNA, text: str = "") -> list[tuple[str, int]]:
    async with viewing(pool, viewer) as connection:
        recalled = await recall(connection, viewer, [ASight(regions, CALIBRATION)], text)
    return [(match.concept.name, match.region) for match in recalled.recognised]


async def named(pool: asyncpg.Pool, text: str, viewer: Viewer = ANNA) -> list[str]:
    async with viewing(pool, viewer) as connection:
        return [concept.name for concept in (await recall(connection, viewer, (), text)).mentioned]


def region(embedding: Vector, box: Box = WHOLE) -> Region:
    return Region(box, embedding, 1.0)


def near(embedding: Vector, amount: float = 0.2) -> Vector:
    moved = embedding + amount * an_embedding(99)
    return (moved / np.linalg.norm(moved)).astype(np.float32)


async def test_each_region_gets_its_best_concept_and_each_concept_one_region(pool: asyncpg.Pool) -> None:
    await remember(pool, "Mochi", an_embedding(1))
    await remember(pool, "Rex", an_embedding(2))
    found = await seen(
        pool,
        region(near(an_embedding(1)), LEFT),
        region(near(an_embedding(2)), RIGHT),
        region(near(an_embedding(1), 0.4), Box(left=0, top=0, right=0.2, bottom=0.2)),
    )
    assert sorted(found) == [("Mochi", 0), ("Rex", 1)]


async def test_what_is_not_alike_enough_is_nobody(pool: asyncpg.Pool) -> None:
    await remember(pool, "Mochi", an_embedding(1))
    assert await seen(pool, region(-an_embedding(1))) == []
    assert await seen(pool, region(0.4 * an_embedding(1))) == []
    assert await seen(pool) == []


async def test_of_two_in_one_place_the_more_probable_stays(pool: asyncpg.Pool) -> None:
    await remember(pool, "Mochi", an_embedding(1))
    await remember(pool, "Rex", an_embedding(2))
    found = await seen(
        pool,
        region(an_embedding(1), LEFT),
        region(near(an_embedding(2), 0.3), Box(left=0, top=0, right=0.45, bottom=1)),
    )
    assert found == [("Mochi", 0)]


async def test_every_reference_counts(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, "Mochi", an_embedding(1))
    assert await seen(pool, region(-an_embedding(1))) == []
    async with viewing(pool, ANNA) as connection:
        await concepts.add_reference(connection, mochi, a_reference(7, -an_embedding(1)), 1)
    assert await seen(pool, region(-an_embedding(1))) == [("Mochi", 0)]


async def test_embeddings_of_another_pack_are_not_compared(pool: asyncpg.Pool) -> None:
    await remember(pool, "Mochi", an_embedding(1))
    other = Calibration(embedding_id="another-pack", slope=12.0, offset=-6.0, threshold=0.5)
    async with viewing(pool, ANNA) as connection:
        recalled = await recall(connection, ANNA, [ASight([region(an_embedding(1))], other)])
    assert recalled.recognised == ()


async def test_nobody_recalls_what_is_anothers(pool: asyncpg.Pool) -> None:
    await remember(pool, "Mochi", an_embedding(1))
    await remember(pool, "The mug", an_embedding(2), owner=server_owner(10))
    regions = (region(an_embedding(1), LEFT), region(an_embedding(2), RIGHT))
    assert sorted(await seen(pool, *regions)) == [("Mochi", 0), ("The mug", 1)]
    assert await seen(pool, *regions, viewer=BO) == [("The mug", 1)]
    assert await seen(pool, *regions, viewer=Viewer(2, 20)) == []
    assert await seen(pool, *regions, viewer=Viewer(1)) == [("Mochi", 0)]
    assert await named(pool, "Mochi and the mug", viewer=BO) == ["The mug"]


async def test_not_them_holds_for_what_looks_like_it_and_for_who_said_it(pool: asyncpg.Pool) -> None:
    mug = await remember(pool, "The mug", an_embedding(1), owner=server_owner(10))
    wrong = near(an_embedding(1), 0.6)
    assert await seen(pool, region(wrong)) == [("The mug", 0)]

    sighting = Sighting(region=0, box=WHOLE, embedding_id=PACK, embedding=wrong, concept=mug, probability=0.9)
    async with viewing(pool, ANNA) as connection:
        await corrections.store(connection, ANNA, sighting, Verdict.INCORRECT)

    assert await seen(pool, region(wrong)) == []
    assert await seen(pool, region(near(an_embedding(1), 0.1))) == [("The mug", 0)]
    assert await seen(pool, region(wrong), viewer=BO) == [("The mug", 0)]


async def test_right_counts_as_a_reference_for_who_said_it(pool: asyncpg.Pool) -> None:
    mug = await remember(pool, "The mug", an_embedding(1), owner=server_owner(10))
    unlike = -an_embedding(1)
    async with viewing(pool, ANNA) as connection:
        await corrections.store(
            connection,
            ANNA,
            Sighting(region=0, box=WHOLE, embedding_id=PACK, embedding=unlike, concept=mug, probability=0.6),
            Verdict.RIGHT,
        )
    assert await seen(pool, region(unlike)) == [("The mug", 0)]
    assert await seen(pool, region(unlike), viewer=BO) == []


async def test_what_was_said_right_of_something_forgotten_takes_no_region_from_others(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, "Mochi", an_embedding(1))
    await remember(pool, "Rex", near(an_embedding(1)))
    judged = Sighting(
        region=0, box=WHOLE, embedding_id=PACK, embedding=near(an_embedding(1), 0.05), concept=mochi, probability=0.8
    )
    async with viewing(pool, ANNA) as connection:
        await corrections.store(connection, ANNA, judged, Verdict.RIGHT)
    assert await seen(pool, region(judged.embedding)) == [("Mochi", 0)]
    async with viewing(pool, ANNA) as connection:
        await trash.forget_for_now(connection, mochi, ANNA.user_id)
    assert await seen(pool, region(judged.embedding)) == [("Rex", 0)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What does Mochi eat?", ["Mochi"]),
        ("mochi's bowl", ["Mochi"]),
        ("what about <MOCHI>?", ["Mochi"]),
        ("mochiko is a flour", []),
        ("Rex and Mochi", ["Rex", "Mochi"]),
        ("is Old Rex here?", ["Old Rex"]),
        ("もちは何が好き？", ["もち"]),
        ("", []),
        ("nothing of the kind", []),
    ],
)
async def test_names_in_a_text(pool: asyncpg.Pool, text: str, found: list[str]) -> None:
    for seed, name in enumerate(("Mochi", "Rex", "Old Rex", "もち")):
        await remember(pool, name, an_embedding(seed))
    assert await named(pool, text) == found


async def test_ones_own_comes_before_the_servers_of_the_same_name(pool: asyncpg.Pool) -> None:
    await remember(pool, "Mochi", an_embedding(1))
    await remember(pool, "Mochi", an_embedding(2), owner=server_owner(10))
    async with viewing(pool, ANNA) as connection:
        mentioned = (await recall(connection, ANNA, (), "mochi")).mentioned
    assert [concept.owner_id for concept in mentioned] == [user_owner(1)]


async def test_ones_own_memory_comes_before_what_others_shared(pool: asyncpg.Pool) -> None:
    own = await remember(pool, "Mochi", an_embedding(1))
    longer = await remember(pool, "Mochi the cat", an_embedding(2), server_owner(10), BO)
    async with viewing(pool, ANNA) as connection:
        of_anna = await mentioned_in(connection, ANNA, "who is mochi the cat?")
    async with viewing(pool, BO) as connection:
        of_bo = await mentioned_in(connection, BO, "who is mochi the cat?")
    assert [concept.concept_id for concept in of_anna] == [own.concept_id]
    assert [concept.concept_id for concept in of_bo] == [longer.concept_id]


async def test_a_word_of_talk_names_nobody_not_even_in_ones_own_memory(pool: asyncpg.Pool) -> None:
    await remember(pool, "Who", an_embedding(1))
    rex = await remember(pool, "Rex", an_embedding(2))
    async with viewing(pool, ANNA) as connection:
        found = await mentioned_in(connection, ANNA, "Who is Rex?")
    assert [concept.concept_id for concept in found] == [rex.concept_id]
