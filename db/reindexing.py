"""Which embeddings a memory goes by, and moving it to those of another pack while recall goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from db.locks import lock_memory
from db.pictures import REFERENCE_COLUMNS, REFERENCES_WITH_PICTURES, reference_from
from db.pool import as_caretaker, without_viewer
from db.types import Embedded, OwnerId, Reference

IN_USE = """
    SELECT embedding_id
      FROM embedding_use
     WHERE owner_id = ANY ($1::text[])
     GROUP BY embedding_id
     ORDER BY min(array_position($1::text[], owner_id::text))
"""

LIST_TO_MOVE = """
    SELECT owner_id, embedding_id, missing
      FROM embedding_use
     WHERE embedding_id <> $1 OR missing > 0
     ORDER BY owner_id
"""

GET_WITHOUT = f"""
    SELECT {REFERENCE_COLUMNS}
      FROM {REFERENCES_WITH_PICTURES}
     WHERE reference.owner_id = $1
       AND NOT EXISTS (SELECT FROM embedding
                        WHERE embedding.owner_id = $1 AND embedding.embedding_id = $2
                          AND embedding.reference_id = reference.reference_id)
     ORDER BY reference.created_at, reference.reference_id
     LIMIT $3
"""  # noqa: S608 (made of constants)

STORE = """
    INSERT INTO embedding (owner_id, concept_id, reference_id, embedding_id, vector)
    SELECT owner_id, concept_id, reference_id, $3, $4
      FROM reference
     WHERE owner_id = $1 AND reference_id = $2
    ON CONFLICT DO NOTHING
"""

COUNT_MISSING = """
    UPDATE embedding_use
       SET missing = (SELECT count(*)
                        FROM reference
                       WHERE reference.owner_id = $1
                         AND NOT EXISTS (SELECT FROM embedding
                                          WHERE embedding.owner_id = $1 AND embedding.embedding_id = $2
                                            AND embedding.reference_id = reference.reference_id))
     WHERE owner_id = $1
    RETURNING missing
"""

# All or nothing: recall, which is one statement, too, finds the old embeddings or the new ones.
SWITCH = """
    WITH switched AS (
        UPDATE embedding_use
           SET embedding_id = $2, since = now(), missing = 0
         WHERE owner_id = $1
           AND NOT EXISTS (SELECT FROM reference
                            WHERE reference.owner_id = $1
                              AND NOT EXISTS (SELECT FROM embedding
                                               WHERE embedding.owner_id = $1 AND embedding.embedding_id = $2
                                                 AND embedding.reference_id = reference.reference_id))
        RETURNING owner_id
    ), outdated AS (
        DELETE FROM embedding USING switched
         WHERE embedding.owner_id = switched.owner_id AND embedding.embedding_id <> $2
    )
    SELECT EXISTS (SELECT FROM switched)
"""


@dataclass(frozen=True, slots=True)
class Move:
    """A memory that goes by other embeddings than it should; ``missing`` counts what is still to be made."""

    owner_id: OwnerId
    embedding_id: str
    missing: int


async def in_use(connection: asyncpg.Connection, owners: Sequence[OwnerId]) -> tuple[str, ...]:
    """Return the ids of the embeddings that these owners' recall goes by: one, unless packs are being changed."""
    return tuple(row["embedding_id"] for row in await connection.fetch(IN_USE, owners))


async def memories_to_move(pool: asyncpg.Pool, embedding_id: str) -> list[Move]:
    """Return the memories that lack embeddings of this id, without any of what is in them.

    Raises DatabaseUnavailableError.
    """
    async with without_viewer(pool) as connection, as_caretaker(connection):
        rows = await connection.fetch(LIST_TO_MOVE, embedding_id)
    return [Move(OwnerId(row["owner_id"]), row["embedding_id"], row["missing"]) for row in rows]


async def references_without(
    connection: asyncpg.Connection, owner_id: OwnerId, embedding_id: str, limit: int
) -> list[Reference]:
    """Return some of an owner's references that have no embedding of this id, the oldest first."""
    rows = await connection.fetch(GET_WITHOUT, owner_id, embedding_id, limit)
    return [reference_from(row) for row in rows]


async def store(connection: asyncpg.Connection, owner_id: OwnerId, reference_id: UUID, made: Embedded) -> None:
    """Store an embedding of a reference; of one that was forgotten meanwhile, nothing."""
    async with connection.transaction():
        await lock_memory(connection, owner_id)
        await connection.execute(STORE, owner_id, reference_id, made.embedding_id, made.vector)


async def count_missing(connection: asyncpg.Connection, owner_id: OwnerId, embedding_id: str) -> int:
    """Count, and note, how many of an owner's references have no embedding of this id."""
    return int(await connection.fetchval(COUNT_MISSING, owner_id, embedding_id) or 0)


async def switch(connection: asyncpg.Connection, owner_id: OwnerId, embedding_id: str) -> bool:
    """Let an owner's recall go by these embeddings from now on, and drop all others; False while some are missing."""
    async with connection.transaction():
        await lock_memory(connection, owner_id)
        return bool(await connection.fetchval(SWITCH, owner_id, embedding_id))
