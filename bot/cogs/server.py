"""`/server memory`: for those who govern a server's memory. Who that is, Discord's command permissions decide.

It starts as *Manage Server*; a server's admins change it under Server Settings → Integrations. The card asks for it
anew at every press (`bot.ui.actor.admin_of`).
"""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot import texts
from bot.service import governance
from bot.service.app import App
from bot.ui.servers import show_server

Interaction = discord.Interaction[Any]


class Server(commands.Cog):
    """The admins' command, and what happens when the bot comes to a server or has to leave it."""

    group = app_commands.Group(
        name="server",
        description=texts.commands.SERVER,
        default_permissions=discord.Permissions(manage_guild=True),
        allowed_contexts=app_commands.AppCommandContext(guild=True),
        allowed_installs=app_commands.AppInstallationType(guild=True),
    )

    def __init__(self, app: App) -> None:
        self._app = app

    @group.command(name="memory", description=texts.commands.SERVER_MEMORY)
    async def memory(self, interaction: Interaction) -> None:
        """Show the card."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        await show_server(interaction, self._app)

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Note that the bot was removed: after a time of grace the server's memory goes."""
        await governance.note_departure(self._app, guild.id)

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Note that the bot is back: the server's memory stays."""
        await governance.note_return(self._app, guild.id)


async def setup(bot: Any) -> None:
    """Add the command to a bot; discord.py calls this."""
    await bot.add_cog(Server(bot.app))
