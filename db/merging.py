"""Merging: two concepts that turn out to be the same one."""

from __future__ import annotations

import asyncpg

from db import notes
from db.admission import check_fits, check_may_change
from db.concepts import get
from db.errors import CannotMergeError, refused
from db.locks import lock_memory, lock_people
from db.names import check_info
from db.types import Concept, Viewer

WITHOUT_AVATAR = "UPDATE concept SET avatar_id = NULL WHERE owner_id = $1 AND concept_id = $2"

MOVE_REFERENCES = "UPDATE reference SET concept_id = $3 WHERE owner_id = $1 AND concept_id = $2"

MOVE_CORRECTIONS = "UPDATE correction SET concept_id = $3 WHERE concept_owner_id = $1 AND concept_id = $2"

# Of one region, "right" about the one outweighs "not them" about the other: they are the same.
DROP_CONTRADICTIONS = """
    DELETE FROM correction
     USING correction AS other
     WHERE correction.concept_owner_id = $1 AND correction.concept_id = $2 AND correction.verdict = 'incorrect'
       AND other.owner_id = correction.owner_id AND other.concept_owner_id = $1 AND other.concept_id = $2
       AND other.verdict = 'right'
       AND other.embedding_id = correction.embedding_id AND other.vector = correction.vector
"""

MOVE_SIGHTINGS = """
    UPDATE sighting SET concept_id = $3
     WHERE owner_id = $4 AND concept_owner_id = $1 AND concept_id = $2
"""

ADD_UP = """
    UPDATE concept
       SET info = $3,
           category = CASE WHEN concept.category = '' THEN other.category ELSE concept.category END,
           linked_user = coalesce(concept.linked_user, other.linked_user),
           created_at = least(concept.created_at, other.created_at),
           times_recognised = concept.times_recognised + other.times_recognised,
           last_seen = greatest(concept.last_seen, other.last_seen),
           updated_at = now()
      FROM concept AS other
     WHERE concept.owner_id = $1 AND concept.concept_id = $2
       AND other.owner_id = $1 AND other.concept_id = $4
"""

DELETE_EMPTIED = "DELETE FROM concept WHERE owner_id = $1 AND concept_id = $2"


async def merge(connection: asyncpg.Connection, viewer: Viewer, kept: Concept, other: Concept) -> Concept:
    """Make one concept of two of the same owner: the first one's name and avatar, the pictures and info of both.

    Raises NotRememberedError when one was forgotten meanwhile, CannotMergeError when they aren't two of one memory, and
    InvalidTextError when both infos together are too long, and what `db.admission` raises.
    """
    owner = kept.owner_id
    if other.owner_id != owner or other.concept_id == kept.concept_id:
        raise CannotMergeError
    async with connection.transaction():
        await lock_people(connection, kept.linked_user, other.linked_user)
        await lock_memory(connection, owner)
        kept = await get(connection, owner, kept.concept_id)
        other = await get(connection, owner, other.concept_id)
        for concept in (kept, other):
            await check_may_change(connection, concept)
        ids = (owner, other.concept_id, kept.concept_id)
        await connection.execute(WITHOUT_AVATAR, owner, other.concept_id)
        await connection.execute(MOVE_REFERENCES, *ids)
        await connection.execute(MOVE_CORRECTIONS, *ids)
        await connection.execute(DROP_CONTRADICTIONS, owner, kept.concept_id)
        await connection.execute(MOVE_SIGHTINGS, *ids, viewer.personal)
        said = await _said_of_both(connection, kept, other)
        info = check_info(notes.joined(said))
        try:
            await connection.execute(ADD_UP, owner, kept.concept_id, info, other.concept_id)
        except asyncpg.PostgresError as error:
            raise refused(error) from error
        await connection.execute(DELETE_EMPTIED, owner, other.concept_id)
        await notes.store(connection, owner, kept.concept_id, said)
        await check_fits(connection, owner, kept.concept_id)
        return await get(connection, owner, kept.concept_id)


async def _said_of_both(connection: asyncpg.Connection, kept: Concept, other: Concept) -> list[notes.Note]:
    """Return the notes of both, each still said by whoever said it; what the first one says already is left out."""
    said = await notes.notes_of(connection, kept.owner_id, kept.concept_id)
    if other.info not in kept.info:
        said += await notes.notes_of(connection, other.owner_id, other.concept_id)
    return said
