"""A memory for an evaluation: an embedded Postgres that lasts as long as the evaluation, with one owner."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from PIL import Image

from db import concepts
from db.embedded import EmbeddedPostgres
from db.migrate import migrate
from db.models import Concept, NewConcept, Reference, Region, Viewer
from db.pool import open_pool, viewing
from db.roles import app_url

VIEWER = Viewer(user_id=1)


@asynccontextmanager
async def fresh_memory() -> AsyncIterator[asyncpg.Pool]:
    """Open an empty memory, migrated, connected to as the bot does; gone with its data afterwards."""
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


async def remember(pool: asyncpg.Pool, name: str, picture: Image.Image, region: Region, id_: str) -> Concept:
    """Store one concept with its only reference; ``id_`` is the embedding id."""
    file = io.BytesIO()
    picture.save(file, "JPEG")
    jpeg = file.getvalue()
    reference = Reference(
        picture=jpeg,
        picture_sha256=hashlib.sha256(jpeg).hexdigest(),
        width=picture.width,
        height=picture.height,
        box=region.box,
        embedding_id=id_,
        embedding=region.embedding,
    )
    new = NewConcept(VIEWER.personal, name, "", "", VIEWER.user_id, reference)
    async with viewing(pool, VIEWER) as connection:
        return await concepts.remember(connection, new)


async def forget_all(pool: asyncpg.Pool) -> None:
    """Forget every concept."""
    async with viewing(pool, VIEWER) as connection:
        for concept in await concepts.list_concepts(connection, VIEWER.personal, limit=10_000):
            await concepts.forget(connection, concept.owner_id, concept.concept_id)
