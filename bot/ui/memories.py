"""`/memories`: a memory to leaf through, page by page. Only who asked sees it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import discord
from discord import ui

from bot import texts
from bot.service import memories
from bot.service.memories import Page, Wanted
from bot.service.thumbnails import thumbnail
from bot.ui.browse_state import BrowseState
from bot.ui.cards import ActionButton, Card, ChoiceMenu, Form, Interaction, Item, TextField
from bot.ui.concept import show_concept
from db.types import Concept

EVERYTHING = "*"
"""In the menu of categories."""


async def show_list(interaction: Interaction, state: BrowseState) -> None:
    """Show a page of a memory."""
    actor = await state.actor(interaction)
    page = await memories.browse(state.app, actor, state.wanted)
    card = ListCard(state, page, has_server=actor.server_memory is not None)
    card.pictures = await asyncio.to_thread(_thumbnails, page)
    await card.show(interaction)


class ListCard(Card):
    """A page of a memory: its concepts to open, its categories, and the ways to other pages."""

    def __init__(self, state: BrowseState, page: Page, *, has_server: bool) -> None:
        super().__init__(ui.TextDisplay(_heading(page)))
        self._state = state
        self._page = page
        self.add(*(_entry(number, *entry) for number, entry in enumerate(page.entries)))
        if page.entries:
            self.add(ui.ActionRow(self._opener()))
        else:
            is_filtered = page.wanted.search or page.wanted.category
            self.add(ui.TextDisplay(texts.memories.NOTHING_FOUND if is_filtered else texts.memories.EMPTY_MEMORY))
        if len(page.categories) > 1 or page.wanted.category:
            self.add(ui.ActionRow(self._category_menu()))
        self.add(ui.ActionRow(*self._turns(has_server=has_server)))

    def _opener(self) -> ChoiceMenu:
        options = [
            discord.SelectOption(label=concept.name, value=concept.concept_id.hex, description=concept.category or None)
            for concept, _ in self._page.entries
        ]
        return ChoiceMenu("Open…", options, self.open_concept, custom_id="open")

    def _category_menu(self) -> ChoiceMenu:
        chosen = self._page.wanted.category.lower()
        options = [discord.SelectOption(label="everything", value=EVERYTHING, default=not chosen)]
        options += [
            discord.SelectOption(label=category, value=category, default=category.lower() == chosen)
            for category in self._page.categories
            if category != EVERYTHING
        ]
        return ChoiceMenu("Only one category…", options, self.choose_category, custom_id="category")

    def _turns(self, *, has_server: bool) -> list[ActionButton]:
        wanted = self._page.wanted
        buttons = [
            ActionButton("◀", self.go_back, disabled=wanted.page == 0, custom_id="back"),
            ActionButton("▶", self.go_on, disabled=not self._page.has_more, custom_id="on"),
            ActionButton("Find…", self.ask_for_words, custom_id="find"),
        ]
        if has_server and not self._state.for_admins:
            other = "My own" if wanted.shared else "This server's"
            buttons.append(ActionButton(other, self.open_other_memory, custom_id="other"))
        return buttons

    async def again(self, interaction: Interaction) -> None:
        """Show the same page with what is so by now."""
        await show_list(interaction, self._state)

    async def open_concept(self, interaction: Interaction, chosen: list[str]) -> None:
        """Show the card of a concept."""
        owner = self._page.entries[0][0].owner_id
        await show_concept(interaction, self._state, owner, UUID(chosen[0]), back=self.again)

    async def choose_category(self, interaction: Interaction, chosen: list[str]) -> None:
        """Show only one category, or all."""
        category = "" if chosen[0] == EVERYTHING else chosen[0]
        await self._turn_to(interaction, replace(self._page.wanted, category=category, page=0))

    async def go_back(self, interaction: Interaction) -> None:
        """Show the page before."""
        await self._turn_to(interaction, replace(self._page.wanted, page=self._page.wanted.page - 1))

    async def go_on(self, interaction: Interaction) -> None:
        """Show the next page."""
        await self._turn_to(interaction, replace(self._page.wanted, page=self._page.wanted.page + 1))

    async def ask_for_words(self, interaction: Interaction) -> None:
        """Ask what to find."""
        await interaction.response.send_modal(FindForm(self, self._page.wanted.search))

    async def find(self, interaction: Interaction, words: str) -> None:
        """Show only what has these words in its name or its info."""
        await self._turn_to(interaction, replace(self._page.wanted, search=words, page=0))

    async def open_other_memory(self, interaction: Interaction) -> None:
        """Go from the person's own memory to the server's, or back."""
        await self._turn_to(interaction, Wanted(shared=not self._page.wanted.shared))

    async def _turn_to(self, interaction: Interaction, wanted: Wanted) -> None:
        await show_list(interaction, replace(self._state, wanted=wanted))


class FindForm(Form):
    """Asks for the words to find."""

    def __init__(self, card: ListCard, search: str) -> None:
        self._card = card
        self._words = TextField("Words in a name or info", "words", text=search, max_length=200, required=False)
        super().__init__("Find", self._words)

    async def submit(self, interaction: Interaction) -> None:
        """Find them."""
        await self._card.find(interaction, self._words.value)


def _thumbnails(page: Page) -> dict[str, bytes]:
    return {f"{number}.jpg": thumbnail(avatar) for number, (_, avatar) in enumerate(page.entries) if avatar is not None}


def _entry(number: int, concept: Concept, avatar: object | None) -> Item:
    text: ui.TextDisplay[Any] = ui.TextDisplay(texts.memories.entry(concept))
    if avatar is None:
        return text
    return ui.Section(text, accessory=ui.Thumbnail(f"attachment://{number}.jpg", description=concept.name))


def _heading(page: Page) -> str:
    wanted = page.wanted
    return texts.memories.heading(
        page.total,
        shared=wanted.shared,
        search=wanted.search,
        category=wanted.category,
        page=wanted.page if wanted.page or page.has_more else None,
    )
