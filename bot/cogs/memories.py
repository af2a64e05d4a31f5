"""`/memories`: what the bot remembers, to look through and look after."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot import texts
from bot.service.app import App
from bot.service.memories import Wanted
from bot.ui.browse_state import BrowseState
from bot.ui.memories import show_list

Interaction = discord.Interaction[Any]


class Memories(commands.Cog):
    """The command that shows a memory."""

    def __init__(self, app: App) -> None:
        self._app = app

    @app_commands.command(name="memories", description=texts.commands.MEMORIES)
    @app_commands.describe(**texts.commands.MEMORIES_OPTIONS)
    async def memories(
        self, interaction: Interaction, find: str = "", category: str = "", server: bool = False
    ) -> None:
        """Show a memory, page by page."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        wanted = Wanted(shared=server, search=find[:200], category=category[:64])
        await show_list(interaction, BrowseState(self._app, wanted))


async def setup(bot: Any) -> None:
    """Add the command to a bot; discord.py calls this."""
    await bot.add_cog(Memories(bot.app))
