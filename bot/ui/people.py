"""Asking somebody whether a memory of them may be shared, in a direct message or in `/privacy`; and their answer."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any, Self
from uuid import UUID

import discord

from bot import texts
from bot.service import people
from bot.service.app import App
from bot.service.people import Request
from bot.service.thumbnails import LARGE, thumbnail
from bot.texts.errors import for_error
from bot.ui.actor import actor_of, member_actor
from bot.ui.cards import Interaction
from bot.ui.errors import explained
from bot.ui.notices import notify
from db.errors import UserFacingError
from db.types import OwnerId, Proposal


async def ask_person(client: discord.Client, request: Request) -> str:
    """Ask whoever a request is about, unless they were; returns what to tell who wants to share."""
    proposal = request.proposal
    person = proposal.person or 0
    reached = request.is_new and await notify(
        client, person, words_of(client, request), answers_to(request), await files_of(request)
    )
    return texts.people.asked(person, is_new=request.is_new, reached=reached)


def words_of(client: discord.Client, request: Request) -> str:
    """Return what a request says."""
    return texts.people.request(request.proposal, name_of_server(client, request.proposal.owner_id))


async def files_of(request: Request) -> list[discord.File]:
    """Return the pictures of a request."""
    jpegs = [await asyncio.to_thread(thumbnail, reference, LARGE) for reference in request.references]
    return [discord.File(io.BytesIO(jpeg), f"{number}.jpg") for number, jpeg in enumerate(jpegs)]


def answers_to(request: Request) -> discord.ui.View:
    """Return the buttons of a request."""
    view = discord.ui.View(timeout=None)
    for word in ("yes", "no"):
        view.add_item(AnswerRequest(word, request.proposal.proposal_id, request.proposal.seen))
    return view


def name_of_server(client: discord.Client, owner: OwnerId) -> str:
    """Return a server's name, as far as the bot knows it."""
    guild = client.get_guild(int(owner.removeprefix("server:")))
    return "a server that I left" if guild is None else guild.name


class AnswerRequest(
    discord.ui.DynamicItem[discord.ui.Button[Any]],
    template=r"keepsake:share:(?P<word>yes|no):(?P<proposal>[0-9a-f]{32}):(?P<seen>[0-9a-f]{32})",
):
    """“I agree” and “No”: what the person says to being shared, as they saw it."""

    def __init__(self, word: str, proposal_id: UUID, seen: str) -> None:
        self._agrees = word == "yes"
        self._proposal_id = proposal_id
        self._seen = seen
        super().__init__(
            discord.ui.Button(
                label=texts.people.SHARE_YES if self._agrees else texts.people.SHARE_NO,
                style=discord.ButtonStyle.success if self._agrees else discord.ButtonStyle.secondary,
                custom_id=f"keepsake:share:{word}:{proposal_id.hex}:{seen}",
            )
        )

    @classmethod
    async def from_custom_id(cls, _: Interaction, __: discord.ui.Item[Any], match: re.Match[str], /) -> Self:
        """Make the button of a custom id, as Discord sends it back."""
        return cls(match["word"], UUID(match["proposal"]), match["seen"])

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Store what they say, act on it, and tell who asked."""
        await interaction.response.defer()
        app: App = interaction.client.app
        proposal = await people.answer(app, actor_of(interaction), self._proposal_id, self._seen, agrees=self._agrees)
        said = texts.people.SAID_YES if self._agrees else texts.people.SAID_NO
        await interaction.edit_original_response(content=said, view=None, attachments=[])
        if self._agrees:
            told = await _share(interaction.client, app, proposal)
        else:
            told = texts.people.disagreed(proposal.concept, name_of_server(interaction.client, proposal.owner_id))
        await notify(interaction.client, proposal.proposed_by, told)


async def _share(client: discord.Client, app: App, proposal: Proposal) -> str:
    """Share what was agreed to, if who asked still may; returns what to tell them."""
    server = name_of_server(client, proposal.owner_id)
    try:
        asker = await member_actor(client, int(proposal.owner_id.removeprefix("server:")), proposal.proposed_by)
        sharing = await people.share_agreed(app, asker, proposal.concept)
    except UserFacingError as error:
        return texts.people.agreed_but(proposal.concept, server, for_error(error))
    return texts.people.agreed(proposal.concept, server, waits=sharing.concept is None)
