"""Who changed what in a server's memory, page by page, and all of it as a file."""

from __future__ import annotations

import io

import discord
from discord import ui

from bot import texts
from bot.service import governance
from bot.service.app import App
from bot.ui.actor import admin_of
from bot.ui.cards import VIOLET, Action, ActionButton, Card, Interaction, whisper
from db.types import AuditEntry

PAGE = 15


async def show_audit_log(interaction: Interaction, app: App, page: int = 0, *, back: Action) -> None:
    """Show a page of it, the latest first; ``back`` shows what this was opened from."""
    entries = await governance.audit_page(app, await admin_of(interaction), page, PAGE + 1)
    await AuditLogCard(app, entries, page, back).show(interaction)


class AuditLogCard(Card):
    """A page of the audit log; with an entry more than a page has, there is a next one."""

    def __init__(self, app: App, entries: list[AuditEntry], page: int, back: Action) -> None:
        super().__init__(colour=VIOLET)
        self._app = app
        self._page = page
        self._back = back
        lines = "\n".join(texts.servers.audit_line(entry) for entry in entries[:PAGE]) or texts.servers.NOTHING_HAPPENED
        self.add(
            ui.TextDisplay(f"## Who changed what\n{lines}"),
            ui.ActionRow(
                ActionButton("◀", self.show_newer, disabled=page == 0, custom_id="newer"),
                ActionButton("▶", self.show_older, disabled=len(entries) <= PAGE, custom_id="older"),
                ActionButton("Export", self.export, custom_id="export"),
                ActionButton("Back", back, custom_id="back"),
            ),
        )

    async def show_newer(self, interaction: Interaction) -> None:
        """Show the page of what happened after."""
        await show_audit_log(interaction, self._app, self._page - 1, back=self._back)

    async def show_older(self, interaction: Interaction) -> None:
        """Show the page of what happened before."""
        await show_audit_log(interaction, self._app, self._page + 1, back=self._back)

    async def export(self, interaction: Interaction) -> None:
        """Send all of it as a file."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        data = await governance.audit_csv(self._app, await admin_of(interaction))
        await whisper(
            interaction, texts.servers.AUDIT_EXPORTED, file=discord.File(io.BytesIO(data), "keepsake-audit.csv")
        )
