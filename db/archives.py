"""Taking a memory out as a whole, and bringing one in: everything or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from db import concepts, notes, pictures
from db.notes import Note
from db.rows import to_vector
from db.sightings import load_answer
from db.types import (
    Answer,
    Concept,
    NewConcept,
    NewReference,
    OwnerId,
    Reference,
    StoredCorrection,
    Vector,
    Verdict,
    Viewer,
)

GET_EMBEDDINGS = """
    SELECT reference_id, embedding_id, vector
      FROM embedding
     WHERE owner_id = $1 AND concept_id = $2
     ORDER BY reference_id, embedding_id, part
"""

GET_CORRECTIONS = """
    SELECT concept.name, correction.verdict, correction.embedding_id, correction.vector, correction.created_at
      FROM correction
      JOIN concept ON concept.owner_id = correction.concept_owner_id
                  AND concept.concept_id = correction.concept_id
     WHERE correction.owner_id = $1 AND correction.concept_owner_id = $1
     ORDER BY correction.created_at, correction.correction_id
"""

LIST_ANSWERS = "SELECT answer_id FROM answer WHERE owner_id = $1 ORDER BY created_at"

AS_IT_WAS = """
    UPDATE concept
       SET created_at = $3, times_recognised = $4, last_seen = $5
     WHERE owner_id = $1 AND concept_id = $2
"""


@dataclass(frozen=True, slots=True)
class StoredEmbedding:
    """An embedding of a reference, by the pack that made it."""

    reference_id: UUID
    embedding_id: str
    vector: Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeConcept:
    """A concept with all of its references, their embeddings, and its notes."""

    concept: Concept
    references: tuple[Reference, ...]
    embeddings: tuple[StoredEmbedding, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """A concept to be brought in: its avatar in ``new``, the other references beside it, its notes and history."""

    new: NewConcept
    more: tuple[NewReference, ...]
    notes: tuple[Note, ...]
    created_at: datetime
    times_recognised: int
    last_seen: datetime | None


async def whole_concepts(connection: asyncpg.Connection, owner_id: OwnerId) -> list[WholeConcept]:
    """Return everything about an owner's concepts, by name."""
    found = await concepts.list_concepts(connection, owner_id, limit=1_000_000)
    return [
        WholeConcept(
            concept=concept,
            references=tuple(await pictures.references(connection, concept)),
            embeddings=tuple(
                StoredEmbedding(row["reference_id"], row["embedding_id"], to_vector(row["vector"]))
                for row in await connection.fetch(GET_EMBEDDINGS, owner_id, concept.concept_id)
            ),
            notes=tuple(await notes.notes_of(connection, owner_id, concept.concept_id)),
        )
        for concept in found
    ]


async def corrections_of(connection: asyncpg.Connection, owner_id: OwnerId) -> list[StoredCorrection]:
    """Return what a user said about recognitions of their own concepts, the oldest first."""
    return [
        StoredCorrection(
            concept_name=row["name"],
            verdict=Verdict(row["verdict"]),
            embedding_id=row["embedding_id"],
            vector=to_vector(row["vector"]),
            created_at=row["created_at"],
        )
        for row in await connection.fetch(GET_CORRECTIONS, owner_id)
    ]


async def answers_of(connection: asyncpg.Connection, viewer: Viewer) -> list[Answer]:
    """Return the answers that are kept for a viewer, the oldest first."""
    ids = [row["answer_id"] for row in await connection.fetch(LIST_ANSWERS, viewer.personal)]
    found = [await load_answer(connection, viewer, answer_id) for answer_id in ids]
    return [answer for answer in found if answer is not None]


async def bring_in(connection: asyncpg.Connection, arriving: Sequence[Arriving]) -> None:
    """Store these concepts with all that belongs to them, or none of them.

    Raises InvalidTextError, NameTakenError and ObjectedError.
    """
    async with connection.transaction():
        for arrival in arriving:
            await _bring_one(connection, arrival)


async def _bring_one(connection: asyncpg.Connection, arrival: Arriving) -> None:
    concept = await concepts.remember(connection, arrival.new)
    place = (concept.owner_id, concept.concept_id)
    for reference in arrival.more:
        await concepts.add_reference(connection, concept, reference, arrival.new.created_by)
    await notes.store(connection, concept.owner_id, concept.concept_id, arrival.notes)
    await connection.execute(AS_IT_WAS, *place, arrival.created_at, arrival.times_recognised, arrival.last_seen)
