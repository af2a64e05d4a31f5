"""`/privacy`: what is stored about a person, and their power over it."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot import texts
from bot.service.app import App
from bot.ui.privacy import show_privacy


class Privacy(commands.Cog):
    """The command about one's own data."""

    def __init__(self, app: App) -> None:
        self._app = app

    @app_commands.command(name="privacy", description=texts.commands.PRIVACY)
    async def privacy(self, interaction: discord.Interaction[Any]) -> None:
        """Show the card."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        await show_privacy(interaction, self._app)


async def setup(bot: Any) -> None:
    """Add the command to a bot; discord.py calls this."""
    await bot.add_cog(Privacy(bot.app))
