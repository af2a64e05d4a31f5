"""Who acts, and where: Discord's users and servers as the product knows them."""

from __future__ import annotations

from typing import Any

import discord

from bot.service.app import Actor


def actor_of(event: discord.Interaction[Any] | discord.Message, *, is_admin: bool | None = None) -> Actor:
    """Return who is behind an interaction or a message, as the rules see them.

    They are without a server in a DM, or where only the user has the bot: a user can bring it along to servers that
    never invited it, and there is no server's memory there. ``is_admin`` is whether they came by a command for admins;
    otherwise *Manage Server* decides.
    """
    if isinstance(event, discord.Message):
        server_id = None if event.guild is None else event.guild.id
        return Actor(user_id=event.author.id, server_id=server_id, channel_id=event.channel.id)
    alone = event.is_user_integration() and not event.is_guild_integration()
    server_id = None if alone else event.guild_id
    may_manage = server_id is not None and event.permissions.manage_guild
    roles = event.user.roles if isinstance(event.user, discord.Member) else []
    return Actor(
        user_id=event.user.id,
        server_id=server_id,
        channel_id=event.channel_id,
        roles=frozenset(role.id for role in roles),
        is_admin=may_manage if is_admin is None else is_admin,
    )


def channels_of(channel: Any) -> set[int]:
    """Return the ids of a channel that rules may name: its own, and its parent's if it is a thread."""
    return {item for item in (getattr(channel, "id", None), getattr(channel, "parent_id", None)) if item is not None}
