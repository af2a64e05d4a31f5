"""`/privacy`: a card with what is stored about a person, and a button for each power over it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial

import discord
from discord import ui

from bot import texts
from bot.archive.schema import LARGEST_FILE
from bot.service import importing, privacy
from bot.service.app import Actor, App
from bot.service.importing import ImportPlan
from bot.service.privacy import Export, Report
from bot.ui import attachments
from bot.ui.actor import actor_of
from bot.ui.cards import ActionButton, Card, ChoiceMenu, FileField, Form, Interaction, Item, TextField, rows, whisper
from bot.ui.feedback_buttons import delete_messages
from bot.ui.learning import LearningCard
from bot.ui.people import answers_to, files_of, words_of
from db.types import InPublic, OwnerId, server_owner

RED = discord.ButtonStyle.danger
GREEN = discord.ButtonStyle.success
MARGIN = 100_000
"""Bytes of a message beside its files."""
MAX_LINKED = 20
"""Concepts that are linked to them and listed at a time."""
MAX_PROPOSALS = 10
"""That are listed, the oldest first."""
MAX_FILES = 10
"""Files of one message."""


async def show_privacy(interaction: Interaction, app: App) -> None:
    """Show what is stored about who asks."""
    report = await privacy.report(app, actor_of(interaction))
    guilds = {server_owner(guild.id): guild.name for guild in interaction.client.guilds}
    await PrivacyCard(app, report, guilds).show(interaction)


class PrivacyCard(LearningCard):
    """What is stored about a person, whether their memory is learned from, and what they can do about it."""

    learned_title = "What I learned"

    def __init__(self, app: App, report: Report, server_names: Mapping[OwnerId, str]) -> None:
        super().__init__(app, report.learning, may_learn=report.may_train)
        self._report = report
        self._server_names = server_names
        consent = texts.privacy.CONSENT_ON if report.may_train else texts.privacy.CONSENT_OFF
        objection = texts.privacy.OBJECTION_ON if report.objects else texts.privacy.OBJECTION_OFF
        word = [] if report.vouched_at is None else [texts.people.word_given(report.vouched_at)]
        self.add(
            ui.TextDisplay(f"## What I keep about you\n{texts.privacy.what_is_stored(report.stored)}"),
            ui.Separator(),
            ui.TextDisplay(
                "\n".join(
                    f"- {line}" for line in (texts.privacy.IN_PUBLIC[report.in_public], consent, objection, *word)
                )
            ),
            *([self.learning_line] if report.may_train else []),
            *rows(self._buttons()),
            ui.ActionRow(self._in_public_menu()),
            *self._requests(),
            *self._linked(),
            *self._proposals(),
            ui.TextDisplay(texts.privacy.RULES),
        )

    def _buttons(self) -> list[Item]:
        consent = "Withdraw consent" if self._report.may_train else "Allow training"
        objection = "Withdraw objection" if self._report.objects else "Forget me as a person"
        return [
            ActionButton("Export everything", self.export, custom_id="export"),
            ActionButton("Import…", self.ask_for_file, custom_id="import"),
            ActionButton(consent, self.toggle_consent, custom_id="consent"),
            ActionButton(objection, self.toggle_objection, custom_id="object"),
            *self._copies_button(),
            ActionButton("Delete everything…", self.ask_before_deleting, RED, custom_id="delete"),
            *(self.learning_buttons if self._report.may_train else []),
        ]

    def _copies_button(self) -> list[Item]:
        copies = self._report.stored.copies
        return (
            [ActionButton(f"Delete others' copies ({copies})", self.delete_copies, custom_id="copies")]
            if copies
            else []
        )

    def _in_public_menu(self) -> ChoiceMenu:
        options = [
            discord.SelectOption(label=label, value=choice.value, default=choice is self._report.in_public)
            for choice, label in texts.privacy.IN_PUBLIC_CHOICES.items()
        ]
        return ChoiceMenu(texts.privacy.IN_PUBLIC_HINT, options, self.choose_in_public, custom_id="in_public")

    def _linked(self) -> list[Item]:
        """Return what is linked to their account in others' memories, to be taken out."""
        found = self._report.linked
        if not found:
            return []
        places = [
            self._server_names.get(linked.owner_id, "a server that I left")[:100] if linked.is_shared else None
            for linked in found
        ]
        lines = [texts.people.linked(linked.name, place) for linked, place in zip(found, places, strict=True)]
        if len(lines) > MAX_LINKED:
            lines[MAX_LINKED:] = [texts.people.more_linked(len(lines) - MAX_LINKED)]
        options = [
            discord.SelectOption(label=linked.name or texts.people.PRIVATE_LINK, value=str(number), description=place)
            for number, (linked, place) in enumerate(zip(found[:MAX_LINKED], places, strict=False))
        ]
        menu = ChoiceMenu(texts.people.TAKE_OUT_HINT, options, self.take_out, custom_id="linked")
        return [ui.TextDisplay("\n".join([texts.people.LINKED, *lines])), ui.ActionRow(menu)]

    async def take_out(self, interaction: Interaction, chosen: list[str]) -> None:
        """Take something that is linked to them out."""
        await interaction.response.defer()
        linked = self._report.linked[int(chosen[0])]
        await privacy.take_out(self.app, actor_of(interaction), linked)
        await self.again(interaction)
        await whisper(interaction, texts.people.TAKEN_OUT if linked.is_shared else texts.people.UNLINKED)

    def _requests(self) -> list[Item]:
        """Return what others want to share of them, to be answered."""
        waiting = self._report.requests[:MAX_PROPOSALS]
        if not waiting:
            return []
        servers = [self._server_names.get(request.proposal.owner_id, "a server that I left") for request in waiting]
        pairs = list(zip(waiting, servers, strict=True))
        lines = [texts.people.request_line(request.proposal, server) for request, server in pairs]
        options = [
            discord.SelectOption(label=request.proposal.concept.name, value=str(number), description=server[:100])
            for number, (request, server) in enumerate(pairs)
        ]
        menu = ChoiceMenu(texts.people.REQUESTS_HINT, options, self.show_request, custom_id="requests")
        return [ui.TextDisplay("\n".join(lines)), ui.ActionRow(menu)]

    async def show_request(self, interaction: Interaction, chosen: list[str]) -> None:
        """Show what somebody wants to share of them, with the buttons to answer."""
        request = self._report.requests[int(chosen[0])]
        files = await files_of(request)
        await whisper(interaction, words_of(interaction.client, request), view=answers_to(request), files=files)

    def _proposals(self) -> list[Item]:
        """Return what they proposed to servers and is undecided, to be withdrawn."""
        waiting = self._report.proposals[:MAX_PROPOSALS]
        if not waiting:
            return []
        servers = [self._server_names.get(proposal.owner_id, "a server that I left") for proposal in waiting]
        lines = [texts.privacy.proposal(proposal, server) for proposal, server in zip(waiting, servers, strict=True)]
        options = [
            discord.SelectOption(label=proposal.concept.name, value=str(number), description=server[:100])
            for number, (proposal, server) in enumerate(zip(waiting, servers, strict=True))
        ]
        menu = ChoiceMenu(texts.privacy.WITHDRAW_HINT, options, self.withdraw_proposal, custom_id="withdraw")
        return [ui.TextDisplay("\n".join(lines)), ui.ActionRow(menu)]

    async def withdraw_proposal(self, interaction: Interaction, chosen: list[str]) -> None:
        """Don't propose something any more."""
        await interaction.response.defer()
        await privacy.withdraw_proposal(self.app, actor_of(interaction), self._report.proposals[int(chosen[0])])
        await self.again(interaction)

    async def choose_in_public(self, interaction: Interaction, chosen: list[str]) -> None:
        """Store what may be said of their memory where others can read."""
        await privacy.set_in_public(self.app, actor_of(interaction), InPublic(chosen[0]))
        await self.again(interaction)

    async def whose(self, interaction: Interaction) -> tuple[Actor, OwnerId]:
        """Return who presses, and their own memory."""
        actor = actor_of(interaction)
        return actor, actor.personal_memory

    async def again(self, interaction: Interaction) -> None:
        """Show the card with what is stored by now."""
        await show_privacy(interaction, self.app)

    async def toggle_consent(self, interaction: Interaction) -> None:
        """Store that they allow training, or no longer do."""
        may = not self._report.may_train
        await privacy.set_may_train(self.app, actor_of(interaction), may=may)
        await self.again(interaction)

    async def toggle_objection(self, interaction: Interaction) -> None:
        """Store that they object to being in shared memories, or no longer do."""
        await interaction.response.defer()
        objects = not self._report.objects
        deleted = await privacy.set_objects(self.app, actor_of(interaction), objects=objects)
        await self.again(interaction)
        if deleted:
            await whisper(interaction, texts.memories.deleted(deleted))

    async def delete_copies(self, interaction: Interaction) -> None:
        """Delete the pictures of their messages that others keep."""
        await interaction.response.defer()
        deleted = await privacy.delete_copies(self.app, actor_of(interaction))
        await self.again(interaction)
        await whisper(interaction, texts.privacy.copies_deleted(deleted))

    async def export(self, interaction: Interaction) -> None:
        """Send them everything that is stored about them."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        largest = min(interaction.filesize_limit, LARGEST_FILE) - MARGIN
        exports = await privacy.export(self.app, actor_of(interaction), largest)
        for group in _groups(exports, largest):
            files = [discord.File(io.BytesIO(export.data), export.name) for export in group]
            await whisper(interaction, texts.archives.EXPORTED, files=files)

    async def ask_for_file(self, interaction: Interaction) -> None:
        """Ask for the file to import."""
        await interaction.response.send_modal(ImportForm(self))

    async def ask_before_deleting(self, interaction: Interaction) -> None:
        """Let them type a word before everything is deleted."""
        await interaction.response.send_modal(DeletionForm(self))


class ImportForm(Form):
    """Asks for the file to import, and shows what importing it would do."""

    def __init__(self, card: PrivacyCard) -> None:
        self._card = card
        self._file = FileField("The file", "file", texts.archives.IMPORT_HINT)
        super().__init__("Import", self._file)

    async def submit(self, interaction: Interaction) -> None:
        """Show the plan."""
        await interaction.response.defer()
        fetch = partial(attachments.read_file, self._file.file)
        plan = await importing.plan_import(self._card.app, actor_of(interaction), fetch)
        await ImportPlanCard(self._card, plan).show(interaction)


class ImportPlanCard(Card):
    """What an import would do, before it does it."""

    def __init__(self, opened_from: PrivacyCard, plan: ImportPlan) -> None:
        super().__init__()
        self._opened_from = opened_from
        self._plan = plan
        label = texts.people.AGREE_AND_IMPORT if plan.people else "Import"
        self.add(
            ui.TextDisplay(texts.archives.plan(plan.new, plan.pictures, plan.known, plan.people)),
            ui.ActionRow(
                *([ActionButton(label, self.carry_out, GREEN, custom_id="yes")] if plan.new else []),
                ActionButton("Back", opened_from.again, custom_id="back"),
            ),
        )

    async def carry_out(self, interaction: Interaction) -> None:
        """Do it."""
        await interaction.response.defer()
        count = await importing.carry_out(self._opened_from.app, actor_of(interaction), self._plan)
        await self._opened_from.again(interaction)
        await whisper(interaction, texts.archives.imported(count))


class DeletionForm(Form):
    """Deletes everything once the word is typed."""

    def __init__(self, card: PrivacyCard) -> None:
        self._card = card
        self._word = TextField(f"Type {texts.privacy.DELETE_WORD} to delete everything", "word", max_length=10)
        super().__init__("Delete everything", self._word, ui.TextDisplay(texts.privacy.DELETE_EVERYTHING))

    async def submit(self, interaction: Interaction) -> None:
        """Delete it, and give them a receipt."""
        if self._word.value.strip().upper() != texts.privacy.DELETE_WORD:
            await whisper(interaction, texts.privacy.NOT_DELETED)
            return
        await interaction.response.defer()
        receipt = await privacy.erase(self._card.app, actor_of(interaction))
        await delete_messages(interaction.client, receipt.spoken)
        await self._card.again(interaction)
        text = texts.privacy.receipt(receipt.erased, receipt.number, receipt.at, objects=receipt.objects)
        file = discord.File(io.BytesIO(text.encode()), f"keepsake-receipt-{receipt.number}.txt")
        await whisper(interaction, f"```\n{text}\n```", file=file)


def _groups(files: list[Export], largest: int) -> list[list[Export]]:
    """Return files as messages can hold them: ten at most, and not more bytes together than one may have."""
    groups: list[list[Export]] = [[]]
    for file in files:
        too_large = sum(len(other.data) for other in groups[-1]) + len(file.data) > largest
        if groups[-1] and (len(groups[-1]) == MAX_FILES or too_large):
            groups.append([])
        groups[-1].append(file)
    return groups
