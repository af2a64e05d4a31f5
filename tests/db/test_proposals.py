"""Proposals: what members want to share, seen and decided by who governs, and gone with what it is about."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from db import concepts, consent, footprint, pictures, proposals, purging, sharing, trash
from db.errors import (
    NameTakenError,
    NotAdminError,
    NotRememberedError,
    ObjectedError,
    ProposalChangedError,
    ProposalGoneError,
)
from db.maintenance import delete_what_is_due
from db.pool import deciding, viewing
from db.types import Concept, Proposal, Viewer
from tests.support.members import ANNA, BO, ELSEWHERE, SERVER, governing, names, remember, run_as_administrator
from tests.support.memory import a_reference

ADMIN = governing(BO)


async def propose(pool: asyncpg.Pool, viewer: Viewer, concept: Concept) -> None:
    async with viewing(pool, viewer) as connection:
        await proposals.propose(connection, concept, SERVER)


async def waiting(pool: asyncpg.Pool) -> list[Proposal]:
    async with viewing(pool, ADMIN) as connection:
        return await proposals.proposals_to(connection, SERVER)


async def approve(pool: asyncpg.Pool, viewer: Viewer, proposal: Proposal) -> None:
    async with viewing(pool, viewer) as connection:
        await sharing.approve(connection, SERVER, proposal.proposal_id, proposal.seen)


async def test_a_proposal_is_taken_in_or_declined(pool: asyncpg.Pool) -> None:
    mochi, rex = await remember(pool, ANNA, "Mochi"), await remember(pool, ANNA, "Rex")
    for concept in (mochi, rex):
        await propose(pool, ANNA, concept)
    assert await names(pool, BO, SERVER) == []

    first, second = await waiting(pool)
    assert (first.concept.name, first.proposed_by) == ("Mochi", 1)
    await approve(pool, ADMIN, first)
    async with viewing(pool, ADMIN) as connection:
        await sharing.decline(connection, SERVER, second.proposal_id, second.seen)

    assert await waiting(pool) == []
    with pytest.raises(ProposalGoneError):
        await approve(pool, ADMIN, first)
    assert await names(pool, BO, SERVER) == ["Mochi"]
    assert await names(pool, ANNA, ANNA.personal) == ["Mochi", "Rex"]


async def test_once_is_enough(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    for _ in range(3):
        await propose(pool, ANNA, mochi)
    assert len(await waiting(pool)) == 1


async def test_only_who_governs_sees_it_and_decides(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi", "a secret")
    await propose(pool, ANNA, mochi)
    [proposal] = await waiting(pool)

    for member in (BO, Viewer(3, 10), governing(Viewer(3, 20))):
        async with viewing(pool, member) as connection, deciding(connection):
            assert await connection.fetchval("SELECT count(*) FROM proposal") == 0
            assert await connection.fetchval("SELECT count(*) FROM concept") == 0
            assert await connection.fetchval("SELECT count(*) FROM picture") == 0
        with pytest.raises(NotAdminError):
            await approve(pool, member, proposal)
        with pytest.raises(ProposalGoneError):
            async with viewing(pool, member) as connection:
                await proposals.withdraw(connection, SERVER, proposal.proposal_id)


async def test_who_governs_sees_what_is_proposed_and_nothing_beside_it(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi", "a cat")
    await remember(pool, ANNA, "My diary", "a secret")
    await propose(pool, ANNA, mochi)
    async with viewing(pool, ADMIN) as connection:
        assert await connection.fetchval("SELECT count(*) FROM concept") == 0  # not without saying that they decide
        async with deciding(connection):
            [proposal] = await proposals.proposals_to(connection, SERVER)
            assert len(await pictures.references(connection, proposal.concept)) == 1
            assert await connection.fetch("SELECT name FROM concept") == [("Mochi",)]
            assert await connection.fetchval("SELECT count(*) FROM picture") == 1


async def test_what_was_changed_after_it_was_seen_is_seen_again_first(pool: asyncpg.Pool) -> None:
    mochi = await remember(pool, ANNA, "Mochi", "a cat")
    await propose(pool, ANNA, mochi)
    changes: list[Any] = [
        lambda c: concepts.edit(c, mochi, info="a slander"),
        lambda c: concepts.edit(c, mochi, name="Another"),
        lambda c: concepts.add_reference(c, mochi, a_reference(9), 1),
    ]
    for change in changes:
        [seen] = await waiting(pool)
        async with viewing(pool, ANNA) as connection:
            await change(connection)
        with pytest.raises(ProposalChangedError):
            await approve(pool, ADMIN, seen)
    [seen] = await waiting(pool)
    await approve(pool, ADMIN, seen)
    assert await names(pool, BO, SERVER) == ["Another"]


@pytest.mark.parametrize("way", ["forget", "forget for good", "withdraw", "purge", "expire"])
async def test_it_is_gone_with_what_it_is_about(pool: asyncpg.Pool, database_url: str, way: str) -> None:
    mochi = await remember(pool, ANNA, "Mochi")
    await propose(pool, ANNA, mochi)
    [proposal] = await waiting(pool)
    if way == "expire":
        run_as_administrator(database_url, "UPDATE proposal SET expires_at = now() - interval '1 second'")
        assert (await delete_what_is_due(pool))["proposal"] == 1
    elif way == "purge":
        async with viewing(pool, ADMIN) as connection:
            await purging.purge(connection, SERVER, member=1)
    else:
        async with viewing(pool, ANNA) as connection:
            if way == "forget":
                gone = await trash.forget_for_now(connection, mochi, 1)
                await trash.undo(connection, ANNA.personal, gone.concept_id)
            elif way == "withdraw":
                await proposals.withdraw(connection, SERVER, proposal.proposal_id)
            else:
                await concepts.forget(connection, ANNA.personal, mochi.concept_id)
    assert await waiting(pool) == []
    with pytest.raises(NotRememberedError):
        await approve(pool, ADMIN, proposal)


async def test_who_proposed_it_finds_it_wherever_they_are(pool: asyncpg.Pool) -> None:
    await propose(pool, ANNA, await remember(pool, ANNA, "Mochi"))
    for viewer in (ANNA, ELSEWHERE, Viewer(1)):
        async with viewing(pool, viewer) as connection:
            [mine] = await proposals.proposals_of(connection, viewer)
            assert (mine.owner_id, mine.concept.name) == (SERVER, "Mochi")


async def test_who_is_meant_by_it_objects_and_it_is_gone(pool: asyncpg.Pool) -> None:
    private = await remember(pool, ANNA, "Cleo", person=3)
    await propose(pool, ANNA, private)
    async with viewing(pool, Viewer(3)) as connection:
        assert await footprint.servers_linked_to(connection, Viewer(3)) == [SERVER]
        await consent.object_to_sharing(connection, Viewer(3))
    assert await waiting(pool) == []
    with pytest.raises(ObjectedError):
        await propose(pool, ANNA, private)


async def test_a_name_that_is_taken_waits(pool: asyncpg.Pool) -> None:
    await propose(pool, ANNA, await remember(pool, ANNA, "Mochi"))
    mug = await remember(pool, BO, "MOCHI", owner=SERVER)
    [proposal] = await waiting(pool)
    with pytest.raises(NameTakenError):
        await approve(pool, ADMIN, proposal)
    async with viewing(pool, ADMIN) as connection:
        await concepts.edit(connection, mug, name="The mug")
    await approve(pool, ADMIN, proposal)
    assert await names(pool, BO, SERVER) == ["Mochi", "The mug"]
