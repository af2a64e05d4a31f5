"""What is learned, on the cards of `/privacy` and `/server memory`: how it stands, what came of it, taking it back."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from typing import Any

import discord
from discord import ui

from bot import texts
from bot.errors import ModelElsewhereError
from bot.service import learning
from bot.service.app import Actor, App
from bot.service.reports import Learning
from bot.ui.cards import BLUE, ActionButton, Card, Interaction, rows
from bot.ui.live import keep_live
from db.errors import DatabaseUnavailableError, RateLimitedError
from db.types import OwnerId
from model_worker.api.errors import WorkerUnavailableError


class LearningCard(Card):
    """A card with a line that says how learning stands, kept live while something is under way.

    Its subclasses say whose memory is learned from, and put the line and the buttons where they belong.
    """

    learned_title: str
    colour = BLUE

    def __init__(self, app: App, stands: Learning, *, may_learn: bool) -> None:
        super().__init__(colour=self.colour)
        self.app = app
        self._stands = stands
        self._may_learn = may_learn
        self.learning_line: ui.TextDisplay[Any] = ui.TextDisplay(texts.learning.status(stands))
        self._learn_button = ActionButton("Learn now", self.learn_now, custom_id="learn", disabled=self._is_asleep)
        self.learning_buttons = [
            ActionButton(self.learned_title, self.open_learned, custom_id="learned"),
            self._learn_button,
        ]

    @abstractmethod
    async def whose(self, interaction: Interaction) -> tuple[Actor, OwnerId]:
        """Return who presses, and the memory that is learned from. Raises NotAllowedError."""

    @abstractmethod
    async def again(self, interaction: Interaction) -> None:
        """Show the card with what is so by now."""

    async def show(self, interaction: Interaction) -> discord.InteractionMessage:
        """Show the card, and keep it live."""
        message = await super().show(interaction)
        if self._may_learn and self._stands.is_under_way:
            keep_live(message.id, LearningProgress(self, interaction, *await self.whose(interaction)).update)
        return message

    def learning_is(self, stands: Learning) -> bool:
        """Take over how learning stands now; returns whether that changes what is shown."""
        changes = (
            self._stands.is_under_way != stands.is_under_way
            or self.learning_line.content != texts.learning.status(stands)
        )
        self._stands = stands
        self.learning_line.content = texts.learning.status(stands)
        self._learn_button.disabled = self._is_asleep
        return changes

    async def open_learned(self, interaction: Interaction) -> None:
        """Show what came of learning."""
        stands = await learning.look(self.app, *await self.whose(interaction))
        await LearnedCard(self, stands).show(interaction)

    async def learn_now(self, interaction: Interaction) -> None:
        """Ask the trainer to learn before it is its turn."""
        await interaction.response.defer()
        actor, owner = await self.whose(interaction)
        with contextlib.suppress(WorkerUnavailableError):  # asking waits for the trainer, not for the worker
            if not await self.app.worker.takes_adapters():
                raise ModelElsewhereError
        await learning.learn_now(self.app, actor, owner)
        await self.again(interaction)

    @property
    def _is_asleep(self) -> bool:
        return not self._may_learn or self._stands.is_under_way


class LearningProgress:
    """Keeps a card's line up to date, for who opened it: it only reads what they saw when they did."""

    def __init__(self, card: LearningCard, shown_by: Interaction, actor: Actor, owner: OwnerId) -> None:
        self._card = card
        self._shown_by = shown_by
        self._actor = actor
        self._owner = owner

    async def update(self) -> bool:
        """Edit the card where something changed; returns whether there will be more to tell."""
        try:
            stands = await learning.look(self._card.app, self._actor, self._owner)
            if self._card.learning_is(stands):
                await self._shown_by.edit_original_response(view=self._card)
        except (DatabaseUnavailableError, RateLimitedError):
            return True  # there may be more to tell next time
        except discord.HTTPException:
            return False  # the message is gone, or it can't be edited any more
        return stands.is_under_way


class LearnedCard(Card):
    """What came of learning, and the buttons that take it back."""

    def __init__(self, opened_from: LearningCard, stands: Learning) -> None:
        super().__init__(colour=opened_from.colour)
        self._opened_from = opened_from
        parts = [f"## {opened_from.learned_title}", texts.learning.status(stands)]
        if stands.report is not None:
            parts.append(texts.learning.report(stands.report))
        parts += [texts.learning.promotion(entry) for entry in stands.history]
        red = discord.ButtonStyle.danger
        buttons = [
            ActionButton("Roll back", self.roll_back, disabled=not stands.can_go_back, custom_id="roll"),
            ActionButton("Turn off", self.turn_off, red, disabled=not stands.in_use, custom_id="off"),
            ActionButton("Back", opened_from.again, custom_id="back"),
        ]
        self.add(ui.TextDisplay("\n".join(parts)), *rows(buttons), ui.TextDisplay(texts.learning.VERSIONS_HINT))

    async def roll_back(self, interaction: Interaction) -> None:
        """Let what was learned before answer again."""
        await interaction.response.defer()
        actor, owner = await self._opened_from.whose(interaction)
        await learning.roll_back(self._opened_from.app, actor, owner)
        await self._opened_from.open_learned(interaction)

    async def turn_off(self, interaction: Interaction) -> None:
        """Let the base model answer."""
        await interaction.response.defer()
        actor, owner = await self._opened_from.whose(interaction)
        await learning.turn_off(self._opened_from.app, actor, owner)
        await self._opened_from.open_learned(interaction)
