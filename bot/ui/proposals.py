"""What members want to share, waiting for an admin of the server to approve: with words, pictures, and who asks."""

from __future__ import annotations

import asyncio

import discord
from discord import ui

from bot import texts
from bot.service import governance
from bot.service.app import App
from bot.service.governance import Waiting
from bot.service.thumbnails import LARGE, thumbnail
from bot.ui.actor import admin_of
from bot.ui.cards import Action, ActionButton, Card, Interaction
from bot.ui.errors import explained
from bot.ui.notices import notify
from db.types import Proposal

MAX_LISTED = 100


async def show_proposals(interaction: Interaction, app: App, *, back: Action) -> None:
    """Show what waits for the admins, the oldest first; ``back`` shows what this was opened from."""
    waiting = await governance.waiting(app, await admin_of(interaction), limit=MAX_LISTED)
    card = ProposalsCard(app, waiting, back)
    card.pictures = await asyncio.to_thread(_thumbnails, waiting[:1])
    await card.show(interaction)


class ProposalsCard(Card):
    """What has waited longest, with all that is known of it and all of its pictures, and how much else waits."""

    def __init__(self, app: App, waiting: list[Waiting], back: Action) -> None:
        super().__init__(ui.TextDisplay(texts.servers.WAITING if waiting else texts.servers.NOTHING_WAITS))
        self.app = app
        self.back = back
        for item in waiting[:1]:
            self.add(
                ui.TextDisplay(texts.servers.proposal(item.proposal)),
                ui.MediaGallery(*(discord.MediaGalleryItem(f"attachment://{name}") for name in _file_names(item))),
                ui.ActionRow(ApproveButton(self, item.proposal), DeclineButton(self, item.proposal)),
            )
        if len(waiting) > 1:
            self.add(ui.TextDisplay(texts.servers.more_wait(len(waiting) - 1)))
        self.add(ui.ActionRow(ActionButton("Back", back, custom_id="back")))

    async def again(self, interaction: Interaction) -> None:
        """Show what waits by now."""
        await show_proposals(interaction, self.app, back=self.back)


class ApproveButton(ui.Button[ProposalsCard]):
    """Takes a proposal into the server's memory."""

    def __init__(self, card: ProposalsCard, proposal: Proposal) -> None:
        green = discord.ButtonStyle.success
        super().__init__(label="Approve", style=green, custom_id=f"agree-{proposal.proposal_id.hex}")
        self._card = card
        self._proposal = proposal

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Take it, and tell who proposed it."""
        await interaction.response.defer()
        await governance.approve(self._card.app, await admin_of(interaction), self._proposal)
        await self._card.again(interaction)
        said = texts.servers.approved(self._proposal.concept.name, _name_of_server(interaction))
        await notify(interaction.client, self._proposal.proposed_by, said)


class DeclineButton(ui.Button[ProposalsCard]):
    """Deletes a proposal."""

    def __init__(self, card: ProposalsCard, proposal: Proposal) -> None:
        super().__init__(label="Decline", custom_id=f"no-{proposal.proposal_id.hex}")
        self._card = card
        self._proposal = proposal

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Delete it, and tell who proposed it."""
        await interaction.response.defer()
        await governance.decline(self._card.app, await admin_of(interaction), self._proposal)
        await self._card.again(interaction)
        said = texts.servers.declined(self._proposal.concept.name, _name_of_server(interaction))
        await notify(interaction.client, self._proposal.proposed_by, said)


def _name_of_server(interaction: Interaction) -> str:
    return "that server" if interaction.guild is None else interaction.guild.name


def _file_names(waiting: Waiting) -> list[str]:
    return [f"{number}.jpg" for number in range(len(waiting.references))]


def _thumbnails(waiting: list[Waiting]) -> dict[str, bytes]:
    return {
        name: thumbnail(reference, LARGE)
        for item in waiting
        for name, reference in zip(_file_names(item), item.references, strict=True)
    }
