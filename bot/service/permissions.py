"""Who may do what: limits, and the rules of a server's memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import asyncpg

from bot.errors import NoServerError, NothingToTrainOnError, TrainingConsentMissingError, TrainingPausedError
from bot.service.app import Actor, App
from db import consent, rate_limits, servers, training
from db.errors import NotAdminError
from db.pool import reading, viewing
from db.rate_limits import Limit
from db.types import OwnerId, ServerSettings

ASKS = Limit("ask", 30, timedelta(seconds=6))
REMEMBERS = Limit("remember", 40, timedelta(seconds=20))
LOOKS = Limit("look", 90, timedelta(seconds=1))
"""Lists, cards, searches, and whatever else is only read."""
SUGGESTS = Limit("suggest", 120, timedelta(seconds=0.5))
"""Names while somebody types: Discord asks at nearly every letter."""
CHANGES = Limit("change", 90, timedelta(seconds=2))
ASKS_PEOPLE = Limit("ask people", 10, timedelta(minutes=30))
"""Whether they may be shared: each is a message to somebody."""
EXPORTS = Limit("export", 3, timedelta(hours=8))
IMPORTS = Limit("import", 12, timedelta(hours=1))
LEARNS = Limit("learn", 3, timedelta(hours=8))
"""Of one memory, besides what the trainer learns by itself."""
ASKS_OF_SERVER = Limit("ask", 300, timedelta(seconds=0.5))
REMEMBERS_OF_SERVER = Limit("remember", 200, timedelta(seconds=10))
OF_SERVER = {ASKS: ASKS_OF_SERVER, REMEMBERS: REMEMBERS_OF_SERVER}
"""What all members of a server may do together; a member's own limit holds besides."""


@asynccontextmanager
async def looking(app: App, actor: Actor, limit: Limit = LOOKS) -> AsyncIterator[asyncpg.Connection]:
    """Open a transaction to read what the actor sees, and count it. Raises RateLimitedError."""
    async with reading(app.pool, actor.viewer) as connection:
        await count_use(connection, actor, limit)
        yield connection


@asynccontextmanager
async def changing(app: App, actor: Actor) -> AsyncIterator[asyncpg.Connection]:
    """Open a transaction in which the actor changes something, and count it. Raises RateLimitedError."""
    async with viewing(app.pool, actor.viewer) as connection:
        await count_use(connection, actor, CHANGES)
        yield connection


async def count_use(connection: asyncpg.Connection, actor: Actor, limit: Limit) -> None:
    """Count one use, of the user and of the server they are on. Raises RateLimitedError."""
    for owner, of_owner in limits_of(actor, limit):
        await rate_limits.use(connection, owner, of_owner)


def limits_of(actor: Actor, limit: Limit) -> list[tuple[OwnerId, Limit]]:
    """Return what a use counts against: the user's own limit, and that of the server they are on."""
    limits = [(actor.personal_memory, limit)]
    if limit in OF_SERVER and actor.server_memory is not None:
        limits.append((actor.server_memory, OF_SERVER[limit]))
    return limits


def governing(actor: Actor) -> Actor:
    """Return the actor as one who governs the server's memory; nothing else makes one.

    For `bot.ui.actor` alone, which asks Discord first, at every press.
    """
    return replace(actor, is_admin=True)


def governed_by(actor: Actor) -> OwnerId:
    """Return the memory that the actor governs, that of the server they are on; all that governs begins here.

    Raises NoServerError elsewhere, NotAdminError for who may not manage the server (any more).
    """
    if actor.server_memory is None:
        raise NoServerError
    if not actor.is_admin:
        raise NotAdminError
    return actor.server_memory


def server_memory_of(actor: Actor) -> OwnerId:
    """Return the memory of the server that the actor is on. Raises NoServerError elsewhere."""
    if actor.server_memory is None:
        raise NoServerError
    return actor.server_memory


def check_looks_after(actor: Actor, owner: OwnerId) -> None:
    """Check that a memory is the actor's own, or one that they govern. Raises NotAdminError."""
    if owner not in {actor.personal_memory, actor.server_memory if actor.is_admin else None}:
        raise NotAdminError


async def check_may_learn(connection: asyncpg.Connection, actor: Actor, owner: OwnerId) -> None:
    """Check that there is something in a memory that may be learned from. Raises NotAllowedError."""
    if owner == actor.personal_memory:
        if not await consent.may_train(connection, actor.viewer):
            raise TrainingConsentMissingError
    elif not (await servers.settings_of(connection, owner)).trains:
        raise TrainingPausedError
    if not (await training.changes_since_last_run(connection, owner)).total:
        raise NothingToTrainOnError


async def count_learning(connection: asyncpg.Connection, owner: OwnerId) -> None:
    """Count that learning from a memory was asked for. Raises RateLimitedError."""
    await rate_limits.use(connection, owner, LEARNS)


def may_speak_in(settings: ServerSettings, channels: set[int]) -> bool:
    """Whether the bot may be used in a channel; ``channels`` has its id, and its parent's if it is a thread."""
    if channels & set(settings.denied_channels):
        return False
    return not settings.allowed_channels or bool(channels & set(settings.allowed_channels))
