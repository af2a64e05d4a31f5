"""Row-level security alone holds the line: these tests use SQL without any filter."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

from db import concepts, corrections, pictures, sightings
from db.errors import NotRememberedError
from db.geometry import WHOLE
from db.pool import open_pool, viewing, without_viewer
from db.roles import app_url
from db.types import Concept, OwnerId, Sighting, Verdict, Viewer, server_owner, user_owner
from tests.support.memory import PACK, a_concept, a_jpeg, an_embedding

ANNA = Viewer(1, 10)
ANNA_ELSEWHERE = Viewer(1, 20)
BO = Viewer(2, 10)
BO_IN_A_DM = Viewer(2)
OWNED = ("picture", "concept", "reference", "embedding", "answer", "sighting", "correction")
INSERT_CONCEPT = "INSERT INTO concept (owner_id, name, name_key, created_by) VALUES ($1, 'Loot', 'loot', 2)"


async def _remember(pool: asyncpg.Pool, viewer: Viewer, owner_id: OwnerId, name: str, seed: int = 0) -> Concept:
    async with viewing(pool, viewer) as connection:
        return await concepts.remember(connection, a_concept(owner_id, name, seed))


async def _answer_about(pool: asyncpg.Pool, viewer: Viewer, concept: Concept) -> Sighting:
    sighting = Sighting(
        region=0,
        box=WHOLE,
        embedding_id=PACK,
        embedding=an_embedding(5),
        concept=concept,
        probability=0.9,
    )
    async with viewing(pool, viewer) as connection:
        await sightings.store_answer(connection, viewer, a_jpeg(9), 16, 12, [sighting])
        await corrections.store(connection, viewer, sighting, Verdict.RIGHT)
    return sighting


async def _everything(pool: asyncpg.Pool, viewer: Viewer | None) -> dict[str, set[str]]:
    """Whose rows a viewer gets from each table when the SQL asks for all."""
    opened = without_viewer(pool) if viewer is None else viewing(pool, viewer)
    async with opened as connection:
        return {table: {row["owner_id"] for row in await connection.fetch(f"SELECT * FROM {table}")} for table in OWNED}


@pytest.fixture
async def full(pool: asyncpg.Pool) -> asyncpg.Pool:
    """A memory with rows of two users and two servers in every table that they can have rows in."""
    mochi = await _remember(pool, ANNA, user_owner(1), "Mochi")
    await _answer_about(pool, ANNA, mochi)
    rex = await _remember(pool, BO, user_owner(2), "Rex")
    await _answer_about(pool, BO, rex)
    await _remember(pool, ANNA, server_owner(10), "The mug")
    await _remember(pool, ANNA_ELSEWHERE, server_owner(20), "The statue")
    return pool


@pytest.mark.parametrize(
    ("viewer", "personal", "shared"),
    [
        (ANNA, "user:1", {"server:10"}),
        (ANNA_ELSEWHERE, "user:1", {"server:20"}),
        (BO, "user:2", {"server:10"}),
        (BO_IN_A_DM, "user:2", set()),
    ],
)
async def test_a_viewer_gets_their_own_and_this_servers_rows(
    full: asyncpg.Pool, viewer: Viewer, personal: str, shared: set[str]
) -> None:
    found = await _everything(full, viewer)
    for table in ("picture", "concept", "reference", "embedding"):
        assert found[table] == {personal} | shared
    for table in ("answer", "sighting", "correction"):
        assert found[table] == {personal}


async def test_without_a_viewer_there_is_nothing(full: asyncpg.Pool) -> None:
    assert await _everything(full, None) == {table: set() for table in OWNED}


async def test_a_reused_connection_forgets_its_viewer(database_url: str, full: asyncpg.Pool) -> None:
    single = await open_pool(app_url(database_url), largest=1)
    try:
        backends = set()
        for viewer in (ANNA, None, BO, None):
            found = await _everything(single, viewer)
            seen = {owner for owner in found["concept"] if owner.startswith("user:")}
            assert seen == ({viewer.personal} if viewer else set())
            async with without_viewer(single) as connection:
                backends.add(await connection.fetchval("SELECT pg_backend_pid()"))
        with pytest.raises(asyncpg.PostgresSyntaxError):
            async with viewing(single, ANNA) as connection:
                await connection.execute("SELEKT")
        assert (await _everything(single, None))["concept"] == set()
        async with single.acquire() as connection:  # and outside any transaction
            assert await connection.fetch("SELECT * FROM concept") == []
            backends.add(await connection.fetchval("SELECT pg_backend_pid()"))
        assert len(backends) == 1
    finally:
        await single.close()


async def test_nobody_writes_into_anothers_memory(full: asyncpg.Pool) -> None:
    for owner in ("user:1", "server:20", "user:3"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with viewing(full, BO) as connection:
                await connection.execute(INSERT_CONCEPT, owner)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _remember(full, BO, user_owner(1), "Planted")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with viewing(full, BO) as connection:
            await connection.execute("UPDATE concept SET owner_id = 'user:1'")


async def test_nobody_changes_or_deletes_what_is_anothers(full: asyncpg.Pool) -> None:
    async with viewing(full, BO_IN_A_DM) as connection:
        for table in OWNED:
            await connection.execute(f"DELETE FROM {table} WHERE owner_id <> 'user:2'")
        assert await connection.execute("UPDATE concept SET info = 'spoilt'") == "UPDATE 1"
    found = await _everything(full, ANNA)
    assert all("user:1" in found[table] for table in OWNED)
    async with viewing(full, ANNA) as connection:
        assert [concept.info for concept in await concepts.find(connection, ANNA, "Mochi")] != ["spoilt"]


async def test_roles_cannot_be_changed_back(full: asyncpg.Pool) -> None:
    async with viewing(full, BO) as connection:
        await connection.execute("RESET ROLE")
        assert await connection.fetchval("SELECT current_user") == "keepsake_app"
        await connection.execute("RESET SESSION AUTHORIZATION")
        assert {row[0] for row in await connection.fetch("SELECT owner_id FROM concept")} == {
            "user:2",
            "server:10",
        }
    for statement in ("SET ROLE postgres", "SET SESSION AUTHORIZATION postgres"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with viewing(full, BO) as connection:
                await connection.execute(statement)
    async with viewing(full, BO) as connection:
        await connection.execute("SET LOCAL row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):  # an error, where a superuser would see all
            await connection.fetch("SELECT * FROM concept")


async def test_the_functions_of_the_memory_find_nothing_of_anothers(full: asyncpg.Pool) -> None:
    async with viewing(full, ANNA) as connection:
        [mochi] = await concepts.find(connection, ANNA, "Mochi")
    # Bo's code claims to be Anna in every argument; the transaction is Bo's.
    async with viewing(full, BO) as connection:
        assert await concepts.find(connection, ANNA, "Mochi") == []
        assert await concepts.suggest_names(connection, ANNA, "") == ["The mug"]
        assert await concepts.did_you_mean(connection, ANNA, "Mochi") == []
        assert await concepts.count(connection, user_owner(1)) == 0
        assert await concepts.list_concepts(connection, user_owner(1)) == []
        assert await pictures.avatar(connection, mochi) is None
        await concepts.mark_recognised(connection, [mochi])
        for attempt in (
            concepts.forget(connection, mochi.owner_id, mochi.concept_id),
            concepts.edit(connection, mochi, info="spoilt"),
            concepts.get(connection, mochi.owner_id, mochi.concept_id),
        ):
            with pytest.raises(NotRememberedError):
                await attempt
    async with viewing(full, ANNA) as connection:
        assert await concepts.find(connection, ANNA, "Mochi") == [mochi]


async def test_an_answer_belongs_to_who_asked(full: asyncpg.Pool) -> None:
    async with viewing(full, ANNA) as connection:
        answer_id = await connection.fetchval("SELECT answer_id FROM answer")
        assert await sightings.load_answer(connection, ANNA, answer_id) is not None
    async with viewing(full, BO) as connection:
        assert await sightings.load_answer(connection, BO, answer_id) is None
        assert await sightings.load_answer(connection, ANNA, answer_id) is None
        assert await sightings.load_answer(connection, BO, uuid4()) is None


async def test_corrections_of_a_shared_concept_stay_personal(full: asyncpg.Pool) -> None:
    async with viewing(full, ANNA) as connection:
        [mug] = await concepts.find(connection, ANNA, "the mug")
    sighting = Sighting(
        region=0,
        box=WHOLE,
        embedding_id=PACK,
        embedding=an_embedding(5),
        concept=mug,
        probability=0.9,
    )
    async with viewing(full, ANNA) as connection:
        await corrections.store(connection, ANNA, sighting, Verdict.INCORRECT)
    about_the_mug = "SELECT owner_id, verdict FROM correction WHERE concept_id = $1"
    async with viewing(full, ANNA) as connection:
        assert [tuple(row) for row in await connection.fetch(about_the_mug, mug.concept_id)] == [
            ("user:1", "incorrect")
        ]
    async with viewing(full, BO) as connection:
        assert await connection.fetch(about_the_mug, mug.concept_id) == []
    # Not even on purpose: a correction in a server's name, or about another user's concept, is refused.
    insert = """INSERT INTO correction (owner_id, concept_owner_id, concept_id, verdict, embedding_id, vector)
                VALUES ($1, $2, $3, 'incorrect', 'test-pack', $4)"""
    for owner, concept_owner in (("server:10", "server:10"), ("user:2", "user:1")):
        with pytest.raises(asyncpg.CheckViolationError):
            async with viewing(full, BO) as connection:
                await connection.execute(insert, owner, concept_owner, mug.concept_id, an_embedding(5))


async def test_forgetting_a_shared_concept_takes_everybodys_corrections(full: asyncpg.Pool) -> None:
    async with viewing(full, ANNA) as connection:
        [mug] = await concepts.find(connection, ANNA, "the mug")
    await _answer_about(full, BO, mug)
    async with viewing(full, ANNA) as connection:
        await concepts.forget(connection, mug.owner_id, mug.concept_id)
    async with viewing(full, BO) as connection:
        left = await connection.fetchval("SELECT count(*) FROM correction WHERE concept_id = $1", mug.concept_id)
        [answer_id] = [
            row[0]
            for row in await connection.fetch("SELECT answer_id FROM sighting WHERE concept_id = $1", mug.concept_id)
        ]
        answer = await sightings.load_answer(connection, BO, answer_id)
    assert left == 0
    assert answer is not None
    assert [sighting.concept for sighting in answer.sightings] == [None]
