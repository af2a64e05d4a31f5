"""Limits that survive a restart: how often a user, and all of a server together, may do something."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from db.errors import RateLimitedError
from db.types import OwnerId

# The generic cell rate algorithm: each use moves a time on by the interval; it may be ahead by the burst.
USE = """
    INSERT INTO rate (owner_id, what, next_at) VALUES ($1, $2, now() + $3)
    ON CONFLICT (owner_id, what) DO UPDATE
       SET next_at = greatest(rate.next_at, now()) + $3
     WHERE greatest(rate.next_at, now()) + $3 <= now() + $3 * $4
    RETURNING true
"""

SECONDS_TO_WAIT = """
    SELECT extract(epoch FROM next_at + $3 - $3 * $4::float8 - now())::float8
      FROM rate
     WHERE owner_id = $1 AND what = $2
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many uses at once; used up, one more becomes possible after each interval."""

    what: str
    burst: int
    interval: timedelta


async def use(connection: asyncpg.Connection, owner_id: OwnerId, limit: Limit) -> None:
    """Count one use. Raises RateLimitedError, saying when to come back; then nothing is counted."""
    place = (owner_id, limit.what, limit.interval, float(limit.burst))
    if await connection.fetchval(USE, *place) is None:
        seconds = await connection.fetchval(SECONDS_TO_WAIT, *place)
        raise RateLimitedError(max(1, math.ceil(seconds or 1)))
