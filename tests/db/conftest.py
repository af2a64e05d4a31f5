"""Fixtures of the memory: what people who let the bot learn put into it."""

from __future__ import annotations

import asyncpg
import pytest

from db.types import Concept
from tests.support.adapters import ANNA, BO, CLEO, SERVER, remember, say_consent


@pytest.fixture
async def mochi(pool: asyncpg.Pool) -> Concept:
    """Anna's cat; she lets the bot learn."""
    await say_consent(pool, ANNA)
    return await remember(pool, ANNA, "Mochi")


@pytest.fixture
async def shelf(pool: asyncpg.Pool) -> tuple[Concept, Concept]:
    """What Anna and Bo, who let the bot learn, and Cleo, who doesn't, put into the server's memory."""
    for viewer in (ANNA, BO):
        await say_consent(pool, viewer)
    mug = await remember(pool, ANNA, "The mug", owner=SERVER)
    lamp = await remember(pool, BO, "The lamp", owner=SERVER)
    await remember(pool, CLEO, "The vase", owner=SERVER)
    return mug, lamp
