"""The bot as discord.py knows it: its cogs, its buttons, its one error handler."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.errors import ChannelClosedError
from bot.service.app import App
from bot.service.governance import settings_of
from bot.service.permissions import may_speak_in
from bot.ui.actor import actor_of, channels_of
from bot.ui.errors import tell
from bot.ui.feedback_buttons import DYNAMIC_ITEMS, app_of
from bot.ui.people import AnswerRequest

COGS = (
    "bot.cogs.remember",
    "bot.cogs.ask",
    "bot.cogs.chat",
    "bot.cogs.memories",
    "bot.cogs.privacy",
    "bot.cogs.server",
)
EVERYWHERE = {"privacy", "server"}
"""Commands that no list of channels keeps anybody from."""


class KeepsakeTree(app_commands.CommandTree[commands.Bot]):
    """The commands: for servers and for users who bring the bot along; silent where admins don't want it."""

    def __init__(self, client: Any) -> None:
        super().__init__(
            client,
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
        )

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Whether a command may be used in this channel; says so when not."""
        try:
            name = interaction.command.qualified_name.split()[0] if interaction.command else ""
            if name in EVERYWHERE or interaction.guild_id is None:
                return True
            settings = await settings_of(app_of(interaction), actor_of(interaction))
            if may_speak_in(settings, channels_of(interaction.channel)):
                return True
            if interaction.type is discord.InteractionType.application_command:
                await tell(interaction, ChannelClosedError())
        except Exception as error:
            await tell(interaction, error)
        return False


class Keepsake(commands.Bot):
    """The Discord bot of one app."""

    def __init__(self, app: App, *, message_content: bool = True) -> None:
        intents = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=message_content)
        super().__init__(
            command_prefix=commands.when_mentioned,
            tree_cls=KeepsakeTree,
            intents=intents,
            help_command=None,
            allowed_mentions=discord.AllowedMentions.none(),
        )
        self.app = app
        self.synced_commands: dict[str, app_commands.AppCommand] = {}
        """The commands as Discord knows them, by name."""

    async def setup_hook(self) -> None:
        """Load the cogs and tell Discord the commands."""
        self.add_dynamic_items(*DYNAMIC_ITEMS, AnswerRequest)
        for cog in COGS:
            await self.load_extension(cog)
        self.tree.error(_on_error)
        self.synced_commands = {command.name: command for command in await self.tree.sync()}

    async def is_on(self, server_id: int) -> bool:
        """Whether the bot is a member of a server; waits until Discord has said so."""
        await self.wait_until_ready()
        return self.get_guild(server_id) is not None

    async def has_member(self, server_id: int, user_id: int) -> bool:
        """Whether a user is a member of a server; in doubt, yes."""
        guild = self.get_guild(server_id)
        try:
            return guild is None or await guild.fetch_member(user_id) is not None
        except discord.NotFound:
            return False
        except discord.HTTPException:
            return True

    async def on_message(self, message: discord.Message, /) -> None:
        """Leave messages to the chat cog: there are no commands with a prefix."""


async def _on_error(interaction: discord.Interaction[Any], error: Exception) -> None:
    await tell(interaction, error)
