"""Who may do what: limits, and the rules of a server's memory."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from bot.errors import (
    MemberLimitError,
    MemoryFullError,
    MemoryLockedError,
    NoServerError,
    NothingToTrainOnError,
    NotYoursError,
    OnlyAdminsShareError,
    OnlyRolesShareError,
    PicturesFullError,
    ServerFullError,
    TrainingConsentMissingError,
    TrainingPausedError,
)
from bot.service.app import Actor, App
from db import concepts, consent, membership, rate_limits, servers, training
from db.rate_limits import Limit
from db.types import Concept, OwnerId, ServerSettings, WhoMayShare

MAX_REFERENCES = 10
"""Pictures of one concept: a card shows as many."""

ASKS = Limit("ask", 30, timedelta(seconds=6))
REMEMBERS = Limit("remember", 40, timedelta(seconds=20))
EXPORTS = Limit("export", 3, timedelta(hours=8))
IMPORTS = Limit("import", 12, timedelta(hours=1))
LEARNS = Limit("learn", 3, timedelta(hours=8))
"""Of one memory, besides what the trainer learns by itself."""
ASKS_OF_SERVER = Limit("ask", 300, timedelta(seconds=0.5))
REMEMBERS_OF_SERVER = Limit("remember", 200, timedelta(seconds=10))
OF_SERVER = {ASKS: ASKS_OF_SERVER, REMEMBERS: REMEMBERS_OF_SERVER}
"""What all members of a server may do together; a member's own limit holds besides."""


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


async def check_room(connection: asyncpg.Connection, app: App, actor: Actor, more: int = 1) -> None:
    """Check that the actor's own memory has room. Raises LimitReachedError."""
    if await concepts.count(connection, actor.personal_memory) + more > app.max_concepts:
        raise MemoryFullError(app.max_concepts)


def check_pictures(references: int) -> None:
    """Check that one concept may have so many pictures. Raises LimitReachedError."""
    if references > MAX_REFERENCES:
        raise PicturesFullError(MAX_REFERENCES)


async def check_may_share(connection: asyncpg.Connection, actor: Actor) -> OwnerId:
    """Check that a person may put something into this server's memory; returns whose memory that is.

    Raises NotAllowedError and LimitReachedError.
    """
    shared = actor.server_memory
    if shared is None:
        raise NoServerError
    settings = await servers.settings_of(connection, shared)
    _check_lock(settings, actor)
    if not actor.is_admin:
        if settings.who_may_share is WhoMayShare.ADMINS:
            raise OnlyAdminsShareError
        if settings.who_may_share is WhoMayShare.ROLES and not actor.roles & set(settings.sharing_roles):
            raise OnlyRolesShareError
        if await membership.count_by_member(connection, shared, actor.user_id) >= settings.max_per_member:
            raise MemberLimitError(settings.max_per_member)
    if await concepts.count(connection, shared) >= settings.max_per_server:
        raise ServerFullError(settings.max_per_server)
    return shared


async def needs_approval(connection: asyncpg.Connection, actor: Actor) -> bool:
    """Whether what this person shares waits for the server's admins."""
    if actor.server_memory is None or actor.is_admin:
        return False
    return (await servers.settings_of(connection, actor.server_memory)).needs_approval


async def check_may_change(connection: asyncpg.Connection, actor: Actor, concept: Concept) -> None:
    """Check that a person may change this concept. Raises NotAllowedError."""
    if not concept.is_shared:
        return
    if not actor.is_admin and concept.created_by != actor.user_id:
        raise NotYoursError(concept.name)
    _check_lock(await servers.settings_of(connection, concept.owner_id), actor)


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


def _check_lock(settings: ServerSettings, actor: Actor) -> None:
    if settings.locked and not actor.is_admin:
        raise MemoryLockedError
