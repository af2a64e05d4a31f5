"""Buttons that work after a restart, too: right · not them · remember this · undo · they are the same.

All they need is in the database, under ids which only who asked can load.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any, Self
from uuid import UUID

import discord

from bot import texts
from bot.service import conversation, feedback, memories
from bot.service.app import App
from bot.service.ask import AnswerContext
from bot.service.permissions import server_memory_of
from bot.service.remember import remember_region
from bot.ui.actor import actor_of
from bot.ui.annotate import annotated
from bot.ui.cards import Form, Interaction, info_field, name_field
from bot.ui.errors import explained
from bot.ui.stream import QUIET
from db.spoken import Spoken
from db.types import Answer, Concept, Forgotten, Match, Verdict

MAX_JUDGED = 4
LAST_ROW = 4
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
    template=r"keepsake:undo:(?P<owner>user|server):(?P<concept>[0-9a-f]{32})",
):
    """“undo”: remembers again what was forgotten."""

    def __init__(self, owner: str, concept_id: UUID) -> None:
        self._owner = owner
        self._concept_id = concept_id
        super().__init__(discord.ui.Button(label="undo", custom_id=f"keepsake:undo:{owner}:{concept_id.hex}"))

    @classmethod
    def alone(cls, gone: Forgotten) -> discord.ui.View:
        """Return the button for something that was forgotten."""
        view = discord.ui.View(timeout=None)
        view.add_item(cls(gone.owner_id.partition(":")[0], gone.concept_id))
        return view

    @classmethod
    async def from_custom_id(cls, _: Interaction, __: discord.ui.Item[Any], match: re.Match[str], /) -> Self:
        """Make the button of a custom id, as Discord sends it back."""
        return cls(match["owner"], UUID(match["concept"]))

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Undo it, in the memory it was forgotten from."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        actor = actor_of(interaction)
        owner = actor.personal_memory if self._owner == "user" else server_memory_of(actor)
        concept = await memories.undo(app_of(interaction), actor, owner, self._concept_id)
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


class WhatIKnow(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"keepsake:known"):
    """“What I know”: tells who asked, and nobody else, what others may not read."""

    def __init__(self) -> None:
        super().__init__(discord.ui.Button(label=texts.answers.MORE, custom_id="keepsake:known", row=LAST_ROW))

    @classmethod
    async def from_custom_id(cls, _: Interaction, __: discord.ui.Item[Any], ___: re.Match[str], /) -> Self:
        """Make the button of a custom id, as Discord sends it back."""
        return cls()

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Tell them."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        message_id = 0 if interaction.message is None else interaction.message.id
        known, answer = await conversation.known_of(app_of(interaction), actor_of(interaction), message_id)
        text = "\n\n".join(texts.memories.entry(concept) for concept in known) or texts.answers.NOTHING_MORE
        files = [] if answer is None else await _known_picture(interaction, answer)
        first, *rest = texts.formatting.split(text)
        await interaction.edit_original_response(content=first, attachments=files, allowed_mentions=QUIET)
        for part in rest:
            await interaction.followup.send(part, ephemeral=True, allowed_mentions=QUIET, suppress_embeds=True)


class TakeBack(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"keepsake:back"):
    """“✖”: takes an answer back, with all of its messages and the copy of its picture."""

    def __init__(self) -> None:
        super().__init__(discord.ui.Button(label="✖", custom_id="keepsake:back", row=LAST_ROW))

    @classmethod
    async def from_custom_id(cls, _: Interaction, __: discord.ui.Item[Any], ___: re.Match[str], /) -> Self:
        """Make the button of a custom id, as Discord sends it back."""
        return cls()

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Take it back, for who asked."""
        await interaction.response.defer()
        message_id = 0 if interaction.message is None else interaction.message.id
        messages = await conversation.take_back(app_of(interaction), actor_of(interaction), message_id)
        await delete_messages(interaction.client, messages)


async def delete_messages(client: Any, messages: Sequence[Spoken]) -> None:
    """Delete messages of the bot's; those that are gone already, or out of its reach, are left alone."""
    for spoken in messages:
        channel = client.get_partial_messageable(spoken.channel_id)
        with contextlib.suppress(discord.HTTPException):
            await channel.get_partial_message(spoken.message_id).delete()


async def _known_picture(interaction: Interaction, answer: Answer) -> list[discord.File]:
    """Return the kept picture with all that was recognised in it, hidden if it was."""
    recognised = [
        Match(
            concept=sighting.concept,
            region=sighting.region,
            box=sighting.box,
            similarity=1.0,
            probability=sighting.probability or 0.0,
        )
        for sighting in answer.sightings
        if sighting.concept is not None
    ]
    if not recognised:
        return []
    shown = [] if interaction.message is None else interaction.message.attachments
    data = await asyncio.to_thread(annotated, answer.picture, recognised)
    return [discord.File(io.BytesIO(data), "keepsake.jpg", spoiler=any(file.is_spoiler() for file in shown))]


DYNAMIC_ITEMS = (Right, NotThem, RememberThis, Undo, TheSame, WhatIKnow, TakeBack)


def buttons_for(context: AnswerContext, *, stays: bool) -> discord.ui.View | None:
    """Return the buttons of an answer, None when there is nothing to press; one that ``stays`` can be taken back."""
    view = discord.ui.View(timeout=None)
    if context.answer_id is not None:
        _add_feedback(view, context, context.answer_id)
    if context.more:
        view.add_item(WhatIKnow())
    if stays:
        view.add_item(TakeBack())
    return view if view.children else None


def _add_feedback(view: discord.ui.View, context: AnswerContext, answer_id: UUID) -> None:
    recognised = context.recalled.recognised[:MAX_JUDGED]
    for row, match in enumerate(recognised):
        about = match.concept.name if len(recognised) > 1 else None
        for button in (Right(answer_id, match.region, about), NotThem(answer_id, match.region, about)):
            button.row = row
            view.add_item(button)
    if context.unknown_region is not None:
        view.add_item(RememberThis(answer_id, context.unknown_region))
