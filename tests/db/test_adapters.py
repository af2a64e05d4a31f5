"""Stories of what was learned from a memory: who may learn from what, which adapter answers, and what makes it go."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import asyncpg
import psycopg
import pytest

from db import (
    adapters,
    concepts,
    consent,
    corrections,
    erasure,
    membership,
    merging,
    purging,
    servers,
    training,
    trash,
)
from db.adapters import AdapterInUse
from db.errors import DataWithdrawnError, NothingToRollBackError
from db.geometry import WHOLE
from db.pool import open_pool, viewing
from db.roles import app_url
from db.setup.migrate import MIGRATIONS, migrate
from db.training import Changes, Material, RunState
from db.types import Concept, OwnerId, ServerSettings, Sighting, Verdict, Viewer, server_owner
from tests.support.adapters import (
    ANNA,
    ANNA_ELSEWHERE,
    BASE,
    BO,
    CLEO,
    ELSEWHERE,
    SERVER,
    add_picture,
    an_adapter,
    in_use,
    learn,
    material,
    remember,
    say_consent,
)
from tests.support.memory import PACK, a_concept, a_reference, an_embedding


@pytest.fixture
async def mochi(pool: asyncpg.Pool) -> Concept:
    """Anna's cat; she lets the bot learn."""
    await say_consent(pool, ANNA)
    return await remember(pool, ANNA, "Mochi")


@pytest.fixture
async def shelf(pool: asyncpg.Pool) -> tuple[Concept, Concept]:
    """What Anna and Bo, who let the bot learn, and Cleo, who doesn't, put into the server's memory."""
    for viewer in (ANNA, BO):
        await say_consent(pool, viewer)
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    lamp = await remember(pool, BO, "The lamp", owner=SERVER)
    await remember(pool, CLEO, "The vase", owner=SERVER)
    return mug, lamp


def rows_of(url: str, table: str) -> list[dict[str, object]]:
    """The rows of a table as the administrator sees them."""
    with psycopg.connect(url) as administrator:
        return [row[0] for row in administrator.execute(f"SELECT to_jsonb({table}) FROM {table}".encode())]


# What may be learned from


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
    }


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
    async with viewing(pool, Viewer(1, 30)) as connection:
        await servers.change_settings(connection, server_owner(30), 1, ServerSettings(trains=False), "paused")
    async with viewing(pool, ANNA_ELSEWHERE) as connection:
        await membership.mark_left(connection, ELSEWHERE)
    await say_consent(pool, CLEO, may=False)
    assert await training.consenting_owners(pool) == ["server:10", "user:1", "user:2"]


async def test_admins_pause_training_and_say_when(pool: asyncpg.Pool) -> None:
    chosen = ServerSettings(trains=False, quiet_from=23, quiet_to=0)
    async with viewing(pool, ANNA) as connection:
        assert await servers.settings_of(connection, SERVER) == ServerSettings(trains=True, quiet_from=2, quiet_to=6)
        await servers.change_settings(connection, SERVER, 1, chosen, "paused training")
        assert await servers.settings_of(connection, SERVER) == chosen
        with pytest.raises(asyncpg.CheckViolationError):
            await servers.change_settings(connection, SERVER, 1, ServerSettings(quiet_to=24), "nonsense")


# Runs


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
        await trash.restore(connection, SERVER, await trash.take(connection, mochi), "Mochi")
    async with viewing(pool, ANNA) as connection:
        found = await training.changes_since_last_run(connection, SERVER)
    assert (found.concepts, found.total) == (1, 2)


# Which adapter answers


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


# What makes it go


async def test_forgetting_unlearns_and_undoing_does_not_bring_it_back(pool: asyncpg.Pool, mochi: Concept) -> None:
    before = await learn(pool, ANNA, "before Rex")
    rex = await remember(pool, ANNA, "Rex")
    await learn(pool, ANNA, "with Rex")

    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, rex, 1)
        assert [entry.adapter_id for entry in await adapters.history(connection, ANNA.personal)] == [before]
    assert await in_use(pool, ANNA) == before

    async with viewing(pool, ANNA) as connection:
        await trash.undo(connection, ANNA.personal, gone.set_aside_id)
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
        await trash.restore(connection, SERVER, await trash.take(connection, mochi), "Mochi")
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
    new = replace(a_concept(SERVER, "Anna"), created_by=2, linked_user=1)
    async with viewing(pool, BO) as connection:
        await concepts.remember(connection, new)
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
    async with viewing(pool, CLEO) as connection:
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


# While it is being learned


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


# Nobody else's


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


# The migration


@pytest.fixture
def before_adapters(tmp_path: Path) -> Path:
    """The migrations as they were before there were adapters."""
    folder = Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))
    for later in sorted(folder.glob("*.sql"))[4:]:
        later.unlink()
    return folder


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
