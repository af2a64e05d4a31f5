"""Concepts: remember, find, change and forget them.

Every function takes the connection of `db.pool.viewing`, so row-level security holds whatever the SQL says.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from db import notes
from db.admission import acting_in, check_fits, check_may_change, check_may_put
from db.errors import LastReferenceError, NameTakenError, NotRememberedError, ReferenceGoneError, refused
from db.locks import lock_memory, lock_people
from db.names import check_category, check_info, check_name, check_shared_name, name_key
from db.pictures import delete_unused_pictures, store_reference
from db.types import Channel, Concept, NewConcept, NewReference, OwnerId, Viewer

LONGEST_SUGGESTIONS = 25

ALIKE_ENOUGH = 0.35
"""Of 1, for “did you mean”: finds 94 % of names with a slip of one letter, and hardly ever suggests a stranger."""

INSERT_CONCEPT = """
    INSERT INTO concept (owner_id, name, name_key, info, category, created_by,
                         learned_server, learned_channel, linked_user)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    RETURNING concept_id
"""

CONCEPT_COLUMNS = """
    concept.owner_id, concept.concept_id, concept.name, concept.info, concept.category, concept.created_by,
    concept.created_at, concept.times_recognised, concept.last_seen,
    concept.learned_server, concept.learned_channel, concept.linked_user, concept.is_person,
    (SELECT count(*)
       FROM reference
      WHERE reference.owner_id = concept.owner_id
        AND reference.concept_id = concept.concept_id) AS "references"
"""
"""What `concept_from` reads; for the SELECT list of any statement with a table ``concept``."""

GET_CONCEPT = f"""
    SELECT {CONCEPT_COLUMNS}
      FROM concept
     WHERE owner_id = $1 AND concept_id = $2
"""  # noqa: S608 (made of constants)

FIND_BY_NAME = f"""
    SELECT {CONCEPT_COLUMNS}
      FROM concept
     WHERE owner_id = ANY ($1::text[]) AND name_key = $2
     ORDER BY array_position($1::text[], owner_id::text)
"""  # noqa: S608 (made of constants)

LIST_CONCEPTS = f"""
    SELECT {CONCEPT_COLUMNS}
      FROM concept
     WHERE owner_id = $1
     ORDER BY name_key
     LIMIT $2 OFFSET $3
"""  # noqa: S608 (made of constants)

SUGGEST_NAMES = """
    SELECT name
      FROM (SELECT DISTINCT ON (name_key) name, name_key
              FROM concept
             WHERE owner_id = ANY ($1::text[])
             ORDER BY name_key, array_position($1::text[], owner_id::text)) AS known
     ORDER BY CASE WHEN starts_with(name_key, $2) THEN 0
                   WHEN strpos(name_key, $2) > 0 THEN 1
                   ELSE 2 END,
              name_key
     LIMIT $3
"""

# How alike two names are is the mean of two likenesses: of their trigrams, and of their letters, spaced out so that
# each is a word. Trigrams alone miss the commonest slip of all: of “mochi” and “mohci” hardly one is the same.
DID_YOU_MEAN = r"""
    SELECT name
      FROM (SELECT DISTINCT name,
                   (similarity(name_key, $2)
                    + similarity(regexp_replace(name_key, '(.)', '\1 ', 'g'),
                                 regexp_replace($2, '(.)', '\1 ', 'g'))) / 2 AS likeness
              FROM concept
             WHERE owner_id = ANY ($1::text[])) AS known
     WHERE likeness >= $3
     ORDER BY likeness DESC, name COLLATE "C"
     LIMIT $4
"""

CHANGE_CONCEPT = """
    UPDATE concept
       SET name = coalesce($3, name), name_key = coalesce($4, name_key),
           info = coalesce($5, info), category = coalesce($6, category),
           linked_user = coalesce($7, linked_user), updated_at = now()
     WHERE owner_id = $1 AND concept_id = $2
"""

PICTURES_OF_CONCEPT = """
    SELECT DISTINCT picture_sha256
      FROM reference
     WHERE owner_id = $1 AND concept_id = $2
"""

DELETE_CONCEPT = """
    DELETE FROM concept
     WHERE owner_id = $1 AND concept_id = $2
    RETURNING name
"""

COUNT_CONCEPTS = "SELECT count(*) FROM concept WHERE owner_id = $1"

DELETE_REFERENCE = """
    DELETE FROM reference
     WHERE owner_id = $1 AND concept_id = $2 AND reference_id = $3
    RETURNING picture_sha256
"""

# Locked in one order, so that two answers about the same shared concepts can't wait for each other.
COUNT_AS_RECOGNISED = """
    WITH seen AS (
        SELECT concept.owner_id, concept.concept_id
          FROM concept
          JOIN unnest($1::text[], $2::uuid[]) AS given (owner_id, concept_id)
            ON given.owner_id = concept.owner_id AND given.concept_id = concept.concept_id
         ORDER BY 1, 2
           FOR NO KEY UPDATE OF concept
    )
    UPDATE concept
       SET times_recognised = times_recognised + 1, last_seen = now()
      FROM seen
     WHERE concept.owner_id = seen.owner_id AND concept.concept_id = seen.concept_id
"""


def concept_from(row: asyncpg.Record) -> Concept:
    """Return the concept of a row that selected `CONCEPT_COLUMNS`."""
    return Concept(
        owner_id=OwnerId(row["owner_id"]),
        concept_id=row["concept_id"],
        name=row["name"],
        info=row["info"],
        category=row["category"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        references=row["references"],
        times_recognised=row["times_recognised"],
        last_seen=row["last_seen"],
        learned=Channel(row["learned_server"], row["learned_channel"]),
        linked_user=row["linked_user"],
        is_person=row["is_person"],
    )


def author_of(reference: NewReference) -> int | None:
    """Return who wrote the message that a picture is from, None when it was uploaded."""
    return None if reference.source is None else reference.source.author


def owners(viewer: Viewer) -> list[OwnerId]:
    """Return whose memory the viewer recalls from, their own first."""
    return [viewer.personal] if viewer.server_memory is None else [viewer.personal, viewer.server_memory]


async def remember(connection: asyncpg.Connection, new: NewConcept) -> Concept:
    """Store a concept with its first reference: all of it or nothing.

    Raises InvalidTextError when the name, info or category can't be used, NameTakenError when the owner has a concept
    of that name already, without regard to case, ObjectedError when the person it is doesn't want to be shared, and
    AuthorObjectedError as `store_reference`, and what `db.admission` raises.
    """
    name, info, category = check_name(new.name), check_info(new.info), check_category(new.category)
    async with connection.transaction():
        await lock_people(connection, new.linked_user, author_of(new.reference))
        await lock_memory(connection, new.owner_id)
        await check_may_put(connection, new.owner_id)
        if new.owner_id.startswith("server:"):
            check_shared_name(name)
        try:
            concept_id = await connection.fetchval(
                INSERT_CONCEPT,
                new.owner_id,
                name,
                name_key(name),
                info,
                category,
                new.created_by,
                new.learned.server_id,
                new.learned.channel_id,
                new.linked_user,
            )
        except asyncpg.UniqueViolationError as error:
            raise NameTakenError(name) from error
        except asyncpg.PostgresError as error:
            raise refused(error) from error
        said = [notes.new_note(info, new.created_by, new.learned)] if info else []
        await notes.store(connection, new.owner_id, concept_id, said)
        await store_reference(connection, new.owner_id, concept_id, new.reference, new.created_by)
        await check_fits(connection, new.owner_id, concept_id)
        return await get(connection, new.owner_id, concept_id)


async def add_reference(
    connection: asyncpg.Connection, concept: Concept, reference: NewReference, created_by: int
) -> Concept:
    """Store one more reference of a concept.

    Raises NotRememberedError when it was forgotten meanwhile, AuthorObjectedError as `store_reference`, and what
    `db.admission` raises.
    """
    async with connection.transaction():
        await lock_people(connection, author_of(reference))
        await lock_memory(connection, concept.owner_id)
        await check_may_change(connection, await get(connection, concept.owner_id, concept.concept_id))
        await store_reference(connection, concept.owner_id, concept.concept_id, reference, created_by)
        await check_fits(connection, concept.owner_id, concept.concept_id)
        return await get(connection, concept.owner_id, concept.concept_id)


async def get(connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID) -> Concept:
    """Return a concept by its id. Raises NotRememberedError when the viewer can't see one."""
    row = await connection.fetchrow(GET_CONCEPT, owner_id, concept_id)
    if row is None:
        raise NotRememberedError
    return concept_from(row)


async def edit(
    connection: asyncpg.Connection,
    concept: Concept,
    *,
    name: str | None = None,
    info: str | None = None,
    category: str | None = None,
    linked_user: int | None = None,
) -> Concept:
    """Change what is given, leave what is None; returns the concept as it is now.

    What is new in the info is said by who acts; what others said goes only where they govern, or in their own memory.

    Raises InvalidTextError, NameTakenError and ObjectedError as `remember` does, NotRememberedError when it was
    forgotten meanwhile, NotAllowedError.
    """
    new_name = None if name is None else check_name(name)
    async with connection.transaction():
        if new_name is not None and concept.is_shared:
            check_shared_name(new_name)
        await lock_people(connection, linked_user)
        await lock_memory(connection, concept.owner_id)
        await check_may_change(connection, await get(connection, concept.owner_id, concept.concept_id))
        said = None if info is None else await _revised(connection, concept, check_info(info))
        try:
            await connection.execute(
                CHANGE_CONCEPT,
                concept.owner_id,
                concept.concept_id,
                new_name,
                None if new_name is None else name_key(new_name),
                None if said is None else check_info(notes.joined(said)),
                None if category is None else check_category(category),
                linked_user,
            )
        except asyncpg.UniqueViolationError as error:
            raise NameTakenError(new_name or concept.name) from error
        except asyncpg.PostgresError as error:
            raise refused(error) from error
        if said is not None:
            await notes.store(connection, concept.owner_id, concept.concept_id, said)
        return await get(connection, concept.owner_id, concept.concept_id)


async def _revised(connection: asyncpg.Connection, concept: Concept, info: str) -> list[notes.Note]:
    """Return a concept's notes as they are when who acts makes this info of them."""
    acting = await acting_in(connection, concept.owner_id)
    known = await notes.notes_of(connection, concept.owner_id, concept.concept_id)
    may_remove = acting.governs or not concept.is_shared
    return notes.revised(known, info, notes.new_note("", acting.user_id), may_remove=may_remove)


async def forget(connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID) -> str:
    """Delete a concept with its references, embeddings, corrections, and pictures that nothing else uses.

    Returns its name. Raises NotRememberedError when there is no such concept for this viewer.
    """
    async with connection.transaction():
        await lock_memory(connection, owner_id)
        pictures = [row[0] for row in await connection.fetch(PICTURES_OF_CONCEPT, owner_id, concept_id)]
        name = await connection.fetchval(DELETE_CONCEPT, owner_id, concept_id)
        if name is None:
            raise NotRememberedError
        await delete_unused_pictures(connection, owner_id, pictures)
        return str(name)


async def find(connection: asyncpg.Connection, viewer: Viewer, name: str) -> list[Concept]:
    """Return the viewer's concepts of that name, without regard to case: personal first, then shared."""
    rows = await connection.fetch(FIND_BY_NAME, owners(viewer), _searchable(name))
    return [concept_from(row) for row in rows]


async def list_concepts(
    connection: asyncpg.Connection, owner_id: OwnerId, *, limit: int = 100, offset: int = 0
) -> list[Concept]:
    """Return an owner's concepts by name, a page of them."""
    return [concept_from(row) for row in await connection.fetch(LIST_CONCEPTS, owner_id, limit, offset)]


async def suggest_names(
    connection: asyncpg.Connection, viewer: Viewer, typed: str, limit: int = LONGEST_SUGGESTIONS
) -> list[str]:
    """Return names for autocomplete: those that begin with what was typed, that contain it, the rest."""
    rows = await connection.fetch(SUGGEST_NAMES, owners(viewer), _searchable(typed), limit)
    return [row["name"] for row in rows]


async def did_you_mean(connection: asyncpg.Connection, viewer: Viewer, name: str, limit: int = 3) -> list[str]:
    """Return the viewer's names that look like this one, the most alike first; for "did you mean"."""
    rows = await connection.fetch(DID_YOU_MEAN, owners(viewer), _searchable(name), ALIKE_ENOUGH, limit)
    return [row["name"] for row in rows]


async def count(connection: asyncpg.Connection, owner_id: OwnerId) -> int:
    """Return how many concepts an owner has."""
    return int(await connection.fetchval(COUNT_CONCEPTS, owner_id))


async def remove_reference(connection: asyncpg.Connection, concept: Concept, reference_id: UUID) -> Concept:
    """Delete one of a concept's references, with its picture unless something else uses it.

    Raises ReferenceGoneError when it isn't there (any more), and LastReferenceError when it is the last one: without a
    picture there is nothing to recognise.
    """
    async with connection.transaction():
        await lock_memory(connection, concept.owner_id)
        now = await get(connection, concept.owner_id, concept.concept_id)
        await check_may_change(connection, now)
        if now.references < 2:
            raise LastReferenceError
        picture = await connection.fetchval(DELETE_REFERENCE, concept.owner_id, concept.concept_id, reference_id)
        if picture is None:
            raise ReferenceGoneError
        await delete_unused_pictures(connection, concept.owner_id, [picture])
        return await get(connection, concept.owner_id, concept.concept_id)


async def mark_recognised(connection: asyncpg.Connection, concepts: Sequence[Concept]) -> None:
    """Count these concepts as recognised just now."""
    await connection.execute(
        COUNT_AS_RECOGNISED,
        [concept.owner_id for concept in concepts],
        [concept.concept_id for concept in concepts],
    )


def _searchable(typed: str) -> str:
    """Return the key of what a person typed, which may be anything: no name has a NUL or a lone surrogate."""
    return name_key(typed.encode("utf-8", "ignore").decode().replace("\x00", ""))
