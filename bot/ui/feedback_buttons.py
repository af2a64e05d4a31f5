"""Buttons that work after a restart, too: right · not them · remember this · undo · they are the same.

All they need is in the database, under ids which only who asked can load.
"""

from __future__ import annotations

import re
from typing import Any, Self
from uuid import UUID

import discord

from bot import texts
from bot.service import feedback, memories
from bot.service.app import App
from bot.service.ask import AnswerContext
from bot.service.permissions import server_memory_of
from bot.service.remember import remember_region
from bot.ui.actor import actor_of
from bot.ui.cards import Form, Interaction, info_field, name_field
from bot.ui.errors import explained
from db.types import Concept, SetAside, Verdict

MAX_JUDGED = 4
PATTERN = r"keepsake:{kind}:(?P<answer>[0-9a-f]{{32}}):(?P<region>[0-9]{{1,4}})"


def app_of(interaction: Interaction) -> App:
    """Return the app of the bot that an interaction came to."""
    app: App = interaction.client.app
    return app


class AnswerButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"keepsake:none"):
    """A button about one region of one answer; its subclasses say which and what it does."""

    kind = "none"
    label = ""
    style = discord.ButtonStyle.secondary

    def __init__(self, answer_id: UUID, region: int, about: str | None = None) -> None:
        self.answer_id = answer_id
        self.region = region
        words = self.label if about is None else f"{self.label}: {about}"
        super().__init__(
            discord.ui.Button(
                label=words[:80],
                style=self.style,
                custom_id=f"keepsake:{self.kind}:{answer_id.hex}:{region}",
            )
        )

    @classmethod
    async def from_custom_id(cls, _: Interaction, __: discord.ui.Item[Any], match: re.Match[str], /) -> Self:
        """Make the button of a custom id, as Discord sends it back."""
        return cls(UUID(match["answer"]), int(match["region"]))

    async def judged(self, interaction: Interaction, verdict: Verdict) -> Concept:
        """Store what the viewer says about the region; returns who was recognised there."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        actor, app = actor_of(interaction), app_of(interaction)
        answer = await feedback.answer_of(app, actor, self.answer_id)
        return await feedback.judge(app, actor, answer, self.region, verdict)


class Right(AnswerButton, template=PATTERN.format(kind="right")):
    """“right”: the recognition was right."""

    kind, label, style = "right", "right", discord.ButtonStyle.success

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Store it."""
        concept = await self.judged(interaction, Verdict.RIGHT)
        await interaction.edit_original_response(content=texts.answers.thanks(concept))


class NotThem(AnswerButton, template=PATTERN.format(kind="not_them")):
    """“not them”: the recognition was wrong."""

    kind, label, style = "not_them", "not them", discord.ButtonStyle.danger

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Store it, and offer to remember who it really is."""
        concept = await self.judged(interaction, Verdict.INCORRECT)
        view = discord.ui.View(timeout=None)
        view.add_item(RememberThis(self.answer_id, self.region))
        await interaction.edit_original_response(content=texts.answers.sorry(concept), view=view)


class RememberThis(AnswerButton, template=PATTERN.format(kind="remember")):
    """“remember this”: asks for a name, and remembers what is in the region."""

    kind, label, style = "remember", "remember this", discord.ButtonStyle.primary

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Ask for the name."""
        await interaction.response.send_modal(NameForm(self.answer_id, self.region))


class NameForm(Form):
    """Asks for what `/remember` asks for; the picture is there already."""

    def __init__(self, answer_id: UUID, region: int) -> None:
        self._answer_id = answer_id
        self._region = region
        self._name = name_field()
        self._info = info_field()
        super().__init__("Remember this", self._name, self._info)

    async def submit(self, interaction: Interaction) -> None:
        """Remember it, for the viewer alone."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        actor, app = actor_of(interaction), app_of(interaction)
        answer = await feedback.answer_of(app, actor, self._answer_id)
        concept = await remember_region(app, actor, answer, self._region, self._name.value, self._info.value)
        await interaction.edit_original_response(content=texts.memories.remembered(concept))


class Undo(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=r"keepsake:undo:(?P<owner>user|server):(?P<set_aside>[0-9a-f]{32})",
):
    """“undo”: remembers again what was forgotten."""

    def __init__(self, owner: str, set_aside_id: UUID) -> None:
        self._owner = owner
        self._set_aside_id = set_aside_id
        super().__init__(discord.ui.Button(label="undo", custom_id=f"keepsake:undo:{owner}:{set_aside_id.hex}"))

    @classmethod
    def alone(cls, gone: SetAside) -> discord.ui.View:
        """Return the button for something that was forgotten."""
        view = discord.ui.View(timeout=None)
        view.add_item(cls(gone.owner_id.partition(":")[0], gone.set_aside_id))
        return view

    @classmethod
    async def from_custom_id(cls, _: Interaction, __: discord.ui.Item[Any], match: re.Match[str], /) -> Self:
        """Make the button of a custom id, as Discord sends it back."""
        return cls(match["owner"], UUID(match["set_aside"]))

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Undo it, in the memory it was forgotten from."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        actor = actor_of(interaction)
        owner = actor.personal_memory if self._owner == "user" else server_memory_of(actor)
        concept = await memories.undo(app_of(interaction), actor, owner, self._set_aside_id)
        await interaction.edit_original_response(content=texts.memories.brought_back(concept))


class TheSame(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=r"keepsake:same:(?P<kept>[0-9a-f]{32}):(?P<other>[0-9a-f]{32})",
):
    """“they are the same”: merges what was just remembered into what it looks like."""

    def __init__(self, kept: UUID, other: UUID) -> None:
        self._kept = kept
        self._other = other
        custom_id = f"keepsake:same:{kept.hex}:{other.hex}"
        super().__init__(discord.ui.Button(label="they are the same", custom_id=custom_id))

    @classmethod
    def alone(cls, kept: Concept, other: Concept) -> discord.ui.View:
        """Return the button for two concepts."""
        view = discord.ui.View(timeout=None)
        view.add_item(cls(kept.concept_id, other.concept_id))
        return view

    @classmethod
    async def from_custom_id(cls, _: Interaction, __: discord.ui.Item[Any], match: re.Match[str], /) -> Self:
        """Make the button of a custom id, as Discord sends it back."""
        return cls(UUID(match["kept"]), UUID(match["other"]))

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Merge them."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        actor, app = actor_of(interaction), app_of(interaction)
        kept = await memories.card(app, actor, actor.personal_memory, self._kept)
        other = await memories.card(app, actor, actor.personal_memory, self._other)
        concept = await memories.merge(app, actor, kept.concept, other.concept)
        await interaction.edit_original_response(content=texts.memories.merged(concept))


DYNAMIC_ITEMS = (Right, NotThem, RememberThis, Undo, TheSame)


def buttons_for(told: AnswerContext) -> discord.ui.View | None:
    """Return the buttons of an answer, None when there is nothing to say about it."""
    if told.answer_id is None:
        return None
    view = discord.ui.View(timeout=None)
    recognised = told.recalled.recognised[:MAX_JUDGED]
    for row, match in enumerate(recognised):
        about = match.concept.name if len(recognised) > 1 else None
        for button in (Right(told.answer_id, match.region, about), NotThem(told.answer_id, match.region, about)):
            button.row = row
            view.add_item(button)
    if told.unknown_region is not None:
        view.add_item(RememberThis(told.answer_id, told.unknown_region))
    return view if view.children else None
