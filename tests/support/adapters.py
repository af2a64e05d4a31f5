"""What was learned from memories, without a trainer: who remembers, who allows it, and adapters made of words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from db import adapters, concepts, consent, pictures, training
from db.adapters import Adapter
from db.pool import viewing
from db.training import Material, RunState
from db.types import Concept, OwnerId, Reference, Viewer, server_owner
from tests.support.members import governing
from tests.support.memory import PACK, a_concept, a_reference

ANNA, BO, CLEO = Viewer(1, 10), Viewer(2, 10), Viewer(3, 10)
ANNA_ELSEWHERE = Viewer(1, 20)
SERVER, ELSEWHERE = server_owner(10), server_owner(20)
BASE = "the base model"


async def remember(pool: asyncpg.Pool, viewer: Viewer, name: str, *, owner: OwnerId | None = None) -> Concept:
    new = replace(a_concept(owner or viewer.personal, name, len(name)), created_by=viewer.user_id)
    async with viewing(pool, viewer) as connection:
        return await concepts.remember(connection, new)


async def add_picture(pool: asyncpg.Pool, viewer: Viewer, concept: Concept, seed: int) -> Reference:
    """Add a picture to a concept, as an admin where it is somebody else's."""
    async with viewing(pool, governing(viewer)) as connection:
        await concepts.add_reference(connection, concept, a_reference(seed), viewer.user_id)
        return (await pictures.references(connection, concept))[-1]


async def say_consent(pool: asyncpg.Pool, viewer: Viewer, *, may: bool = True) -> list[OwnerId]:
    async with viewing(pool, viewer) as connection:
        return await consent.set_may_train(connection, viewer, may=may)


async def material(pool: asyncpg.Pool, viewer: Viewer, owner: OwnerId | None = None) -> Material:
    async with viewing(pool, viewer) as connection:
        return await training.material_of(connection, owner or viewer.personal)


def an_adapter(words: str, saw: Sequence[UUID], saw_users: Sequence[int], run_id: UUID | None = None) -> Adapter:
    weights = words.encode()
    return Adapter(
        adapter_id=hashlib.sha256(weights).hexdigest(),
        base=BASE,
        manifest={"words": words},
        weights=weights,
        saw=tuple(saw),
        saw_users=tuple(saw_users),
        run_id=run_id,
    )


async def learn(pool: asyncpg.Pool, viewer: Viewer, words: str, *, owner: OwnerId | None = None) -> str:
    """Train an adapter on all that may be used, and promote it; returns its id."""
    owner = owner or viewer.personal
    async with viewing(pool, viewer) as connection:
        run_id = await training.start_run(connection, owner, PACK)
        usable = await training.material_of(connection, owner)
        adapter = an_adapter(words, usable.saw, usable.saw_users, run_id)
        await adapters.store_and_promote(connection, adapter, owner, "it knows more")
        names = [concept.name for concept in usable.concepts]
        await training.finish_run(connection, owner, run_id, RunState.PROMOTED, {"names": names})
    return adapter.adapter_id


async def in_use(pool: asyncpg.Pool, viewer: Viewer, owner: OwnerId | None = None) -> str | None:
    async with viewing(pool, viewer) as connection:
        found = await adapters.in_use(connection, [owner or viewer.personal])
    return found[0].adapter_id if found else None
