"""Concepts: remember, find, change and forget them.

Every function takes the connection of `db.pool.viewing`, so row-level security holds whatever the SQL says.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from uuid import UUID

import asyncpg

from db.errors import LastReferenceError, NameTakenError, NotRememberedError, ObjectedError, ReferenceGoneError
from db.geometry import Box
from db.names import check_category, check_info, check_name, name_key
from db.types import Avatar, Channel, Concept, Embedded, NewConcept, OwnerId, Reference, StoredReference, Viewer

LONGEST_SUGGESTIONS = 25
ALIKE_ENOUGH = 0.6
OBJECTED = "KS001"
"""The error code of `keepsake_check_objection`."""

# An owner's writes go one after the other: forgetting must not drop a picture that another reference, stored
# in the same moment, is about to use.
WRITE_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('keepsake memory of ' || $1, 0))"

# Whoever links a person, and the person who objects, take this lock before any other one.
LOCK_PERSON = "SELECT pg_advisory_xact_lock(hashtextextended('keepsake person ' || $1::bigint, 0))"

INSERT_PICTURE = """
    INSERT INTO picture (owner_id, picture_sha256, jpeg, width, height)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (owner_id, picture_sha256) DO NOTHING
"""

INSERT_CONCEPT = """
    INSERT INTO concept (owner_id, name, name_key, info, category, created_by,
                         learned_server, learned_channel, linked_user)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    RETURNING concept_id
"""

INSERT_REFERENCE = """
    INSERT INTO reference (owner_id, concept_id, picture_sha256,
                           box_left, box_top, box_right, box_bottom, created_by, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()))
    RETURNING reference_id
"""

INSERT_EMBEDDING = """
    INSERT INTO embedding (owner_id, concept_id, reference_id, embedding_id, vector)
    VALUES ($1, $2, $3, $4, $5)
"""

SHOW_AS_AVATAR = """
    UPDATE concept SET avatar_id = $3
     WHERE owner_id = $1 AND concept_id = $2 AND avatar_id IS NULL
"""

CONCEPT_COLUMNS = """
    concept.owner_id, concept.concept_id, concept.name, concept.info, concept.category, concept.created_by,
    concept.created_at, concept.times_recognised, concept.last_seen,
    concept.learned_server, concept.learned_channel, concept.linked_user,
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

ALL_NAMES = """
    SELECT DISTINCT name, name_key
      FROM concept
     WHERE owner_id = ANY ($1::text[])
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

DELETE_UNUSED_PICTURES = """
    DELETE FROM picture
     WHERE owner_id = $1
       AND picture_sha256 = ANY ($2::text[])
       AND NOT EXISTS (SELECT FROM reference
                        WHERE reference.owner_id = picture.owner_id
                          AND reference.picture_sha256 = picture.picture_sha256)
"""

COUNT_CONCEPTS = "SELECT count(*) FROM concept WHERE owner_id = $1"

GET_AVATAR = """
    SELECT picture.jpeg, picture.width, picture.height,
           reference.box_left, reference.box_top, reference.box_right, reference.box_bottom
      FROM concept
      JOIN reference ON reference.owner_id = concept.owner_id
                    AND reference.concept_id = concept.concept_id
      JOIN picture ON picture.owner_id = reference.owner_id
                  AND picture.picture_sha256 = reference.picture_sha256
     WHERE concept.owner_id = $1 AND concept.concept_id = $2
     ORDER BY reference.reference_id = concept.avatar_id DESC NULLS LAST, reference.created_at
     LIMIT 1
"""

GET_REFERENCES = """
    SELECT reference.reference_id, reference.picture_sha256, reference.created_by, reference.created_at,
           reference.box_left, reference.box_top, reference.box_right, reference.box_bottom,
           picture.jpeg, picture.width, picture.height,
           reference.reference_id IS NOT DISTINCT FROM concept.avatar_id AS is_avatar
      FROM reference
      JOIN concept ON concept.owner_id = reference.owner_id
                  AND concept.concept_id = reference.concept_id
      JOIN picture ON picture.owner_id = reference.owner_id
                  AND picture.picture_sha256 = reference.picture_sha256
     WHERE reference.owner_id = $1 AND reference.concept_id = $2
     ORDER BY reference.created_at, reference.reference_id
"""

CHOOSE_AVATAR = """
    UPDATE concept SET avatar_id = $3, updated_at = now()
     WHERE owner_id = $1 AND concept_id = $2
       AND EXISTS (SELECT FROM reference
                    WHERE reference.owner_id = $1 AND reference.concept_id = $2 AND reference.reference_id = $3)
"""

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
    )


async def lock_people(connection: asyncpg.Connection, *user_ids: int | None) -> None:
    """Make sure that none of these people objects while they are being linked; None is nobody."""
    for user_id in sorted({number for number in user_ids if number is not None}):
        await connection.execute(LOCK_PERSON, user_id)


def refused(error: asyncpg.PostgresError) -> Exception:
    """Return what a trigger of ours meant by its error code; any other error as it is."""
    return ObjectedError() if error.sqlstate == OBJECTED else error


def owners(viewer: Viewer) -> list[OwnerId]:
    """Return whose memory the viewer recalls from, their own first."""
    return [viewer.personal] if viewer.server_memory is None else [viewer.personal, viewer.server_memory]


async def remember(connection: asyncpg.Connection, new: NewConcept) -> Concept:
    """Store a concept with its first reference: all of it or nothing.

    Raises InvalidTextError when the name, info or category can't be used, NameTakenError when the owner has a concept
    of that name already, without regard to case, and ObjectedError when the person it is doesn't want to be shared.
    """
    name, info, category = check_name(new.name), check_info(new.info), check_category(new.category)
    async with connection.transaction():
        await lock_people(connection, new.linked_user)
        await connection.execute(WRITE_ALONE, new.owner_id)
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
        await _store_reference(connection, new.owner_id, concept_id, new.reference, new.created_by)
        return await get(connection, new.owner_id, concept_id)


async def add_reference(
    connection: asyncpg.Connection, concept: Concept, reference: Reference, created_by: int
) -> Concept:
    """Store one more reference of a concept. Raises NotRememberedError when it was forgotten meanwhile."""
    async with connection.transaction():
        await connection.execute(WRITE_ALONE, concept.owner_id)
        await get(connection, concept.owner_id, concept.concept_id)
        await _store_reference(connection, concept.owner_id, concept.concept_id, reference, created_by)
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

    Raises InvalidTextError, NameTakenError and ObjectedError as `remember` does, NotRememberedError when it was
    forgotten meanwhile.
    """
    new_name = None if name is None else check_name(name)
    changes = (
        new_name,
        None if new_name is None else name_key(new_name),
        None if info is None else check_info(info),
        None if category is None else check_category(category),
        linked_user,
    )
    async with connection.transaction():
        await lock_people(connection, linked_user)
        try:
            await connection.execute(CHANGE_CONCEPT, concept.owner_id, concept.concept_id, *changes)
        except asyncpg.UniqueViolationError as error:
            raise NameTakenError(new_name or concept.name) from error
        except asyncpg.PostgresError as error:
            raise refused(error) from error
        return await get(connection, concept.owner_id, concept.concept_id)


async def forget(connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID) -> str:
    """Delete a concept with its references, embeddings, corrections, and pictures that nothing else uses.

    Returns its name. Raises NotRememberedError when there is no such concept for this viewer.
    """
    async with connection.transaction():
        await connection.execute(WRITE_ALONE, owner_id)
        pictures = [row[0] for row in await connection.fetch(PICTURES_OF_CONCEPT, owner_id, concept_id)]
        name = await connection.fetchval(DELETE_CONCEPT, owner_id, concept_id)
        if name is None:
            raise NotRememberedError
        await connection.execute(DELETE_UNUSED_PICTURES, owner_id, pictures)
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
    wanted = _searchable(name)
    rows = await connection.fetch(ALL_NAMES, owners(viewer))
    alike = [(SequenceMatcher(None, wanted, row["name_key"]).ratio(), row["name"]) for row in rows]
    close = sorted((pair for pair in alike if pair[0] >= ALIKE_ENOUGH), key=lambda pair: (-pair[0], pair[1]))
    return list(dict.fromkeys(name for _, name in close))[:limit]


async def count(connection: asyncpg.Connection, owner_id: OwnerId) -> int:
    """Return how many concepts an owner has."""
    return int(await connection.fetchval(COUNT_CONCEPTS, owner_id))


async def avatar(connection: asyncpg.Connection, concept: Concept) -> Avatar | None:
    """Return the reference that is shown for a concept: the chosen one, else the oldest; None without any."""
    row = await connection.fetchrow(GET_AVATAR, concept.owner_id, concept.concept_id)
    if row is None:
        return None
    return Avatar(picture=row["jpeg"], width=row["width"], height=row["height"], box=box_from(row))


async def references(connection: asyncpg.Connection, concept: Concept) -> list[StoredReference]:
    """Return a concept's references, the oldest first."""
    rows = await connection.fetch(GET_REFERENCES, concept.owner_id, concept.concept_id)
    return [
        StoredReference(
            reference_id=row["reference_id"],
            picture=row["jpeg"],
            picture_sha256=row["picture_sha256"],
            width=row["width"],
            height=row["height"],
            box=box_from(row),
            created_by=row["created_by"],
            created_at=row["created_at"],
            is_avatar=row["is_avatar"],
        )
        for row in rows
    ]


async def choose_avatar(connection: asyncpg.Connection, concept: Concept, reference_id: UUID) -> None:
    """Show this reference as the concept's avatar. Raises ReferenceGoneError when it isn't there (any more)."""
    done = await connection.execute(CHOOSE_AVATAR, concept.owner_id, concept.concept_id, reference_id)
    if done == "UPDATE 0":
        raise ReferenceGoneError


async def remove_reference(connection: asyncpg.Connection, concept: Concept, reference_id: UUID) -> Concept:
    """Delete one of a concept's references, with its picture unless something else uses it.

    Raises ReferenceGoneError when it isn't there (any more), and LastReferenceError when it is the last one: without a
    picture there is nothing to recognise.
    """
    async with connection.transaction():
        await connection.execute(WRITE_ALONE, concept.owner_id)
        if (await get(connection, concept.owner_id, concept.concept_id)).references < 2:
            raise LastReferenceError
        picture = await connection.fetchval(DELETE_REFERENCE, concept.owner_id, concept.concept_id, reference_id)
        if picture is None:
            raise ReferenceGoneError
        await connection.execute(DELETE_UNUSED_PICTURES, concept.owner_id, [picture])
        return await get(connection, concept.owner_id, concept.concept_id)


async def mark_recognised(connection: asyncpg.Connection, concepts: Sequence[Concept]) -> None:
    """Count these concepts as recognised just now."""
    await connection.execute(
        COUNT_AS_RECOGNISED,
        [concept.owner_id for concept in concepts],
        [concept.concept_id for concept in concepts],
    )


def box_from(row: asyncpg.Record) -> Box:
    """Return the box of a row with the columns box_left, box_top, box_right and box_bottom."""
    return Box(left=row["box_left"], top=row["box_top"], right=row["box_right"], bottom=row["box_bottom"])


async def _store_reference(
    connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID, reference: Reference, created_by: int
) -> None:
    box = reference.box
    await connection.execute(
        INSERT_PICTURE,
        owner_id,
        reference.picture_sha256,
        reference.picture,
        reference.width,
        reference.height,
    )
    reference_id = await connection.fetchval(
        INSERT_REFERENCE,
        owner_id,
        concept_id,
        reference.picture_sha256,
        box.left,
        box.top,
        box.right,
        box.bottom,
        created_by,
        reference.created_at,
    )
    made = [Embedded(reference.embedding_id, reference.embedding), *([reference.former] if reference.former else [])]
    for embedded in made:
        await connection.execute(
            INSERT_EMBEDDING, owner_id, concept_id, reference_id, embedded.embedding_id, embedded.vector
        )
    await connection.execute(SHOW_AS_AVATAR, owner_id, concept_id, reference_id)


def _searchable(typed: str) -> str:
    """Return the key of what a person typed, which may be anything: no name has a NUL or a lone surrogate."""
    return name_key(typed.encode("utf-8", "ignore").decode().replace("\x00", ""))
