"""Adapters: what was learned from one owner's memory, which of them answers, and going back.

Every function takes the connection of `db.pool.viewing`: the owner is that viewer, or the server they are on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from db.consent import consenting
from db.errors import DataWithdrawnError, NothingToRollBackError
from db.locks import lock_memory, lock_people
from db.persons import SAID
from db.types import OwnerId

MAX_KEPT = 5
"""Adapters of one owner."""
BY_SCHEDULE = 0
"""Who promotes when nobody does."""

INSERT_ADAPTER = """
    INSERT INTO adapter (owner_id, adapter_id, run_id, base, manifest, weights, saw, saw_users)
    VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8)
    ON CONFLICT (owner_id, adapter_id) DO UPDATE
       SET run_id = excluded.run_id, base = excluded.base, manifest = excluded.manifest,
           saw = excluded.saw, saw_users = excluded.saw_users, created_at = excluded.created_at
"""

PROMOTE = "INSERT INTO promotion (owner_id, adapter_id, why, actor) VALUES ($1, $2, $3, $4)"

# The newest stay, and the one in use even when it isn't one of them.
DELETE_OLDEST = """
    DELETE FROM adapter
     WHERE owner_id = $1
       AND adapter_id IN (SELECT adapter_id
                            FROM adapter
                           WHERE owner_id = $1 AND adapter_id <> $2
                           ORDER BY created_at DESC, adapter_id
                          OFFSET $3)
"""

IS_SOMETHING_GONE = """
    SELECT EXISTS (
        SELECT FROM unnest($2::uuid[]) AS seen (id)
         WHERE NOT EXISTS (SELECT FROM concept WHERE owner_id = $1 AND concept_id = seen.id)
           AND NOT EXISTS (SELECT FROM reference
                            WHERE owner_id = $1 AND reference_id = seen.id AND origin = 'upload')
           AND NOT EXISTS (SELECT FROM note WHERE owner_id = $1 AND note_id = seen.id))
"""

IN_USE = f"""
    SELECT latest.owner_id, latest.adapter_id, adapter.base
      FROM (SELECT DISTINCT ON (owner_id) owner_id, adapter_id
              FROM promotion
             WHERE owner_id = ANY ($1::text[])
             ORDER BY owner_id, promotion_id DESC) AS latest
      JOIN adapter ON adapter.owner_id = latest.owner_id
                  AND adapter.adapter_id = latest.adapter_id
     WHERE NOT EXISTS (SELECT FROM concept
                        WHERE concept.owner_id = latest.owner_id AND concept.concept_id = ANY (adapter.saw)
                          AND NOT ({SAID}))
     ORDER BY array_position($1::text[], latest.owner_id::text)
"""  # noqa: S608 (made of constants)

GET_WEIGHTS = "SELECT weights FROM adapter WHERE owner_id = $1 AND adapter_id = $2"

LIST_PROMOTIONS = """
    SELECT at, adapter_id, why, actor
      FROM promotion
     WHERE owner_id = $1
     ORDER BY promotion_id DESC
     LIMIT $2
"""

LIST_PROMOTED = "SELECT adapter_id FROM promotion WHERE owner_id = $1 ORDER BY promotion_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """LoRA weights of one owner: the file, and what it was made from.

    ``adapter_id`` is the file's SHA-256 in hexadecimal, ``base`` the fingerprint of the model it adapts. ``saw``
    holds the ids of the concepts, notes and references that it was trained on, ``saw_users`` whose they were.
    """

    adapter_id: str
    base: str
    manifest: Mapping[str, object]
    weights: bytes
    saw: tuple[UUID, ...]
    saw_users: tuple[int, ...]
    run_id: UUID | None


@dataclass(frozen=True, slots=True)
class AdapterInUse:
    """The adapter that answers for an owner, and the fingerprint of the model that it adapts."""

    owner_id: OwnerId
    adapter_id: str
    base: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionEntry:
    """Which adapter came into use when, and why; None is the base model. ``actor`` 0 is the schedule."""

    at: datetime
    adapter_id: str | None
    why: str
    actor: int
    is_in_use: bool


async def store_and_promote(
    connection: asyncpg.Connection, adapter: Adapter, owner: OwnerId, why: str, actor: int = BY_SCHEDULE
) -> None:
    """Store an adapter and let it answer for its owner from now on; of more than five, the oldest goes.

    Raises DataWithdrawnError, and keeps nothing, when something that it saw is gone by now, or somebody's consent is.
    """
    async with connection.transaction():
        # Withdrawing consent and erasing take these locks, too: neither can miss an adapter that is being stored.
        await lock_people(connection, *adapter.saw_users)
        await lock_memory(connection, owner)
        await check_still_given(connection, owner, adapter.saw, adapter.saw_users)
        await connection.execute(
            INSERT_ADAPTER,
            owner,
            adapter.adapter_id,
            adapter.run_id,
            adapter.base,
            json.dumps(adapter.manifest, allow_nan=False),
            adapter.weights,
            adapter.saw,
            adapter.saw_users,
        )
        await connection.execute(PROMOTE, owner, adapter.adapter_id, why, actor)
        await connection.execute(DELETE_OLDEST, owner, adapter.adapter_id, MAX_KEPT - 1)


async def check_still_given(
    connection: asyncpg.Connection, owner: OwnerId, saw: Sequence[UUID], saw_users: Sequence[int]
) -> None:
    """Raise DataWithdrawnError when a concept, note or reference is gone that was seen, or one of these users' consent.

    A reference that is from a message counts as gone: it must not have been seen.
    """
    if await connection.fetchval(IS_SOMETHING_GONE, owner, saw):
        raise DataWithdrawnError
    if not frozenset(saw_users) <= await consenting(connection, saw_users):
        raise DataWithdrawnError


async def in_use(connection: asyncpg.Connection, owners: Sequence[OwnerId]) -> list[AdapterInUse]:
    """Return the adapters that answer for these owners, in their order; an owner of the base model has none."""
    rows = await connection.fetch(IN_USE, owners)
    return [AdapterInUse(OwnerId(row["owner_id"]), row["adapter_id"], row["base"]) for row in rows]


async def weights_of(connection: asyncpg.Connection, owner: OwnerId, adapter_id: str) -> bytes | None:
    """Return an adapter's file, None when it isn't there (any more)."""
    weights: bytes | None = await connection.fetchval(GET_WEIGHTS, owner, adapter_id)
    return weights


async def history(connection: asyncpg.Connection, owner: OwnerId, limit: int = 5) -> list[PromotionEntry]:
    """Return which adapters came into use, the latest first; those of deleted adapters are left out."""
    rows = await connection.fetch(LIST_PROMOTIONS, owner, limit)
    return [
        PromotionEntry(
            at=row["at"], adapter_id=row["adapter_id"], why=row["why"], actor=row["actor"], is_in_use=place == 0
        )
        for place, row in enumerate(rows)
    ]


async def roll_back(connection: asyncpg.Connection, owner: OwnerId, actor: int) -> str | None:
    """Let the adapter answer again that did so before the present one first came; returns its id, None for the base.

    So rolling back twice goes two adapters back, and rolling back what was turned off turns it on again.

    Raises NothingToRollBackError when the base model answers and always did.
    """
    async with connection.transaction():
        await lock_memory(connection, owner)
        promoted = [row["adapter_id"] for row in await connection.fetch(LIST_PROMOTED, owner)]
        present = promoted[-1] if promoted else None
        before = _before_base(promoted) if present is None else promoted[: promoted.index(present)]
        if present is None and not before:
            raise NothingToRollBackError
        previous = before[-1] if before else None
        await connection.execute(PROMOTE, owner, previous, "rolled back", actor)
    return previous


def _before_base(promoted: Sequence[str | None]) -> list[str | None]:
    """Return what came into use before the base model did the last time."""
    ends = next((end for end in range(len(promoted), 0, -1) if promoted[end - 1] is not None), 0)
    return list(promoted[:ends])


async def disable(connection: asyncpg.Connection, owner: OwnerId, actor: int) -> None:
    """Let the base model answer from now on; where it does already, nothing changes."""
    async with connection.transaction():
        await lock_memory(connection, owner)
        if await in_use(connection, [owner]):
            await connection.execute(PROMOTE, owner, None, "turned off", actor)
