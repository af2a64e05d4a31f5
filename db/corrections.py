"""What viewers said about recognitions: recall reads it, so it counts from the next picture on."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from db.errors import NothingRecognisedError, NotRememberedError
from db.types import Sighting, Verdict, Viewer

# The latest word about one region counts: pressing a button twice, or the other one, leaves one correction.
TAKE_BACK = """
    DELETE FROM correction
     WHERE owner_id = $1 AND concept_owner_id = $2 AND concept_id = $3 AND embedding_id = $4 AND vector = $5
"""

INSERT_CORRECTION = """
    INSERT INTO correction (owner_id, concept_owner_id, concept_id, embedding_id, vector, verdict)
    VALUES ($1, $2, $3, $4, $5, $6)
    RETURNING correction_id
"""


async def store(connection: asyncpg.Connection, viewer: Viewer, sighting: Sighting, verdict: Verdict) -> UUID:
    """Store what the viewer said about a sighting of a concept; returns the correction's id.

    It counts for this viewer alone, also when the concept is shared.

    Raises NotRememberedError when nobody was recognised there, or the concept was forgotten meanwhile.
    """
    if sighting.concept is None:
        raise NothingRecognisedError
    concept = sighting.concept
    about = (viewer.personal, concept.owner_id, concept.concept_id, sighting.embedding_id, sighting.embedding)
    try:
        async with connection.transaction():
            await connection.execute(TAKE_BACK, *about)
            correction_id: UUID = await connection.fetchval(INSERT_CORRECTION, *about, verdict.value)
    except asyncpg.ForeignKeyViolationError as error:
        raise NotRememberedError from error
    return correction_id
