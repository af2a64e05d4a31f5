"""Proposals: what members want to share, before it is decided. The concept itself is proposed, not a copy of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from db.admission import check_governs, check_may_put
from db.concepts import CONCEPT_COLUMNS, concept_from
from db.errors import PersonDeclinedError, ProposalChangedError, ProposalGoneError, refused
from db.names import check_shared_name
from db.pool import deciding
from db.types import Concept, OwnerId, Proposal, Viewer

APPROVAL_TIME = timedelta(days=30)

PROPOSE = """
    INSERT INTO proposal (owner_id, concept_owner_id, concept_id, person, expires_at)
    VALUES ($1, $2, $3, $4, now() + $5)
    ON CONFLICT ON CONSTRAINT proposed_once DO UPDATE
       SET person = excluded.person, expires_at = excluded.expires_at,
           created_at = CASE WHEN proposal.person IS DISTINCT FROM excluded.person THEN excluded.created_at
                             ELSE proposal.created_at END
"""

# What whoever decides has seen of it: when that changes, they have to look again.
SEEN = """
    md5(concat_ws(E'\\x1f', concept.name, concept.info, concept.category, concept.linked_user,
                  (SELECT string_agg(concat(reference.reference_id, reference.box_left, reference.box_top,
                                            reference.box_right, reference.box_bottom), ',' ORDER BY reference_id)
                     FROM reference
                    WHERE reference.owner_id = concept.owner_id AND reference.concept_id = concept.concept_id)))
"""

PROPOSALS = f"""
    SELECT {CONCEPT_COLUMNS}, {SEEN} AS seen,
           proposal.owner_id AS proposed_to, proposal.proposal_id, proposal.person,
           proposal.created_at AS proposed_at, proposal.expires_at, proposal.agreed_at
      FROM proposal
      JOIN concept ON concept.owner_id = proposal.concept_owner_id AND concept.concept_id = proposal.concept_id
     WHERE proposal.expires_at > now()
"""  # noqa: S608 (made of constants)

AGREED = "(proposal.person IS NULL OR proposal.agreed_at IS NOT NULL)"

OF_SERVER = f"{PROPOSALS} AND {AGREED} AND proposal.owner_id = $1 ORDER BY proposal.created_at, proposal.proposal_id"

OF_USER = f"""
    {PROPOSALS}
       AND proposal.declined_at IS NULL AND proposal.concept_owner_id = $1
     ORDER BY proposal.created_at, proposal.proposal_id
"""

FIND = f"{PROPOSALS} AND {AGREED} AND proposal.owner_id = $1 AND proposal.proposal_id = $2"

ABOUT_PERSON = f"""
    {PROPOSALS}
       AND proposal.person = $1 AND proposal.agreed_at IS NULL AND proposal.declined_at IS NULL
     ORDER BY proposal.created_at, proposal.proposal_id
"""

ASKS_PERSON = f"""
    {PROPOSALS}
       AND proposal.owner_id = $1 AND proposal.concept_owner_id = $2 AND proposal.concept_id = $3
       AND proposal.person IS NOT NULL AND proposal.agreed_at IS NULL
"""

ANSWERS = """
    SELECT agreed_at IS NOT NULL AS agrees, declined_at IS NOT NULL AS declines
      FROM proposal
     WHERE owner_id = $1 AND concept_owner_id = $2 AND concept_id = $3 AND person = $4 AND expires_at > now()
"""

ANSWER = """
    UPDATE proposal
       SET agreed_at = CASE WHEN $2 THEN now() END, declined_at = CASE WHEN NOT $2 THEN now() END
     WHERE proposal_id = $1
"""

DELETE = "DELETE FROM proposal WHERE owner_id = $1 AND proposal_id = $2 RETURNING proposal_id"


async def propose(connection: asyncpg.Connection, concept: Concept, to: OwnerId) -> None:
    """Put a concept before a server's admins; once is enough, however often it is done.

    The caller holds the locks of the people in it and of both memories.

    Raises InvalidTextError when it can't be shared by that name, ObjectedError, and what `db.admission` raises.
    """
    await check_may_put(connection, to, approved=True)
    check_shared_name(concept.name)
    try:
        await connection.execute(PROPOSE, to, concept.owner_id, concept.concept_id, concept.linked_user, APPROVAL_TIME)
    except asyncpg.PostgresError as error:
        raise refused(error) from error


async def proposals_to(connection: asyncpg.Connection, owner_id: OwnerId) -> list[Proposal]:
    """Return what waits for a server's admins, the oldest first. Raises NotAdminError."""
    await check_governs(connection, owner_id)
    async with deciding(connection):
        return _proposals(await connection.fetch(OF_SERVER, owner_id))


async def proposals_of(connection: asyncpg.Connection, viewer: Viewer) -> list[Proposal]:
    """Return what the viewer proposed anywhere and is still undecided, the oldest first."""
    return _proposals(await connection.fetch(OF_USER, viewer.personal))


async def requests_to(connection: asyncpg.Connection, viewer: Viewer) -> list[Proposal]:
    """Return what others want to share that is linked to the viewer, who hasn't answered yet; the oldest first."""
    async with deciding(connection):
        return _proposals(await connection.fetch(ABOUT_PERSON, viewer.user_id))


async def request_about(connection: asyncpg.Connection, concept: Concept, to: OwnerId) -> tuple[Proposal, bool] | None:
    """Return the viewer's own proposal that waits for a person, and whether it was made in this transaction."""
    row = await connection.fetchrow(ASKS_PERSON, to, concept.owner_id, concept.concept_id)
    if row is None:
        return None
    [proposal] = _proposals([row])
    return proposal, proposal.created_at == await connection.fetchval("SELECT now()")


async def has_agreed(connection: asyncpg.Connection, concept: Concept, to: OwnerId) -> bool:
    """Whether who is linked to a concept agreed that it is shared there. Raises PersonDeclinedError."""
    row = await connection.fetchrow(ANSWERS, to, concept.owner_id, concept.concept_id, concept.linked_user)
    if row is not None and row["declines"]:
        raise PersonDeclinedError(concept.name)
    return row is not None and bool(row["agrees"])


async def answer(
    connection: asyncpg.Connection, viewer: Viewer, proposal_id: UUID, seen: str, *, agrees: bool
) -> Proposal:
    """Store what the viewer says to a proposal that is linked to them, as they have ``seen`` it; returns it.

    Raises ProposalGoneError, and ProposalChangedError when it isn't what they saw any more.
    """
    found = [proposal for proposal in await requests_to(connection, viewer) if proposal.proposal_id == proposal_id]
    if not found:
        raise ProposalGoneError
    if agrees and found[0].seen != seen:
        raise ProposalChangedError(found[0].concept.name)
    await connection.execute(ANSWER, proposal_id, agrees)
    return found[0]


async def find(connection: asyncpg.Connection, owner_id: OwnerId, proposal_id: UUID, seen: str) -> Proposal:
    """Return a proposal as whoever decides has ``seen`` it; the caller is `deciding`.

    Raises ProposalGoneError, and ProposalChangedError when it isn't what they saw any more.
    """
    row = await connection.fetchrow(FIND, owner_id, proposal_id)
    if row is None:
        raise ProposalGoneError
    [proposal] = _proposals([row])
    if proposal.seen != seen:
        raise ProposalChangedError(proposal.concept.name)
    return proposal


async def withdraw(connection: asyncpg.Connection, owner_id: OwnerId, proposal_id: UUID) -> None:
    """Delete a proposal, as who made it, who is meant by it, or who governs. Raises ProposalGoneError."""
    if await connection.fetchval(DELETE, owner_id, proposal_id) is None:
        raise ProposalGoneError


def _proposals(rows: Sequence[asyncpg.Record]) -> list[Proposal]:
    return [
        Proposal(
            owner_id=OwnerId(row["proposed_to"]),
            proposal_id=row["proposal_id"],
            concept=concept_from(row),
            person=row["person"],
            seen=row["seen"],
            created_at=row["proposed_at"],
            expires_at=row["expires_at"],
            agreed_at=row["agreed_at"],
        )
        for row in rows
    ]
