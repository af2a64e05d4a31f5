"""`/memories`: a memory to leaf through, and a card for each concept. Only who asked sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

import discord
from discord import ui

from bot import texts
from bot.service import memories
from bot.service.app import Actor, App
from bot.service.memories import Card, Page, Wanted
from bot.service.permissions import MAX_REFERENCES
from bot.service.remember import add_picture
from bot.service.thumbnails import LARGE, thumbnail
from bot.ui import attachments
from bot.ui.actor import actor_of
from bot.ui.buttons import Undo
from bot.ui.cards import (
    Act,
    Ask,
    Choose,
    Interaction,
    Press,
    Shown,
    file_of,
    line,
    paragraph,
    rows,
    show,
    upload,
    value_of,
    view_of,
    whisper,
)
from db.types import Concept, OwnerId

RED = discord.ButtonStyle.danger
BLUE = discord.ButtonStyle.primary
Does = Callable[["BrowseState", Concept], Act]


@dataclass(frozen=True, slots=True)
class BrowseState:
    """Where somebody is in a memory; ``is_admin``: they came by the admins' command."""

    app: App
    wanted: Wanted
    is_admin: bool | None = None

    def standing(self, interaction: Interaction) -> Actor:
        """Return the standing of who presses."""
        return actor_of(interaction, is_admin=self.is_admin)

    def at(self, wanted: Wanted) -> BrowseState:
        """Return the same at another page."""
        return replace(self, wanted=wanted)


async def show_list(interaction: Interaction, here: BrowseState) -> None:
    """Show a page of a memory."""
    page = await memories.browse(here.app, here.standing(interaction), here.wanted)
    await show(interaction, await _list(here, page, on_server=here.standing(interaction).server_memory is not None))


async def show_card(interaction: Interaction, here: BrowseState, owner: OwnerId, concept_id: UUID) -> None:
    """Show a concept's card."""
    card = await memories.card(here.app, here.standing(interaction), owner, concept_id)
    await show(interaction, await _card(here, card))


async def _list(here: BrowseState, page: Page, *, on_server: bool) -> Shown:
    images = {
        f"{number}.jpg": await asyncio.to_thread(thumbnail, avatar)
        for number, (_, avatar) in enumerate(page.entries)
        if avatar is not None
    }
    items: list[ui.Item[ui.LayoutView]] = [ui.TextDisplay(_heading(page))]
    for number, (concept, avatar) in enumerate(page.entries):
        text = ui.TextDisplay[ui.LayoutView](texts.memories.entry(concept))
        picture = ui.Thumbnail[ui.LayoutView](f"attachment://{number}.jpg", description=concept.name)
        items.append(text if avatar is None else ui.Section(text, accessory=picture))
    if not page.entries:
        is_filtered = page.wanted.search or page.wanted.category
        items.append(ui.TextDisplay(texts.memories.NOTHING_FOUND if is_filtered else texts.memories.EMPTY_MEMORY))
    if page.entries:
        items.append(ui.ActionRow(_opener(here, page)))
    if len(page.categories) > 1 or page.wanted.category:
        items.append(ui.ActionRow(_category_menu(here, page)))
    items.append(ui.ActionRow(*_turns(here, page, on_server=on_server)))
    return Shown(view_of(*items), images)


def _heading(page: Page) -> str:
    wanted = page.wanted
    return texts.memories.heading(
        page.total,
        shared=wanted.shared,
        search=wanted.search,
        category=wanted.category,
        page=wanted.page if wanted.page or page.has_more else None,
    )


def _opener(here: BrowseState, page: Page) -> Choose:
    options = [
        discord.SelectOption(label=concept.name, value=concept.concept_id.hex, description=concept.category or None)
        for concept, _ in page.entries
    ]
    owner = page.entries[0][0].owner_id

    async def open_it(interaction: Interaction, chosen: list[str]) -> None:
        await show_card(interaction, here, owner, UUID(chosen[0]))

    return Choose("Open…", options, open_it, custom_id="open")


def _category_menu(here: BrowseState, page: Page) -> Choose:
    options = [discord.SelectOption(label="everything", value="*", default=not page.wanted.category)]
    options += [
        discord.SelectOption(label=category, value=category, default=category.lower() == page.wanted.category.lower())
        for category in page.categories
        if category != "*"
    ]

    async def only(interaction: Interaction, chosen: list[str]) -> None:
        category = "" if chosen[0] == "*" else chosen[0]
        await show_list(interaction, here.at(replace(page.wanted, category=category, page=0)))

    return Choose("Only one category…", options, only, custom_id="category")


def _turns(here: BrowseState, page: Page, *, on_server: bool) -> list[Press]:
    wanted = page.wanted
    search = line("Words in a name or info", "words", text=wanted.search, longest=200, required=False)

    async def find(interaction: Interaction) -> None:
        await show_list(interaction, here.at(replace(wanted, search=value_of(search), page=0)))

    async def ask(interaction: Interaction) -> None:
        await interaction.response.send_modal(Ask("Find", find, search))

    buttons = [
        Press("◀", _goes(here, replace(wanted, page=wanted.page - 1)), disabled=wanted.page == 0, custom_id="back"),
        Press("▶", _goes(here, replace(wanted, page=wanted.page + 1)), disabled=not page.has_more, custom_id="on"),
        Press("Find…", ask, custom_id="find"),
    ]
    if on_server and here.is_admin is None:
        other = "My own" if wanted.shared else "This server's"
        buttons.append(Press(other, _goes(here, Wanted(shared=not wanted.shared)), custom_id="other"))
    return buttons


def _goes(here: BrowseState, wanted: Wanted) -> Act:
    async def go(interaction: Interaction) -> None:
        await show_list(interaction, here.at(wanted))

    return go


async def _card(here: BrowseState, card: Card) -> Shown:
    concept = card.concept
    images = {
        f"{number}.jpg": await asyncio.to_thread(thumbnail, reference, LARGE)
        for number, reference in enumerate(card.references[:MAX_REFERENCES], start=1)
    }
    numbered = enumerate(card.references[:MAX_REFERENCES], start=1)
    shown = next((number for number, reference in numbered if reference.is_avatar), 1)
    heading = ui.TextDisplay[ui.LayoutView](f"## {texts.memories.title(concept)}\n{texts.memories.details(concept)}")
    items: list[ui.Item[ui.LayoutView]] = [
        ui.Section(heading, accessory=ui.Thumbnail(f"attachment://{shown}.jpg", description=concept.name))
        if images
        else heading
    ]
    if len(images) > 1:
        gallery = [discord.MediaGalleryItem(f"attachment://{name}") for name in images]
        items.append(ui.MediaGallery(*gallery))
    if card.may_change:
        if len(images) > 1:
            items += [ui.ActionRow(_avatar_menu(here, card)), ui.ActionRow(_removal_menu(here, card))]
        items += rows(_actions(here, card))
    items.append(ui.ActionRow(Press("◀ All", _goes(here, here.wanted), custom_id="all")))
    return Shown(view_of(*items), images)


def _picture_options(card: Card) -> list[discord.SelectOption]:
    return [
        discord.SelectOption(
            label=f"Picture {number}" + (" (the avatar)" if reference.is_avatar else ""),
            value=reference.reference_id.hex,
        )
        for number, reference in enumerate(card.references, start=1)
    ]


def _avatar_menu(here: BrowseState, card: Card) -> Choose:
    async def choose(interaction: Interaction, chosen: list[str]) -> None:
        actor = here.standing(interaction)
        await memories.choose_avatar(here.app, actor, card.concept, UUID(chosen[0]))
        await _again(interaction, here, card.concept)

    return Choose("Show another picture as the avatar…", _picture_options(card), choose, custom_id="avatar")


def _removal_menu(here: BrowseState, card: Card) -> Choose:
    async def remove(interaction: Interaction, chosen: list[str]) -> None:
        actor = here.standing(interaction)
        await memories.remove_picture(here.app, actor, card.concept, UUID(chosen[0]))
        await _again(interaction, here, card.concept)

    return Choose("Remove a picture…", _picture_options(card), remove, custom_id="remove")


def _actions(here: BrowseState, card: Card) -> list[Press]:
    concept = card.concept
    buttons = [
        Press("Edit…", _asks_edit(here, concept), BLUE, custom_id="edit"),
        Press("Add a picture…", _asks_picture(here, concept), custom_id="add"),
        Press("Merge…", _asks_merge(here, concept), custom_id="merge"),
    ]
    if card.may_unshare:
        buttons.append(Press("Stop sharing", _unshares(here, concept), custom_id="unshare"))
    elif card.may_share:
        buttons.append(
            Press("Share…", _confirms(here, concept, texts.memories.SHARE_WARNING, "Share", _shares), custom_id="share")
        )
    buttons.append(
        Press(
            "Forget…",
            _confirms(here, concept, texts.memories.FORGET_WARNING, "Forget", _forgets),
            RED,
            custom_id="forget",
        )
    )
    return buttons


def _asks_edit(here: BrowseState, concept: Concept) -> Act:
    name = line("Name", "name", text=concept.name)
    info = paragraph("What should I know?", "info", text=concept.info)
    category = line("Category", "category", text=concept.category, required=False)

    async def edit(interaction: Interaction) -> None:
        await memories.edit(
            here.app,
            here.standing(interaction),
            concept,
            name=value_of(name),
            info=value_of(info),
            category=value_of(category),
        )
        await _again(interaction, here, concept)

    async def ask(interaction: Interaction) -> None:
        await interaction.response.send_modal(Ask("Edit", edit, name, info, category))

    return ask


def _asks_picture(here: BrowseState, concept: Concept) -> Act:
    field = upload("One more picture", "picture", "With only them in it, or with them in the middle")

    async def add(interaction: Interaction) -> None:
        await interaction.response.defer()
        picture = await attachments.read(file_of(field))
        await add_picture(here.app, here.standing(interaction), concept, picture)
        await _again(interaction, here, concept)

    async def ask(interaction: Interaction) -> None:
        await interaction.response.send_modal(Ask("Add a picture", add, field))

    return ask


def _asks_merge(here: BrowseState, concept: Concept) -> Act:
    name = line("Which other one is the same?", "name")

    async def merge(interaction: Interaction) -> None:
        app, actor = here.app, here.standing(interaction)
        other = await memories.other_of_name(app, actor, concept, value_of(name))
        await memories.merge(app, actor, concept, other)
        await _again(interaction, here, concept)

    async def ask(interaction: Interaction) -> None:
        await interaction.response.send_modal(Ask(f"Merge into {concept.name}", merge, name))

    return ask


def _confirms(here: BrowseState, concept: Concept, warning: str, label: str, does: Does) -> Act:
    async def confirm(interaction: Interaction) -> None:
        items = [
            ui.TextDisplay[ui.LayoutView](f"## {label} {texts.memories.title(concept)}?\n{warning}"),
            ui.ActionRow[ui.LayoutView](
                Press(label, does(here, concept), RED, custom_id="yes"),
                Press("Don't", _opens(here, concept), custom_id="no"),
            ),
        ]
        await show(interaction, Shown(view_of(*items), {}))

    return confirm


def _opens(here: BrowseState, concept: Concept) -> Act:
    async def go(interaction: Interaction) -> None:
        await _again(interaction, here, concept)

    return go


def _shares(here: BrowseState, concept: Concept) -> Act:
    async def share(interaction: Interaction) -> None:
        await interaction.response.defer()
        shared = await memories.share(here.app, here.standing(interaction), concept)
        await _again(interaction, here, shared or concept)
        await whisper(interaction, texts.memories.shared(shared))

    return share


def _unshares(here: BrowseState, concept: Concept) -> Act:
    async def unshare(interaction: Interaction) -> None:
        await interaction.response.defer()
        await memories.unshare(here.app, here.standing(interaction), concept)
        await show_list(interaction, here)
        await whisper(interaction, texts.memories.unshared(concept.name))

    return unshare


def _forgets(here: BrowseState, concept: Concept) -> Act:
    async def forget(interaction: Interaction) -> None:
        await interaction.response.defer()
        gone = await memories.forget(here.app, here.standing(interaction), concept)
        await show_list(interaction, here)
        await whisper(interaction, texts.memories.forgotten(gone.name), view=Undo.alone(gone))

    return forget


async def _again(interaction: Interaction, here: BrowseState, concept: Concept) -> None:
    await show_card(interaction, here, concept.owner_id, concept.concept_id)
