"""What is forgotten and can still be undone: it stays where it is, in a state in which nothing else sees it.

Row-level security hides its rows from every transaction but those that open the trash (migration ``0012``). They count
as bytes of their owner's until they are deleted, so bringing them back needs no room.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import asyncpg

from db.admission import check_fits, check_may_change, check_may_put
from db.concepts import CONCEPT_COLUMNS, concept_from, forget, get
from db.errors import NameTakenError, UndoExpiredError, refused
from db.locks import lock_memory, lock_people
from db.names import check_shared_name
from db.pictures import source_authors
from db.pool import as_caretaker, entering, opening_trash
from db.types import Concept, Forgotten, OwnerId

UNDO_TIME = timedelta(minutes=10)

FORGET = """
    UPDATE concept SET forgotten_at = now(), forgotten_by = $3
     WHERE owner_id = $1 AND concept_id = $2 AND forgotten_at IS NULL
"""

# Only who forgot something undoes it, also in a server's memory.
FIND_FORGOTTEN = f"""
    SELECT {CONCEPT_COLUMNS}
      FROM concept
     WHERE owner_id = $1 AND concept_id = $2
       AND forgotten_by = keepsake_me() AND forgotten_at > now() - $3::interval
"""  # noqa: S608 (made of constants)

# Coming back is a change of the memory; what objects to it now is asked again by its triggers.
BRING_BACK = """
    UPDATE concept SET forgotten_at = NULL, forgotten_by = NULL, updated_at = now(), linked_user = linked_user
     WHERE owner_id = $1 AND concept_id = $2
"""

DUE = "SELECT owner_id, concept_id FROM concept WHERE forgotten_at < now() - $1::interval ORDER BY owner_id, concept_id"


async def forget_for_now(connection: asyncpg.Connection, concept: Concept, forgotten_by: int) -> Forgotten:
    """Forget a concept so that it can be undone for ten minutes. Raises NotAllowedError, NotRememberedError."""
    async with connection.transaction():
        await lock_memory(connection, concept.owner_id)
        now = await get(connection, concept.owner_id, concept.concept_id)
        await check_may_change(connection, now)
        async with opening_trash(connection):
            await connection.execute(FORGET, concept.owner_id, concept.concept_id, forgotten_by)
    return Forgotten(owner_id=concept.owner_id, concept_id=concept.concept_id, name=now.name)


async def undo(connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID) -> Concept:
    """Remember again what was forgotten.

    Raises UndoExpiredError when it is too late, NameTakenError when there is one of that name by now, ObjectedError
    when its person doesn't want to be shared, AuthorObjectedError, and what `db.admission` raises.
    """
    async with connection.transaction():
        async with opening_trash(connection):
            concept = await _found(connection, owner_id, concept_id)
            authors = await source_authors(connection, concept)
        await lock_people(connection, concept.linked_user, *authors)
        await lock_memory(connection, owner_id)
        await check_may_put(connection, owner_id, approved=True)
        if concept.is_shared:
            check_shared_name(concept.name)
        async with opening_trash(connection):
            await _found(connection, owner_id, concept_id)
            await _bring_back(connection, concept)
        await check_fits(connection, owner_id, concept_id)
        return await get(connection, owner_id, concept_id)


async def delete_forgotten(connection: asyncpg.Connection) -> int:
    """Delete for good what can't be undone any more, whoever's it is; returns how many concepts."""
    async with as_caretaker(connection):
        due = await connection.fetch(DUE, UNDO_TIME)
    for row in due:
        owner = OwnerId(row["owner_id"])
        async with entering(connection, owner), opening_trash(connection):
            await forget(connection, owner, row["concept_id"])
    return len(due)


async def _found(connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID) -> Concept:
    row = await connection.fetchrow(FIND_FORGOTTEN, owner_id, concept_id, UNDO_TIME)
    if row is None:
        raise UndoExpiredError
    return concept_from(row)


async def _bring_back(connection: asyncpg.Connection, concept: Concept) -> None:
    try:
        await connection.execute(BRING_BACK, concept.owner_id, concept.concept_id)
    except asyncpg.UniqueViolationError as error:
        raise NameTakenError(concept.name) from error
    except asyncpg.PostgresError as error:
        raise refused(error) from error
