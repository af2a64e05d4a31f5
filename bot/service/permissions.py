"""Who may do what: a person's standing, and the rules of a server's memory."""

from __future__ import annotations

from dataclasses import dataclass
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
from db import concepts, erasure, rate_limits, servers, training
from db.rate_limits import Limit
from db.types import NO_CHANNEL, Channel, Concept, OwnerId, ServerSettings, Viewer, WhoMayShare

MAX_PERSONAL = 1000
"""Concepts of one user."""
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


@dataclass(frozen=True, slots=True)
class Actor:
    """A person as the rules see them: who and where they are, their roles, whether they govern the server's memory."""

    viewer: Viewer
    place: Channel = NO_CHANNEL
    roles: frozenset[int] = frozenset()
    is_admin: bool = False

    @property
    def user_id(self) -> int:
        """Discord's id of the person."""
        return self.viewer.user_id


async def count_use(connection: asyncpg.Connection, viewer: Viewer, limit: Limit) -> None:
    """Count one use, of the user and of the server they are on. Raises RateLimitedError."""
    await rate_limits.use(connection, viewer.personal, limit)
    of_server = OF_SERVER.get(limit)
    if of_server is not None and viewer.server_memory is not None:
        await rate_limits.use(connection, viewer.server_memory, of_server)


async def check_room(
    connection: asyncpg.Connection, viewer: Viewer, maximum: int = MAX_PERSONAL, more: int = 1
) -> None:
    """Check that the viewer's own memory has room. Raises LimitReachedError."""
    if await concepts.count(connection, viewer.personal) + more > maximum:
        raise MemoryFullError(maximum)


def check_pictures(references: int) -> None:
    """Check that one concept may have so many pictures. Raises LimitReachedError."""
    if references > MAX_REFERENCES:
        raise PicturesFullError(MAX_REFERENCES)


async def check_may_share(connection: asyncpg.Connection, who: Actor) -> OwnerId:
    """Check that a person may put something into this server's memory; returns whose memory that is.

    Raises NotAllowedError and LimitReachedError.
    """
    shared = who.viewer.server_memory
    if shared is None:
        raise NoServerError
    settings = await servers.settings_of(connection, shared)
    _check_lock(settings, who)
    if not who.is_admin:
        if settings.who_may_share is WhoMayShare.ADMINS:
            raise OnlyAdminsShareError
        if settings.who_may_share is WhoMayShare.ROLES and not who.roles & set(settings.sharing_roles):
            raise OnlyRolesShareError
        if await servers.count_by_member(connection, shared, who.user_id) >= settings.max_per_member:
            raise MemberLimitError(settings.max_per_member)
    if await concepts.count(connection, shared) >= settings.max_per_server:
        raise ServerFullError(settings.max_per_server)
    return shared


async def needs_approval(connection: asyncpg.Connection, who: Actor) -> bool:
    """Whether what this person shares waits for the server's admins."""
    if who.viewer.server_memory is None or who.is_admin:
        return False
    return (await servers.settings_of(connection, who.viewer.server_memory)).needs_approval


async def check_may_change(connection: asyncpg.Connection, who: Actor, concept: Concept) -> None:
    """Check that a person may change this concept. Raises NotAllowedError."""
    if not concept.is_shared:
        return
    if not who.is_admin and concept.created_by != who.user_id:
        raise NotYoursError(concept.name)
    _check_lock(await servers.settings_of(connection, concept.owner_id), who)


async def check_may_learn(connection: asyncpg.Connection, viewer: Viewer, owner: OwnerId) -> None:
    """Check that there is something in a memory that may be learned from. Raises NotAllowedError."""
    if owner == viewer.personal:
        if not await erasure.may_train(connection, viewer):
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


def _check_lock(settings: ServerSettings, who: Actor) -> None:
    if settings.locked and not who.is_admin:
        raise MemoryLockedError
