"""What is learned, on the cards of `/privacy` and `/server memory`: how it stands, what came of it, taking it back."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import discord
from discord import ui

from bot import texts
from bot.errors import ModelElsewhereError
from bot.service import learning
from bot.service.app import Actor, App
from bot.service.reports import Learning
from bot.ui.cards import Act, Interaction, Press, Shown, rows, show, view_of
from bot.ui.live import keep_live
from db.errors import DatabaseUnavailableError
from db.types import OwnerId
from model_worker.api.errors import WorkerUnavailableError

RED = discord.ButtonStyle.danger
Change = Callable[[App, Actor, OwnerId], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class TrainingPanel:
    """Where what is learned from a memory is looked after: who does, whose memory it is, the card it belongs to."""

    app: App
    whose: Callable[[Interaction], tuple[Actor, OwnerId]]
    card: Act
    title: str
    colour: int

    async def look(self, interaction: Interaction) -> Learning:
        """Return how learning stands."""
        return await learning.look(self.app, *self.whose(interaction))


def learning_line(item: Learning) -> ui.TextDisplay[Any]:
    """Return the part of a card that says how learning stands."""
    return ui.TextDisplay(texts.learning.status(item))


def learning_buttons(desk: TrainingPanel, item: Learning, *, may_learn: bool) -> list[Press]:
    """Return the buttons that every such card has."""
    asleep = not may_learn or item.is_under_way
    return [
        Press(desk.title, _shows_learned(desk), custom_id="learned"),
        Press("Learn now", _learns_now(desk), disabled=asleep, custom_id="learn"),
    ]


def follow_learning(
    interaction: Interaction,
    message: discord.InteractionMessage,
    desk: TrainingPanel,
    item: Learning,
    view: ui.LayoutView,
    line: ui.TextDisplay[Any],
) -> None:
    """Keep the line of a card live for as long as something is under way; then show the card anew."""

    async def update() -> bool:
        try:
            now = await desk.look(interaction)
            if not now.is_under_way:
                await desk.card(interaction)
            elif line.content != texts.learning.status(now):
                line.content = texts.learning.status(now)
                await interaction.edit_original_response(view=view)
        except DatabaseUnavailableError:
            return True
        except discord.HTTPException:
            return False  # the message is gone, or it can't be edited any more
        return now.is_under_way

    if item.is_under_way:
        keep_live(message.id, update)


def _shows_learned(desk: TrainingPanel) -> Act:
    async def learned(interaction: Interaction) -> None:
        item = await desk.look(interaction)
        parts = [f"## {desk.title}", texts.learning.status(item)]
        if item.report is not None:
            parts.append(texts.learning.report(item.report))
        parts += [texts.learning.promotion(entry) for entry in item.history]
        roll_back, turn_off = (
            _changes(desk, change, _shows_learned(desk)) for change in (learning.roll_back, learning.turn_off)
        )
        buttons = [
            Press("Roll back", roll_back, disabled=not item.can_go_back, custom_id="roll"),
            Press("Turn off", turn_off, RED, disabled=not item.in_use, custom_id="off"),
            Press("Back", desk.card, custom_id="back"),
        ]
        text: ui.TextDisplay[Any] = ui.TextDisplay("\n".join(parts))
        hint: ui.TextDisplay[Any] = ui.TextDisplay(texts.learning.VERSIONS_HINT)
        await show(interaction, Shown(view_of(text, *rows(buttons), hint, colour=desk.colour), {}))

    return learned


def _learns_now(desk: TrainingPanel) -> Act:
    async def learn(app: App, actor: Actor, owner: OwnerId) -> None:
        with contextlib.suppress(WorkerUnavailableError):  # asking waits for the trainer, not for the worker
            if not await app.worker.takes_adapters():
                raise ModelElsewhereError
        await learning.learn_now(app, actor, owner)

    return _changes(desk, learn, desk.card)


def _changes(desk: TrainingPanel, change: Change, then: Act) -> Act:
    async def act(interaction: Interaction) -> None:
        await interaction.response.defer()
        await change(desk.app, *desk.whose(interaction))
        await then(interaction)

    return act
