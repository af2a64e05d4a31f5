"""Admission: what may go into a memory, and who may change what is there; every way in passes here.

The rules stand where the writes are: in the transaction of the write, under the lock of the owner's memory, so that
nothing is admitted twice that fits once. Who acts is what the transaction says of itself (`db.pool.viewing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from db.errors import (
    ApprovalNeededError,
    MemberLimitError,
    MemoryFullError,
    MemoryLockedError,
    NotAdminError,
    NotRememberedError,
    NotYoursError,
    OnlyAdminsShareError,
    OnlyRolesShareError,
    PicturesFullError,
    QuotaError,
    ServerFullError,
)
from db.locks import lock_memory
from db.types import Concept, OwnerId, ServerSettings, WhoMayShare

MAX_CONCEPTS = 1000
"""Of one user's own memory; a server's admins choose how many theirs holds."""

MAX_REFERENCES = 10
"""Pictures of one concept: a card shows as many."""

MAX_BYTES_OF_USER = 500_000_000
"""Of all pictures in one user's own memory. (One picture is stored in 1.5 MB at most: `encode_jpeg`.)"""

MAX_BYTES_OF_SERVER = 2_000_000_000
"""Of all pictures in a server's memory."""

MAX_BYTES_OF_ANSWERS = 200_000_000
"""Of all pictures that are kept for the buttons of one user's answers: beyond, the oldest go."""

GET_RULES = """
    SELECT who_may_share, sharing_roles, needs_approval, max_per_member, max_per_server, locked
      FROM server
     WHERE owner_id = $1
"""

WHO_ACTS = """
    SELECT coalesce(keepsake_me(), 0) AS user_id,
           coalesce(current_setting('keepsake.governs', true), '') = 'on'
           AND current_setting('keepsake.shared', true) = $1 AS governs,
           coalesce(string_to_array(nullif(current_setting('keepsake.roles', true), ''), ',')::bigint[], '{}') AS roles
"""

COUNT_CONCEPTS = "SELECT count(*) FROM concept WHERE owner_id = $1"

# What waits for the admins counts, too: else nobody would have to stop proposing.
COUNT_OF_MEMBER = """
    SELECT (SELECT count(*) FROM concept WHERE owner_id = $1 AND created_by = $2::bigint)
         + (SELECT count(*) FROM proposal
             WHERE owner_id = $1 AND concept_owner_id = 'user:' || $2 AND expires_at > now())
"""

COUNT_REFERENCES = "SELECT count(*) FROM reference WHERE owner_id = $1 AND concept_id = $2"

COUNT_BYTES = "SELECT coalesce(sum(octet_length(jpeg)), 0) FROM picture WHERE owner_id = $1"

MADE_BY = "SELECT created_by FROM concept WHERE owner_id = $1 AND concept_id = $2"


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts in a transaction: a user, whether they govern the memory in question, and their roles there."""

    user_id: int
    governs: bool
    roles: frozenset[int]


async def check_may_put(
    connection: asyncpg.Connection, owner_id: OwnerId, more: int = 1, *, approved: bool = False
) -> None:
    """Check that who acts may put so many more concepts into a memory, and that it has room for them.

    ``approved`` is what waits for the admins' approval, or had it once. The caller holds the lock of the owner's
    memory, or only wants to know early.

    Raises LimitReachedError; of a server's memory NotAllowedError, too.
    """
    held = int(await connection.fetchval(COUNT_CONCEPTS, owner_id))
    if owner_id.startswith("user:"):
        if held + more > MAX_CONCEPTS:
            raise MemoryFullError(MAX_CONCEPTS)
        return
    rules, acting = await _rules_of(connection, owner_id), await acting_in(connection, owner_id)
    if not acting.governs:
        _check_may_share(rules, acting)
        if rules.needs_approval and not approved:
            raise ApprovalNeededError
        if int(await connection.fetchval(COUNT_OF_MEMBER, owner_id, acting.user_id)) + more > rules.max_per_member:
            raise MemberLimitError(rules.max_per_member)
    if held + more > rules.max_per_server:
        raise ServerFullError(rules.max_per_server)


async def check_may_change(connection: asyncpg.Connection, concept: Concept) -> None:
    """Check that who acts may change a concept. Raises NotAllowedError, NotRememberedError."""
    if not concept.is_shared:
        return
    acting = await acting_in(connection, concept.owner_id)
    if acting.governs:
        return
    made_by = await connection.fetchval(MADE_BY, concept.owner_id, concept.concept_id)
    if made_by is None:
        raise NotRememberedError
    if made_by != acting.user_id:
        raise NotYoursError(concept.name)
    if (await _rules_of(connection, concept.owner_id)).locked:
        raise MemoryLockedError


async def check_fits(connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID, *, more: int = 0) -> None:
    """Check, after pictures of a concept were stored, that they aren't too many, nor all of the owner's too large.

    When it raises LimitReachedError the caller's transaction ends, and nothing was stored. ``more`` is how many are
    about to be stored, for who wants to know early.
    """
    if int(await connection.fetchval(COUNT_REFERENCES, owner_id, concept_id)) + more > MAX_REFERENCES:
        raise PicturesFullError(MAX_REFERENCES)
    quota = MAX_BYTES_OF_USER if owner_id.startswith("user:") else MAX_BYTES_OF_SERVER
    if int(await connection.fetchval(COUNT_BYTES, owner_id)) > quota:
        raise QuotaError(quota // 1_000_000)


async def needs_approval(connection: asyncpg.Connection, owner_id: OwnerId) -> bool:
    """Whether what who acts puts into a server's memory waits for its admins."""
    rules = await _rules_of(connection, owner_id)
    return rules.needs_approval and not (await acting_in(connection, owner_id)).governs


async def check_governs(connection: asyncpg.Connection, owner_id: OwnerId) -> None:
    """Check that who acts governs this server's memory. Raises NotAdminError."""
    if not (await acting_in(connection, owner_id)).governs:
        raise NotAdminError


async def lock_to_govern(connection: asyncpg.Connection, owner_id: OwnerId) -> None:
    """Take the lock of a server's memory, for who governs it: nothing is admitted by rules that change meanwhile.

    Raises NotAdminError.
    """
    await check_governs(connection, owner_id)
    await lock_memory(connection, owner_id)


def _check_may_share(rules: ServerSettings, acting: Acting) -> None:
    if rules.locked:
        raise MemoryLockedError
    if rules.who_may_share is WhoMayShare.ADMINS:
        raise OnlyAdminsShareError
    if rules.who_may_share is WhoMayShare.ROLES and not acting.roles & set(rules.sharing_roles):
        raise OnlyRolesShareError


async def acting_in(connection: asyncpg.Connection, owner_id: OwnerId) -> Acting:
    """Return who acts, as a memory is concerned."""
    row = await connection.fetchrow(WHO_ACTS, owner_id)
    return Acting(row["user_id"], bool(row["governs"]), frozenset(row["roles"]))


async def _rules_of(connection: asyncpg.Connection, owner_id: OwnerId) -> ServerSettings:
    row = await connection.fetchrow(GET_RULES, owner_id)
    if row is None:
        return ServerSettings()
    return ServerSettings(
        who_may_share=WhoMayShare(row["who_may_share"]),
        sharing_roles=tuple(row["sharing_roles"]),
        needs_approval=row["needs_approval"],
        max_per_member=row["max_per_member"],
        max_per_server=row["max_per_server"],
        locked=row["locked"],
    )
