"""A database for an evaluation: an embedded Postgres that lasts as long as the evaluation, with one owner."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from PIL import Image

from db import concepts
from db.pool import open_pool, viewing
from db.roles import app_url
from db.setup.embedded import EmbeddedPostgres
from db.setup.migrate import migrate
from db.types import Concept, NewConcept, NewReference, Region, Viewer

VIEWER = Viewer(user_id=1)


@asynccontextmanager
async def empty_database() -> AsyncIterator[asyncpg.Pool]:
    """Open an empty database, migrated, connected to as the bot does; gone with its data afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="keepsake-evaluate-", ignore_cleanup_errors=True) as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as server,
    ):
        url = server.start()
        migrate(url)
        pool = await open_pool(app_url(url), largest=2)
        try:
            yield pool
        finally:
            pool.terminate()


Shown = tuple[Image.Image, Region]
"""A picture, and the region of it that is the thing."""


async def remember(pool: asyncpg.Pool, name: str, shown: Sequence[Shown], embedding_id: str) -> Concept:
    """Store one concept with its references, one or more."""
    first, *more = [_reference(picture, region, embedding_id) for picture, region in shown]
    async with viewing(pool, VIEWER) as connection:
        new = NewConcept(
            owner_id=VIEWER.personal, name=name, info="", category="", created_by=VIEWER.user_id, reference=first
        )
        concept = await concepts.remember(connection, new)
        for reference in more:
            concept = await concepts.add_reference(connection, concept, reference, VIEWER.user_id)
    return concept


def _reference(picture: Image.Image, region: Region, embedding_id: str) -> NewReference:
    file = io.BytesIO()
    picture.save(file, "JPEG")
    jpeg = file.getvalue()
    return NewReference(
        picture=jpeg,
        picture_sha256=hashlib.sha256(jpeg).hexdigest(),
        width=picture.width,
        height=picture.height,
        box=region.box,
        embedding_id=embedding_id,
        embedding=region.embedding,
    )


async def forget_all(pool: asyncpg.Pool) -> None:
    """Forget every concept."""
    async with viewing(pool, VIEWER) as connection:
        for concept in await concepts.list_concepts(connection, VIEWER.personal, limit=10_000):
            await concepts.forget(connection, concept.owner_id, concept.concept_id)
