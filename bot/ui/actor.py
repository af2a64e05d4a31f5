"""Who is asking, and where: Discord's users and servers as the memory knows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import discord

from bot.service.permissions import Actor
from db.types import Channel, Viewer


def viewer_of(event: discord.Interaction[Any] | discord.Message) -> Viewer:
    """Return the viewer of an interaction or a message: without a server in a DM, or where only the user has the bot.

    A user can bring the bot along to servers that never invited it: there is no server's memory there.
    """
    if isinstance(event, discord.Message):
        return Viewer(event.author.id, None if event.guild is None else event.guild.id)
    alone = event.is_user_integration() and not event.is_guild_integration()
    return Viewer(event.user.id, None if alone else event.guild_id)


def actor_of(interaction: discord.Interaction[Any], *, is_admin: bool | None = None) -> Actor:
    """Return how the rules see who is behind an interaction.

    ``is_admin`` is whether they came by a command for admins; otherwise *Manage Server* decides.
    """
    viewer = viewer_of(interaction)
    may_manage = viewer.server_id is not None and interaction.permissions.manage_guild
    roles = interaction.user.roles if isinstance(interaction.user, discord.Member) else []
    place = Channel(viewer.server_id, interaction.channel_id)
    standing = Actor(viewer, place, frozenset(role.id for role in roles), may_manage)
    return standing if is_admin is None else replace(standing, is_admin=is_admin)


def channels_of(channel: Any) -> set[int]:
    """Return the ids of a channel that rules may name: its own, and its parent's if it is a thread."""
    return {item for item in (getattr(channel, "id", None), getattr(channel, "parent_id", None)) if item is not None}
