"""What may be learned from, what is new in it, and how runs went."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest

from db import concepts, corrections, membership, servers, sharing, training
from db.geometry import WHOLE
from db.pool import viewing
from db.training import Changes, Material, RunState
from db.types import Concept, ServerSettings, Sighting, Verdict, Viewer, server_owner
from tests.support.adapters import (
    ANNA,
    ANNA_ELSEWHERE,
    BO,
    CLEO,
    ELSEWHERE,
    SERVER,
    add_picture,
    learn,
    material,
    remember,
    say_consent,
)
from tests.support.members import governing
from tests.support.memory import PACK, a_reference, an_embedding


def rows_of(url: str, table: str) -> list[dict[str, object]]:
    """The rows of a table as the administrator sees them."""
    with psycopg.connect(url) as administrator:
        return [row[0] for row in administrator.execute(f"SELECT to_jsonb({table}) FROM {table}".encode())]


async def test_only_what_consenting_people_put_there_is_learned_from(
    pool: asyncpg.Pool, shelf: tuple[Concept, Concept]
) -> None:
    mug, lamp = shelf
    more = await add_picture(pool, BO, mug, 30)
    await add_picture(pool, CLEO, mug, 31)

    found = await material(pool, CLEO, SERVER)

    assert [(concept.concept_id, concept.name, concept.info, concept.category) for concept in found.concepts] == [
        (mug.concept_id, "The mug", "Sleeps on the piano.", "cat"),
        (lamp.concept_id, "The lamp", "Sleeps on the piano.", "cat"),
    ]
    assert found.saw_users == (1, 2)
    pictures = found.concepts[0].references
    assert [(reference.created_by, reference.is_avatar) for reference in pictures] == [(1, True), (2, False)]
    assert pictures[1].reference_id == more.reference_id
    assert (pictures[1].picture, pictures[1].width, pictures[1].box) == (more.picture, 16, more.box)
    assert set(found.saw) == {mug.concept_id, lamp.concept_id} | {
        picture.reference_id for concept in found.concepts for picture in concept.references
    } | {note_id for concept in found.concepts for note_id in concept.note_ids}


async def test_a_concept_with_pictures_of_others_only_is_left_out(
    pool: asyncpg.Pool, shelf: tuple[Concept, Concept]
) -> None:
    mug, lamp = shelf
    [theirs] = (await material(pool, ANNA, SERVER)).concepts[0].references
    await add_picture(pool, CLEO, mug, 31)
    async with viewing(pool, ANNA) as connection:
        await concepts.remove_reference(connection, mug, theirs.reference_id)
    assert [concept.concept_id for concept in (await material(pool, ANNA, SERVER)).concepts] == [lamp.concept_id]


async def test_what_others_put_into_ones_own_memory_is_not_ones_own_to_give(pool: asyncpg.Pool, mochi: Concept) -> None:
    """As when a shared concept with a picture of another member is taken back."""
    await say_consent(pool, BO)
    async with viewing(pool, ANNA) as connection:
        await concepts.add_reference(connection, mochi, a_reference(30), BO.user_id)
    found = await material(pool, ANNA)
    assert found.saw_users == (1,)
    assert [reference.created_by for reference in found.concepts[0].references] == [1]


async def test_without_consent_there_is_nothing_to_learn_from(pool: asyncpg.Pool) -> None:
    await remember(pool, ANNA, "Mochi")
    assert await material(pool, ANNA) == Material((), ())


async def test_what_the_owner_said_is_counted(pool: asyncpg.Pool, mochi: Concept) -> None:
    for seed, verdict in ((5, Verdict.RIGHT), (6, Verdict.INCORRECT), (7, Verdict.INCORRECT)):
        sighting = Sighting(
            region=0,
            box=WHOLE,
            embedding_id=PACK,
            embedding=an_embedding(seed),
            concept=mochi,
            probability=0.9,
        )
        async with viewing(pool, ANNA) as connection:
            await corrections.store(connection, ANNA, sighting, verdict)
    [found] = (await material(pool, ANNA)).concepts
    assert (found.right, found.incorrect) == (1, 2)


async def test_whose_turn_it_may_be(pool: asyncpg.Pool, mochi: Concept, shelf: tuple[Concept, Concept]) -> None:
    await remember(pool, ANNA_ELSEWHERE, "The statue", owner=ELSEWHERE)
    async with viewing(pool, governing(Viewer(1, 30))) as connection:
        await servers.change_settings(connection, server_owner(30), 1, ServerSettings(trains=False), "paused")
    async with viewing(pool, ANNA_ELSEWHERE) as connection:
        await membership.mark_left(connection, ELSEWHERE)
    await say_consent(pool, CLEO, may=False)
    assert await training.consenting_owners(pool) == ["server:10", "user:1", "user:2"]


async def test_admins_pause_training_and_say_when(pool: asyncpg.Pool) -> None:
    chosen = ServerSettings(trains=False, quiet_from=23, quiet_to=0)
    async with viewing(pool, governing(ANNA)) as connection:
        assert await servers.settings_of(connection, SERVER) == ServerSettings(trains=True, quiet_from=2, quiet_to=6)
        await servers.change_settings(connection, SERVER, 1, chosen, "paused training")
        assert await servers.settings_of(connection, SERVER) == chosen
        with pytest.raises(asyncpg.CheckViolationError):
            await servers.change_settings(connection, SERVER, 1, ServerSettings(quiet_to=24), "nonsense")


async def test_a_run_tells_how_far_it_is_and_how_it_ended(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        assert await training.latest_run(connection, ANNA.personal) is None
        run_id = await training.start_run(connection, ANNA.personal, PACK)
        assert await training.note_progress(connection, ANNA.personal, run_id, "learning", 3, 40)
        running = await training.latest_run(connection, ANNA.personal)
        await training.finish_run(connection, ANNA.personal, run_id, RunState.REFUSED, {"score": 0.5}, "too \x00 bad")
        ended = await training.latest_run(connection, ANNA.personal)

    assert running is not None
    assert (running.run_id, running.pack, running.state) == (run_id, PACK, RunState.RUNNING)
    assert (running.phase, running.step, running.steps, running.finished_at) == ("learning", 3, 40, None)
    assert ended is not None
    assert (ended.state, ended.report, ended.problem) == (RunState.REFUSED, {"score": 0.5}, "too  bad")
    assert ended.finished_at is not None
    assert ended.started_at == running.started_at < ended.finished_at


async def test_a_run_whose_process_is_gone_is_stopped_by_the_next(pool: asyncpg.Pool, database_url: str) -> None:
    async with viewing(pool, ANNA) as connection:
        lost = await training.start_run(connection, ANNA.personal, PACK)
        present = await training.start_run(connection, ANNA.personal, PACK)
        assert not await training.note_progress(connection, ANNA.personal, lost, "learning", 1, 2)
        await training.finish_run(connection, ANNA.personal, lost, RunState.PROMOTED, {})
        latest = await training.latest_run(connection, ANNA.personal)
    assert latest is not None
    assert latest.run_id == present
    states = {row["run_id"]: row["state"] for row in rows_of(database_url, "training_run")}
    assert states == {str(lost): "stopped", str(present): "running"}


async def test_the_last_twenty_runs_are_kept(pool: asyncpg.Pool, database_url: str) -> None:
    async with viewing(pool, ANNA) as connection:
        runs = [await training.start_run(connection, ANNA.personal, PACK) for _ in range(22)]
    assert {row["run_id"] for row in rows_of(database_url, "training_run")} == {str(run) for run in runs[2:]}


async def test_what_is_new_since_the_last_run_is_counted(pool: asyncpg.Pool, mochi: Concept) -> None:
    async def changes() -> Changes:
        async with viewing(pool, ANNA) as connection:
            return await training.changes_since_last_run(connection, ANNA.personal)

    assert await changes() == Changes(concepts=1, references=1, corrections=0, total=1, last_run=None)
    await learn(pool, ANNA, "one")
    learned = await changes()
    assert (learned.concepts, learned.references, learned.total) == (0, 0, 1)
    assert learned.last_run is not None

    rex = await remember(pool, ANNA, "Rex")
    await add_picture(pool, ANNA, rex, 30)
    async with viewing(pool, ANNA) as connection:
        await concepts.edit(connection, mochi, info="hates thunder")
        sighting = Sighting(
            region=0,
            box=WHOLE,
            embedding_id=PACK,
            embedding=an_embedding(5),
            concept=mochi,
            probability=0.9,
        )
        await corrections.store(connection, ANNA, sighting, Verdict.RIGHT)
        run_id = await training.start_run(connection, ANNA.personal, PACK)
        await training.finish_run(connection, ANNA.personal, run_id, RunState.FAILED, problem="the power went")
    assert await changes() == Changes(concepts=2, references=2, corrections=1, total=2, last_run=learned.last_run)


async def test_what_comes_into_a_memory_is_new_there_however_old_it_is(pool: asyncpg.Pool, mochi: Concept) -> None:
    await remember(pool, ANNA, "The mug", owner=SERVER)
    await learn(pool, ANNA, "one", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        await sharing.copy(connection, mochi, SERVER)
    async with viewing(pool, ANNA) as connection:
        found = await training.changes_since_last_run(connection, SERVER)
    assert (found.concepts, found.total) == (1, 2)
