"""`/remember`, `/edit` and `/forget`: what the bot knows."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot import pictures
from bot.assistant import Assistant
from bot.ui import texts
from bot.ui.stream import QUIET
from bot.viewers import may_govern, viewer_of
from db.errors import NotRemembered

Interaction = discord.Interaction[Any]


class Memory(commands.Cog):
    """Commands that change a memory."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    @app_commands.command(name="remember", description="Remember someone or something from one picture.")
    @app_commands.describe(
        name="What you call them (1 to 64 characters)",
        image="A picture with only them in it, or with them in the middle",
        info="What I should know: what they like, where they are from…",
        category="What they are: cat, friend, mug…",
        share="Let everyone on this server's memory know them, not only you",
    )
    async def remember(
        self,
        interaction: Interaction,
        name: str,
        image: discord.Attachment,
        info: str = "",
        category: str = "",
        share: bool = False,
    ) -> None:
        """Remember a concept from one picture."""
        await interaction.response.defer(thinking=True, ephemeral=not share)
        viewer = viewer_of(interaction)
        if share and viewer.shared is None:
            raise NotRemembered("There is no server to share with here: use this command on a server.")
        owner = viewer.shared if share and viewer.shared is not None else viewer.personal
        concept = await self._assistant.remember(viewer, owner, name, await pictures.read(image), info, category)
        await interaction.edit_original_response(content=texts.remembered(concept), allowed_mentions=QUIET)

    @app_commands.command(name="edit", description="Change what I know about someone or something.")
    @app_commands.describe(
        name="Whom or what",
        new_name="A new name",
        info="What I should know instead",
        category="What they are",
    )
    async def edit(
        self,
        interaction: Interaction,
        name: str,
        new_name: str | None = None,
        info: str | None = None,
        category: str | None = None,
    ) -> None:
        """Change a concept."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        viewer = viewer_of(interaction)
        concept = await self._assistant.find(viewer, name)
        changed = await self._assistant.edit(
            viewer, concept, may_govern=may_govern(interaction), name=new_name, info=info, category=category
        )
        await interaction.edit_original_response(content=texts.edited(changed), allowed_mentions=QUIET)

    @app_commands.command(name="forget", description="Forget someone or something, for good.")
    @app_commands.describe(name="Whom or what")
    async def forget(self, interaction: Interaction, name: str) -> None:
        """Forget a concept."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        viewer = viewer_of(interaction)
        concept = await self._assistant.find(viewer, name)
        gone = await self._assistant.forget(viewer, concept, may_govern=may_govern(interaction))
        await interaction.edit_original_response(content=texts.forgotten(gone), allowed_mentions=QUIET)

    @edit.autocomplete("name")
    @forget.autocomplete("name")
    async def suggest(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Suggest the viewer's names."""
        names = await self._assistant.suggest_names(viewer_of(interaction), typed)
        return [app_commands.Choice(name=name, value=name) for name in names]


async def setup(bot: Any) -> None:
    """Add the commands to a bot; discord.py calls this."""
    await bot.add_cog(Memory(bot.assistant))
