"""Embedding memories anew by the embedder of another pack, a slice at a time, while recall goes on with the old one.

All that is known about how far it got is in the memory itself, so it may be stopped anywhere, by anything, and goes on
from there: a reference has the new embedding or it hasn't, and an owner's recall goes over when all of them have.
"""

from __future__ import annotations

from bot.metrics import MEMORIES_TO_REINDEX, REFERENCES_TO_EMBED
from bot.service.app import App
from db import reindexing
from db.pool import viewing
from db.reindexing import Move
from db.types import Embedded, OwnerId, viewer_of

SLICE = 8
"""References between which others have their turn: other memories, and what is due to be deleted."""


async def memories_to_reindex(app: App) -> list[Move]:
    """Return the memories that go by other embeddings than the worker's pack makes; none while it isn't ready.

    Raises DatabaseUnavailableError, WorkerUnavailableError and WorkerBusyError, as everything here.
    """
    health = await app.worker.health()
    if health.embedding_id is None:
        return []
    moves = await reindexing.memories_to_move(app.pool, health.embedding_id)
    MEMORIES_TO_REINDEX.set(len(moves))
    REFERENCES_TO_EMBED.set(sum(move.missing for move in moves))
    return moves


async def reindex_slice(app: App, owner_id: OwnerId) -> bool:
    """Embed some of an owner's references anew, and let recall go by them when it was the last; whether it was."""
    target = (await app.worker.health()).embedding_id
    if target is None:
        return False
    viewer = viewer_of(owner_id)
    async with viewing(app.pool, viewer) as connection:
        await reindexing.count_missing(connection, owner_id, target)
        some = await reindexing.references_without(connection, owner_id, target, SLICE)
    for unembedded in some:
        view = await app.worker.refer(unembedded.picture, unembedded.box, exact=True, embedding_id=target)
        async with viewing(app.pool, viewer) as connection:
            made = Embedded(target, view.region.embedding)
            await reindexing.store(connection, owner_id, unembedded.reference_id, made)
    async with viewing(app.pool, viewer) as connection:
        if not await reindexing.count_missing(connection, owner_id, target):
            return await reindexing.switch(connection, owner_id, target)
    return False
