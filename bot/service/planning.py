"""Plan: all that has to be known before a question is looked into, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from bot.service import permissions
from bot.service.app import Actor, App
from db import adapters, reindexing, search, servers, sightings
from db.adapters import AdapterInUse
from db.concepts import owners
from db.pool import viewing


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a question is answered.

    ``embedding_ids`` are those that the actor's memories go by (one, but while packs are being changed), ``categories``
    what to look for in particular; ``adapters`` answer for these memories, the actor's own first; ``keep_for`` is how
    long an answer is kept here, not at all when it is 0.
    """

    embedding_ids: tuple[str, ...]
    categories: tuple[str, ...]
    adapters: tuple[AdapterInUse, ...]
    keep_for: timedelta


async def plan_question(app: App, actor: Actor) -> Plan:
    """Count the question against its limits, and return how to answer it. Raises RateLimitedError."""
    memories = owners(actor.viewer)
    async with viewing(app.pool, actor.viewer) as connection:
        await permissions.count_use(connection, actor, permissions.ASKS)
        return Plan(
            embedding_ids=await reindexing.in_use(connection, memories),
            categories=tuple(await search.categories(connection, memories)),
            adapters=tuple(await adapters.in_use(connection, memories)),
            keep_for=await _retention(connection, actor),
        )


async def _retention(connection: asyncpg.Connection, actor: Actor) -> timedelta:
    """Return how long answers are kept where the actor is."""
    if actor.server_memory is None:
        return sightings.KEPT_FOR
    return timedelta(days=(await servers.settings_of(connection, actor.server_memory)).retention_days)
