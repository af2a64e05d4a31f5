"""Who acts, and where: Discord's users and servers as the product knows them."""

from __future__ import annotations

from typing import Any

import discord
from discord.app_commands import AppCommand, AppCommandPermissions

from bot.errors import NoServerError
from bot.service.app import Actor
from bot.service.permissions import governing
from db.errors import NotAdminError

ADMINS_COMMAND = "server"
"""Who may use it governs the server's memory: *Manage Server*, or whoever else Discord's settings give it to."""


def actor_of(event: discord.Interaction[Any] | discord.Message) -> Actor:
    """Return who is behind an interaction or a message, as the rules see them.

    They are without a server in a DM, or where only the user has the bot: a user can bring it along to servers that
    never invited it, and there is no server's memory there. Roles and permissions are those they have by now.
    """
    if isinstance(event, discord.Message):
        server_id = None if event.guild is None else event.guild.id
        return Actor(user_id=event.author.id, server_id=server_id, channel_id=event.channel.id)
    alone = event.is_user_integration() and not event.is_guild_integration()
    server_id = None if alone else event.guild_id
    roles = event.user.roles if isinstance(event.user, discord.Member) else []
    actor = Actor(
        user_id=event.user.id,
        server_id=server_id,
        channel_id=event.channel_id,
        roles=frozenset(role.id for role in roles),
    )
    return governing(actor) if server_id is not None and event.permissions.manage_guild else actor


async def member_actor(client: discord.Client, server_id: int, user_id: int) -> Actor:
    """Return a member of a server, with the roles and permissions that they have by now.

    Raises NoServerError when the bot isn't there any more, or they aren't.
    """
    guild = client.get_guild(server_id)
    if guild is None:
        raise NoServerError
    try:
        member = await guild.fetch_member(user_id)
    except discord.NotFound as error:
        raise NoServerError from error
    actor = Actor(user_id=user_id, server_id=server_id, roles=frozenset(role.id for role in member.roles))
    return governing(actor) if member.guild_permissions.manage_guild else actor


async def admin_of(interaction: discord.Interaction[Any]) -> Actor:
    """Return who is behind an interaction, as an admin of the server's memory. Raises NotAdminError if they aren't.

    A card stays open while its reader's roles change, so this is asked at every press and never kept.
    """
    actor = actor_of(interaction)
    if actor.is_admin:
        return actor
    if actor.server_id is None or not await _is_given_the_command(interaction, actor):
        raise NotAdminError
    return governing(actor)


async def _is_given_the_command(interaction: discord.Interaction[Any], actor: Actor) -> bool:
    """Whether Server Settings → Integrations gives the admins' command to this person, or to one of their roles."""
    command: AppCommand = interaction.client.synced_commands[ADMINS_COMMAND]
    try:
        settings = await command.fetch_permissions(discord.Object(interaction.guild_id or 0))
    except discord.NotFound:  # nobody changed them
        return False
    return _allows(settings.permissions, actor)


def _allows(settings: list[AppCommandPermissions], actor: Actor) -> bool:
    """Return what Discord's settings of a command say: about the person first, then about any of their roles."""
    allowed = {setting.id: setting.permission for setting in settings}
    return allowed.get(actor.user_id, any(allowed.get(role) for role in actor.roles))


def channels_of(channel: Any) -> set[int]:
    """Return the ids of a channel that rules may name: its own, and its parent's if it is a thread."""
    return {item for item in (getattr(channel, "id", None), getattr(channel, "parent_id", None)) if item is not None}
