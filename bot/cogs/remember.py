"""`/remember`, `/edit` and `/forget`, and “Remember this” on any message with pictures: what the bot knows."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot import texts
from bot.errors import NoPictureError
from bot.service import memories, remember
from bot.service.app import App
from bot.ui import attachments
from bot.ui.actor import actor_of
from bot.ui.buttons import TheSame, Undo
from bot.ui.remember_this import offer_parts
from bot.ui.stream import QUIET

Interaction = discord.Interaction[Any]


class Memory(commands.Cog):
    """Commands that change a memory."""

    def __init__(self, app: App) -> None:
        self._app = app

    @app_commands.command(name="remember", description="Remember someone or something from one picture.")
    @app_commands.describe(
        name="What you call them (1 to 64 characters)",
        image="A picture with only them in it, or with them in the middle",
        info="What I should know: what they like, where they are from…",
        category="What they are: cat, friend, mug…",
        share="Let everyone on this server know them, not only you",
        person="The Discord account of the person it is; they can object to being shared",
    )
    async def remember(
        self,
        interaction: Interaction,
        name: str,
        image: discord.Attachment,
        info: str = "",
        category: str = "",
        share: bool = False,
        person: discord.User | None = None,
    ) -> None:
        """Remember a concept from one picture."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        done = await remember.remember(
            self._app,
            actor_of(interaction),
            name,
            await attachments.read(image),
            info,
            category,
            share=share,
            linked_user=None if person is None else person.id,
        )
        is_twin = done.alike is not None and not done.concept.is_shared
        await interaction.edit_original_response(
            content=texts.memories.remembered(done.concept, waits=done.waits, alike=done.alike if is_twin else None),
            view=TheSame.alone(done.alike, done.concept) if done.alike is not None and is_twin else None,
            allowed_mentions=QUIET,
        )

    @app_commands.command(name="edit", description="Change what I know about someone or something.")
    @app_commands.describe(
        name="Whom or what",
        new_name="A new name",
        info="What I should know instead",
        category="What they are",
        person="The Discord account of the person it is",
    )
    async def edit(
        self,
        interaction: Interaction,
        name: str,
        new_name: str | None = None,
        info: str | None = None,
        category: str | None = None,
        person: discord.User | None = None,
    ) -> None:
        """Change a concept."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        actor = actor_of(interaction)
        concept = await memories.find(self._app, actor, name)
        linked = None if person is None else person.id
        changed = await memories.edit(
            self._app, actor, concept, name=new_name, info=info, category=category, linked_user=linked
        )
        await interaction.edit_original_response(content=texts.memories.edited(changed), allowed_mentions=QUIET)

    @app_commands.command(name="forget", description="Forget someone or something; ten minutes to undo it.")
    @app_commands.describe(name="Whom or what")
    async def forget(self, interaction: Interaction, name: str) -> None:
        """Forget a concept."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        actor = actor_of(interaction)
        gone = await memories.forget(self._app, actor, await memories.find(self._app, actor, name))
        await interaction.edit_original_response(
            content=texts.memories.forgotten(gone.name), view=Undo.alone(gone), allowed_mentions=QUIET
        )

    @edit.autocomplete("name")
    @forget.autocomplete("name")
    async def suggest(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Suggest the viewer's names."""
        names = await memories.suggest_names(self._app, actor_of(interaction), typed)
        return [app_commands.Choice(name=name, value=name) for name in names]


async def setup(bot: Any) -> None:
    """Add the commands to a bot; discord.py calls this."""
    app: App = bot.app
    await bot.add_cog(Memory(app))

    @app_commands.context_menu(name="Remember this")
    async def remember_this(interaction: Interaction, message: discord.Message) -> None:
        await interaction.response.defer(thinking=True, ephemeral=True)
        found = attachments.pictures_in(message.attachments)
        if not found:
            raise NoPictureError
        await offer_parts(interaction, app, tuple([await attachments.read(attachment) for attachment in found]))

    bot.tree.add_command(remember_this)
