"""Whole concepts as one document: set aside until undone or approved, and copied from a user to a server.

A snapshot holds the rows of concept, note, reference, embedding, picture and correction as Postgres writes them, so
that what comes back is what went, to the last bit.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import asyncpg

from db.admission import check_fits, check_governs, check_may_change, check_may_put, needs_approval
from db.concepts import forget, get
from db.errors import NameTakenError, NotRememberedError, ProposalGoneError, UndoExpiredError, refused
from db.locks import lock_memories, lock_memory, lock_people
from db.names import check_shared_name
from db.types import Concept, OwnerId, SetAside

UNDO_TIME = timedelta(minutes=10)
APPROVAL_TIME = timedelta(days=30)

TAKE_SNAPSHOT = """
    SELECT jsonb_build_object(
        'concept', to_jsonb(concept) - 'words',
        'reference', (SELECT coalesce(jsonb_agg(to_jsonb(reference)), '[]')
                        FROM reference WHERE owner_id = $1 AND concept_id = $2),
        'note', (SELECT coalesce(jsonb_agg(to_jsonb(note)), '[]')
                   FROM note WHERE owner_id = $1 AND concept_id = $2),
        'embedding', (SELECT coalesce(jsonb_agg(to_jsonb(embedding)), '[]')
                        FROM embedding WHERE owner_id = $1 AND concept_id = $2),
        'picture', (SELECT coalesce(jsonb_agg(to_jsonb(picture)), '[]')
                      FROM picture
                     WHERE owner_id = $1
                       AND picture_sha256 IN (SELECT picture_sha256 FROM reference
                                               WHERE owner_id = $1 AND concept_id = $2)),
        'correction', (SELECT coalesce(jsonb_agg(to_jsonb(correction)), '[]')
                         FROM correction WHERE concept_owner_id = $1 AND concept_id = $2))
      FROM concept
     WHERE owner_id = $1 AND concept_id = $2
"""

# Coming back, or into another memory, is a change of that memory.
RESTORE_CONCEPT = """
    INSERT INTO concept (owner_id, concept_id, name, name_key, info, category, created_by, created_at, updated_at,
                         times_recognised, last_seen, linked_user, learned_server, learned_channel)
    SELECT $1, concept_id, name, name_key, info, category, created_by, created_at, now(),
           times_recognised, last_seen, linked_user, learned_server, learned_channel
      FROM jsonb_populate_record(NULL::concept, $2::jsonb -> 'concept')
    RETURNING concept_id
"""

RESTORE_PICTURES = """
    INSERT INTO picture (owner_id, picture_sha256, jpeg, width, height, created_at)
    SELECT $1, picture_sha256, jpeg, width, height, created_at
      FROM jsonb_populate_recordset(NULL::picture, $2::jsonb -> 'picture')
    ON CONFLICT DO NOTHING
"""

RESTORE_REFERENCES = """
    INSERT INTO reference (owner_id, reference_id, concept_id, picture_sha256,
                           box_left, box_top, box_right, box_bottom, created_by, created_at,
                           origin, source_author, source_message)
    SELECT $1, reference_id, concept_id, picture_sha256,
           box_left, box_top, box_right, box_bottom, created_by, created_at,
           coalesce(origin, 'upload'), source_author, source_message
      FROM jsonb_populate_recordset(NULL::reference, $2::jsonb -> 'reference')
"""

RESTORE_NOTES = """
    INSERT INTO note (owner_id, note_id, concept_id, place, text, author, said_at, meant_at, said_server, said_channel)
    SELECT $1, note_id, concept_id, place, text, author, said_at, meant_at, said_server, said_channel
      FROM jsonb_populate_recordset(NULL::note, $2::jsonb -> 'note')
"""

RESTORE_EMBEDDINGS = """
    INSERT INTO embedding (owner_id, concept_id, reference_id, embedding_id, part, vector)
    SELECT $1, concept_id, reference_id, embedding_id, part, vector
      FROM jsonb_populate_recordset(NULL::embedding, $2::jsonb -> 'embedding')
"""

RESTORE_AVATAR = """
    UPDATE concept SET avatar_id = ($2::jsonb -> 'concept' ->> 'avatar_id')::uuid
     WHERE owner_id = $1 AND concept_id = ($2::jsonb -> 'concept' ->> 'concept_id')::uuid
"""

# Corrections are the viewer's own; of a snapshot that changed its owner they stay with the old one.
RESTORE_CORRECTIONS = """
    INSERT INTO correction (owner_id, correction_id, concept_owner_id, concept_id, verdict, embedding_id, vector,
                            created_at)
    SELECT owner_id, correction_id, concept_owner_id, concept_id, verdict, embedding_id, vector, created_at
      FROM jsonb_populate_recordset(NULL::correction, $2::jsonb -> 'correction')
     WHERE concept_owner_id = $1 AND owner_id = current_setting('keepsake.personal')
    ON CONFLICT DO NOTHING
"""

RESTORE_REST = (
    RESTORE_NOTES,
    RESTORE_PICTURES,
    RESTORE_REFERENCES,
    RESTORE_EMBEDDINGS,
    RESTORE_AVATAR,
    RESTORE_CORRECTIONS,
)

SET_ASIDE = """
    INSERT INTO set_aside (owner_id, why, name, linked_user, snapshot, set_by, expires_at)
    VALUES ($1, $2, $3, $4, $5::jsonb, $6, now() + $7)
    RETURNING set_aside_id, owner_id, name, set_by, created_at, expires_at
"""

LIST_SET_ASIDE = """
    SELECT set_aside_id, owner_id, name, set_by, created_at, expires_at
      FROM set_aside
     WHERE owner_id = $1 AND why = $2 AND expires_at > now()
     ORDER BY created_at, name, set_aside_id
"""

PEOPLE_OF = """
    SELECT ($1::jsonb -> 'concept' ->> 'linked_user')::bigint AS person
    UNION
    SELECT source_author FROM jsonb_populate_recordset(NULL::reference, $1::jsonb -> 'reference')
"""

SOURCES_OF_CONCEPT = "SELECT source_author FROM reference WHERE owner_id = $1 AND concept_id = $2"

SNAPSHOT_SET_ASIDE = "SELECT snapshot FROM set_aside WHERE owner_id = $1 AND set_aside_id = $2"

# Only who forgot something undoes it, also in a server's memory.
TAKE_BACK = """
    DELETE FROM set_aside
     WHERE owner_id = $1 AND set_aside_id = $2 AND why = $3 AND expires_at > now()
       AND (why <> 'forgotten' OR set_by = keepsake_me())
    RETURNING snapshot, name
"""


async def take(connection: asyncpg.Connection, concept: Concept) -> str:
    """Return a concept with all that belongs to it as a JSON document. Raises NotRememberedError."""
    snapshot = await connection.fetchval(TAKE_SNAPSHOT, concept.owner_id, concept.concept_id)
    if snapshot is None:
        raise NotRememberedError
    return str(snapshot)


async def restore(
    connection: asyncpg.Connection, owner_id: OwnerId, snapshot: str, name: str, *, approved: bool = False
) -> Concept:
    """Put a snapshot into an owner's memory: the one it was taken from, or another.

    ``approved`` is as in `db.admission.check_may_put`.

    Raises NameTakenError when the owner has a concept of that name (or this very one) by now, ObjectedError when its
    person doesn't want to be shared, and what `db.admission` raises.
    """
    async with connection.transaction():
        await _lock_people_of(connection, snapshot)
        await lock_memory(connection, owner_id)
        await check_may_put(connection, owner_id, approved=approved)
        if owner_id.startswith("server:"):
            check_shared_name(name)
        try:
            concept_id = await connection.fetchval(RESTORE_CONCEPT, owner_id, snapshot)
        except asyncpg.UniqueViolationError as error:
            raise NameTakenError(name) from error
        except asyncpg.PostgresError as error:
            raise refused(error) from error
        try:
            for statement in RESTORE_REST:
                await connection.execute(statement, owner_id, snapshot)
        except asyncpg.PostgresError as error:
            raise refused(error) from error
        await check_fits(connection, owner_id, concept_id)
        return await get(connection, owner_id, concept_id)


async def forget_for_now(connection: asyncpg.Connection, concept: Concept, forgotten_by: int) -> SetAside:
    """Forget a concept so that it can be undone for ten minutes. Raises NotAllowedError, NotRememberedError."""
    async with connection.transaction():
        await lock_memory(connection, concept.owner_id)
        await check_may_change(connection, concept)
        snapshot = await take(connection, concept)
        name = await forget(connection, concept.owner_id, concept.concept_id)
        row = await connection.fetchrow(
            SET_ASIDE, concept.owner_id, "forgotten", name, None, snapshot, forgotten_by, UNDO_TIME
        )
    return _set_aside_from(row)


async def undo(connection: asyncpg.Connection, owner_id: OwnerId, set_aside_id: UUID) -> Concept:
    """Remember again what was forgotten. Raises NotRememberedError when it is too late, and as `restore`."""
    return await _bring_back(connection, owner_id, set_aside_id, "forgotten", UndoExpiredError())


async def propose(connection: asyncpg.Connection, concept: Concept, to: OwnerId, proposed_by: int) -> SetAside:
    """Put a copy of a concept before a server's admins.

    Raises NotRememberedError, ObjectedError, and what `db.admission` raises.
    """
    async with connection.transaction():
        await _lock_people_in(connection, concept)
        await lock_memory(connection, to)
        await check_may_put(connection, to, approved=True)
        check_shared_name(concept.name)
        snapshot = await take(connection, concept)
        try:
            row = await connection.fetchrow(
                SET_ASIDE, to, "proposed", concept.name, concept.linked_user, snapshot, proposed_by, APPROVAL_TIME
            )
        except asyncpg.PostgresError as error:
            raise refused(error) from error
    return _set_aside_from(row)


async def share(connection: asyncpg.Connection, concept: Concept, to: OwnerId, shared_by: int) -> Concept | None:
    """Move a concept into a server's memory; None when a copy waits for the admins instead.

    Raises NotRememberedError, and as `restore`.
    """
    async with connection.transaction():
        await _lock_people_in(connection, concept)
        await lock_memories(connection, concept.owner_id, to)
        if await needs_approval(connection, to):
            await propose(connection, concept, to, shared_by)
            return None
        return await _move(connection, concept, to)


async def unshare(connection: asyncpg.Connection, concept: Concept, to: OwnerId) -> None:
    """Move a concept out of a server's memory into a user's own, unless they have it there already.

    Raises NotAllowedError, NotRememberedError, and as `restore`.
    """
    async with connection.transaction():
        await _lock_people_in(connection, concept)
        await lock_memories(connection, concept.owner_id, to)
        await check_may_change(connection, concept)
        if await _has(connection, to, concept.concept_id):
            await forget(connection, concept.owner_id, concept.concept_id)
        else:
            await _move(connection, concept, to)


async def proposals(connection: asyncpg.Connection, owner_id: OwnerId) -> list[SetAside]:
    """Return what waits for a server's admins, the oldest first."""
    return [_set_aside_from(row) for row in await connection.fetch(LIST_SET_ASIDE, owner_id, "proposed")]


async def approve(connection: asyncpg.Connection, owner_id: OwnerId, set_aside_id: UUID) -> Concept:
    """Take a proposal into the server's memory.

    Raises NotAdminError, NotRememberedError when it is gone, and as `restore`.
    """
    await check_governs(connection, owner_id)
    return await _bring_back(connection, owner_id, set_aside_id, "proposed", ProposalGoneError())


async def decline(connection: asyncpg.Connection, owner_id: OwnerId, set_aside_id: UUID) -> str:
    """Delete a proposal; returns its name. Raises NotAdminError, and NotRememberedError when it is gone."""
    await check_governs(connection, owner_id)
    row = await connection.fetchrow(TAKE_BACK, owner_id, set_aside_id, "proposed")
    if row is None:
        raise ProposalGoneError
    return str(row["name"])


async def _move(connection: asyncpg.Connection, concept: Concept, to: OwnerId) -> Concept:
    moved = await restore(connection, to, await take(connection, concept), concept.name)
    await forget(connection, concept.owner_id, concept.concept_id)
    return moved


async def _has(connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID) -> bool:
    try:
        await get(connection, owner_id, concept_id)
    except NotRememberedError:
        return False
    return True


async def _bring_back(
    connection: asyncpg.Connection, owner_id: OwnerId, set_aside_id: UUID, why: str, too_late: NotRememberedError
) -> Concept:
    async with connection.transaction():
        await _lock_people_of(connection, await connection.fetchval(SNAPSHOT_SET_ASIDE, owner_id, set_aside_id))
        row = await connection.fetchrow(TAKE_BACK, owner_id, set_aside_id, why)
        if row is None:
            raise too_late
        return await restore(connection, owner_id, row["snapshot"], row["name"], approved=True)


async def _lock_people_in(connection: asyncpg.Connection, concept: Concept) -> None:
    """Lock who is linked to a concept, and whose messages its pictures are from."""
    rows = await connection.fetch(SOURCES_OF_CONCEPT, concept.owner_id, concept.concept_id)
    await lock_people(connection, concept.linked_user, *(row["source_author"] for row in rows))


async def _lock_people_of(connection: asyncpg.Connection, snapshot: str | None) -> None:
    """Lock who is linked in a snapshot, and whose messages its pictures are from."""
    if snapshot is not None:
        await lock_people(connection, *(row["person"] for row in await connection.fetch(PEOPLE_OF, snapshot)))


def _set_aside_from(row: asyncpg.Record) -> SetAside:
    return SetAside(
        owner_id=OwnerId(row["owner_id"]),
        set_aside_id=row["set_aside_id"],
        name=row["name"],
        set_by=row["set_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
