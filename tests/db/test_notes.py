"""Notes: who said what is known of a concept, whatever happens to it."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest

from db import concepts, consent, erasure, merging, notes, proposals, purging, sharing, training, trash
from db.names import TextTooLongError
from db.pool import viewing
from db.types import Concept, Viewer
from tests.support.members import ANNA, BO, SERVER, governing, remember

INFO_IS_ITS_NOTES = """
    SELECT count(*), count(*) FILTER (WHERE info = coalesce(
               (SELECT string_agg(note.text, E'\\n' ORDER BY note.place, note.note_id) FROM note
                 WHERE note.owner_id = concept.owner_id AND note.concept_id = concept.concept_id), ''))
      FROM concept
"""


async def said(pool: asyncpg.Pool, viewer: Viewer, concept: Concept) -> list[tuple[int, str]]:
    async with viewing(pool, viewer) as connection:
        found = await notes.notes_of(connection, concept.owner_id, concept.concept_id)
    return [(note.author, note.text) for note in found]


async def edit(pool: asyncpg.Pool, viewer: Viewer, concept: Concept, info: str) -> Concept:
    async with viewing(pool, viewer) as connection:
        return await concepts.edit(connection, concept, info=info)


async def lamp_of_both(pool: asyncpg.Pool) -> Concept:
    """A concept that Bo shared, of which Anna, an admin, says something, too."""
    lamp = await remember(pool, BO, "The lamp", "bought in Lisbon\nbroken once", owner=SERVER)
    return await edit(pool, governing(ANNA), lamp, "bought in Lisbon\nAnna's secret\nbroken once")


async def test_whoever_edits_changes_their_own_notes(pool: asyncpg.Pool) -> None:
    lamp = await lamp_of_both(pool)
    assert lamp.info == "bought in Lisbon\nAnna's secret\nbroken once"
    assert await said(pool, BO, lamp) == [(2, "bought in Lisbon"), (1, "Anna's secret"), (2, "broken once")]

    edited = await edit(pool, BO, lamp, "bought in Porto")
    assert await said(pool, BO, lamp) == [(1, "Anna's secret"), (2, "bought in Porto")]
    assert "Anna's secret" in edited.info

    await edit(pool, governing(ANNA), lamp, "")
    assert await said(pool, BO, lamp) == []


async def test_authors_stay_through_merging_sharing_approval_and_undo(pool: asyncpg.Pool) -> None:
    lamp = await lamp_of_both(pool)
    mug = await remember(pool, ANNA, "The mug", "blue", owner=SERVER)
    async with viewing(pool, governing(ANNA)) as connection:
        merged = await merging.merge(connection, ANNA, mug, lamp)
        gone = await trash.forget_for_now(connection, merged, 1)
        back = await trash.undo(connection, SERVER, gone.concept_id)

    expected = [(1, "blue"), (2, "bought in Lisbon"), (1, "Anna's secret"), (2, "broken once")]
    assert await said(pool, BO, back) == expected
    assert back.info == "\n".join(text for _, text in expected)


async def test_only_notes_of_people_who_consent_are_trained_on(pool: asyncpg.Pool) -> None:
    await lamp_of_both(pool)
    async with viewing(pool, BO) as connection:
        await consent.set_may_train(connection, BO, may=True)
        material = await training.material_of(connection, SERVER)

    assert [concept.info for concept in material.concepts] == ["bought in Lisbon\nbroken once"]
    assert material.saw_users == (2,)

    async with viewing(pool, ANNA) as connection:
        await consent.set_may_train(connection, ANNA, may=True)
        both = await training.material_of(connection, SERVER)
    assert both.concepts[0].info == "bought in Lisbon\nAnna's secret\nbroken once"
    assert both.saw_users == (1, 2)


async def test_erasing_and_purging_take_what_somebody_said_wherever_it_lies(
    pool: asyncpg.Pool, database_url: str
) -> None:
    lamp = await lamp_of_both(pool)
    async with viewing(pool, BO) as connection:
        await sharing.unshare(connection, lamp, BO.personal)
    other = await remember(pool, BO, "The mug", "blue", owner=SERVER)
    await edit(pool, governing(ANNA), other, "blue\nAnna's secret")
    async with viewing(pool, BO) as connection:
        [own] = await concepts.list_concepts(connection, BO.personal)
        await proposals.propose(connection, own, SERVER)

    async with viewing(pool, Viewer(1)) as connection:
        await erasure.erase(connection, Viewer(1))

    with psycopg.connect(database_url) as administrator:
        for table in ("concept", "note"):
            found = administrator.execute(f"SELECT {table}::text FROM {table}".encode()).fetchall()
            assert not [row for (row,) in found if "secret" in row]
        assert administrator.execute(INFO_IS_ITS_NOTES.encode()).fetchone() == (2, 2)


async def test_purging_a_member_takes_their_notes_of_others_concepts(pool: asyncpg.Pool) -> None:
    lamp = await lamp_of_both(pool)
    async with viewing(pool, governing(BO)) as connection:
        await purging.purge(connection, SERVER, member=1)
    assert await said(pool, BO, lamp) == [(2, "bought in Lisbon"), (2, "broken once")]


async def test_the_limit_holds_for_all_notes_together(pool: asyncpg.Pool) -> None:
    lamp = await remember(pool, BO, "The lamp", "b" * 600, owner=SERVER)
    await edit(pool, governing(ANNA), lamp, "b" * 600 + "\n" + "a" * 300)
    with pytest.raises(TextTooLongError):
        await edit(pool, BO, lamp, "c" * 800)
    assert [author for author, _ in await said(pool, BO, lamp)] == [2, 1]


async def test_the_info_follows_its_notes_whichever_way_they_change(pool: asyncpg.Pool, database_url: str) -> None:
    lamp = await lamp_of_both(pool)
    async with viewing(pool, ANNA) as connection:
        await connection.execute("DELETE FROM note WHERE author = 1")
        await connection.execute("UPDATE note SET text = 'sold' WHERE place = 2")
        assert (await concepts.get(connection, SERVER, lamp.concept_id)).info == "bought in Lisbon\nsold"
    with psycopg.connect(database_url) as administrator:
        assert administrator.execute(INFO_IS_ITS_NOTES.encode()).fetchone() == (1, 1)
