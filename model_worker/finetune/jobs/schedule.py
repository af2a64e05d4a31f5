"""When an owner's adapter is due: at night where they are, when enough has changed since the last time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg

from db import servers, training
from db.pool import viewing
from db.training import Changes, RunState, TrainingRun
from db.types import OwnerId, ServerSettings, viewer_of
from model_worker.api.recipes import Recipe

NOT_AGAIN_BEFORE = timedelta(hours=20)
"""Once a night is enough; what failed is tried again the next one."""


async def owners_due(pool: asyncpg.Pool, recipe: Recipe, now: datetime) -> list[OwnerId]:
    """Return the owners whose adapters should be trained now. Raises DatabaseUnavailableError."""
    return [owner for owner in await training.consenting_owners(pool) if await _is_due(pool, owner, recipe, now)]


def is_quiet(settings: ServerSettings, now: datetime) -> bool:
    """Whether it is in a server's quiet hours (UTC); from and to the same is always."""
    begins, ends, hour = settings.quiet_from, settings.quiet_to, now.astimezone(UTC).hour
    if begins == ends:
        return True
    return begins <= hour < ends if begins < ends else hour >= begins or hour < ends


def is_enough(changes: Changes, recipe: Recipe) -> bool:
    """Whether enough has changed since the last training, and there is enough to train on at all."""
    changed = changes.concepts + changes.references + changes.corrections
    return changes.total >= max(1, recipe.min_concepts) and changed >= max(1, recipe.min_changes)


async def _is_due(pool: asyncpg.Pool, owner: OwnerId, recipe: Recipe, now: datetime) -> bool:
    async with viewing(pool, viewer_of(owner)) as connection:
        settings = ServerSettings()
        if owner.startswith("server:"):
            settings = await servers.settings_of(connection, owner)
        if not is_quiet(settings, now) or _was_just_trained(await training.latest_run(connection, owner), now):
            return False
        return is_enough(await training.changes_since_last_run(connection, owner), recipe)


def _was_just_trained(run: TrainingRun | None, now: datetime) -> bool:
    if run is None or (run.withdrawn_at is not None and run.state is not RunState.RUNNING):
        return False
    return now - run.started_at < NOT_AGAIN_BEFORE
