"""Deleting from a server's memory: what one member shared, what is old, or everything."""

from __future__ import annotations

from typing import Any

import discord
from discord import ui

from bot import texts
from bot.service import governance
from bot.service.app import App
from bot.ui.actor import admin_of
from bot.ui.cards import WARNING, Action, ActionButton, Card, Form, Interaction, TextField, whisper
from bot.ui.errors import explained

RED = discord.ButtonStyle.danger


class PurgeCard(Card):
    """What could be deleted; ``back`` shows what this was opened from, and what is left after."""

    def __init__(self, app: App, *, back: Action) -> None:
        super().__init__(ui.TextDisplay(texts.servers.PURGE), colour=WARNING)
        self.app = app
        self.back = back
        self.add(
            ui.ActionRow(MemberMenu(self)),
            ui.ActionRow(
                ActionButton("What is old…", self.ask_for_age, RED, custom_id="old"),
                ActionButton("Everything…", self.ask_for_word, RED, custom_id="everything"),
                ActionButton("Back", back, custom_id="back"),
            ),
        )

    async def ask_for_age(self, interaction: Interaction) -> None:
        """Ask how old is old."""
        await interaction.response.send_modal(AgeForm(self))

    async def ask_for_word(self, interaction: Interaction) -> None:
        """Let them type a word before everything is deleted."""
        await interaction.response.send_modal(EverythingForm(self))

    async def tell_purged(self, interaction: Interaction, deleted: int) -> None:
        """Show what is left, and say how much was deleted."""
        await self.back(interaction)
        await whisper(interaction, texts.memories.deleted(deleted))


class MemberMenu(ui.UserSelect[Any]):
    """Chooses whose contributions are deleted."""

    def __init__(self, card: PurgeCard) -> None:
        super().__init__(placeholder="What one member shared…", custom_id="member")
        self._card = card

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Ask once more."""
        await PurgeMemberCard(self._card, self.values[0].id).show(interaction)


class PurgeMemberCard(Card):
    """Asks once more before what one member shared is deleted."""

    def __init__(self, opened_from: PurgeCard, user_id: int) -> None:
        super().__init__(ui.TextDisplay(texts.servers.purge_member(user_id)), colour=WARNING)
        self._opened_from = opened_from
        self._user_id = user_id
        self.add(
            ui.ActionRow(
                ActionButton("Purge", self.purge, RED, custom_id="yes"),
                ActionButton("Back", opened_from.back, custom_id="back"),
            )
        )

    async def purge(self, interaction: Interaction) -> None:
        """Delete it."""
        await interaction.response.defer()
        app = self._opened_from.app
        deleted = await governance.purge_member(app, await admin_of(interaction), self._user_id)
        await self._opened_from.tell_purged(interaction, deleted)


class AgeForm(Form):
    """Deletes what nobody changed or met for as many days as are typed."""

    def __init__(self, card: PurgeCard) -> None:
        self._card = card
        self._days = TextField("Not touched or met for how many days?", "days", text="365", max_length=5)
        super().__init__("Purge what is old", self._days)

    async def submit(self, interaction: Interaction) -> None:
        """Delete it."""
        await interaction.response.defer()
        admin = await admin_of(interaction)
        deleted = await governance.purge_older(self._card.app, admin, self._days.value)
        await self._card.tell_purged(interaction, deleted)


class EverythingForm(Form):
    """Deletes the whole memory once the word is typed."""

    def __init__(self, card: PurgeCard) -> None:
        self._card = card
        self._word = TextField(f"Type {texts.privacy.DELETE_WORD} to purge everything", "word", max_length=10)
        super().__init__("Purge everything", self._word)

    async def submit(self, interaction: Interaction) -> None:
        """Delete it."""
        if self._word.value.strip().upper() != texts.privacy.DELETE_WORD:
            await whisper(interaction, texts.privacy.NOT_DELETED)
            return
        await interaction.response.defer()
        deleted = await governance.purge_all(self._card.app, await admin_of(interaction))
        await self._card.tell_purged(interaction, deleted)
