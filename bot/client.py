"""The bot as discord.py knows it: its cogs, its buttons, its one error handler."""

from __future__ import annotations

from typing import Any

import discord
from discord.ext import commands

from bot.assistant import Assistant
from bot.errors import tell
from bot.ui.buttons import DYNAMIC_ITEMS

COGS = ("bot.cogs.remember", "bot.cogs.ask", "bot.cogs.chat")


class Keepsake(commands.Bot):
    """The Discord bot of one assistant."""

    def __init__(self, assistant: Assistant, *, message_content: bool = True) -> None:
        intents = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=message_content)
        super().__init__(
            command_prefix=commands.when_mentioned,
            intents=intents,
            help_command=None,
            allowed_mentions=discord.AllowedMentions.none(),
        )
        self.assistant = assistant

    async def setup_hook(self) -> None:
        """Load the cogs and tell Discord the commands."""
        self.add_dynamic_items(*DYNAMIC_ITEMS)
        for cog in COGS:
            await self.load_extension(cog)
        self.tree.error(_on_error)
        await self.tree.sync()

    async def on_message(self, message: discord.Message, /) -> None:
        """Leave messages to the chat cog: there are no commands with a prefix."""


async def _on_error(interaction: discord.Interaction[Any], error: Exception) -> None:
    await tell(interaction, error)
