"""Taking things out of a server's memory for good: what is old, a member's, a person's, or all of it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import asyncpg

from db.admission import check_governs
from db.footprint import memories_with_copies
from db.locks import lock_memory, lock_people
from db.membership import mark_returned
from db.pictures import delete_unused_pictures
from db.pool import as_caretaker, entering, opening_trash
from db.rows import count_of
from db.types import Linked, OwnerId, Viewer, user_owner

DELETE_LINKED = "DELETE FROM concept WHERE owner_id = $1 AND linked_user = $2 RETURNING concept_id"

DELETE_LINKED_ONE = "DELETE FROM concept WHERE owner_id = $1 AND concept_id = $2 AND linked_user = $3"

UNLINK_ONE = "UPDATE concept SET linked_user = NULL WHERE owner_id = $1 AND concept_id = $2 AND linked_user = $3"

UNLINK = "UPDATE concept SET linked_user = NULL WHERE owner_id = $1 AND linked_user = $2"

DELETE_REQUESTS = "DELETE FROM proposal WHERE concept_id = $1 AND person = $2"

DELETE_LINKED_PROPOSALS = "DELETE FROM proposal WHERE owner_id = $1 AND person = $2"

# What is purged: all, one member's, or what is older. Of others' concepts a member's pictures and
# notes go.
PURGE_CONCEPTS = """
    DELETE FROM concept
     WHERE owner_id = $1
       AND ($2::bigint IS NULL OR $2 IN (created_by, linked_user, forgotten_by))
       AND ($3::timestamptz IS NULL OR greatest(created_at, updated_at, last_seen) < $3)
    RETURNING concept_id
"""

PURGE_REFERENCES = """
    DELETE FROM reference
     WHERE owner_id = $1 AND created_by = $2
"""

PURGE_NOTES = "DELETE FROM note WHERE owner_id = $1 AND author = $2"

PURGE_PROPOSALS = """
    DELETE FROM proposal
     WHERE owner_id = $1
       AND ($2::bigint IS NULL OR concept_owner_id = 'user:' || $2::bigint OR person = $2)
       AND ($3::timestamptz IS NULL OR created_at < $3)
"""

DELETE_COPIES = "DELETE FROM reference WHERE owner_id = $1 AND source_author = $2"

DELETE_ANSWERED_COPIES = "DELETE FROM answer WHERE owner_id = $1 AND source_author = $2"

PICTURES = "SELECT picture_sha256 FROM picture WHERE owner_id = $1"

FORGET_ACTOR = "SELECT keepsake_forget_actor($1, $2)"

DELETE_AUDIT = "SELECT keepsake_delete_audit($1)"

NAMELESS_PROMOTER = "UPDATE promotion SET actor = 0 WHERE owner_id = $1 AND actor = $2"

DELETE_ANSWERS = """
    DELETE FROM answer
     WHERE server_owner_id = $1
       AND ($2::text IS NULL OR owner_id = $2)
       AND ($3::timestamptz IS NULL OR created_at < $3)
"""

OF_A_SERVER = (
    "promotion",
    "adapter",
    "training_run",
    "concept",
    "picture",
    "proposal",
    "departure",
    "rate",
    "embedding_use",
)
"""The tables with rows of a server, beside its settings and log; references, notes and embeddings go with concepts."""

DELETE_SERVER = "DELETE FROM server WHERE owner_id = $1"


async def purge(
    connection: asyncpg.Connection,
    owner_id: OwnerId,
    *,
    member: int | None = None,
    before: datetime | None = None,
) -> int:
    """Delete a server's concepts and answers: all, one member's, or those nobody touched since; returns how many.

    Of a member it takes what they shared, what is linked to them, their pictures and notes of others' concepts, their
    proposals, and the answers they were given on this server. Raises NotAdminError.
    """
    await check_governs(connection, owner_id)
    return len(await _purge(connection, owner_id, member, before))


async def _purge(
    connection: asyncpg.Connection, owner_id: OwnerId, member: int | None, before: datetime | None
) -> list[UUID]:
    async with opening_trash(connection):
        await lock_memory(connection, owner_id)
        gone = [row["concept_id"] for row in await connection.fetch(PURGE_CONCEPTS, owner_id, member, before)]
        if member is not None:
            await connection.execute(PURGE_REFERENCES, owner_id, member)
            await connection.execute(PURGE_NOTES, owner_id, member)
        await connection.execute(PURGE_PROPOSALS, owner_id, member, before)
        await _delete_unused_pictures(connection, owner_id)
        await delete_answers(connection, owner_id, member, before)
    return gone


async def forget_member(connection: asyncpg.Connection, owner_id: OwnerId, user_id: int) -> int:
    """Purge a member, and take their number out of the logs; returns how many concepts.

    What they did as an admin stays in the audit log, under a pseudonym (migration ``0013``).
    """
    async with opening_trash(connection):
        gone = await _purge(connection, owner_id, user_id, None)
        await connection.execute(FORGET_ACTOR, owner_id, user_id)
        await connection.execute(NAMELESS_PROMOTER, owner_id, user_id)
        await mark_returned(connection, owner_id, user_id)
    return len(gone)


async def forget_person(connection: asyncpg.Connection, owner_id: OwnerId, user_id: int) -> int:
    """Delete what is linked to a user from a server's memory, whoever shared it; returns how many concepts."""
    async with opening_trash(connection):
        await lock_memory(connection, owner_id)
        gone = [row["concept_id"] for row in await connection.fetch(DELETE_LINKED, owner_id, user_id)]
        await connection.execute(DELETE_LINKED_PROPOSALS, owner_id, user_id)
        await _delete_unused_pictures(connection, owner_id)
    return len(gone)


async def take_out(connection: asyncpg.Connection, viewer: Viewer, linked: Linked) -> None:
    """Take what is linked to the viewer's account out: delete it where it is shared, unlink it in another's own memory.

    What waits for the viewer's agreement to it does so no longer.
    """
    async with connection.transaction():
        await lock_people(connection, viewer.user_id)
        await connection.execute(DELETE_REQUESTS, linked.concept_id, viewer.user_id)
        async with entering(connection, linked.owner_id):
            await lock_memory(connection, linked.owner_id)
            if linked.is_shared:
                await connection.execute(DELETE_LINKED_ONE, linked.owner_id, linked.concept_id, viewer.user_id)
                await _delete_unused_pictures(connection, linked.owner_id)
            else:
                await connection.execute(UNLINK_ONE, linked.owner_id, linked.concept_id, viewer.user_id)


async def unlink(connection: asyncpg.Connection, owner_id: OwnerId, person: int) -> int:
    """Unlink whatever another user linked to somebody's account, forgotten or not; returns how many concepts."""
    async with opening_trash(connection):
        await lock_memory(connection, owner_id)
        return count_of(await connection.execute(UNLINK, owner_id, person))


async def delete_copies(connection: asyncpg.Connection, viewer: Viewer) -> int:
    """Delete the pictures of the viewer's own messages that others keep, wherever they are; returns how many."""
    async with opening_trash(connection):
        await lock_people(connection, viewer.user_id)
        deleted = 0
        for owner in await memories_with_copies(connection, viewer):
            async with entering(connection, owner):
                deleted += await forget_copies(connection, owner, viewer.user_id)
    return deleted


async def forget_copies(connection: asyncpg.Connection, owner_id: OwnerId, author: int) -> int:
    """Delete the pictures of somebody's messages that an owner keeps, whoever took them; returns how many references.

    Answers to such a picture go as a whole.
    """
    async with opening_trash(connection):
        await lock_memory(connection, owner_id)
        deleted = count_of(await connection.execute(DELETE_COPIES, owner_id, author))
        await connection.execute(DELETE_ANSWERED_COPIES, owner_id, author)
        await _delete_unused_pictures(connection, owner_id)
    return deleted


async def forget_contributions(connection: asyncpg.Connection, owner_id: OwnerId, author: int) -> None:
    """Delete what somebody said and showed of another user's concepts."""
    async with opening_trash(connection):
        await lock_memory(connection, owner_id)
        await connection.execute(PURGE_NOTES, owner_id, author)
        await connection.execute(PURGE_REFERENCES, owner_id, author)
        await _delete_unused_pictures(connection, owner_id)


async def forget_server(connection: asyncpg.Connection, owner_id: OwnerId) -> None:
    """Delete everything of a server: its memory, settings and audit log, and what was answered there."""
    async with opening_trash(connection):
        await lock_memory(connection, owner_id)
        await delete_answers(connection, owner_id)
        for table in OF_A_SERVER:
            await connection.execute(f"DELETE FROM {table} WHERE owner_id = $1", owner_id)  # noqa: S608 (ours)
        await connection.execute(DELETE_AUDIT, owner_id)
        await connection.execute(DELETE_SERVER, owner_id)


async def delete_answers(
    connection: asyncpg.Connection, owner_id: OwnerId, member: int | None = None, before: datetime | None = None
) -> None:
    """Delete what was answered on a server: all, what one member was answered, what is older than a time.

    Answers belong to who asked, so the server's own transactions don't see them: its caretaker does.
    """
    async with as_caretaker(connection):
        await connection.execute(DELETE_ANSWERS, owner_id, None if member is None else user_owner(member), before)


async def _delete_unused_pictures(connection: asyncpg.Connection, owner_id: OwnerId) -> None:
    pictures = [row["picture_sha256"] for row in await connection.fetch(PICTURES, owner_id)]
    await delete_unused_pictures(connection, owner_id, pictures)
