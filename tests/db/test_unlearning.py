"""What makes an adapter go."""

from __future__ import annotations

import asyncpg
import psycopg

from db import adapters, concepts, consent, erasure, merging, purging, sharing, training, trash
from db.pool import viewing
from db.training import RunState
from db.types import Concept, Viewer, server_owner
from tests.support.adapters import (
    ANNA,
    ANNA_ELSEWHERE,
    BO,
    CLEO,
    ELSEWHERE,
    SERVER,
    add_picture,
    in_use,
    learn,
    material,
    remember,
    say_consent,
)
from tests.support.members import governing
from tests.support.members import remember as remember_person
from tests.support.memory import PACK


def rows_of(url: str, table: str) -> list[dict[str, object]]:
    """The rows of a table as the administrator sees them."""
    with psycopg.connect(url) as administrator:
        return [row[0] for row in administrator.execute(f"SELECT to_jsonb({table}) FROM {table}".encode())]


async def test_forgetting_unlearns_and_undoing_does_not_bring_it_back(pool: asyncpg.Pool, mochi: Concept) -> None:
    before = await learn(pool, ANNA, "before Rex")
    rex = await remember(pool, ANNA, "Rex")
    await learn(pool, ANNA, "with Rex")

    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, rex, 1)
        assert [entry.adapter_id for entry in await adapters.history(connection, ANNA.personal)] == [before]
    assert await in_use(pool, ANNA) == before

    async with viewing(pool, ANNA) as connection:
        await trash.undo(connection, ANNA.personal, gone.concept_id)
    assert await in_use(pool, ANNA) == before


async def test_what_was_reported_about_the_forgotten_goes_and_the_rest_is_to_be_learned_anew(
    pool: asyncpg.Pool, mochi: Concept, database_url: str
) -> None:
    await learn(pool, ANNA, "before Rex")
    rex = await remember(pool, ANNA, "Rex")
    async with viewing(pool, ANNA) as connection:
        refused = await training.start_run(connection, ANNA.personal, PACK)
        await training.finish_run(connection, ANNA.personal, refused, RunState.REFUSED, {"names": ["Mochi", "Rex"]})
        running = await training.start_run(connection, ANNA.personal, PACK)

    async with viewing(pool, ANNA) as connection:
        await concepts.forget(connection, ANNA.personal, rex.concept_id)
        await training.finish_run(connection, ANNA.personal, running, RunState.REFUSED, {"names": ["Mochi", "Rex"]})
        changes = await training.changes_since_last_run(connection, ANNA.personal)

    reports = [row["report"] for row in rows_of(database_url, "training_run")]
    assert sorted(reports, key=str) == [None, None, {"names": ["Mochi"]}]
    assert changes.last_run is not None  # of the run whose adapter is still there
    async with viewing(pool, ANNA) as connection:
        await concepts.forget(connection, ANNA.personal, mochi.concept_id)
        assert (await training.changes_since_last_run(connection, ANNA.personal)).last_run is None


async def test_a_removed_picture_is_unlearned(pool: asyncpg.Pool, mochi: Concept) -> None:
    text = await learn(pool, ANNA, "one picture")
    second = await add_picture(pool, ANNA, mochi, 30)
    await learn(pool, ANNA, "two pictures")
    async with viewing(pool, ANNA) as connection:
        await concepts.remove_reference(connection, mochi, second.reference_id)
    assert await in_use(pool, ANNA) == text


async def test_merging_unlearns_the_one_that_is_no_more(pool: asyncpg.Pool, mochi: Concept) -> None:
    text = await learn(pool, ANNA, "only Mochi")
    chelsea = await remember(pool, ANNA, "Chelsea")
    await learn(pool, ANNA, "both")
    async with viewing(pool, ANNA) as connection:
        await merging.merge(connection, ANNA, mochi, chelsea)
    assert await in_use(pool, ANNA) == text


async def test_the_same_concept_elsewhere_is_another_matter(pool: asyncpg.Pool, mochi: Concept) -> None:
    """A shared copy has the ids of the user's own."""
    async with viewing(pool, ANNA) as connection:
        await sharing.copy(connection, mochi, SERVER)
    own, shared = await learn(pool, ANNA, "mine"), await learn(pool, ANNA, "ours", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        await concepts.forget(connection, SERVER, mochi.concept_id)
    assert shared
    assert await in_use(pool, ANNA, SERVER) is None
    assert await in_use(pool, ANNA) == own


async def test_withdrawn_consent_takes_what_was_learned_everywhere(
    pool: asyncpg.Pool, mochi: Concept, shelf: tuple[Concept, Concept], database_url: str
) -> None:
    await remember(pool, BO, "Rex")
    await remember(pool, ANNA_ELSEWHERE, "The statue", owner=ELSEWHERE)
    await remember(pool, Viewer(2, 30), "The fountain", owner=server_owner(30))
    await learn(pool, ANNA, "hers")
    await learn(pool, ANNA, "ours", owner=SERVER)
    await learn(pool, ANNA_ELSEWHERE, "ours, too", owner=ELSEWHERE)
    of_bo = await learn(pool, BO, "his")
    without_her = await learn(pool, Viewer(2, 30), "not hers", owner=server_owner(30))

    lost = await say_consent(pool, Viewer(1), may=False)

    assert lost == [SERVER, ELSEWHERE]
    assert {row["adapter_id"] for row in rows_of(database_url, "adapter")} == {of_bo, without_her}
    assert {row["owner_id"] for row in rows_of(database_url, "promotion")} == {"user:2", "server:30"}
    runs = {row["owner_id"]: row["report"] for row in rows_of(database_url, "training_run")}
    assert set(runs) == {"server:10", "server:20", "user:2", "server:30"}
    assert (runs["server:10"], runs["server:20"]) == (None, None)
    assert runs["user:2"] == {"names": ["Rex"]}
    assert (await material(pool, BO, SERVER)).saw_users == (2,)
    async with viewing(pool, BO) as connection:
        assert (await training.changes_since_last_run(connection, SERVER)).last_run is None


async def test_giving_consent_takes_nothing(pool: asyncpg.Pool, mochi: Concept) -> None:
    own = await learn(pool, ANNA, "hers")
    assert await say_consent(pool, ANNA) == []
    assert await in_use(pool, ANNA) == own


async def test_after_withdrawing_the_viewer_is_where_they_were(pool: asyncpg.Pool, mochi: Concept) -> None:
    await remember(pool, ANNA_ELSEWHERE, "The statue", owner=ELSEWHERE)
    await learn(pool, ANNA_ELSEWHERE, "ours", owner=ELSEWHERE)
    async with viewing(pool, ANNA) as connection:
        await consent.set_may_train(connection, ANNA, may=False)
        assert {row[0] for row in await connection.fetch("SELECT owner_id FROM concept")} == {"user:1"}
        assert {row[0] for row in await connection.fetch("SELECT owner_id FROM person")} == {"user:1"}


async def test_erasing_takes_what_was_learned_from_one_and_their_name(
    pool: asyncpg.Pool, mochi: Concept, shelf: tuple[Concept, Concept], database_url: str
) -> None:
    await learn(pool, ANNA, "hers")
    await learn(pool, ANNA, "hers, more")
    await remember(pool, BO, "Rex")
    of_bo = await learn(pool, BO, "his")
    await learn(pool, ANNA, "ours", owner=SERVER)
    other = server_owner(30)
    await remember(pool, Viewer(2, 30), "The fountain", owner=other)
    without_her = await learn(pool, Viewer(2, 30), "not hers", owner=other)
    async with viewing(pool, Viewer(1, 30)) as connection:
        await adapters.disable(connection, other, 1)

    async with viewing(pool, Viewer(1)) as connection:
        erased = await erasure.erase(connection, Viewer(1))

    assert (erased.rows["adapter"], erased.rows["promotion"], erased.rows["training_run"]) == (2, 2, 2)
    assert erased.rows["shared adapters"] == 1
    assert erased.servers == 2
    assert {row["adapter_id"] for row in rows_of(database_url, "adapter")} == {of_bo, without_her}
    async with viewing(pool, Viewer(2, 30)) as connection:
        latest, first = await adapters.history(connection, other)
    assert (latest.why, latest.actor, first.adapter_id) == ("turned off", 0, without_her)


async def test_erasing_takes_what_was_learned_about_one(pool: asyncpg.Pool) -> None:
    """Anna taught nothing there, but one of Bo's pictures is of her."""
    await say_consent(pool, BO)
    await remember_person(pool, BO, "Anna", owner=SERVER, person=1)
    await learn(pool, BO, "ours", owner=SERVER)
    async with viewing(pool, Viewer(1)) as connection:
        erased = await erasure.erase(connection, Viewer(1))
    assert erased.rows["shared adapters"] == 1
    assert await in_use(pool, BO, SERVER) is None


async def test_what_a_member_shared_is_unlearned_when_it_is_purged(
    pool: asyncpg.Pool, shelf: tuple[Concept, Concept]
) -> None:
    mug, _ = shelf
    await learn(pool, ANNA, "ours", owner=SERVER)
    async with viewing(pool, governing(CLEO)) as connection:
        await purging.purge(connection, SERVER, member=CLEO.user_id)
    assert await in_use(pool, ANNA, SERVER) is not None  # nothing of hers was in it
    await add_picture(pool, BO, mug, 30)
    await learn(pool, ANNA, "ours, with a picture of Bo's", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        await purging.forget_member(connection, SERVER, BO.user_id)
    assert await in_use(pool, ANNA, SERVER) is None


async def test_a_forgotten_server_has_learned_nothing(
    pool: asyncpg.Pool, mochi: Concept, shelf: tuple[Concept, Concept], database_url: str
) -> None:
    own = await learn(pool, ANNA, "hers")
    await learn(pool, ANNA, "ours", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        await purging.forget_server(connection, SERVER)
    assert [row["adapter_id"] for row in rows_of(database_url, "adapter")] == [own]
    for table in ("promotion", "training_run"):
        assert {row["owner_id"] for row in rows_of(database_url, table)} == {"user:1"}
