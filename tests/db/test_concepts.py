"""Remember, find, change, forget; what answers showed; and the database going away in the middle."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import numpy as np
import psycopg
import pytest

from db import concepts, corrections, pictures, sightings
from db.errors import DatabaseUnavailableError, NameTakenError, NotRememberedError
from db.geometry import WHOLE, Box
from db.maintenance import delete_what_is_due
from db.names import (
    AngleBracketsError,
    ControlCharactersError,
    InvalidTextError,
    InvisibleTextError,
    PingsManyError,
    SeveralLinesError,
    TextField,
    TextTooLongError,
    check_category,
    check_info,
    check_name,
    name_key,
)
from db.pool import open_pool, viewing
from db.roles import app_url
from db.setup.embedded import EmbeddedPostgres
from db.setup.migrate import migrate
from db.types import Sighting, Verdict, Viewer, server_owner, user_owner
from tests.support.memory import PACK, a_concept, a_jpeg, a_reference, an_embedding

ANNA = Viewer(1, 10)
MINE = user_owner(1)
OURS = server_owner(10)


async def _counts(pool: asyncpg.Pool) -> dict[str, int]:
    async with viewing(pool, ANNA) as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("picture", "concept", "reference", "embedding")
        }


# --- names


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("Mochi", "Mochi"),
        ("  Tante   Inge ", "Tante Inge"),
        ("Amélie", "Amélie"),
        ("e\u0301", "é"),
        ("小春", "小春"),
        ("شیرین", "شیرین"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("Mo\u200bchi\u202e", "Mochi"),
        ("x" * 64, "x" * 64),
        ("R2-D2", "R2-D2"),
    ],
)
def test_names_of_any_script(given: str, cleaned: str) -> None:
    assert check_name(given) == cleaned
    assert check_name(cleaned) == cleaned


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("", InvisibleTextError),
        ("   ", InvisibleTextError),
        ("\u200b\u200d", InvisibleTextError),
        ("\u3164", InvisibleTextError),
        ("\u0301", InvisibleTextError),
        ("x" * 65, TextTooLongError),
        ("two\nlines", SeveralLinesError),
        ("two\u2028lines", SeveralLinesError),
        ("bell\x07", ControlCharactersError),
        ("nul\x00", ControlCharactersError),
        ("half\ud83d", ControlCharactersError),
        ("<image>", AngleBracketsError),
        ("<@1234>", AngleBracketsError),
        ("＜image＞", AngleBracketsError),
        ("@everyone", PingsManyError),
        ("hi @HERE", PingsManyError),
        ("@\u200beveryone", PingsManyError),
        ("＠everyone", PingsManyError),
    ],
)
def test_names_that_cannot_be(given: str, error: type[InvalidTextError]) -> None:
    with pytest.raises(error) as raised:
        check_name(given)
    assert raised.value.field is TextField.NAME


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Mochi", "mOCHI"),
        ("Strauß", "STRAUSS"),
        ("IŞIK", "ışık"),
        ("İzmir", "izmir"),
        ("I\u0307zmir", "İZMİR"),
        ("Ame\u0301lie", "AMÉLIE"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
        ("Ｍｏｃｈｉ", "Mochi"),
        ("Mo\u200dchi", "Mochi"),
        ("ŉ", "ʼN"),
    ],
)
def test_one_name_in_two_spellings(name: str, other: str) -> None:
    assert name_key(name) == name_key(other)


@pytest.mark.parametrize(("name", "other"), [("Mochi", "Mocha"), ("Amelie", "Amélie"), ("小春", "小夏")])
def test_two_names(name: str, other: str) -> None:
    assert name_key(name) != name_key(other)


def test_info_and_category() -> None:
    assert check_info(" Likes tuna.\r\nHates baths.\x00 ") == "Likes tuna.\nHates baths."
    assert check_info("") == check_category("") == ""
    assert check_category(" stuffed  toy ") == "stuffed toy"
    with pytest.raises(TextTooLongError) as info:
        check_info("x" * 1001)
    assert (info.value.field, info.value.length, info.value.max_length) == (TextField.INFO, 1001, 1000)
    with pytest.raises(TextTooLongError) as category:
        check_category("x" * 65)
    assert (category.value.field, category.value.length, category.value.max_length) == (TextField.CATEGORY, 65, 64)


# --- remember


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


async def test_more_references(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, "Mochi", 0))
        more = await concepts.add_reference(connection, mochi, a_reference(1), created_by=1)
        same_picture = await concepts.add_reference(connection, mochi, a_reference(1), created_by=1)
        avatar = await pictures.avatar(connection, mochi)
    assert (more.references, same_picture.references) == (2, 3)
    assert avatar is not None
    assert avatar.picture == a_jpeg(0)
    assert await _counts(pool) == {"picture": 2, "concept": 1, "reference": 3, "embedding": 3}
    async with viewing(pool, ANNA) as connection:
        with pytest.raises(NotRememberedError):
            await concepts.add_reference(connection, replace(mochi, concept_id=uuid4()), a_reference(2), 1)


# --- change, forget, names for autocomplete


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


# --- answers and corrections


async def test_answers_are_kept_for_their_buttons(pool: asyncpg.Pool) -> None:
    jpeg = a_jpeg(3)
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, "Mochi"))
        seen = [
            Sighting(
                region=0,
                box=Box(left=0, top=0, right=0.5, bottom=1),
                embedding_id=PACK,
                embedding=an_embedding(1),
                concept=mochi,
                probability=0.75,
            ),
            Sighting(
                region=3, box=Box(left=0.5, top=0, right=1, bottom=1), embedding_id=PACK, embedding=an_embedding(2)
            ),
        ]
        answer_id = await sightings.store_answer(connection, ANNA, jpeg, 16, 12, seen)
    async with viewing(pool, ANNA) as connection:
        answer = await sightings.load_answer(connection, ANNA, answer_id)
    assert answer is not None
    assert (answer.picture, answer.width, answer.height) == (jpeg, 16, 12)
    assert answer.picture_sha256 == hashlib.sha256(jpeg).hexdigest()
    known, unknown = answer.sightings
    assert (known.region, known.box, known.concept, known.probability) == (
        0,
        Box(left=0, top=0, right=0.5, bottom=1),
        mochi,
        0.75,
    )
    assert (unknown.region, unknown.concept, unknown.probability) == (3, None, None)
    assert unknown.embedding.dtype == np.float32
    assert np.allclose(unknown.embedding, an_embedding(2), atol=1e-3)
    assert answer.sighting(3) is unknown
    assert answer.sighting(1) is None

    async with viewing(pool, ANNA) as connection:
        await sightings.rename_sighting(connection, ANNA, answer_id, replace(known, concept=None, probability=None))
        again = await sightings.load_answer(connection, ANNA, answer_id)
    assert again is not None
    assert [sighting.concept for sighting in again.sightings] == [None, None]


async def test_old_answers_are_deleted_and_no_others(pool: asyncpg.Pool, database_url: str) -> None:
    for viewer in (ANNA, Viewer(2)):
        async with viewing(pool, viewer) as connection:
            unknown = [Sighting(region=0, box=WHOLE, embedding_id=PACK, embedding=an_embedding(1))]
            await sightings.store_answer(connection, viewer, a_jpeg(), 16, 12, unknown)
    assert (await delete_what_is_due(pool))["answer"] == 0
    async with await psycopg.AsyncConnection.connect(database_url) as administrator:
        await administrator.execute(
            "UPDATE answer SET expires_at = expires_at - interval '31 days' WHERE owner_id = 'user:2'"
        )
    assert (await delete_what_is_due(pool))["answer"] == 1
    async with await psycopg.AsyncConnection.connect(database_url) as administrator:
        for table in ("answer", "sighting"):
            rows = await (await administrator.execute(f"SELECT owner_id FROM {table}")).fetchall()
            assert rows == [("user:1",)]


async def test_the_latest_correction_counts(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        mochi = await concepts.remember(connection, a_concept(MINE, "Mochi"))
        seen = Sighting(
            region=0,
            box=WHOLE,
            embedding_id=PACK,
            embedding=an_embedding(1),
            concept=mochi,
            probability=0.75,
        )
        for verdict in (Verdict.RIGHT, Verdict.INCORRECT, Verdict.INCORRECT):
            await corrections.store(connection, ANNA, seen, verdict)
        await corrections.store(connection, ANNA, replace(seen, embedding=an_embedding(2)), Verdict.RIGHT)
        stored = [row["verdict"] for row in await connection.fetch("SELECT verdict FROM correction")]
        assert sorted(stored) == ["incorrect", "right"]
        with pytest.raises(NotRememberedError):
            await corrections.store(connection, ANNA, replace(seen, concept=None), Verdict.RIGHT)
        await concepts.forget(connection, mochi.owner_id, mochi.concept_id)
        assert await connection.fetch("SELECT * FROM correction") == []
        with pytest.raises(NotRememberedError):
            await corrections.store(connection, ANNA, seen, Verdict.RIGHT)


# --- the database going away


@pytest.fixture
def own_server() -> Iterator[tuple[EmbeddedPostgres, str]]:
    """A server of this test alone, to be stopped in the middle."""
    directory = Path(tempfile.mkdtemp(prefix="keepsake-test-"))
    server = EmbeddedPostgres(directory / "postgres")
    try:
        url = server.start()
        migrate(url)
        yield server, app_url(url)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def test_the_database_goes_away_and_comes_back(own_server: tuple[EmbeddedPostgres, str]) -> None:
    server, url = own_server
    pool = await open_pool(url)
    try:
        with pytest.raises(DatabaseUnavailableError):  # noqa: PT012
            async with viewing(pool, ANNA) as connection:
                await concepts.remember(connection, a_concept(MINE, "Half"))
                await asyncio.to_thread(server.stop)
                await concepts.count(connection, MINE)
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError):  # noqa: PT012
                async with viewing(pool, ANNA) as connection:
                    await concepts.count(connection, MINE)
        assert await asyncio.to_thread(server.start)
        for turn in range(12):  # more than the pool had connections
            async with viewing(pool, ANNA) as connection:
                assert await concepts.count(connection, MINE) == turn
                await concepts.remember(connection, a_concept(MINE, f"Whole {turn}", turn))
    finally:
        pool.terminate()


async def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError):  # noqa: PT012
        await open_pool(f"postgresql://keepsake_app@/keepsake?host={tmp_path}")


async def test_a_connection_that_is_cut_loses_the_whole_transaction(pool: asyncpg.Pool, database_url: str) -> None:
    with pytest.raises(DatabaseUnavailableError):  # noqa: PT012
        async with viewing(pool, ANNA) as connection:
            await concepts.remember(connection, a_concept(MINE, "Half"))
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            async with await psycopg.AsyncConnection.connect(database_url) as administrator:
                await administrator.execute("SELECT pg_terminate_backend(%s)", (pid,))
            await asyncio.sleep(0.1)
    assert await _counts(pool) == {"picture": 0, "concept": 0, "reference": 0, "embedding": 0}


async def test_a_full_pool_says_so_in_time(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.pool.ACQUIRE_SECONDS", 0.2)
    held = [await pool.acquire() for _ in range(4)]
    with pytest.raises(DatabaseUnavailableError):  # noqa: PT012
        async with viewing(pool, ANNA):
            pytest.fail("there was no connection left")
    for connection in held:
        await pool.release(connection)
    async with viewing(pool, ANNA) as connection:
        assert await concepts.count(connection, MINE) == 0


async def test_errors_of_the_body_stay_what_they_are(pool: asyncpg.Pool) -> None:
    for error in (ConnectionResetError("of the worker"), FileNotFoundError("x"), KeyError("x")):
        with pytest.raises(type(error)):
            async with viewing(pool, ANNA):
                raise error
