"""People: what counts as one, and that nobody is kept before somebody gave their word that they agree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from db import (
    archives,
    concepts,
    erasure,
    footprint,
    merging,
    persons,
    proposals,
    purging,
    recall,
    search,
    sharing,
    trash,
)
from db.archives import Arriving
from db.errors import (
    PeopleOffError,
    PersonDeclinedError,
    PersonNotApprovedError,
    PersonNotAskedError,
    ProposalChangedError,
    ProposalGoneError,
    UserFacingError,
    WordMissingError,
)
from db.geometry import WHOLE
from db.pool import open_pool, viewing
from db.roles import app_url
from db.types import Concept, Linked, Proposal, Region, Viewer
from tests.support import adapters
from tests.support.leaks.world import CALIBRATION
from tests.support.members import ANNA, BO, SERVER, answer, governing, names, remember, rows, run_as_administrator, say
from tests.support.memory import ASight, a_concept, a_reference


@pytest.mark.parametrize(
    "category",
    [
        *(
            "person",
            "Women",
            "my best friend",
            "ＦＲＩＥＮＤ",
            "chıld",
            "CHİLD",
            "NIÑO",
            "Mädchen",
            "bébé",
            "per\u200dson",
        )
    ],
)
async def test_a_word_for_a_person_makes_one(pool: asyncpg.Pool, category: str) -> None:
    async with viewing(pool, ANNA) as connection:
        assert await persons.people_among(connection, [(None, category)]) == (0,)


@pytest.mark.parametrize("category", ["", "cat", "personal mug", "mankini", "もち", "-", "womansy"])
async def test_other_words_do_not(pool: asyncpg.Pool, category: str) -> None:
    async with viewing(pool, ANNA) as connection:
        assert await persons.people_among(connection, [(None, category)]) == ()
        assert await persons.people_among(connection, [(None, "cat"), (7, category)]) == (1,)


async def test_nobody_is_kept_before_the_word_is_given_and_it_is_given_once(pool: asyncpg.Pool) -> None:
    with pytest.raises(WordMissingError):
        await remember(pool, ANNA, "Bo", category="friend")
    assert await names(pool, ANNA, ANNA.personal) == []

    async with viewing(pool, ANNA) as connection:
        await persons.vouch(connection, ANNA)
        first = await persons.vouched_at(connection, ANNA)
    bo = await remember(pool, ANNA, "Bo", category="friend")
    async with viewing(pool, ANNA) as connection:
        await persons.vouch(connection, ANNA)
        assert await persons.vouched_at(connection, ANNA) == first
    assert bo.is_person


async def test_no_other_door_makes_a_person_without_the_word(pool: asyncpg.Pool) -> None:
    mug = await remember(pool, ANNA, "Mug")
    await _is_refused(pool, WordMissingError, mug)
    async with viewing(pool, ANNA) as connection:
        assert (await concepts.edit(connection, mug, info="still a mug", category="cup")).category == "cup"


async def test_merging_into_a_person_passes_the_same_check(pool: asyncpg.Pool, database_url: str) -> None:
    bo, other = await remember(pool, ANNA, "Bo", person=2), await remember(pool, ANNA, "Bob")
    run_as_administrator(database_url, "UPDATE person SET vouched_at = NULL")
    with pytest.raises(WordMissingError):
        async with viewing(pool, ANNA) as connection:
            await merging.merge(connection, ANNA, other, bo)
    async with viewing(pool, ANNA) as connection:
        assert (await merging.merge(connection, ANNA, bo, other)).linked_user == 2


async def test_where_people_are_off_no_door_lets_one_in_and_none_is_named(
    pool: asyncpg.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mug = await remember(pool, ANNA, "Mug")
    bo = await remember(pool, ANNA, "Bo", "likes jazz", person=2, reference=a_reference(5))
    await answer(pool, ANNA, bo)
    sight = ASight([Region(WHOLE, a_reference(5).embedding, 1.0)], CALIBRATION)
    async with viewing(pool, ANNA) as connection:
        assert await _recalled(connection, sight) == {"Bo"}

    monkeypatch.setenv("KEEPSAKE_PEOPLE", "off")
    without = await open_pool(app_url(database_url), largest=2)
    try:
        await _is_refused(without, PeopleOffError, mug)
        with pytest.raises(PeopleOffError):
            await remember(without, ANNA, "Carol", category="woman")
        async with viewing(without, ANNA) as connection:
            assert await _recalled(connection, sight) == set()
            [answered] = await archives.answers_of(connection, ANNA)
            assert [sighting.concept for sighting in answered.sightings] == [None]
            listed = await search.browse(connection, [ANNA.personal])
            kept = await archives.whole_concepts(connection, ANNA.personal)
            assert {concept.name for concept in listed} == {whole.concept.name for whole in kept} == {"Bo", "Mug"}
            await concepts.edit(connection, bo, info="")
            await concepts.forget(connection, ANNA.personal, bo.concept_id)
    finally:
        await without.close()


async def test_where_people_are_off_none_are_trained_on_and_what_learned_of_them_is_silent(
    pool: asyncpg.Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await remember(pool, ANNA, "Bo", person=2)
    await remember(pool, ANNA, "Mug")
    await adapters.say_consent(pool, ANNA)
    await adapters.learn(pool, ANNA, "of both")
    assert await adapters.in_use(pool, ANNA) is not None

    monkeypatch.setenv("KEEPSAKE_PEOPLE", "off")
    without = await open_pool(app_url(database_url), largest=2)
    try:
        assert [concept.name for concept in (await adapters.material(without, ANNA)).concepts] == ["Mug"]
        assert await adapters.in_use(without, ANNA) is None
    finally:
        await without.close()


async def test_delete_everything_deletes_the_word(pool: asyncpg.Pool) -> None:
    await remember(pool, ANNA, "Bo", person=2)
    async with viewing(pool, ANNA) as connection:
        await erasure.erase(connection, ANNA)
        assert await persons.vouched_at(connection, ANNA) is None
    with pytest.raises(WordMissingError):
        await remember(pool, ANNA, "Bo", category="friend")


async def _is_refused(pool: asyncpg.Pool, error: type[UserFacingError], mug: Concept) -> None:
    """Try every door but `remember` that could make a person."""
    for change in ({"category": "friend"}, {"linked_user": 2}):
        with pytest.raises(error):
            async with viewing(pool, ANNA) as connection:
                await concepts.edit(connection, mug, **change)  # type: ignore[arg-type]
    arriving = Arriving(
        new=replace(a_concept(ANNA.personal, "Somebody"), category="man"),
        more=(),
        notes=(),
        created_at=mug.created_at,
        times_recognised=0,
        last_seen=None,
    )
    with pytest.raises(error):
        async with viewing(pool, ANNA) as connection:
            await archives.bring_in(connection, [arriving])
    assert "Somebody" not in await names(pool, ANNA, ANNA.personal)


async def _recalled(connection: asyncpg.Connection, sight: ASight) -> set[str]:
    """Return whom a picture shows, a text names, and words are about."""
    found = await recall.recall(connection, ANNA, [sight], "Where is Bo?")
    about = await search.about(connection, [ANNA.personal], "Who was into jazz?")
    return {concept.name for concept in [*found.mentioned, *(match.concept for match in found.recognised), *about]}


CAROL, ADMIN = Viewer(3, 10), governing(Viewer(4, 10))


async def share(pool: asyncpg.Pool, viewer: Viewer, concept: Concept) -> Concept | None:
    async with viewing(pool, viewer) as connection:
        return await sharing.share(connection, concept, SERVER)


async def asked_of(pool: asyncpg.Pool, viewer: Viewer) -> list[Proposal]:
    async with viewing(pool, viewer) as connection:
        return await proposals.requests_to(connection, viewer)


async def test_who_has_an_account_is_shared_once_they_agreed(pool: asyncpg.Pool) -> None:
    bo = await remember(pool, ANNA, "Bo", "likes jazz", person=2)

    assert await share(pool, ANNA, bo) is None
    assert await names(pool, CAROL, SERVER) == []
    [asked] = await asked_of(pool, BO)
    assert (asked.concept.name, asked.concept.info, asked.proposed_by) == ("Bo", "likes jazz", 1)
    assert await asked_of(pool, CAROL) == []
    async with viewing(pool, ADMIN) as connection:
        assert await proposals.proposals_to(connection, SERVER) == []

    await say(pool, 2, agrees=True)
    assert await share(pool, ANNA, bo) is not None
    assert await names(pool, CAROL, SERVER) == ["Bo"]


async def test_only_who_is_meant_agrees(pool: asyncpg.Pool) -> None:
    bo = await remember(pool, ANNA, "Bo", person=2)
    await share(pool, ANNA, bo)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with viewing(pool, ANNA) as connection:
            await connection.execute("UPDATE proposal SET agreed_at = now()")
    for other in (CAROL, ADMIN):
        async with viewing(pool, other) as connection:
            assert await connection.execute("UPDATE proposal SET agreed_at = now()") == "UPDATE 0"
            with pytest.raises(ProposalGoneError):
                await proposals.answer(connection, other, uuid4(), "", agrees=True)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with viewing(pool, BO) as connection:
            await connection.execute("UPDATE proposal SET agreed_at = now(), owner_id = 'server:20'")


async def test_who_says_no_is_not_asked_again(pool: asyncpg.Pool) -> None:
    bo = await remember(pool, ANNA, "Bo", person=2)
    await share(pool, ANNA, bo)
    await say(pool, 2, agrees=False)
    with pytest.raises(PersonDeclinedError):
        await share(pool, ANNA, bo)
    assert await asked_of(pool, BO) == []
    assert await names(pool, ANNA, ANNA.personal) == ["Bo"]


async def test_what_was_changed_since_they_looked_is_looked_at_again(pool: asyncpg.Pool) -> None:
    bo = await remember(pool, ANNA, "Bo", "likes jazz", person=2)
    await share(pool, ANNA, bo)
    [asked] = await asked_of(pool, BO)
    async with viewing(pool, ANNA) as connection:
        await concepts.edit(connection, bo, info="owes me money")
    with pytest.raises(ProposalChangedError):
        async with viewing(pool, BO) as connection:
            await proposals.answer(connection, BO, asked.proposal_id, asked.seen, agrees=True)


async def test_another_account_is_asked_anew(pool: asyncpg.Pool) -> None:
    bo = await remember(pool, ANNA, "Bo", person=2)
    await share(pool, ANNA, bo)
    await say(pool, 2, agrees=True)
    async with viewing(pool, ANNA) as connection:
        carol = await concepts.edit(connection, bo, linked_user=3)
    assert await share(pool, ANNA, carol) is None
    assert [asked.person for asked in await asked_of(pool, CAROL)] == [3]


async def test_who_has_no_account_waits_for_an_admin_where_nothing_else_does(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        await persons.vouch(connection, ANNA)
    dora, mug = await remember(pool, ANNA, "Dora", category="aunt"), await remember(pool, ANNA, "Mug")
    assert await share(pool, ANNA, mug) is not None
    assert await share(pool, ANNA, dora) is None
    assert await names(pool, CAROL, SERVER) == ["Mug"]
    async with viewing(pool, ADMIN) as connection:
        [waiting] = await proposals.proposals_to(connection, SERVER)
        await sharing.approve(connection, SERVER, waiting.proposal_id, waiting.seen)
    assert await names(pool, CAROL, SERVER) == ["Dora", "Mug"]


async def test_an_admin_approves_their_own_and_a_person_shares_themselves(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ADMIN) as connection:
        await persons.vouch(connection, ADMIN)
    dora = await remember(pool, ADMIN, "Dora", category="aunt")
    me = await remember(pool, ANNA, "Anna", person=1)
    assert await share(pool, ADMIN, dora) is not None
    assert await share(pool, ANNA, me) is not None


async def test_no_other_door_shares_a_person(pool: asyncpg.Pool) -> None:
    bo, mug = await remember(pool, ANNA, "Bo", person=2), await remember(pool, ANNA, "Mug", owner=SERVER)
    dora = await remember(pool, ANNA, "Dora", category="aunt")
    doors: dict[str, tuple[type[UserFacingError], Callable[[asyncpg.Connection], Awaitable[object]]]] = {
        "copying": (PersonNotAskedError, lambda c: sharing.copy(c, bo, SERVER)),
        "copying who has no account": (PersonNotApprovedError, lambda c: sharing.copy(c, dora, SERVER)),
        "linking": (PersonNotAskedError, lambda c: concepts.edit(c, mug, linked_user=2)),
        "a category": (PersonNotApprovedError, lambda c: concepts.edit(c, mug, category="friend")),
        "remembering": (
            PersonNotAskedError,
            lambda c: concepts.remember(c, replace(a_concept(SERVER, "Bob"), linked_user=2)),
        ),
    }
    for door, (error, through) in doors.items():
        with pytest.raises(error):
            async with viewing(pool, ANNA) as connection:
                await through(connection)
        assert await names(pool, CAROL, SERVER) == ["Mug"], door
    async with viewing(pool, ADMIN) as connection:
        with pytest.raises(PersonNotAskedError):
            await concepts.edit(connection, mug, linked_user=2)


async def test_unshared_and_shared_again_they_are_asked_again(pool: asyncpg.Pool) -> None:
    shared = await remember(pool, ANNA, "Bo", owner=SERVER, person=2)
    async with viewing(pool, ANNA) as connection:
        await sharing.unshare(connection, shared, ANNA.personal)
        [bo] = await concepts.find(connection, ANNA, "Bo")
    assert await share(pool, ANNA, bo) is None


async def test_forgotten_on_a_server_and_brought_back_they_are_not_asked_again(pool: asyncpg.Pool) -> None:
    shared = await remember(pool, ANNA, "Bo", owner=SERVER, person=2)
    async with viewing(pool, ANNA) as connection:
        await trash.forget_for_now(connection, shared, 1)
        assert (await trash.undo(connection, SERVER, shared.concept_id)).linked_user == 2


async def linked_to(pool: asyncpg.Pool, viewer: Viewer) -> list[Linked]:
    async with viewing(pool, viewer) as connection:
        return await footprint.linked_to(connection, viewer)


async def test_who_is_linked_sees_it_anywhere_and_nothing_of_what_is_anothers(pool: asyncpg.Pool) -> None:
    private = await remember(pool, ANNA, "Secret name", "secret words", person=2)
    shared = await remember(pool, ANNA, "Bo", owner=SERVER, person=2)
    await remember(pool, BO, "Myself", person=2)

    assert await linked_to(pool, Viewer(2)) == [
        Linked(SERVER, shared.concept_id, "Bo"),
        Linked(ANNA.personal, private.concept_id, ""),
    ]
    assert await linked_to(pool, CAROL) == []


async def test_who_is_linked_takes_out_what_is_shared_and_unlinks_what_is_anothers(pool: asyncpg.Pool) -> None:
    await remember(pool, ANNA, "Private", "secret words", person=2, reference=a_reference(5))
    await remember(pool, ANNA, "Bo", owner=SERVER, person=2)
    await remember(pool, ANNA, "Mug", owner=SERVER)
    bo = Viewer(2)
    for linked in await linked_to(pool, bo):
        async with viewing(pool, bo) as connection:
            await purging.take_out(connection, bo, linked)

    assert await linked_to(pool, bo) == []
    assert await names(pool, CAROL, SERVER) == ["Mug"]
    async with viewing(pool, ANNA) as connection:
        [private] = await concepts.list_concepts(connection, ANNA.personal)
    assert (private.name, private.info, private.linked_user, private.references) == ("Private", "secret words", None, 1)


async def test_nobody_takes_out_what_is_linked_to_another(pool: asyncpg.Pool) -> None:
    await remember(pool, ANNA, "Private", person=2)
    await remember(pool, ANNA, "Bo", owner=SERVER, person=2)
    for linked in await linked_to(pool, BO):
        async with viewing(pool, CAROL) as connection:
            await purging.take_out(connection, CAROL, linked)
    assert len(await linked_to(pool, BO)) == 2


async def test_what_was_taken_out_is_not_asked_about_any_more(pool: asyncpg.Pool) -> None:
    bo = await remember(pool, ANNA, "Bo", person=2)
    await share(pool, ANNA, bo)
    async with viewing(pool, BO) as connection:
        [linked] = await footprint.linked_to(connection, BO)
        await purging.take_out(connection, BO, linked)
        assert await proposals.requests_to(connection, BO) == []


async def test_delete_everything_unlinks_what_others_keep_also_what_they_forgot(
    pool: asyncpg.Pool, database_url: str
) -> None:
    await remember(pool, ANNA, "Private", person=2)
    gone = await remember(pool, ANNA, "Gone", person=2)
    async with viewing(pool, ANNA) as connection:
        await trash.forget_for_now(connection, gone, 1)
    async with viewing(pool, BO) as connection:
        assert (await erasure.erase(connection, BO)).rows["links to your account"] == 2
    assert {concept["linked_user"] for concept in rows(database_url)["concept"]} == {None}  # type: ignore[index]
    async with viewing(pool, ANNA) as connection:
        assert (await trash.undo(connection, ANNA.personal, gone.concept_id)).linked_user is None
