"""The word that people agree to be remembered: asked once, before the first of somebody's is stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import discord

from bot import texts
from bot.service import privacy
from bot.service.app import App
from bot.ui.actor import actor_of
from bot.ui.cards import CARD_SECONDS, ActionButton, Interaction, whisper
from db.errors import WordMissingError

Act = Callable[[], Awaitable[None]]


async def with_word(interaction: Interaction, app: App, act: Act) -> None:
    """Do something that may need the person's word; where it does, ask for it, and do it once it is given.

    What an interaction is yet to be answered with becomes the question; elsewhere the question stands beside it.
    """
    try:
        await act()
    except WordMissingError:
        response = interaction.response.type
        beside = response is not discord.InteractionResponseType.deferred_channel_message
        question = WordQuestion(app, act, beside=beside)
        if beside:
            await whisper(interaction, texts.people.WORD, view=question)
        else:
            await interaction.edit_original_response(content=texts.people.WORD, view=question)


class WordQuestion(discord.ui.View):
    """Asks for the word, and goes on with what needed it; ``beside`` is whether it has a message of its own."""

    def __init__(self, app: App, act: Act, *, beside: bool) -> None:
        super().__init__(timeout=CARD_SECONDS)
        self._app = app
        self._act = act
        self._beside = beside
        green = discord.ButtonStyle.success
        self.add_item(ActionButton(texts.people.AGREE, self.agree, green, custom_id="word"))
        self.add_item(ActionButton(texts.people.CANCEL, self.cancel, custom_id="no-word"))

    async def agree(self, interaction: Interaction) -> None:
        """Store that they gave their word, and do it."""
        await interaction.response.defer()
        await privacy.vouch(self._app, actor_of(interaction))
        await self._act()
        if self._beside:
            await interaction.edit_original_response(content=texts.people.THANKS, view=None)

    async def cancel(self, interaction: Interaction) -> None:
        """Keep nothing."""
        await interaction.response.edit_message(content=texts.people.NOTHING_KEPT, view=None)
