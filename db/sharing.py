"""Sharing: what moves, or is copied, from a user's memory into a server's, and back."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from db.admission import acting_in, check_fits, check_governs, check_may_change, check_may_put, needs_approval
from db.concepts import forget, get
from db.errors import NameTakenError, NotRememberedError, NotYoursError, refused
from db.locks import lock_memories, lock_people
from db.names import check_shared_name
from db.pictures import source_authors
from db.pool import deciding
from db.proposals import find, has_agreed, propose, withdraw
from db.types import Concept, OwnerId, Proposal

# Coming into another memory is a change of that memory. What somebody said about a recognition stays with the old one.
COPY_CONCEPT = """
    INSERT INTO concept (owner_id, concept_id, name, name_key, info, category, created_by, created_at, updated_at,
                         times_recognised, last_seen, linked_user, learned_server, learned_channel)
    SELECT $3, concept_id, name, name_key, info, category, created_by, created_at, now(),
           times_recognised, last_seen, linked_user, learned_server, learned_channel
      FROM concept
     WHERE owner_id = $1 AND concept_id = $2
    RETURNING concept_id
"""

COPY_NOTES = """
    INSERT INTO note (owner_id, note_id, concept_id, place, text, author, said_at, meant_at, said_server, said_channel)
    SELECT $3, note_id, concept_id, place, text, author, said_at, meant_at, said_server, said_channel
      FROM note
     WHERE owner_id = $1 AND concept_id = $2
"""

COPY_PICTURES = """
    INSERT INTO picture (owner_id, picture_sha256, jpeg, width, height, created_at)
    SELECT $3, picture_sha256, jpeg, width, height, created_at
      FROM picture
     WHERE owner_id = $1
       AND picture_sha256 IN (SELECT picture_sha256 FROM reference WHERE owner_id = $1 AND concept_id = $2)
    ON CONFLICT DO NOTHING
"""

COPY_REFERENCES = """
    INSERT INTO reference (owner_id, reference_id, concept_id, picture_sha256,
                           box_left, box_top, box_right, box_bottom, created_by, created_at,
                           origin, source_author, source_message)
    SELECT $3, reference_id, concept_id, picture_sha256,
           box_left, box_top, box_right, box_bottom, created_by, created_at,
           origin, source_author, source_message
      FROM reference
     WHERE owner_id = $1 AND concept_id = $2
"""

COPY_EMBEDDINGS = """
    INSERT INTO embedding (owner_id, concept_id, reference_id, embedding_id, part, vector)
    SELECT $3, concept_id, reference_id, embedding_id, part, vector
      FROM embedding
     WHERE owner_id = $1 AND concept_id = $2
"""

COPY_AVATAR = """
    UPDATE concept SET avatar_id = original.avatar_id
      FROM concept AS original
     WHERE concept.owner_id = $3 AND concept.concept_id = $2
       AND original.owner_id = $1 AND original.concept_id = $2
"""

COPY_REST = (COPY_NOTES, COPY_PICTURES, COPY_REFERENCES, COPY_EMBEDDINGS, COPY_AVATAR)


async def share(connection: asyncpg.Connection, concept: Concept, to: OwnerId) -> Concept | None:
    """Move a concept into a server's memory; None when it waits for the person it is, or for the admins, instead.

    Raises NotRememberedError, PersonDeclinedError, and as `copy`.
    """
    async with connection.transaction():
        await lock_both(connection, concept, to)
        if await _waits(connection, concept, to):
            await propose(connection, concept, to)
            return None
        return await _move(connection, concept, to)


async def _waits(connection: asyncpg.Connection, concept: Concept, to: OwnerId) -> bool:
    """Whether a concept is proposed rather than shared: a person is, until they agreed, or an admin approved."""
    acting = await acting_in(connection, to)
    if concept.linked_user not in {None, acting.user_id} and not await has_agreed(connection, concept, to):
        return True
    nobody_knows = concept.is_person and concept.linked_user is None and not acting.governs
    return nobody_knows or await needs_approval(connection, to)


async def unshare(connection: asyncpg.Connection, concept: Concept, to: OwnerId) -> None:
    """Move a concept out of a server's memory into that of who shared it, unless they have it there already.

    Raises NotAllowedError, also to an admin who didn't share it, NotRememberedError, and as `copy`.
    """
    async with connection.transaction():
        await lock_both(connection, concept, to)
        await check_may_change(connection, concept)
        if concept.created_by != (await acting_in(connection, concept.owner_id)).user_id:
            raise NotYoursError(concept.name)
        if await _has(connection, to, concept.concept_id):
            await forget(connection, concept.owner_id, concept.concept_id)
        else:
            await _move(connection, concept, to)


async def approve(connection: asyncpg.Connection, owner_id: OwnerId, proposal_id: UUID, seen: str) -> Proposal:
    """Take a copy of what was proposed into the server's memory, as it was ``seen``; returns the proposal.

    Raises NotAdminError, ProposalGoneError, ProposalChangedError, and as `copy`.
    """
    await check_governs(connection, owner_id)
    async with deciding(connection):
        proposal = await find(connection, owner_id, proposal_id, seen)
        await lock_both(connection, proposal.concept, owner_id)
        proposal = await find(connection, owner_id, proposal_id, seen)
        await copy(connection, proposal.concept, owner_id, approved=True)
        await withdraw(connection, owner_id, proposal_id)
    return proposal


async def decline(connection: asyncpg.Connection, owner_id: OwnerId, proposal_id: UUID, seen: str) -> Proposal:
    """Delete a proposal, as it was ``seen``; returns it.

    Raises NotAdminError, ProposalGoneError, ProposalChangedError.
    """
    await check_governs(connection, owner_id)
    async with deciding(connection):
        proposal = await find(connection, owner_id, proposal_id, seen)
        await withdraw(connection, owner_id, proposal_id)
    return proposal


async def copy(connection: asyncpg.Connection, concept: Concept, to: OwnerId, *, approved: bool = False) -> Concept:
    """Put a copy of a concept into another memory; ``approved`` is as in `db.admission.check_may_put`.

    The caller holds the locks (`lock_both`).

    Raises NameTakenError when that memory has a concept of that name (or this very one) by now, ObjectedError when its
    person doesn't want to be shared, AuthorObjectedError, and what `db.admission` raises.
    """
    await check_may_put(connection, to, approved=approved)
    if to.startswith("server:"):
        check_shared_name(concept.name)
    try:
        if await connection.fetchval(COPY_CONCEPT, concept.owner_id, concept.concept_id, to) is None:
            raise NotRememberedError
        for statement in COPY_REST:
            await connection.execute(statement, concept.owner_id, concept.concept_id, to)
    except asyncpg.UniqueViolationError as error:
        raise NameTakenError(concept.name) from error
    except asyncpg.PostgresError as error:
        raise refused(error) from error
    await check_fits(connection, to, concept.concept_id)
    return await get(connection, to, concept.concept_id)


async def lock_both(connection: asyncpg.Connection, concept: Concept, to: OwnerId) -> None:
    """Lock who is linked to a concept, whose messages its pictures are from, and both memories."""
    await lock_people(connection, concept.linked_user, *await source_authors(connection, concept))
    await lock_memories(connection, concept.owner_id, to)


async def _move(connection: asyncpg.Connection, concept: Concept, to: OwnerId) -> Concept:
    moved = await copy(connection, concept, to)
    await forget(connection, concept.owner_id, concept.concept_id)
    return moved


async def _has(connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID) -> bool:
    try:
        await get(connection, owner_id, concept_id)
    except NotRememberedError:
        return False
    return True
