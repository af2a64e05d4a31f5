"""`/ask`, and “Who is in this?” on any message with a picture."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot import texts
from bot.errors import NoPictureError
from bot.service import memories
from bot.service.app import App
from bot.service.ask import Question
from bot.service.audience import Audience
from bot.service.privacy import check_author
from bot.ui import attachments
from bot.ui.actor import actor_of
from bot.ui.answering import Asked, answer, begin
from bot.ui.names import names_on
from bot.ui.stream import InResponse

Interaction = discord.Interaction[Any]


class Ask(commands.Cog):
    """Commands that ask."""

    def __init__(self, app: App) -> None:
        self._app = app

    @app_commands.command(name="ask", description=texts.commands.ASK)
    @app_commands.describe(**texts.commands.ASK_OPTIONS)
    async def ask(
        self, interaction: Interaction, question: str, image: discord.Attachment | None = None, show: bool = False
    ) -> None:
        """Answer a question, for the eyes of who asks unless they say otherwise."""
        await interaction.response.defer(thinking=True, ephemeral=not show)
        is_spoiler = image is not None and image.is_spoiler()
        asked = Asked(channel_id=interaction.channel_id or 0, is_spoiler=is_spoiler, stays=show)
        place, actor = InResponse(interaction, ephemeral=not show), actor_of(interaction)
        await begin(self._app, actor, asked, place)
        picture = None if image is None else await attachments.read(image)
        audience = Audience.OTHERS if show else Audience.ASKER
        names_of = names_on(interaction.client, interaction.guild)
        about = Question(text=question, picture=picture, audience=audience, names_of=names_of)
        await answer(self._app, actor, about, asked, place)

    @ask.autocomplete("question")
    async def suggest(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Suggest the name that is being typed, at the end of the question."""
        start, _, word = typed.rpartition(" ")
        if len(word.lstrip("<")) < 1:
            return []
        names = await memories.suggest_names(self._app, actor_of(interaction), word.lstrip("<"))
        known = [name for name in names if word.lstrip("<").casefold() in name.casefold()]
        finished = [f"{start} {name}".strip()[:100] for name in known]
        return [app_commands.Choice(name=text, value=text) for text in dict.fromkeys([typed[:100], *finished])][:25]


async def setup(bot: Any) -> None:
    """Add the commands to a bot; discord.py calls this."""
    app: App = bot.app
    await bot.add_cog(Ask(app))

    @app_commands.context_menu(name="Who is in this?")
    async def who_is_in_this(interaction: Interaction, message: discord.Message) -> None:
        await interaction.response.defer(thinking=True, ephemeral=True)
        attachment = attachments.picture_in(message.attachments)
        if attachment is None:
            raise NoPictureError
        actor = actor_of(interaction)
        await check_author(app, actor, message.author.id)
        picture, source = await attachments.read(attachment), attachments.source_of(message)
        names_of = names_on(interaction.client, interaction.guild)
        question = Question(text=texts.answers.WHO_IS_THIS, picture=picture, source=source, names_of=names_of)
        asked = Asked(channel_id=interaction.channel_id or 0, is_spoiler=attachment.is_spoiler())
        await answer(app, actor, question, asked, InResponse(interaction, ephemeral=True))

    bot.tree.add_command(who_is_in_this)
