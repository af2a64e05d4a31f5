"""Where pictures come from: kept wherever they go, and decided by whose message they are from."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest

from db import concepts, consent, erasure, footprint, merging, pictures, proposals, purging, sharing, training, trash
from db.adapters import check_still_given
from db.errors import AuthorObjectedError, DataWithdrawnError
from db.pool import entering, opening_trash, viewing
from db.types import Concept, Source, Viewer
from tests.support.members import ANNA, BO, SERVER, answer, governing, remember, rows
from tests.support.memory import a_reference

CLEO = Viewer(3, 10)
FROM_CLEO = Source(3, 33)
TAKEN = replace(a_reference(70), source=FROM_CLEO)


async def sources(pool: asyncpg.Pool, viewer: Viewer, concept: Concept) -> list[Source | None]:
    async with viewing(pool, viewer) as connection:
        return [reference.source for reference in await pictures.references(connection, concept)]


async def add(pool: asyncpg.Pool, viewer: Viewer, concept: Concept, seed: int, source: Source | None) -> None:
    async with viewing(pool, viewer) as connection:
        reference = replace(a_reference(seed), source=source)
        await concepts.add_reference(connection, concept, reference, viewer.user_id)


async def test_the_origin_stays_through_undo_sharing_approval_and_merging(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi", reference=TAKEN)
    other = await remember(pool, ANNA, "Mochi's twin")

    async with viewing(pool, governing(ANNA)) as connection:
        gone = await trash.forget_for_now(connection, mochi, 1)
        mochi = await trash.undo(connection, ANNA.personal, gone.concept_id)
        await proposals.propose(connection, mochi, SERVER)
        [proposal] = await proposals.proposals_of(connection, ANNA)
        await sharing.approve(connection, SERVER, proposal.proposal_id, proposal.seen)
        [shared] = await concepts.list_concepts(connection, SERVER)
        merged = await merging.merge(connection, ANNA, other, mochi)

    assert await sources(pool, ANNA, shared) == [FROM_CLEO]
    assert set(await sources(pool, ANNA, merged)) == {FROM_CLEO, None}


async def test_a_picture_from_a_message_is_never_trained_on_whoever_allows_it(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    await add(pool, ANNA, mochi, 71, FROM_CLEO)
    await add(pool, ANNA, mochi, 72, Source(1, 11))
    only_taken = await remember(pool, ANNA, "The lamp", reference=TAKEN)
    for viewer in (ANNA, CLEO):
        async with viewing(pool, viewer) as connection:
            await consent.set_may_train(connection, viewer, may=True)

    async with viewing(pool, ANNA) as connection:
        material = await training.material_of(connection, ANNA.personal)
        changes = await training.changes_since_last_run(connection, ANNA.personal)
        [taken] = await pictures.references(connection, only_taken)
        with pytest.raises(DataWithdrawnError):
            await check_still_given(connection, ANNA.personal, [taken.reference_id], [1])

    [concept] = material.concepts
    assert [reference.source for reference in concept.references] == [None]
    assert (changes.total, changes.references) == (1, 1)


@pytest.mark.parametrize("act", [erasure.erase, consent.object_to_sharing, purging.delete_copies])
async def test_the_author_of_a_message_takes_its_pictures_out_of_everybodys_memory(
    pool: asyncpg.Pool, database_url: str, act: object
) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    await add(pool, ANNA, mochi, 71, FROM_CLEO)
    await add(pool, ANNA, mochi, 72, Source(2, 22))
    lamp = await remember(pool, BO, "The lamp", owner=SERVER)
    await add(pool, BO, lamp, 73, FROM_CLEO)
    forgotten = await remember(pool, BO, "The mug", reference=TAKEN)
    await answer(pool, BO, lamp, source=FROM_CLEO)
    async with viewing(pool, BO) as connection:
        await trash.forget_for_now(connection, forgotten, 2)
    async with viewing(pool, Viewer(3)) as connection:
        assert (await footprint.stored(connection, Viewer(3))).copies == 3
        assert await connection.fetchval("SELECT count(*) FROM reference") == 0

    async with viewing(pool, Viewer(3)) as connection:
        await act(connection, Viewer(3))  # type: ignore[operator]

    assert await sources(pool, ANNA, mochi) == [None, Source(2, 22)]
    assert await sources(pool, BO, lamp) == [None]
    hashes = {row["picture_sha256"] for row in rows(database_url)["picture"]}  # type: ignore[index]
    assert len(hashes) == 3
    async with viewing(pool, BO) as connection:
        assert await connection.fetchval("SELECT count(*) FROM answer") == 0
        async with opening_trash(connection):
            assert await connection.fetchval("SELECT count(*) FROM reference WHERE is_forgotten") == 0


async def test_nobody_but_they_themselves_keeps_a_picture_of_who_objects(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    async with viewing(pool, CLEO) as connection:
        await consent.object_to_sharing(connection, CLEO)

    with pytest.raises(AuthorObjectedError):
        await add(pool, ANNA, mochi, 71, FROM_CLEO)
    with pytest.raises(AuthorObjectedError):
        await remember(pool, ANNA, "The lamp", reference=TAKEN)
    own = await remember(pool, CLEO, "The mug", reference=TAKEN)
    assert await sources(pool, CLEO, own) == [FROM_CLEO]


async def test_who_takes_back_a_picture_of_theirs_can_delete_nothing_else_there(
    pool: asyncpg.Pool, database_url: str
) -> None:
    mochi = await remember(pool, ANNA, "Mochi", "likes tuna")
    await add(pool, ANNA, mochi, 71, FROM_CLEO)
    await answer(pool, ANNA, mochi)
    before = rows(database_url)
    tables = ("correction", "sighting", "answer", "embedding", "note", "concept", "reference")

    async with viewing(pool, CLEO) as connection, entering(connection, ANNA.personal):
        deleted = {table: await connection.execute(f"DELETE FROM {table}") for table in tables}

    assert deleted == {table: f"DELETE {int(table == 'reference')}" for table in tables}
    after = rows(database_url)
    assert [after[table] for table in ("concept", "note", "correction")] == [
        before[table] for table in ("concept", "note", "correction")
    ]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with viewing(pool, CLEO) as connection, entering(connection, ANNA.personal):
            await connection.execute(
                "INSERT INTO note (owner_id, concept_id, place, text, author) VALUES ($1, $2, 9, 'is a dog', 3)",
                ANNA.personal,
                mochi.concept_id,
            )
