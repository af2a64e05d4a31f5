"""The card of a concept: its pictures, what is known of it, and a button for each thing its owner can do with it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any
from uuid import UUID

import discord
from discord import ui

from bot import texts
from bot.service import governance, memories
from bot.service.app import App
from bot.service.remember import add_picture
from bot.service.thumbnails import LARGE, thumbnail
from bot.ui import attachments
from bot.ui.browse_state import BrowseState
from bot.ui.cards import (
    Action,
    ActionButton,
    Card,
    ChoiceMenu,
    FileField,
    Form,
    Interaction,
    Item,
    TextField,
    info_field,
    name_field,
    rows,
    whisper,
)
from bot.ui.feedback_buttons import Undo
from bot.ui.people import ask_person
from bot.ui.word import with_word
from db.admission import MAX_REFERENCES
from db.types import Concept, OwnerId

RED = discord.ButtonStyle.danger
BLUE = discord.ButtonStyle.primary


async def show_concept(
    interaction: Interaction, state: BrowseState, owner: OwnerId, concept_id: UUID, *, back: Action
) -> None:
    """Show a concept's card; ``back`` shows what it was opened from. Raises NotRememberedError when it is gone."""
    actor = await state.actor(interaction)
    details = await memories.card(state.app, actor, owner, concept_id)
    if state.for_admins:
        await governance.note_reading(state.app, actor, details.concept)
    card = ConceptCard(state, details, back)
    card.pictures = await asyncio.to_thread(_thumbnails, details)
    await card.show(interaction)


class ConceptCard(Card):
    """All about one concept."""

    def __init__(self, state: BrowseState, details: memories.Card, back: Action) -> None:
        super().__init__(_heading(details))
        self.state = state
        self.concept = details.concept
        self.back = back
        self._details = details
        if len(details.references) > 1:
            names = _file_names(details)
            self.add(ui.MediaGallery(*(discord.MediaGalleryItem(f"attachment://{name}") for name in names)))
        if details.may_change:
            self.add(*self._picture_menus(), *rows(self._buttons()))
        self.add(ui.ActionRow(ActionButton("◀ All", back, custom_id="all")))

    def _picture_menus(self) -> list[Item]:
        if len(self._details.references) < 2:
            return []
        options = _picture_options(self._details)
        avatar = "Show another picture as the avatar…"
        return [
            ui.ActionRow(ChoiceMenu(avatar, options, self.choose_avatar, custom_id="avatar")),
            ui.ActionRow(ChoiceMenu("Remove a picture…", options, self.remove_picture, custom_id="remove")),
        ]

    def _buttons(self) -> list[Item]:
        buttons: list[Item] = [
            ActionButton("Edit…", self.ask_for_edit, BLUE, custom_id="edit"),
            ActionButton("Add a picture…", self.ask_for_picture, custom_id="add"),
            ActionButton("Merge…", self.ask_for_other, custom_id="merge"),
        ]
        if self._details.may_unshare:
            buttons.append(ActionButton("Stop sharing", self.unshare, custom_id="unshare"))
        elif self._details.may_share:
            buttons.append(ActionButton("Share…", self.confirm_sharing, custom_id="share"))
        buttons.append(ActionButton("Forget…", self.confirm_forgetting, RED, custom_id="forget"))
        return buttons

    @property
    def app(self) -> App:
        """The bot's app."""
        return self.state.app

    async def again(self, interaction: Interaction) -> None:
        """Show the card with what is so by now."""
        await self._open(interaction, self.concept)

    async def choose_avatar(self, interaction: Interaction, chosen: list[str]) -> None:
        """Show another picture in lists."""
        actor = await self.state.actor(interaction)
        await memories.choose_avatar(self.app, actor, self.concept, UUID(chosen[0]))
        await self.again(interaction)

    async def remove_picture(self, interaction: Interaction, chosen: list[str]) -> None:
        """Remove a picture."""
        actor = await self.state.actor(interaction)
        await memories.remove_picture(self.app, actor, self.concept, UUID(chosen[0]))
        await self.again(interaction)

    async def ask_for_edit(self, interaction: Interaction) -> None:
        """Ask what to change."""
        await interaction.response.send_modal(EditForm(self))

    async def ask_for_picture(self, interaction: Interaction) -> None:
        """Ask for one more picture."""
        await interaction.response.send_modal(PictureForm(self))

    async def ask_for_other(self, interaction: Interaction) -> None:
        """Ask which other concept is the same."""
        await interaction.response.send_modal(MergeForm(self))

    async def confirm_sharing(self, interaction: Interaction) -> None:
        """Say what sharing means, and ask once more."""
        warning = texts.memories.SHARE_WARNING
        if self.concept.is_person:
            warning += texts.memories.SHARE_PERSON_WARNING
        await ConfirmationCard(self, "Share", warning, self.share).show(interaction)

    async def confirm_forgetting(self, interaction: Interaction) -> None:
        """Say what forgetting means, and ask once more."""
        await ConfirmationCard(self, "Forget", texts.memories.FORGET_WARNING, self.forget).show(interaction)

    async def share(self, interaction: Interaction) -> None:
        """Move it to the server's memory, or propose that."""
        await interaction.response.defer()
        shared = await memories.share(self.app, await self.state.actor(interaction), self.concept)
        await self._open(interaction, shared.concept or self.concept)
        if shared.request is None:
            await whisper(interaction, texts.memories.shared(shared.concept))
        else:
            await whisper(interaction, await ask_person(interaction.client, shared.request))

    async def unshare(self, interaction: Interaction) -> None:
        """Take it back out of the server's memory."""
        await interaction.response.defer()
        await memories.unshare(self.app, await self.state.actor(interaction), self.concept)
        await self.back(interaction)
        await whisper(interaction, texts.memories.unshared(self.concept.name))

    async def forget(self, interaction: Interaction) -> None:
        """Forget it; a button undoes that for a while."""
        await interaction.response.defer()
        gone = await memories.forget(self.app, await self.state.actor(interaction), self.concept)
        await self.back(interaction)
        await whisper(interaction, texts.memories.forgotten(gone.name), view=Undo.alone(gone))

    async def _open(self, interaction: Interaction, concept: Concept) -> None:
        await show_concept(interaction, self.state, concept.owner_id, concept.concept_id, back=self.back)


class ConfirmationCard(Card):
    """Asks once more before something is done with a concept."""

    def __init__(self, opened_from: ConceptCard, label: str, warning: str, action: Action) -> None:
        super().__init__(
            ui.TextDisplay(f"## {label} {texts.memories.title(opened_from.concept)}?\n{warning}"),
            ui.ActionRow(
                ActionButton(label, action, RED, custom_id="yes"),
                ActionButton("Don't", opened_from.again, custom_id="no"),
            ),
        )


class EditForm(Form):
    """Asks what to change about a concept."""

    def __init__(self, card: ConceptCard) -> None:
        self._card = card
        self._name = name_field(card.concept.name)
        self._info = info_field(card.concept.info)
        self._category = TextField("Category", "category", text=card.concept.category, required=False)
        super().__init__("Edit", self._name, self._info, self._category)

    async def submit(self, interaction: Interaction) -> None:
        """Change it."""
        await interaction.response.defer()
        await with_word(interaction, self._card.app, partial(self._change, interaction))

    async def _change(self, interaction: Interaction) -> None:
        await memories.edit(
            self._card.app,
            await self._card.state.actor(interaction),
            self._card.concept,
            name=self._name.value,
            info=self._info.value,
            category=self._category.value,
        )
        await self._card.again(interaction)


class PictureForm(Form):
    """Asks for one more picture of a concept."""

    def __init__(self, card: ConceptCard) -> None:
        self._card = card
        self._picture = FileField("One more picture", "picture", "With only them in it, or with them in the middle")
        super().__init__("Add a picture", self._picture)

    async def submit(self, interaction: Interaction) -> None:
        """Add it."""
        await interaction.response.defer()
        picture = await attachments.read(self._picture.file)
        actor = await self._card.state.actor(interaction)
        await add_picture(self._card.app, actor, self._card.concept, picture)
        await self._card.again(interaction)


class MergeForm(Form):
    """Asks which other concept is the same as this one."""

    def __init__(self, card: ConceptCard) -> None:
        self._card = card
        self._name = TextField("Which other one is the same?", "name")
        super().__init__(f"Merge into {card.concept.name}", self._name)

    async def submit(self, interaction: Interaction) -> None:
        """Make one concept of both."""
        app, actor = self._card.app, await self._card.state.actor(interaction)
        other = await memories.other_of_name(app, actor, self._card.concept, self._name.value)
        await memories.merge(app, actor, self._card.concept, other)
        await self._card.again(interaction)


def _thumbnails(details: memories.Card) -> dict[str, bytes]:
    return {
        name: thumbnail(reference, LARGE)
        for name, reference in zip(_file_names(details), details.references, strict=False)
    }


def _file_names(details: memories.Card) -> list[str]:
    return [f"{number}.jpg" for number, _ in enumerate(details.references[:MAX_REFERENCES], start=1)]


def _heading(details: memories.Card) -> Item:
    concept = details.concept
    text: ui.TextDisplay[Any] = ui.TextDisplay(f"## {texts.memories.title(concept)}\n{texts.memories.details(concept)}")
    names = _file_names(details)
    if not names:
        return text
    pairs = zip(names, details.references, strict=False)
    avatar = next((name for name, reference in pairs if reference.is_avatar), names[0])
    return ui.Section(text, accessory=ui.Thumbnail(f"attachment://{avatar}", description=concept.name))


def _picture_options(details: memories.Card) -> list[discord.SelectOption]:
    return [
        discord.SelectOption(
            label=f"Picture {number}" + (" (the avatar)" if reference.is_avatar else ""),
            value=reference.reference_id.hex,
        )
        for number, reference in enumerate(details.references, start=1)
    ]
