"""Members of a server and what they put into memories; and what the administrator of the database sees of it."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import psycopg

from db import concepts, corrections, persons, proposals, sharing, sightings
from db.geometry import WHOLE
from db.pool import viewing
from db.types import Concept, NewConcept, NewReference, OwnerId, Sighting, Source, Verdict, Viewer, server_owner
from tests.support.memory import PACK, a_concept, a_jpeg, an_embedding

ANNA, BO = Viewer(1, 10), Viewer(2, 10)
ELSEWHERE = Viewer(1, 20)
SERVER = server_owner(10)
ROWS = {
    "concept": "SELECT to_jsonb(concept) - 'updated_at' FROM concept ORDER BY concept_id",
    "note": "SELECT to_jsonb(note) FROM note ORDER BY note_id",
    "reference": "SELECT to_jsonb(reference) FROM reference ORDER BY reference_id",
    "embedding": "SELECT to_jsonb(embedding) FROM embedding ORDER BY reference_id",
    "picture": "SELECT to_jsonb(picture) FROM picture ORDER BY picture_sha256",
    "correction": "SELECT to_jsonb(correction) FROM correction ORDER BY correction_id",
}


def governing(viewer: Viewer) -> Viewer:
    """Return somebody as an admin of the server they are on."""
    return replace(viewer, is_admin=True)


async def remember(
    pool: asyncpg.Pool,
    viewer: Viewer,
    name: str,
    info: str = "",
    *,
    owner: OwnerId | None = None,
    category: str = "",
    person: int | None = None,
    reference: NewReference | None = None,
) -> Concept:
    new = replace(
        a_concept(owner or viewer.personal, name, len(name), reference),
        info=info,
        category=category,
        created_by=viewer.user_id,
        linked_user=person,
    )
    if owner not in {None, viewer.personal} and person not in {None, viewer.user_id}:
        private = replace(new, owner_id=viewer.personal)
        return await _share_person(pool, viewer, private, new.owner_id)
    async with viewing(pool, viewer) as connection:
        if person is not None:
            await persons.vouch(connection, viewer)
        return await concepts.remember(connection, new)


async def _share_person(pool: asyncpg.Pool, viewer: Viewer, new: NewConcept, to: OwnerId) -> Concept:
    """Remember somebody with an account, ask them, let them agree, and share it."""
    async with viewing(pool, viewer) as connection:
        await persons.vouch(connection, viewer)
        concept = await concepts.remember(connection, new)
        assert await sharing.share(connection, concept, to) is None
    await say(pool, new.linked_user, agrees=True)
    async with viewing(pool, viewer) as connection:
        shared = await sharing.share(connection, concept, to)
        assert shared is not None
        return shared


async def say(pool: asyncpg.Pool, person: int | None, *, agrees: bool) -> None:
    """Let somebody answer all that waits for their word."""
    asked = Viewer(person or 0)
    async with viewing(pool, asked) as connection:
        for proposal in await proposals.requests_to(connection, asked):
            await proposals.answer(connection, asked, proposal.proposal_id, proposal.seen, agrees=agrees)


async def names(pool: asyncpg.Pool, viewer: Viewer, owner: OwnerId) -> list[str]:
    async with viewing(pool, viewer) as connection:
        return [concept.name for concept in await concepts.list_concepts(connection, owner)]


async def answer(
    pool: asyncpg.Pool,
    viewer: Viewer,
    concept: Concept | None = None,
    verdict: str = "right",
    source: Source | None = None,
) -> None:
    sighting = Sighting(
        region=0,
        box=WHOLE,
        embedding_id=PACK,
        embedding=an_embedding(7),
        concept=concept,
        probability=0.9 if concept else None,
    )
    async with viewing(pool, viewer) as connection:
        await sightings.store_answer(connection, viewer, a_jpeg(7), 16, 12, [sighting], source=source)
        if concept:
            await corrections.store(connection, viewer, sighting, Verdict(verdict))


def rows(url: str) -> dict[str, list[object]]:
    with psycopg.connect(url) as administrator:
        return {table: [row[0] for row in administrator.execute(query)] for table, query in ROWS.items()}


def run_as_administrator(url: str, statement: str) -> None:
    with psycopg.connect(url) as administrator:
        administrator.execute(statement.encode())
