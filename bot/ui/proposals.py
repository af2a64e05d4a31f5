"""What members want to share, waiting for an admin of the server to agree."""

from __future__ import annotations

import discord
from discord import ui

from bot import texts
from bot.service import governance
from bot.service.app import App
from bot.ui.actor import admin_of
from bot.ui.cards import VIOLET, Action, ActionButton, Card, Interaction
from bot.ui.errors import explained
from db.types import SetAside

MAX_PROPOSALS = 8
"""On one card: Discord allows 40 parts of it."""


async def show_proposals(interaction: Interaction, app: App, *, back: Action) -> None:
    """Show what waits for the admins; ``back`` shows what this was opened from."""
    overview = await governance.overview(app, await admin_of(interaction))
    await ProposalsCard(app, overview.proposals[:MAX_PROPOSALS], back).show(interaction)


class ProposalsCard(Card):
    """Proposals, with two buttons each."""

    def __init__(self, app: App, proposals: tuple[SetAside, ...], back: Action) -> None:
        super().__init__(ui.TextDisplay(texts.servers.WAITING), colour=VIOLET)
        self.app = app
        self.back = back
        for proposal in proposals:
            buttons = ui.ActionRow(AgreeButton(self, proposal), DeclineButton(self, proposal))
            self.add(ui.TextDisplay(texts.servers.proposal(proposal)), buttons)
        self.add(ui.ActionRow(ActionButton("Back", back, custom_id="back")))

    async def again(self, interaction: Interaction) -> None:
        """Show what waits by now."""
        await show_proposals(interaction, self.app, back=self.back)


class AgreeButton(ui.Button[ProposalsCard]):
    """Takes a proposal into the server's memory."""

    def __init__(self, card: ProposalsCard, proposal: SetAside) -> None:
        green = discord.ButtonStyle.success
        super().__init__(label="Agree", style=green, custom_id=f"agree-{proposal.set_aside_id.hex}")
        self._card = card
        self._proposal = proposal

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Take it."""
        await interaction.response.defer()
        admin = await admin_of(interaction)
        await governance.approve(self._card.app, admin, self._proposal.set_aside_id)
        await self._card.again(interaction)


class DeclineButton(ui.Button[ProposalsCard]):
    """Deletes a proposal."""

    def __init__(self, card: ProposalsCard, proposal: SetAside) -> None:
        super().__init__(label="Decline", custom_id=f"no-{proposal.set_aside_id.hex}")
        self._card = card
        self._proposal = proposal

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Delete it."""
        await interaction.response.defer()
        admin = await admin_of(interaction)
        await governance.decline(self._card.app, admin, self._proposal.set_aside_id)
        await self._card.again(interaction)
