"""`/server memory`: for those who govern a server's memory. Who that is, Discord's command permissions decide.

It starts as *Manage Server*; a server's admins change it under Server Settings → Integrations.
"""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.service import governance
from bot.service.assistant import Assistant
from bot.ui.server import AdminPanel, show_server
from db import servers
from db.pool import viewing
from db.types import server_owner

Interaction = discord.Interaction[Any]


class Server(commands.Cog):
    """The admins' command, and what happens when the bot comes to a server or has to leave it."""

    group = app_commands.Group(
        name="server",
        description="For admins: this server's memory.",
        default_permissions=discord.Permissions(manage_guild=True),
        allowed_contexts=app_commands.AppCommandContext(guild=True),
        allowed_installs=app_commands.AppInstallationType(guild=True),
    )

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    @group.command(name="memory", description="Govern what this server remembers: who shares, where, how long.")
    async def memory(self, interaction: Interaction) -> None:
        """Show the card."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        await show_server(interaction, AdminPanel(self._assistant))

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Note that the bot was removed: after a time of grace the server's memory goes."""
        async with viewing(self._assistant.pool, governance.nobody_on(guild.id)) as connection:
            await servers.mark_left(connection, server_owner(guild.id))

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Note that the bot is back: the server's memory stays."""
        async with viewing(self._assistant.pool, governance.nobody_on(guild.id)) as connection:
            await servers.mark_back(connection, server_owner(guild.id))


async def setup(bot: Any) -> None:
    """Add the command to a bot; discord.py calls this."""
    await bot.add_cog(Server(bot.assistant))
