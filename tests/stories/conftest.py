"""Fixtures of the stories: the real bot on a simulated server, with two members and an admin."""

from __future__ import annotations

from typing import Any

import asyncpg
import discord
import pytest

from bot.client import Keepsake
from bot.service.app import App
from tests.support.discord import Server


@pytest.fixture
def simcord_bot(app: App) -> Keepsake:
    return Keepsake(app)


@pytest.fixture
def server(simcord_env: Any, pool: asyncpg.Pool) -> Server:
    guild = simcord_env.create_guild("Kitchen")
    channel = guild.create_text_channel("pictures")
    alice, bob = (guild.add_member(simcord_env.create_user(name)) for name in ("alice", "bob"))
    return Server(simcord_env, channel, alice, bob, pool)


@pytest.fixture
def admin(server: Server) -> Any:
    guild = server.env.guild
    role = guild.create_role(
        "Keepers",
        permissions=discord.Permissions(
            manage_guild=True, view_channel=True, send_messages=True, use_application_commands=True
        ),
    )
    return guild.add_member(server.env.create_user("ada"), roles=[role])
