"""Undo, proposals, merging, searching, settings, erasing, limits: what the memory can do besides remembering."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import psycopg
import pytest

from db import (
    concepts,
    consent,
    corrections,
    erasure,
    footprint,
    merging,
    pictures,
    purging,
    rate_limits,
    search,
    servers,
    sightings,
    trash,
)
from db.errors import (
    CannotMergeError,
    LastReferenceError,
    NameTakenError,
    NotRememberedError,
    ObjectedError,
    RateLimitedError,
    UndoExpiredError,
)
from db.geometry import WHOLE
from db.maintenance import delete_what_is_due, known_servers
from db.names import TextTooLongError
from db.pool import open_pool, viewing
from db.rate_limits import Limit
from db.roles import app_url
from db.types import (
    Concept,
    NewReference,
    OwnerId,
    ServerSettings,
    Sighting,
    Verdict,
    Viewer,
    WhoMayShare,
    server_owner,
    user_owner,
)
from tests.support.memory import PACK, a_concept, a_jpeg, a_reference, an_embedding

ANNA, BO = Viewer(1, 10), Viewer(2, 10)
ELSEWHERE = Viewer(1, 20)
SERVER = server_owner(10)

ROWS = {
    "concept": "SELECT to_jsonb(concept) - 'updated_at' FROM concept ORDER BY concept_id",
    "reference": "SELECT to_jsonb(reference) FROM reference ORDER BY reference_id",
    "embedding": "SELECT to_jsonb(embedding) FROM embedding ORDER BY reference_id",
    "picture": "SELECT to_jsonb(picture) FROM picture ORDER BY picture_sha256",
    "correction": "SELECT to_jsonb(correction) FROM correction ORDER BY correction_id",
}


async def remember(
    pool: asyncpg.Pool,
    viewer: Viewer,
    name: str,
    info: str = "",
    *,
    owner: OwnerId | None = None,
    category: str = "",
    person: int | None = None,
    reference: NewReference | None = None,
) -> Concept:
    new = replace(
        a_concept(owner or viewer.personal, name, len(name), reference),
        info=info,
        category=category,
        created_by=viewer.user_id,
        linked_user=person,
    )
    async with viewing(pool, viewer) as connection:
        return await concepts.remember(connection, new)


async def names(pool: asyncpg.Pool, viewer: Viewer, owner: OwnerId) -> list[str]:
    async with viewing(pool, viewer) as connection:
        return [concept.name for concept in await concepts.list_concepts(connection, owner)]


async def answer(pool: asyncpg.Pool, viewer: Viewer, concept: Concept | None = None, verdict: str = "right") -> None:
    sighting = Sighting(
        region=0,
        box=WHOLE,
        embedding_id=PACK,
        embedding=an_embedding(7),
        concept=concept,
        probability=0.9 if concept else None,
    )
    async with viewing(pool, viewer) as connection:
        await sightings.store_answer(connection, viewer, a_jpeg(7), 16, 12, [sighting])
        if concept:
            await corrections.store(connection, viewer, sighting, Verdict(verdict))


def rows(url: str) -> dict[str, list[object]]:
    with psycopg.connect(url) as administrator:
        return {table: [row[0] for row in administrator.execute(query)] for table, query in ROWS.items()}


def run_as_administrator(url: str, statement: str) -> None:
    with psycopg.connect(url) as administrator:
        administrator.execute(statement.encode())


# Undo


async def test_undoing_brings_everything_back_to_the_last_bit(pool: asyncpg.Pool, database_url: str) -> None:
    mochi = await remember(pool, ANNA, "Mochi", "a cat")
    async with viewing(pool, ANNA) as connection:
        await concepts.add_reference(connection, mochi, a_reference(3), 1)
        second = (await pictures.references(connection, mochi))[1]
        await pictures.choose_avatar(connection, mochi, second.reference_id)
    await answer(pool, ANNA, mochi)
    before = rows(database_url)

    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, mochi, 1)
    assert rows(database_url) == {table: [] for table in ROWS}
    async with viewing(pool, ANNA) as connection:
        await trash.undo(connection, ANNA.personal, gone.set_aside_id)

    assert rows(database_url) == before


async def test_undo_is_for_who_forgot_it_and_only_for_a_while(pool: asyncpg.Pool, database_url: str) -> None:
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, mug, 1)
    for viewer, owner in ((BO, SERVER), (BO, BO.personal), (ELSEWHERE, server_owner(20))):
        with pytest.raises(UndoExpiredError):
            async with viewing(pool, viewer) as connection:
                await trash.undo(connection, owner, gone.set_aside_id)
    run_as_administrator(database_url, "UPDATE set_aside SET expires_at = now()")
    with pytest.raises(UndoExpiredError):
        async with viewing(pool, ANNA) as connection:
            await trash.undo(connection, SERVER, gone.set_aside_id)
    assert (await delete_what_is_due(pool))["set_aside"] == 1


async def test_undo_waits_when_the_name_is_taken_by_now(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi", "the first")
    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, mochi, 1)
    await remember(pool, ANNA, "MOCHI", "the second")
    with pytest.raises(NameTakenError):
        async with viewing(pool, ANNA) as connection:
            await trash.undo(connection, ANNA.personal, gone.set_aside_id)
    async with viewing(pool, ANNA) as connection:
        [second] = await concepts.find(connection, ANNA, "mochi")
        await concepts.edit(connection, second, name="Another")
        await trash.undo(connection, ANNA.personal, gone.set_aside_id)
    assert await names(pool, ANNA, ANNA.personal) == ["Another", "Mochi"]


# Proposals


async def test_a_proposal_is_taken_in_or_declined(pool: asyncpg.Pool) -> None:
    mochi, rex = await remember(pool, ANNA, "Mochi"), await remember(pool, ANNA, "Rex")
    async with viewing(pool, ANNA) as connection:
        for concept in (mochi, rex):
            await trash.propose(connection, concept, SERVER, 1)
    assert await names(pool, BO, SERVER) == []
    async with viewing(pool, BO) as connection:
        first, second = await trash.proposals(connection, SERVER)
        await trash.approve(connection, SERVER, first.set_aside_id)
        assert await trash.decline(connection, SERVER, second.set_aside_id) == "Rex"
        assert await trash.proposals(connection, SERVER) == []
        with pytest.raises(NotRememberedError):
            await trash.approve(connection, SERVER, uuid4())
    assert await names(pool, BO, SERVER) == ["Mochi"]
    assert await names(pool, ANNA, ANNA.personal) == ["Mochi", "Rex"]


# Merging


async def test_merging_keeps_the_pictures_and_words_of_both(pool: asyncpg.Pool, database_url: str) -> None:
    mochi, chelsea = await remember(pool, ANNA, "Mochi", "a cat"), await remember(pool, ANNA, "Chelsea", "hates rain")
    await answer(pool, ANNA, mochi, "incorrect")
    await answer(pool, ANNA, chelsea, "right")

    async with viewing(pool, ANNA) as connection:
        merged = await merging.merge(connection, ANNA, mochi, chelsea)
        shown = await pictures.references(connection, merged)

    assert (merged.name, merged.info, merged.references) == ("Mochi", "a cat\nhates rain", 2)
    assert {reference.picture for reference in shown} == {a_jpeg(5), a_jpeg(7)}
    assert [reference.is_avatar for reference in shown].count(True) == 1
    assert await names(pool, ANNA, ANNA.personal) == ["Mochi"]
    with psycopg.connect(database_url) as administrator:
        verdicts = administrator.execute("SELECT verdict, concept_id FROM correction").fetchall()
    assert verdicts == [("right", mochi.concept_id)]


async def test_what_is_too_long_together_is_not_merged_and_nothing_is_lost(
    pool: asyncpg.Pool, database_url: str
) -> None:
    concept, two = await remember(pool, ANNA, "Mochi", "a" * 600), await remember(pool, ANNA, "Rex", "b" * 600)
    before = rows(database_url)
    with pytest.raises(TextTooLongError):
        async with viewing(pool, ANNA) as connection:
            await merging.merge(connection, ANNA, concept, two)
    assert rows(database_url) == before


async def test_only_two_of_one_memory_are_merged(pool: asyncpg.Pool) -> None:
    mochi, mug = await remember(pool, ANNA, "Mochi"), await remember(pool, ANNA, "The mug", owner=SERVER)
    for kept, other in ((mochi, mug), (mug, mochi), (mochi, mochi)):
        with pytest.raises(CannotMergeError):
            async with viewing(pool, ANNA) as connection:
                await merging.merge(connection, ANNA, kept, other)


async def test_the_last_picture_stays(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    async with viewing(pool, ANNA) as connection:
        await concepts.add_reference(connection, mochi, a_reference(3), 1)
        first, second = await pictures.references(connection, mochi)
        left = await concepts.remove_reference(connection, mochi, first.reference_id)
        assert left.references == 1
        shown = await pictures.avatar(connection, mochi)
        assert shown is not None
        assert shown.picture == second.picture
        with pytest.raises(LastReferenceError):
            await concepts.remove_reference(connection, mochi, second.reference_id)


# Searching


@pytest.fixture
async def shelf(pool: asyncpg.Pool) -> asyncpg.Pool:
    await remember(pool, ANNA, "Roadster", "my blue bicycle, bought from Henrik; the bike has a bell", category="bike")
    await remember(pool, ANNA, "Mochi", "a tabby cat who hates the vacuum cleaner", category="Cat")
    await remember(pool, ANNA, "Tasse", "die blaue Tasse aus Lissabon", category="cup")
    await remember(pool, ANNA, "もち", "餅が好き", category="cat")
    await remember(pool, BO, "Bike of Bo", "blue bike", category="bike")
    return pool


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("vacuum", "Mochi"),
        ("vacum clener", "Mochi"),
        ("hating", "Mochi"),
        ("blue bikes", "Roadster"),
        ("Lissabon", "Tasse"),
        ("henrick", "Roadster"),
        ("もち", "もち"),
        ("tabby bicycle", None),
        ("zebra", ""),
        ("the", "Mochi"),
        ("' OR 1=1; --", ""),
        ("🐟", ""),
    ],
)
async def test_words_find_what_was_said_in_spite_of_typing_errors(
    shelf: asyncpg.Pool, words: str, first: str | None
) -> None:
    async with viewing(shelf, ANNA) as connection:
        found = [concept.name for concept in await search.browse(connection, [ANNA.personal], search=words)]
    if first is None:
        assert set(found) == {"Mochi", "Roadster"}
    else:
        assert found[:1] == ([first] if first else [])


async def test_hostile_searches_find_nothing_and_break_nothing(shelf: asyncpg.Pool) -> None:
    async with viewing(shelf, ANNA) as connection:
        for words in ("\x00", "\ud800", "a" * 10_000, " ".join(str(number) for number in range(5000)), "%_\\", "&|!:*"):
            assert await search.browse(connection, [ANNA.personal], search=words) == []
            assert await search.about(connection, [ANNA.personal], words) == ()


async def test_a_memory_is_leafed_through_by_page_and_category(shelf: asyncpg.Pool) -> None:
    async with viewing(shelf, ANNA) as connection:
        everything = [concept.name for concept in await search.browse(connection, [ANNA.personal])]
        second = [concept.name for concept in await search.browse(connection, [ANNA.personal], limit=2, offset=2)]
        cats = [concept.name for concept in await search.browse(connection, [ANNA.personal], category="CAT")]
        kinds = await search.categories(connection, [ANNA.personal])
    assert everything == ["Mochi", "Roadster", "Tasse", "もち"]
    assert second == ["Tasse", "もち"]
    assert cats == ["Mochi", "もち"]
    assert [text.lower() for text in kinds] == ["cat", "bike", "cup"]


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("what did I say about the blue bike?", ["Roadster"]),
        ("Who hates the vacuum cleaner?", ["Mochi"]),
        ("What do you know about Henrik's bicycle?", ["Roadster"]),
        ("how are you today?", []),
        ("what do I like?", []),
        ("tell me a joke", []),
        ("what is the capital of France?", []),
    ],
)
async def test_a_question_is_about_what_its_words_say(shelf: asyncpg.Pool, question: str, about: list[str]) -> None:
    async with viewing(shelf, ANNA) as connection:
        found = await search.about(connection, concepts.owners(ANNA), question)
    assert [concept.name for concept in found] == about


# Governing


async def test_settings_are_kept_and_the_log_says_who_changed_what(pool: asyncpg.Pool) -> None:
    chosen = ServerSettings(
        who_may_share=WhoMayShare.ROLES,
        sharing_roles=(5, 6),
        needs_approval=True,
        allowed_channels=(7,),
        denied_channels=(8, 9),
        max_per_member=3,
        max_per_server=50,
        retention_days=14,
        locked=True,
    )
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    async with viewing(pool, BO) as connection:
        assert await servers.settings_of(connection, SERVER) == ServerSettings()
        await servers.change_settings(connection, SERVER, 2, chosen, "locked the memory")
        assert await servers.settings_of(connection, SERVER) == chosen
        await concepts.edit(connection, mug, info="new", category="cup")
    async with viewing(pool, ANNA) as connection:
        await concepts.forget(connection, SERVER, mug.concept_id)
        log = [(entry.actor, entry.action, entry.subject) for entry in await servers.audit_log(connection, SERVER)]
    assert log == [
        (1, "removed", "The mug"),
        (2, "changed info category", "The mug"),
        (2, "locked the memory", ""),
        (1, "shared", "The mug"),
    ]


async def test_recognitions_are_not_changes(pool: asyncpg.Pool) -> None:
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    async with viewing(pool, BO) as connection:
        await concepts.mark_recognised(connection, [mug])
        assert [entry.action for entry in await servers.audit_log(connection, SERVER)] == ["shared"]


async def test_a_shorter_retention_holds_for_earlier_answers_of_that_server(
    pool: asyncpg.Pool, database_url: str
) -> None:
    for viewer in (ANNA, BO, ELSEWHERE, Viewer(1)):
        await answer(pool, viewer)
    run_as_administrator(database_url, "UPDATE answer SET created_at = created_at - interval '5 days'")
    async with viewing(pool, ANNA) as connection:
        await servers.change_settings(connection, SERVER, 1, ServerSettings(retention_days=4), "set")
    with psycopg.connect(database_url) as administrator:
        left = administrator.execute("SELECT owner_id, server_owner_id FROM answer ORDER BY 2").fetchall()
    assert left == [("user:1", "server:20"), ("user:1", None)]


async def test_purging_takes_one_members_or_what_is_old_or_all(pool: asyncpg.Pool, database_url: str) -> None:
    await remember(pool, ANNA, "The mug", owner=SERVER)
    await remember(pool, BO, "The lamp", owner=SERVER)
    await remember(pool, BO, "Anna", owner=SERVER, person=1)
    own = await remember(pool, ANNA, "Mochi")
    await answer(pool, ANNA)
    await answer(pool, BO)
    async with viewing(pool, BO) as connection:
        assert await purging.purge(connection, SERVER, member=1) == 2
    assert await names(pool, BO, SERVER) == ["The lamp"]
    with psycopg.connect(database_url) as administrator:
        assert administrator.execute("SELECT owner_id FROM answer").fetchall() == [("user:2",)]
        assert administrator.execute("SELECT count(*) FROM picture WHERE owner_id = 'server:10'").fetchone() == (1,)

    async with viewing(pool, BO) as connection:
        assert await purging.purge(connection, SERVER, before=datetime.now(UTC) - timedelta(days=1)) == 0
        assert await purging.purge(connection, SERVER, before=datetime.now(UTC) + timedelta(days=1)) == 1
    await remember(pool, ANNA, "The mug", owner=SERVER)
    async with viewing(pool, BO) as connection:
        assert await purging.purge(connection, SERVER) == 1
    assert await names(pool, ANNA, own.owner_id) == ["Mochi"]


async def test_a_forgotten_server_leaves_nothing_and_others_alone(pool: asyncpg.Pool, database_url: str) -> None:
    for viewer in (ANNA, ELSEWHERE):
        await remember(pool, viewer, "The mug", owner=viewer.server_memory)
        await answer(pool, viewer)
    async with viewing(pool, ANNA) as connection:
        await purging.forget_server(connection, SERVER)
    assert await names(pool, ELSEWHERE, server_owner(20)) == ["The mug"]
    assert [server.server_id for server in await known_servers(pool)] == [20]
    with psycopg.connect(database_url) as administrator:
        left = administrator.execute(
            "SELECT owner_id FROM audit UNION ALL SELECT owner_id FROM server"
            " UNION ALL SELECT server_owner_id FROM answer"
        ).fetchall()
    assert left == [("server:20",)] * 3


# People


async def test_consent_is_off_until_it_is_given(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        assert not await consent.may_train(connection, ANNA)
        await consent.set_may_train(connection, ANNA, may=True)
        assert await consent.may_train(connection, ANNA)
        await consent.set_may_train(connection, ANNA, may=False)
        assert not await consent.may_train(connection, ANNA)


async def test_an_objection_deletes_what_is_shared_of_a_person_and_keeps_it_out(pool: asyncpg.Pool) -> None:
    await remember(pool, BO, "Anna", owner=SERVER, person=1)
    await remember(pool, Viewer(2, 20), "Anna", owner=server_owner(20), person=1)
    private = await remember(pool, BO, "Anna", person=1)
    await remember(pool, BO, "The lamp", owner=SERVER)

    async with viewing(pool, Viewer(1)) as connection:
        assert await consent.object_to_sharing(connection, Viewer(1)) == 2

    assert await names(pool, BO, SERVER) == ["The lamp"]
    assert await names(pool, Viewer(2, 20), server_owner(20)) == []
    assert await names(pool, BO, BO.personal) == ["Anna"]
    with pytest.raises(ObjectedError):
        await remember(pool, BO, "Anna", owner=SERVER, person=1)
    with pytest.raises(ObjectedError):
        async with viewing(pool, BO) as connection:
            await trash.propose(connection, private, SERVER, 2)
    with pytest.raises(ObjectedError):
        async with viewing(pool, BO) as connection:
            await trash.restore(connection, SERVER, await trash.take(connection, private), "Anna")
    async with viewing(pool, BO) as connection:
        [lamp] = await concepts.find(connection, BO, "The lamp")
        with pytest.raises(ObjectedError):
            await concepts.edit(connection, lamp, linked_user=1)

    async with viewing(pool, ANNA) as connection:
        await consent.withdraw_objection(connection, ANNA)
    await remember(pool, BO, "Anna", owner=SERVER, person=1)


async def test_nobody_objects_for_somebody_else(pool: asyncpg.Pool) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with viewing(pool, BO) as connection:
            await connection.execute("INSERT INTO objection (user_id) VALUES (1)")
    async with viewing(pool, ANNA) as connection:
        await consent.object_to_sharing(connection, ANNA)
    async with viewing(pool, BO) as connection:
        await connection.execute("DELETE FROM objection")
        assert await consent.objects(connection, 1)


async def test_linking_and_objecting_in_the_same_moment_never_both_hold(pool: asyncpg.Pool) -> None:
    async def link(number: int) -> None:
        with contextlib.suppress(ObjectedError):
            await remember(pool, BO, f"Anna {number}", owner=SERVER, person=1)

    async def object_now() -> None:
        async with viewing(pool, Viewer(1)) as connection:
            await consent.object_to_sharing(connection, Viewer(1))

    await asyncio.gather(
        *(link(number) for number in range(6)), object_now(), *(link(number) for number in range(6, 12))
    )
    assert await names(pool, BO, SERVER) == []


async def test_erasing_takes_what_somebody_else_forgot_too(pool: asyncpg.Pool) -> None:
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    lamp = await remember(pool, BO, "The lamp", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        await concepts.add_reference(connection, lamp, a_reference(30), 1)
    async with viewing(pool, BO) as connection:
        forgotten = [await trash.forget_for_now(connection, concept, 2) for concept in (mug, lamp)]

    async with viewing(pool, Viewer(1)) as connection:
        await erasure.erase(connection, Viewer(1))

    for set_aside in forgotten:
        with pytest.raises(NotRememberedError):
            async with viewing(pool, BO) as connection:
                await trash.undo(connection, SERVER, set_aside.set_aside_id)


async def test_erasing_takes_everything_of_one_and_nothing_of_others(pool: asyncpg.Pool, database_url: str) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    await remember(pool, ANNA, "The mug", owner=SERVER)
    await remember(pool, ELSEWHERE, "The statue", owner=server_owner(20))
    rex = await remember(pool, BO, "Rex")
    lamp = await remember(pool, BO, "The lamp", owner=SERVER)
    await answer(pool, ANNA, mochi)
    await answer(pool, BO, rex)
    async with viewing(pool, ANNA) as connection:
        await consent.set_may_train(connection, ANNA, may=True)
        await concepts.add_reference(connection, lamp, a_reference(30), 1)
        await rate_limits.use(connection, ANNA.personal, Limit("ask", 5, timedelta(hours=1)))
        assert (await footprint.stored(connection, ANNA)).shared == 2
    run_as_administrator(
        database_url,
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES"
        """ ('q', 't', '{"owner_id": "user:1"}'), ('q', 't', '{"owner_id": "user:2"}')""",
    )

    async with viewing(pool, Viewer(1)) as connection:
        erased = await erasure.erase(connection, Viewer(1))

    assert (erased.rows["concept"], erased.rows["shared concepts"], erased.servers) == (1, 2, 2)
    assert erased.rows["pending job"] == 1
    assert await names(pool, BO, SERVER) == ["The lamp"]
    assert await names(pool, BO, BO.personal) == ["Rex"]
    async with viewing(pool, BO) as connection:
        assert (await concepts.get(connection, SERVER, lamp.concept_id)).references == 1
        assert (await footprint.stored(connection, BO)).answers == 1
    async with viewing(pool, Viewer(1)) as connection:
        assert set(vars_of(await footprint.stored(connection, Viewer(1)))) == {0}


def vars_of(counted: object) -> list[int]:
    return [getattr(counted, name) for name in counted.__slots__]  # type: ignore[attr-defined]


# Limits


async def test_limits_allow_a_burst_then_say_when_to_come_back_even_after_a_restart(
    pool: asyncpg.Pool, database_url: str
) -> None:
    limit = Limit("ask", 3, timedelta(seconds=100))
    for _ in range(3):
        async with viewing(pool, ANNA) as connection:
            await rate_limits.use(connection, ANNA.personal, limit)
    restarted = await open_pool(app_url(database_url), largest=1)
    try:
        with pytest.raises(RateLimitedError) as refused:
            async with viewing(restarted, ANNA) as connection:
                await rate_limits.use(connection, ANNA.personal, limit)
        assert 95 <= refused.value.seconds <= 100
        async with viewing(restarted, BO) as connection:
            await rate_limits.use(connection, BO.personal, limit)
    finally:
        restarted.terminate()
    run_as_administrator(database_url, "UPDATE rate SET next_at = next_at - interval '101 seconds'")
    async with viewing(pool, ANNA) as connection:
        await rate_limits.use(connection, ANNA.personal, limit)
    with pytest.raises(RateLimitedError):
        async with viewing(pool, ANNA) as connection:
            await rate_limits.use(connection, ANNA.personal, limit)


async def test_many_at_once_get_no_more_than_the_limit(pool: asyncpg.Pool) -> None:
    limit = Limit("ask", 5, timedelta(hours=1))

    async def use() -> bool:
        try:
            async with viewing(pool, ANNA) as connection:
                await rate_limits.use(connection, ANNA.personal, limit)
        except RateLimitedError:
            return False
        return True

    assert sum(await asyncio.gather(*(use() for _ in range(20)))) == 5


async def test_only_what_is_due_is_taken_care_of(pool: asyncpg.Pool, database_url: str) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    await answer(pool, ANNA)
    await answer(pool, BO)
    async with viewing(pool, ANNA) as connection:
        await trash.forget_for_now(connection, mochi, 1)
        await rate_limits.use(connection, ANNA.personal, Limit("ask", 5, timedelta(hours=1)))
    assert set((await delete_what_is_due(pool)).values()) == {0}
    run_as_administrator(database_url, "UPDATE answer SET expires_at = now() WHERE owner_id = 'user:2'")
    run_as_administrator(database_url, "UPDATE rate SET next_at = now()")
    assert await delete_what_is_due(pool) == {"answer": 1, "set_aside": 0, "rate": 1}
    assert user_owner(1) == ANNA.personal
