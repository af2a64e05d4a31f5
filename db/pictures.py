"""Pictures of concepts: what is stored of each, which one is shown, and which nothing uses any more.

Every function takes the connection of `db.pool.viewing`, so row-level security holds whatever the SQL says.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from db.errors import ReferenceGoneError, refused
from db.pool import opening_trash
from db.rows import box_from, source_columns, source_from
from db.types import Concept, Embedded, NewReference, OwnerId, Reference

INSERT_PICTURE = """
    INSERT INTO picture (owner_id, picture_sha256, jpeg, width, height)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (owner_id, picture_sha256) DO NOTHING
"""

INSERT_REFERENCE = """
    INSERT INTO reference (owner_id, concept_id, picture_sha256,
                           box_left, box_top, box_right, box_bottom, created_by, created_at,
                           origin, source_author, source_message)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()), $10, $11, $12)
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

DELETE_UNUSED_PICTURES = """
    DELETE FROM picture
     WHERE owner_id = $1
       AND picture_sha256 = ANY ($2::text[])
       AND NOT EXISTS (SELECT FROM reference
                        WHERE reference.owner_id = picture.owner_id
                          AND reference.picture_sha256 = picture.picture_sha256)
"""

REFERENCE_COLUMNS = """
    reference.concept_id, reference.reference_id, reference.picture_sha256, reference.created_by, reference.created_at,
    reference.origin, reference.source_author, reference.source_message,
    reference.box_left, reference.box_top, reference.box_right, reference.box_bottom,
    picture.jpeg, picture.width, picture.height,
    reference.reference_id IS NOT DISTINCT FROM concept.avatar_id AS is_avatar
"""
"""What `reference_from` reads, and whose it is; for the SELECT list of a statement from `REFERENCES_WITH_PICTURES`."""

REFERENCES_WITH_PICTURES = """
    reference
      JOIN concept ON concept.owner_id = reference.owner_id
                  AND concept.concept_id = reference.concept_id
      JOIN picture ON picture.owner_id = reference.owner_id
                  AND picture.picture_sha256 = reference.picture_sha256
"""

GET_AVATARS = f"""
    SELECT DISTINCT ON (reference.owner_id, reference.concept_id) {REFERENCE_COLUMNS}
      FROM {REFERENCES_WITH_PICTURES}
      JOIN unnest($1::text[], $2::uuid[]) AS given (owner_id, concept_id)
        ON given.owner_id = reference.owner_id AND given.concept_id = reference.concept_id
     ORDER BY reference.owner_id, reference.concept_id,
              reference.reference_id = concept.avatar_id DESC NULLS LAST, reference.created_at
"""  # noqa: S608 (made of constants)

GET_REFERENCES = f"""
    SELECT {REFERENCE_COLUMNS}
      FROM {REFERENCES_WITH_PICTURES}
     WHERE reference.owner_id = $1 AND reference.concept_id = $2
     ORDER BY reference.created_at, reference.reference_id
"""  # noqa: S608 (made of constants)

SOURCE_AUTHORS = "SELECT source_author FROM reference WHERE owner_id = $1 AND concept_id = $2"

CHOOSE_AVATAR = """
    UPDATE concept SET avatar_id = $3, updated_at = now()
     WHERE owner_id = $1 AND concept_id = $2
       AND EXISTS (SELECT FROM reference
                    WHERE reference.owner_id = $1 AND reference.concept_id = $2 AND reference.reference_id = $3)
"""


def reference_from(row: asyncpg.Record) -> Reference:
    """Return the reference of a row that selected `REFERENCE_COLUMNS`."""
    return Reference(
        reference_id=row["reference_id"],
        picture=row["jpeg"],
        picture_sha256=row["picture_sha256"],
        width=row["width"],
        height=row["height"],
        box=box_from(row),
        created_by=row["created_by"],
        created_at=row["created_at"],
        is_avatar=row["is_avatar"],
        source=source_from(row),
    )


async def avatar(connection: asyncpg.Connection, concept: Concept) -> Reference | None:
    """Return the reference that is shown for a concept: the chosen one, else the oldest; None without any."""
    return (await avatars(connection, [concept])).get(concept.concept_id)


async def avatars(connection: asyncpg.Connection, concepts: Sequence[Concept]) -> dict[UUID, Reference]:
    """Return the references that are shown for some concepts, by the concept's id; those without any are left out."""
    owners, ids = [concept.owner_id for concept in concepts], [concept.concept_id for concept in concepts]
    rows = await connection.fetch(GET_AVATARS, owners, ids)
    return {row["concept_id"]: reference_from(row) for row in rows}


async def references(connection: asyncpg.Connection, concept: Concept) -> list[Reference]:
    """Return a concept's references, the oldest first."""
    rows = await connection.fetch(GET_REFERENCES, concept.owner_id, concept.concept_id)
    return [reference_from(row) for row in rows]


async def source_authors(connection: asyncpg.Connection, concept: Concept) -> list[int | None]:
    """Return whose messages a concept's pictures are from; None for one that was uploaded."""
    rows = await connection.fetch(SOURCE_AUTHORS, concept.owner_id, concept.concept_id)
    return [row["source_author"] for row in rows]


async def choose_avatar(connection: asyncpg.Connection, concept: Concept, reference_id: UUID) -> None:
    """Show this reference as the concept's avatar. Raises ReferenceGoneError when it isn't there (any more)."""
    done = await connection.execute(CHOOSE_AVATAR, concept.owner_id, concept.concept_id, reference_id)
    if done == "UPDATE 0":
        raise ReferenceGoneError


async def store_reference(
    connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID, reference: NewReference, created_by: int
) -> None:
    """Store a reference with its picture and embeddings; the first one of a concept is its avatar.

    The caller holds the lock of the owner's memory, and that of the author of the message it is from.

    Raises AuthorObjectedError when they don't want others to keep their pictures.
    """
    box = reference.box
    await connection.execute(
        INSERT_PICTURE,
        owner_id,
        reference.picture_sha256,
        reference.picture,
        reference.width,
        reference.height,
    )
    try:
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
            *source_columns(reference.source),
        )
    except asyncpg.PostgresError as error:
        raise refused(error) from error
    made = [Embedded(reference.embedding_id, reference.embedding), *([reference.former] if reference.former else [])]
    for embedded in made:
        await connection.execute(
            INSERT_EMBEDDING, owner_id, concept_id, reference_id, embedded.embedding_id, embedded.vector
        )
    await connection.execute(SHOW_AS_AVATAR, owner_id, concept_id, reference_id)


async def delete_unused_pictures(connection: asyncpg.Connection, owner_id: OwnerId, pictures: Sequence[str]) -> None:
    """Delete those of these pictures (SHA-256) that no reference of their owner uses (any more).

    What was forgotten and can still be undone uses them, too. The caller holds the lock of the owner's memory: a
    reference may be about to use one.
    """
    async with opening_trash(connection):
        await connection.execute(DELETE_UNUSED_PICTURES, owner_id, pictures)
