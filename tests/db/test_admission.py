"""Every door of a memory has the same rules: whatever goes in, or is changed there, is admitted where it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest

from db import admission, archives, concepts, merging, pictures, proposals, servers, sharing, trash
from db.archives import Arriving
from db.errors import (
    ApprovalNeededError,
    LimitReachedError,
    MemberLimitError,
    MemoryFullError,
    MemoryLockedError,
    NotAdminError,
    NotYoursError,
    OnlyAdminsShareError,
    OnlyRolesShareError,
    PicturesFullError,
    QuotaError,
    ServerFullError,
)
from db.names import NotForSharingError
from db.pool import viewing
from db.types import Concept, NewConcept, OwnerId, ServerSettings, Viewer, WhoMayShare
from tests.support.members import ANNA, BO, SERVER, governing, names, remember
from tests.support.memory import a_concept, a_reference

Door = Callable[[asyncpg.Connection], Awaitable[object]]
ADMIN = governing(Viewer(9, 10))


async def govern(pool: asyncpg.Pool, **chosen: object) -> None:
    async with viewing(pool, ADMIN) as connection:
        await servers.change_settings(connection, SERVER, 9, ServerSettings(**chosen), "set")  # type: ignore[arg-type]


def of_anna(owner: OwnerId, name: str, seed: int = 40) -> NewConcept:
    return replace(a_concept(owner, name, seed), created_by=ANNA.user_id)


def arriving(name: str, count: int = 1) -> Arriving:
    return Arriving(
        new=of_anna(ANNA.personal, name, 50),
        notes=(),
        more=tuple(a_reference(50 + number) for number in range(1, count)),
        created_at=datetime.now(UTC),
        times_recognised=0,
        last_seen=None,
    )


async def doors_of_the_server(pool: asyncpg.Pool) -> dict[str, Door]:
    """Return every way in which a member (Anna) puts something into the server's memory, or changes it."""
    mug, cup = [await remember(pool, ANNA, name, owner=SERVER) for name in ("The mug", "The cup")]
    mochi, lost = await remember(pool, ANNA, "Mochi"), await remember(pool, ANNA, "The lost", owner=SERVER)
    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, lost, ANNA.user_id)
        await concepts.add_reference(connection, mug, a_reference(30), ANNA.user_id)
        [first, _] = await pictures.references(connection, mug)
    return {
        "remember": lambda c: concepts.remember(c, of_anna(SERVER, "The lamp")),
        "share": lambda c: sharing.share(c, mochi, SERVER),
        "propose": lambda c: proposals.propose(c, mochi, SERVER),
        "undo": lambda c: trash.undo(c, SERVER, gone.concept_id),
        "add a picture": lambda c: concepts.add_reference(c, mug, a_reference(31), ANNA.user_id),
        "remove a picture": lambda c: concepts.remove_reference(c, mug, first.reference_id),
        "edit": lambda c: concepts.edit(c, mug, info="defaced"),
        "merge": lambda c: merging.merge(c, ANNA, mug, cup),
        "forget": lambda c: trash.forget_for_now(c, cup, ANNA.user_id),
        "unshare": lambda c: sharing.unshare(c, cup, ANNA.personal),
    }


INTO_THE_SERVER = ("remember", "share", "propose", "undo")
CHANGES = ("add a picture", "remove a picture", "edit", "merge", "forget", "unshare")


@pytest.mark.parametrize("door", [*INTO_THE_SERVER, *CHANGES])
async def test_a_locked_memory_lets_no_member_through_any_door(pool: asyncpg.Pool, door: str) -> None:
    doors = await doors_of_the_server(pool)
    await govern(pool, locked=True)

    with pytest.raises(MemoryLockedError):
        async with viewing(pool, ANNA) as connection:
            await doors[door](connection)

    assert await names(pool, ANNA, SERVER) == ["The cup", "The mug"]
    async with viewing(pool, replace(ANNA, is_admin=True)) as connection:
        await doors[door](connection)


@pytest.mark.parametrize("door", CHANGES)
async def test_what_a_member_shared_no_other_member_changes(pool: asyncpg.Pool, door: str) -> None:
    doors = await doors_of_the_server(pool)
    with pytest.raises(NotYoursError):
        async with viewing(pool, BO) as connection:
            await doors[door](connection)


@pytest.mark.parametrize("door", INTO_THE_SERVER)
@pytest.mark.parametrize(
    ("rules", "refusal"),
    [
        ({"max_per_server": 2}, ServerFullError),
        ({"max_per_member": 2}, MemberLimitError),
        ({"who_may_share": WhoMayShare.ADMINS}, OnlyAdminsShareError),
        ({"who_may_share": WhoMayShare.ROLES, "sharing_roles": (5,)}, OnlyRolesShareError),
    ],
)
async def test_every_door_into_a_servers_memory_has_its_rules(
    pool: asyncpg.Pool, door: str, rules: dict[str, object], refusal: type[Exception]
) -> None:
    doors = await doors_of_the_server(pool)
    await govern(pool, **rules)
    with pytest.raises(refusal):
        async with viewing(pool, ANNA) as connection:
            await doors[door](connection)
    await govern(pool, who_may_share=WhoMayShare.ROLES, sharing_roles=(5,))
    async with viewing(pool, replace(ANNA, roles=frozenset({5}))) as connection:
        await doors[door](connection)


async def test_who_governs_is_held_by_the_size_of_the_memory_alone(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    async with viewing(pool, ANNA) as connection:
        await proposals.propose(connection, mochi, SERVER)
        [proposed] = await proposals.proposals_of(connection, ANNA)
    await remember(pool, BO, "The mug", owner=SERVER)
    await govern(pool, max_per_server=1)

    with pytest.raises(NotAdminError):
        async with viewing(pool, ANNA) as connection:
            await sharing.approve(connection, SERVER, proposed.proposal_id, proposed.seen)
    with pytest.raises(ServerFullError):
        async with viewing(pool, ADMIN) as connection:
            await sharing.approve(connection, SERVER, proposed.proposal_id, proposed.seen)
    await govern(pool, max_per_server=2, locked=True)
    async with viewing(pool, ADMIN) as connection:
        await sharing.approve(connection, SERVER, proposed.proposal_id, proposed.seen)

    assert await names(pool, ANNA, SERVER) == ["Mochi", "The mug"]


async def test_nothing_is_put_past_the_admins_approval(pool: asyncpg.Pool) -> None:
    doors = await doors_of_the_server(pool)
    await govern(pool, needs_approval=True)
    with pytest.raises(ApprovalNeededError):
        async with viewing(pool, ANNA) as connection:
            await doors["remember"](connection)
    async with viewing(pool, ANNA) as connection:
        assert await doors["share"](connection) is None
        assert [waiting.concept.name for waiting in await proposals.proposals_of(connection, ANNA)] == ["Mochi"]


async def test_of_nine_shares_at_once_a_limit_of_one_lets_one_through(pool: asyncpg.Pool) -> None:
    mine = [await remember(pool, ANNA, f"Mochi {number}") for number in range(9)]
    await govern(pool, max_per_member=1)

    async def share(concept: Concept) -> bool:
        try:
            async with viewing(pool, ANNA) as connection:
                return await sharing.share(connection, concept, SERVER) is not None
        except MemberLimitError:
            return False

    assert sum(await asyncio.gather(*(share(concept) for concept in mine))) == 1
    assert len(await names(pool, ANNA, SERVER)) == 1
    assert len(await names(pool, ANNA, ANNA.personal)) == 8


async def test_what_a_member_shared_goes_back_to_them_alone(pool: asyncpg.Pool) -> None:
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    with pytest.raises(NotYoursError):
        async with viewing(pool, ADMIN) as connection:
            await sharing.unshare(connection, mug, ADMIN.personal)
    async with viewing(pool, ANNA) as connection:
        await sharing.unshare(connection, mug, ANNA.personal)


async def doors_of_oneself(pool: asyncpg.Pool) -> dict[str, Door]:
    """Return every way in which Anna, who has one concept, gets another."""
    kept, lost = await remember(pool, ANNA, "Mochi"), await remember(pool, ANNA, "The lost")
    mug = await remember(pool, ANNA, "The mug", owner=SERVER, reference=a_reference(33))
    async with viewing(pool, ANNA) as connection:
        gone = await trash.forget_for_now(connection, lost, ANNA.user_id)
    return {
        "remember": lambda c: concepts.remember(c, of_anna(ANNA.personal, "The lamp")),
        "import": lambda c: archives.bring_in(c, [arriving("The lamp")]),
        "undo": lambda c: trash.undo(c, ANNA.personal, gone.concept_id),
        "unshare": lambda c: sharing.unshare(c, mug, ANNA.personal),
        "add a picture": lambda c: concepts.add_reference(c, kept, a_reference(34), ANNA.user_id),
    }


@pytest.mark.parametrize("door", ["remember", "import", "undo", "unshare"])
async def test_ones_own_memory_has_room_for_so_many(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    doors = await doors_of_oneself(pool)
    monkeypatch.setattr(admission, "MAX_CONCEPTS", 1)
    with pytest.raises(MemoryFullError):
        async with viewing(pool, ANNA) as connection:
            await doors[door](connection)
    assert await names(pool, ANNA, ANNA.personal) == ["Mochi"]
    monkeypatch.setattr(admission, "MAX_CONCEPTS", 2)
    async with viewing(pool, ANNA) as connection:
        await doors[door](connection)


@pytest.mark.parametrize("door", ["remember", "import", "unshare", "add a picture"])
async def test_the_pictures_of_a_memory_have_a_quota_in_bytes(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    doors = await doors_of_oneself(pool)
    async with viewing(pool, ANNA) as connection:
        held = await connection.fetchval(admission.COUNT_BYTES, ANNA.personal)
    monkeypatch.setattr(admission, "MAX_BYTES_OF_USER", int(held))
    with pytest.raises(QuotaError):
        async with viewing(pool, ANNA) as connection:
            await doors[door](connection)
    async with viewing(pool, ANNA) as connection:
        assert await connection.fetchval(admission.COUNT_BYTES, ANNA.personal) == held


async def test_an_import_brings_no_more_pictures_of_one_than_are_kept(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        await archives.bring_in(connection, [arriving("Mochi", admission.MAX_REFERENCES)])
    with pytest.raises(PicturesFullError):
        async with viewing(pool, ANNA) as connection:
            await archives.bring_in(connection, [arriving("Rex"), arriving("Bella", 40)])
    assert await names(pool, ANNA, ANNA.personal) == ["Mochi"]


async def test_merging_again_and_again_makes_no_concept_of_28_pictures(pool: asyncpg.Pool) -> None:
    async with viewing(pool, ANNA) as connection:
        for name in ("Mochi", "Chelsea", "Rex", "Bella"):
            await archives.bring_in(connection, [arriving(name, 7)])
        kept, *others = await concepts.list_concepts(connection, ANNA.personal)
    for other in others:
        with pytest.raises(LimitReachedError):
            async with viewing(pool, ANNA) as connection:
                await merging.merge(connection, ANNA, kept, other)
    async with viewing(pool, ANNA) as connection:
        assert [mine.references for mine in await concepts.list_concepts(connection, ANNA.personal)] == [7, 7, 7, 7]


async def test_who_governs_one_server_governs_no_other(pool: asyncpg.Pool) -> None:
    with pytest.raises(NotAdminError):
        async with viewing(pool, governing(Viewer(9, 20))) as connection:
            await servers.change_settings(connection, SERVER, 9, ServerSettings(), "taken over")
    with pytest.raises(NotAdminError):
        async with viewing(pool, BO) as connection:
            await servers.change_settings(connection, SERVER, 2, ServerSettings(), "taken over")


@pytest.mark.parametrize("door", ["remember", "edit", "share", "propose"])
async def test_no_shared_name_turns_up_in_everybodys_talk(pool: asyncpg.Pool, door: str) -> None:
    who, mug = await remember(pool, ANNA, "Who"), await remember(pool, ANNA, "The mug", owner=SERVER)
    doors: dict[str, Door] = {
        "remember": lambda c: concepts.remember(c, of_anna(SERVER, "the")),
        "edit": lambda c: concepts.edit(c, mug, name="is"),
        "share": lambda c: sharing.share(c, who, SERVER),
        "propose": lambda c: proposals.propose(c, who, SERVER),
    }
    with pytest.raises(NotForSharingError):
        async with viewing(pool, ANNA) as connection:
            await doors[door](connection)
