"""What answers showed, kept so that their buttons still work after a restart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from db import admission
from db.concepts import CONCEPT_COLUMNS, concept_from
from db.persons import SAID
from db.rows import box_from, source_columns, source_from, to_vector
from db.types import Answer, Sighting, Source, Viewer

KEPT_FOR = timedelta(days=30)
"""Where no server says otherwise."""

INSERT_ANSWER = """
    INSERT INTO answer (owner_id, picture_sha256, jpeg, width, height, server_owner_id, expires_at,
                        origin, source_author, source_message)
    VALUES ($1, $2, $3, $4, $5, $6, now() + $7, $8, $9, $10)
    RETURNING answer_id
"""

INSERT_SIGHTING = """
    INSERT INTO sighting (owner_id, answer_id, region, box_left, box_top, box_right, box_bottom,
                          embedding_id, vector, concept_owner_id, concept_id, probability)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

GET_ANSWER = """
    SELECT answer_id, jpeg, picture_sha256, width, height, created_at, origin, source_author, source_message
      FROM answer
     WHERE owner_id = $1 AND answer_id = $2 AND expires_at > now()
"""

# A concept that was forgotten, or that belongs to another server than the current one, is read as nobody;
# so is a person where people are switched off.
GET_SIGHTINGS = f"""
    SELECT sighting.region, sighting.box_left, sighting.box_top, sighting.box_right, sighting.box_bottom,
           sighting.embedding_id, sighting.vector, sighting.probability,
           concept.concept_id IS NOT NULL AS recognised, {CONCEPT_COLUMNS}
      FROM sighting
      LEFT JOIN concept
        ON concept.owner_id = sighting.concept_owner_id AND concept.concept_id = sighting.concept_id AND {SAID}
     WHERE sighting.owner_id = $1 AND sighting.answer_id = $2
     ORDER BY sighting.region
"""  # noqa: S608 (made of constants)

NAME_IN_SIGHTING = """
    UPDATE sighting
       SET concept_owner_id = $4, concept_id = $5, probability = $6
     WHERE owner_id = $1 AND answer_id = $2 AND region = $3
"""


# The newest answer stays, however large it is.
DELETE_BEYOND_QUOTA = """
    DELETE FROM answer
     USING (SELECT answer_id,
                   sum(octet_length(jpeg)) OVER (ORDER BY created_at DESC, answer_id) AS bytes_till_here
              FROM answer
             WHERE owner_id = $1) AS kept
     WHERE answer.owner_id = $1 AND answer.answer_id = kept.answer_id
       AND kept.bytes_till_here > $2 AND answer.answer_id <> $3
"""


async def store_answer(
    connection: asyncpg.Connection,
    viewer: Viewer,
    picture: bytes,
    width: int,
    height: int,
    sightings: Sequence[Sighting],
    keep_for: timedelta = KEPT_FOR,
    source: Source | None = None,
) -> UUID:
    """Store the picture of an answer (JPEG, pixels) and what was seen in it; returns the id for its buttons.

    It belongs to the viewer: nobody else can load it. ``keep_for`` is the retention of where it was given, ``source``
    the message that the picture is from. When all of their answers take more bytes than are kept, the oldest go.
    """
    digest = hashlib.sha256(picture).hexdigest()
    async with connection.transaction():
        answer_id: UUID = await connection.fetchval(
            INSERT_ANSWER,
            viewer.personal,
            digest,
            picture,
            width,
            height,
            viewer.server_memory,
            keep_for,
            *source_columns(source),
        )
        rows = [(viewer.personal, answer_id, *_columns(sighting)) for sighting in sightings]
        await connection.executemany(INSERT_SIGHTING, rows)
        await connection.execute(DELETE_BEYOND_QUOTA, viewer.personal, admission.MAX_BYTES_OF_ANSWERS, answer_id)
    return answer_id


async def load_answer(connection: asyncpg.Connection, viewer: Viewer, answer_id: UUID) -> Answer | None:
    """Return a stored answer; None when it is too old, or was another viewer's."""
    row = await connection.fetchrow(GET_ANSWER, viewer.personal, answer_id)
    if row is None:
        return None
    sightings = await connection.fetch(GET_SIGHTINGS, viewer.personal, answer_id)
    return Answer(
        answer_id=row["answer_id"],
        picture=row["jpeg"],
        picture_sha256=row["picture_sha256"],
        width=row["width"],
        height=row["height"],
        created_at=row["created_at"],
        sightings=tuple(_sighting_from(sighting) for sighting in sightings),
        source=source_from(row),
    )


async def rename_sighting(connection: asyncpg.Connection, viewer: Viewer, answer_id: UUID, sighting: Sighting) -> None:
    """Store who is in a region now: after "not them" nobody, after "remember this" the new concept."""
    owner, concept_id = _concept_columns(sighting)
    await connection.execute(
        NAME_IN_SIGHTING, viewer.personal, answer_id, sighting.region, owner, concept_id, sighting.probability
    )


def _columns(sighting: Sighting) -> tuple[object, ...]:
    box = sighting.box
    return (
        *(sighting.region, box.left, box.top, box.right, box.bottom),
        *(sighting.embedding_id, sighting.embedding, *_concept_columns(sighting), sighting.probability),
    )


def _concept_columns(sighting: Sighting) -> tuple[str | None, UUID | None]:
    concept = sighting.concept
    return (None, None) if concept is None else (concept.owner_id, concept.concept_id)


def _sighting_from(row: asyncpg.Record) -> Sighting:
    return Sighting(
        region=row["region"],
        box=box_from(row),
        embedding_id=row["embedding_id"],
        embedding=to_vector(row["vector"]),
        concept=concept_from(row) if row["recognised"] else None,
        probability=row["probability"] if row["recognised"] else None,
    )
