"""Which adapter answers, going back, and what is taken away while something is learned."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import asyncpg
import psycopg
import pytest

from db import adapters, concepts, consent, erasure, servers, training
from db.adapters import AdapterInUse
from db.errors import DataWithdrawnError, NothingToRollBackError
from db.pool import open_pool, viewing
from db.roles import app_url
from db.setup.migrate import MIGRATIONS, migrate
from db.training import Material
from db.types import Concept, OwnerId, ServerSettings, Viewer
from tests.support.adapters import (
    ANNA,
    BASE,
    BO,
    SERVER,
    add_picture,
    an_adapter,
    in_use,
    learn,
    material,
    remember,
    say_consent,
)
from tests.support.memory import PACK


def rows_of(url: str, table: str) -> list[dict[str, object]]:
    """The rows of a table as the administrator sees them."""
    with psycopg.connect(url) as administrator:
        return [row[0] for row in administrator.execute(f"SELECT to_jsonb({table}) FROM {table}".encode())]


async def take_away(connection: asyncpg.Connection, how: str, owner: OwnerId) -> None:
    if how == "consent":
        await consent.set_may_train(connection, ANNA, may=False)
    elif how == "erase":
        await erasure.erase(connection, ANNA)
    else:
        [mine] = [
            concept for concept in await concepts.list_concepts(connection, owner) if concept.created_by == ANNA.user_id
        ]
        await concepts.forget(connection, owner, mine.concept_id)


in_every_way = pytest.mark.parametrize("how", ["consent", "erase", "forget"])

of_both = pytest.mark.parametrize("owner", [ANNA.personal, SERVER])


@pytest.fixture
def before_adapters(tmp_path: Path) -> Path:
    """The migrations as they were before there were adapters."""
    folder = Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))
    for later in sorted(folder.glob("*.sql"))[4:]:
        later.unlink()
    return folder


async def test_the_latest_promoted_answers_in_the_order_of_the_owners(
    pool: asyncpg.Pool, mochi: Concept, shelf: tuple[Concept, Concept]
) -> None:
    await learn(pool, ANNA, "one")
    own, shared = await learn(pool, ANNA, "two"), await learn(pool, ANNA, "ours", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        found = await adapters.in_use(connection, [SERVER, ANNA.personal, BO.personal])
        again = await adapters.in_use(connection, [ANNA.personal, SERVER])
        assert await adapters.weights_of(connection, ANNA.personal, own) == b"two"
        assert await adapters.weights_of(connection, ANNA.personal, shared) is None
    assert found == [AdapterInUse(SERVER, shared, BASE), AdapterInUse(ANNA.personal, own, BASE)]
    assert again == found[::-1]


async def test_rolling_back_goes_one_further_back_each_time(pool: asyncpg.Pool, mochi: Concept) -> None:
    first, second, third = [await learn(pool, ANNA, words) for words in ("one", "two", "three")]
    async with viewing(pool, ANNA) as connection:
        gone_back = [await adapters.roll_back(connection, ANNA.personal, 1) for _ in range(3)]
        assert await adapters.in_use(connection, [ANNA.personal]) == []
        shown = await adapters.history(connection, ANNA.personal)
    assert gone_back == [second, first, None]
    assert [entry.adapter_id for entry in shown] == [None, first, second, third, second]
    assert [entry.is_in_use for entry in shown] == [True, False, False, False, False]
    assert [(entry.why, entry.actor) for entry in shown[2:4]] == [("rolled back", 1), ("it knows more", 0)]


async def test_what_was_turned_off_is_turned_on_again_by_rolling_back(pool: asyncpg.Pool, mochi: Concept) -> None:
    text = await learn(pool, ANNA, "one")
    async with viewing(pool, ANNA) as connection:
        for _ in range(2):
            await adapters.disable(connection, ANNA.personal, 1)
        assert await adapters.in_use(connection, [ANNA.personal]) == []
        assert [entry.why for entry in await adapters.history(connection, ANNA.personal)] == [
            "turned off",
            "it knows more",
        ]
        assert await adapters.roll_back(connection, ANNA.personal, 1) == text
    assert await in_use(pool, ANNA) == text


async def test_where_nothing_was_learned_there_is_nothing_to_go_back_to(pool: asyncpg.Pool, mochi: Concept) -> None:
    async with viewing(pool, ANNA) as connection:
        await adapters.disable(connection, ANNA.personal, 1)
        assert await adapters.history(connection, ANNA.personal) == []
        with pytest.raises(NothingToRollBackError):
            await adapters.roll_back(connection, ANNA.personal, 1)


async def test_what_was_turned_off_comes_back_whatever_was_turned_off_before_it(
    pool: asyncpg.Pool, mochi: Concept
) -> None:
    rex = await remember(pool, ANNA, "Rex")
    await learn(pool, ANNA, "with Rex")
    async with viewing(pool, ANNA) as connection:
        await adapters.disable(connection, ANNA.personal, 1)
        await concepts.forget(connection, ANNA.personal, rex.concept_id)
    without_rex = await learn(pool, ANNA, "without Rex")
    async with viewing(pool, ANNA) as connection:
        await adapters.disable(connection, ANNA.personal, 1)
        assert await adapters.roll_back(connection, ANNA.personal, 1) == without_rex


async def test_the_base_model_that_is_left_over_is_nothing_to_roll_back(pool: asyncpg.Pool, mochi: Concept) -> None:
    await learn(pool, ANNA, "one")
    async with viewing(pool, ANNA) as connection:
        await adapters.disable(connection, ANNA.personal, 1)
        await concepts.forget(connection, ANNA.personal, mochi.concept_id)
        with pytest.raises(NothingToRollBackError):
            await adapters.roll_back(connection, ANNA.personal, 1)


async def test_five_are_kept(pool: asyncpg.Pool, mochi: Concept, database_url: str) -> None:
    ids = [await learn(pool, ANNA, f"number {number}") for number in range(7)]
    assert {row["adapter_id"] for row in rows_of(database_url, "adapter")} == set(ids[2:])
    async with viewing(pool, ANNA) as connection:
        assert len(await adapters.history(connection, ANNA.personal, limit=10)) == 5
        await adapters.roll_back(connection, ANNA.personal, 1)
    assert await in_use(pool, ANNA) == ids[5]


async def test_the_same_weights_again_are_one_adapter(pool: asyncpg.Pool, mochi: Concept, database_url: str) -> None:
    first = await learn(pool, ANNA, "one")
    rex = await remember(pool, ANNA, "Rex")
    assert await learn(pool, ANNA, "one") == first
    [stored] = rows_of(database_url, "adapter")
    assert str(rex.concept_id) in str(stored["saw"])


async def test_nonsense_is_not_stored(pool: asyncpg.Pool, mochi: Concept) -> None:
    await say_consent(pool, BO)
    fine = an_adapter("one", [mochi.concept_id], [1])
    for nonsense in (
        replace(fine, weights=b"two"),
        replace(fine, base=""),
        replace(fine, saw=()),
        replace(fine, saw_users=()),
        replace(fine, saw_users=(1, 2)),
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            async with viewing(pool, ANNA) as connection:
                await adapters.store_and_promote(connection, nonsense, ANNA.personal, "why not")
    assert await in_use(pool, ANNA) is None


@pytest.mark.parametrize("taken", ["concept", "reference", "consent", "memory"])
async def test_what_is_taken_away_while_it_is_learned_is_not_kept(
    pool: asyncpg.Pool, shelf: tuple[Concept, Concept], taken: str, database_url: str
) -> None:
    mug, lamp = shelf
    second = await add_picture(pool, ANNA, mug, 30)
    before = await material(pool, BO, SERVER)
    made = an_adapter("ours", before.saw, before.saw_users)
    async with viewing(pool, ANNA) as connection:
        await adapters.check_still_given(connection, SERVER, made.saw, made.saw_users)
        if taken == "concept":
            await concepts.forget(connection, SERVER, lamp.concept_id)
        elif taken == "reference":
            await concepts.remove_reference(connection, mug, second.reference_id)
        elif taken == "consent":
            assert await consent.set_may_train(connection, ANNA, may=False) == []
        else:
            await erasure.erase(connection, ANNA)

    with pytest.raises(DataWithdrawnError):
        async with viewing(pool, BO) as connection:
            await adapters.store_and_promote(connection, made, SERVER, "it knows more")
    assert rows_of(database_url, "adapter") == rows_of(database_url, "promotion") == []


@in_every_way
@of_both
async def test_taking_away_waits_for_what_is_being_stored(
    pool: asyncpg.Pool, mochi: Concept, shelf: tuple[Concept, Concept], how: str, owner: OwnerId, database_url: str
) -> None:
    seen = await material(pool, ANNA, owner)

    async def taking_away() -> None:
        async with viewing(pool, ANNA) as connection:
            await take_away(connection, how, owner)

    async with viewing(pool, ANNA) as connection:
        await adapters.store_and_promote(connection, an_adapter("it", seen.saw, seen.saw_users), owner, "it knows more")
        taken = asyncio.create_task(taking_away())
        await asyncio.sleep(0.2)
        assert not taken.done()
    await taken

    assert rows_of(database_url, "adapter") == rows_of(database_url, "promotion") == []


@in_every_way
@of_both
async def test_storing_waits_for_what_is_being_taken_away(
    pool: asyncpg.Pool, mochi: Concept, shelf: tuple[Concept, Concept], how: str, owner: OwnerId, database_url: str
) -> None:
    seen = await material(pool, ANNA, owner)

    async def storing() -> None:
        async with viewing(pool, ANNA) as connection:
            made = an_adapter("it", seen.saw, seen.saw_users)
            await adapters.store_and_promote(connection, made, owner, "it knows more")

    async with viewing(pool, ANNA) as connection:
        await take_away(connection, how, owner)
        stored = asyncio.create_task(storing())
        await asyncio.sleep(0.2)
        assert not stored.done()
    with pytest.raises(DataWithdrawnError):
        await stored

    assert rows_of(database_url, "adapter") == rows_of(database_url, "promotion") == []


async def test_another_viewer_sees_nothing_of_it_whatever_the_sql_says(
    pool: asyncpg.Pool, mochi: Concept, shelf: tuple[Concept, Concept]
) -> None:
    own, shared = await learn(pool, ANNA, "hers"), await learn(pool, ANNA, "ours", owner=SERVER)
    for viewer, owners in ((ANNA, {"user:1", "server:10"}), (BO, {"server:10"}), (Viewer(2), set())):
        async with viewing(pool, viewer) as connection:
            for table in ("adapter", "promotion", "training_run"):
                rows = await connection.fetch(f"SELECT owner_id FROM {table}")
                assert {row["owner_id"] for row in rows} == owners
    async with viewing(pool, Viewer(2)) as connection:
        assert await adapters.in_use(connection, [ANNA.personal, SERVER]) == []
        assert await adapters.weights_of(connection, ANNA.personal, own) is None
        assert await adapters.weights_of(connection, SERVER, shared) is None
        assert await adapters.history(connection, ANNA.personal) == []
        assert await training.latest_run(connection, ANNA.personal) is None
        assert await training.material_of(connection, ANNA.personal) == Material((), ())
        assert (await training.changes_since_last_run(connection, ANNA.personal)).total == 0
        with pytest.raises(NothingToRollBackError):
            await adapters.roll_back(connection, ANNA.personal, 2)
        await adapters.disable(connection, ANNA.personal, 2)
        for table in ("promotion", "adapter", "training_run"):
            assert await connection.execute(f"DELETE FROM {table}") == "DELETE 0"
    assert await in_use(pool, ANNA) == own


async def test_nobody_lets_anothers_adapter_answer(pool: asyncpg.Pool, mochi: Concept) -> None:
    own = await learn(pool, ANNA, "hers")
    insert = "INSERT INTO promotion (owner_id, adapter_id, why, actor) VALUES ($1, $2, 'stolen', 2)"
    for owner, refusal in (
        ("user:2", asyncpg.ForeignKeyViolationError),
        ("server:10", asyncpg.ForeignKeyViolationError),
        ("user:1", asyncpg.InsufficientPrivilegeError),
    ):
        with pytest.raises(refusal):
            async with viewing(pool, BO) as connection:
                await connection.execute(insert, owner, own)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with viewing(pool, BO) as connection:
            await training.start_run(connection, ANNA.personal, PACK)
    stolen = an_adapter("stolen", [mochi.concept_id], [1])
    with pytest.raises(DataWithdrawnError):  # what it claims to have seen isn't there for Bo
        async with viewing(pool, BO) as connection:
            await adapters.store_and_promote(connection, stolen, ANNA.personal, "stolen")


async def test_who_consented_is_seen_by_nobody_but_training(pool: asyncpg.Pool, mochi: Concept) -> None:
    async with viewing(pool, BO) as connection:
        assert await connection.fetch("SELECT * FROM person") == []
        assert await consent.consenting(connection, [1, 2, 3]) == frozenset({1})
        assert await connection.fetch("SELECT * FROM person") == []
        await connection.execute("SELECT set_config('keepsake.caretaker', 'on', true)")
        assert await connection.execute("UPDATE person SET may_train = false") == "UPDATE 0"


async def test_a_memory_that_is_there_already_is_learned_from_and_unlearned(
    empty_database_url: str, before_adapters: Path
) -> None:
    migrate(empty_database_url, before_adapters)
    with psycopg.connect(empty_database_url) as administrator:
        for statement in (
            "INSERT INTO server (owner_id, retention_days) VALUES ('server:10', 7)",
            "INSERT INTO person (owner_id, may_train) VALUES ('user:1', true)",
            "INSERT INTO picture (owner_id, picture_sha256, jpeg, width, height) "
            "VALUES ('user:1', repeat('0', 64), 'x', 1, 1)",
            "WITH made AS (INSERT INTO concept (owner_id, name, name_key, created_by) VALUES ('user:1', 'a', 'a', 1) "
            "RETURNING *) INSERT INTO reference SELECT owner_id, gen_random_uuid(), concept_id, "
            "repeat('0', 64), 0, 0, 1, 1, 1 FROM made",
        ):
            administrator.execute(statement.encode())

    migrate(empty_database_url)

    pool = await open_pool(app_url(empty_database_url), largest=2)
    try:
        assert await training.consenting_owners(pool) == ["server:10", "user:1"]
        async with viewing(pool, ANNA) as connection:
            assert await servers.settings_of(connection, SERVER) == ServerSettings(retention_days=7)
        own = await learn(pool, ANNA, "hers")
        assert await in_use(pool, ANNA) == own
        async with viewing(pool, ANNA) as connection:
            [concept] = await concepts.list_concepts(connection, ANNA.personal)
            await concepts.forget(connection, ANNA.personal, concept.concept_id)
        assert await in_use(pool, ANNA) is None
    finally:
        pool.terminate()
