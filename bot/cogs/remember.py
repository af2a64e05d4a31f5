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
from bot.service.privacy import check_author
from bot.ui import attachments
from bot.ui.actor import actor_of
from bot.ui.feedback_buttons import TheSame, Undo
from bot.ui.people import ask_person
from bot.ui.remember_this import offer_parts
from bot.ui.stream import QUIET
from bot.ui.word import with_word

Interaction = discord.Interaction[Any]


class Memory(commands.Cog):
    """Commands that change a memory."""

    def __init__(self, app: App) -> None:
        self._app = app

    @app_commands.command(name="remember", description=texts.commands.REMEMBER)
    @app_commands.describe(**texts.commands.REMEMBER_OPTIONS)
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
        actor, picture = actor_of(interaction), await attachments.read(image)
        linked = None if person is None else person.id

        async def keep() -> None:
            done = await remember.remember(
                self._app, actor, name, picture, info, category, share=share, linked_user=linked
            )
            await _say_remembered(interaction, done)

        await with_word(interaction, self._app, keep)

    @app_commands.command(name="edit", description=texts.commands.EDIT)
    @app_commands.describe(**texts.commands.EDIT_OPTIONS)
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

        async def change() -> None:
            changed = await memories.edit(
                self._app, actor, concept, name=new_name, info=info, category=category, linked_user=linked
            )
            text = texts.memories.edited(changed)
            await interaction.edit_original_response(content=text, view=None, allowed_mentions=QUIET)

        await with_word(interaction, self._app, change)

    @app_commands.command(name="forget", description=texts.commands.FORGET)
    @app_commands.describe(**texts.commands.FORGET_OPTIONS)
    async def forget(self, interaction: Interaction, name: str) -> None:
        """Forget a concept."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        actor = actor_of(interaction)
        gone = await memories.forget(self._app, actor, await memories.find(self._app, actor, name))
        said = texts.memories.forgotten(gone.name)
        namesake = await memories.namesake_here(self._app, actor, gone.name)
        if namesake is not None:
            said += "\n" + texts.memories.known_here_too(namesake[0], may_change=namesake[1])
        await interaction.edit_original_response(content=said, view=Undo.alone(gone), allowed_mentions=QUIET)

    @edit.autocomplete("name")
    @forget.autocomplete("name")
    async def suggest(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Suggest the viewer's names."""
        names = await memories.suggest_names(self._app, actor_of(interaction), typed)
        return [app_commands.Choice(name=name, value=name) for name in names]


async def _say_remembered(interaction: Interaction, done: remember.Remembered) -> None:
    is_twin = done.alike is not None and not done.concept.is_shared
    asked = "" if done.request is None else "\n" + await ask_person(interaction.client, done.request)
    said = texts.memories.remembered(done.concept, waits=done.waits, alike=done.alike if is_twin else None)
    await interaction.edit_original_response(
        content=said + asked,
        view=TheSame.alone(done.alike, done.concept) if done.alike is not None and is_twin else None,
        allowed_mentions=QUIET,
    )


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
        await check_author(app, actor_of(interaction), message.author.id)
        pictures = tuple(await attachments.read_all(found))
        await offer_parts(interaction, app, pictures, attachments.source_of(message))

    bot.tree.add_command(remember_this)
