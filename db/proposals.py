"""Proposals: what members want to share, before it is decided. The concept itself is proposed, not a copy of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from db.admission import check_governs, check_may_put
from db.concepts import CONCEPT_COLUMNS, concept_from
from db.errors import ProposalChangedError, ProposalGoneError, refused
from db.names import check_shared_name
from db.pool import deciding
from db.types import Concept, OwnerId, Proposal, Viewer

APPROVAL_TIME = timedelta(days=30)

PROPOSE = """
    INSERT INTO proposal (owner_id, concept_owner_id, concept_id, person, expires_at)
    VALUES ($1, $2, $3, $4, now() + $5)
    ON CONFLICT ON CONSTRAINT proposed_once DO UPDATE SET person = excluded.person, expires_at = excluded.expires_at
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
           proposal.created_at AS proposed_at, proposal.expires_at
      FROM proposal
      JOIN concept ON concept.owner_id = proposal.concept_owner_id AND concept.concept_id = proposal.concept_id
     WHERE proposal.expires_at > now()
"""  # noqa: S608 (made of constants)

OF_SERVER = f"{PROPOSALS} AND proposal.owner_id = $1 ORDER BY proposal.created_at, proposal.proposal_id"

OF_USER = f"{PROPOSALS} AND proposal.concept_owner_id = $1 ORDER BY proposal.created_at, proposal.proposal_id"

FIND = f"{PROPOSALS} AND proposal.owner_id = $1 AND proposal.proposal_id = $2"

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
        )
        for row in rows
    ]
