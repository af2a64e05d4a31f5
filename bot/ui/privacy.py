"""`/privacy`: a card with what is stored about a person, and a button for each power over it."""

from __future__ import annotations

import io
from typing import Any

import discord
from discord import ui

from bot import texts
from bot.service import privacy
from bot.service.app import Actor, App
from bot.service.privacy import Export, ImportPlan, Report
from bot.ui import attachments
from bot.ui.actor import actor_of
from bot.ui.cards import (
    Act,
    Ask,
    Interaction,
    Press,
    Shown,
    file_of,
    line,
    rows,
    show,
    upload,
    value_of,
    view_of,
    whisper,
)
from bot.ui.learning import TrainingPanel, follow_learning, learning_buttons, learning_line
from db.types import OwnerId

RED = discord.ButtonStyle.danger
GREEN = discord.ButtonStyle.success
COLOUR = 0x2E86AB
MARGIN = 100_000
"""Bytes of a message beside its files."""
MAX_FILES = 10
"""Files of one message."""


async def show_privacy(interaction: Interaction, app: App) -> None:
    """Show what is stored about who asks."""
    report = await privacy.report(app, actor_of(interaction))
    line, desk = learning_line(report.learning), _desk(app)
    view = _card(app, report, line)
    message = await show(interaction, Shown(view, {}))
    if report.may_train:
        follow_learning(interaction, message, desk, report.learning, view, line)


def _desk(app: App) -> TrainingPanel:
    def whose(interaction: Interaction) -> tuple[Actor, OwnerId]:
        actor = actor_of(interaction)
        return actor, actor.personal_memory

    return TrainingPanel(app, whose, _back(app), "What I learned", COLOUR)


def _card(app: App, report: Report, line: ui.TextDisplay[Any]) -> ui.LayoutView:
    consent = texts.privacy.CONSENT_ON if report.may_train else texts.privacy.CONSENT_OFF
    objection = texts.privacy.OBJECTION_ON if report.objects else texts.privacy.OBJECTION_OFF
    return view_of(
        ui.TextDisplay(f"## What I keep about you\n{texts.privacy.what_is_stored(report.stored)}"),
        ui.Separator(),
        ui.TextDisplay(f"- {consent}\n- {objection}"),
        *([line] if report.may_train else []),
        *rows(
            [
                Press("Export everything", _exports(app), custom_id="export"),
                Press("Import…", _asks_import(app), custom_id="import"),
                _consent_button(app, report),
                _objection_button(app, report),
                Press("Delete everything…", _asks_deletion(app), RED, custom_id="delete"),
                *(learning_buttons(_desk(app), report.learning, may_learn=True) if report.may_train else []),
            ]
        ),
        ui.TextDisplay(texts.privacy.RULES),
    )


def _consent_button(app: App, report: Report) -> Press:
    async def toggle(interaction: Interaction) -> None:
        await privacy.set_may_train(app, actor_of(interaction), may=not report.may_train)
        await show_privacy(interaction, app)

    return Press("Withdraw consent" if report.may_train else "Allow training", toggle, custom_id="consent")


def _objection_button(app: App, report: Report) -> Press:
    async def toggle(interaction: Interaction) -> None:
        await interaction.response.defer()
        deleted = await privacy.set_objects(app, actor_of(interaction), objects=not report.objects)
        await show_privacy(interaction, app)
        if deleted:
            await whisper(interaction, texts.memories.deleted(deleted))

    return Press("Withdraw objection" if report.objects else "Forget me as a person", toggle, custom_id="object")


def _exports(app: App) -> Act:
    async def export(interaction: Interaction) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        largest = min(interaction.filesize_limit, attachments.LARGEST_FILE) - MARGIN
        files = await privacy.export(app, actor_of(interaction), largest)
        for group in _groups(files, largest):
            await whisper(
                interaction,
                texts.archives.EXPORTED,
                files=[discord.File(io.BytesIO(export.data), export.name) for export in group],
            )

    return export


def _groups(files: list[Export], largest: int) -> list[list[Export]]:
    """Return files as messages can hold them: ten at most, and not more bytes together than one may have."""
    groups: list[list[Export]] = [[]]
    for file in files:
        too_large = sum(len(other.data) for other in groups[-1]) + len(file.data) > largest
        if groups[-1] and (len(groups[-1]) == MAX_FILES or too_large):
            groups.append([])
        groups[-1].append(file)
    return groups


def _asks_import(app: App) -> Act:
    async def ask(interaction: Interaction) -> None:
        field = upload("The file", "file", texts.archives.IMPORT_HINT)

        async def plan(submitted: Interaction) -> None:
            await submitted.response.defer()
            data = await attachments.read_file(file_of(field))
            await _show_plan(submitted, app, await privacy.plan_import(app, actor_of(submitted), data))

        await interaction.response.send_modal(Ask("Import", plan, field))

    return ask


async def _show_plan(interaction: Interaction, app: App, plan: ImportPlan) -> None:
    async def carry_out(pressed: Interaction) -> None:
        await pressed.response.defer()
        count = await privacy.carry_out(app, actor_of(pressed), plan)
        await show_privacy(pressed, app)
        await whisper(pressed, texts.archives.imported(count))

    buttons = [Press("Back", _back(app), custom_id="back")]
    if plan.new:
        buttons.insert(0, Press("Import", carry_out, GREEN, custom_id="yes"))
    said = texts.archives.plan([concept.name for concept in plan.new], plan.pictures, plan.known)
    await show(interaction, Shown(view_of(ui.TextDisplay(said), *rows(buttons)), {}))


def _asks_deletion(app: App) -> Act:
    async def ask(interaction: Interaction) -> None:
        word = line(f"Type {texts.privacy.DELETE_WORD} to delete everything", "word", longest=10)

        async def delete(submitted: Interaction) -> None:
            if value_of(word).strip().upper() != texts.privacy.DELETE_WORD:
                await whisper(submitted, texts.privacy.NOT_DELETED)
                return
            await submitted.response.defer()
            receipt = await privacy.erase(app, actor_of(submitted))
            await show_privacy(submitted, app)
            text = texts.privacy.receipt(receipt.erased, receipt.number, receipt.at, objects=receipt.objects)
            file = discord.File(io.BytesIO(text.encode()), f"keepsake-receipt-{receipt.number}.txt")
            await whisper(submitted, f"```\n{text}\n```", file=file)

        warning: ui.TextDisplay[ui.LayoutView] = ui.TextDisplay(texts.privacy.DELETE_EVERYTHING)
        form = Ask("Delete everything", delete, word)
        form.add_item(warning)
        await interaction.response.send_modal(form)

    return ask


def _back(app: App) -> Act:
    async def back(interaction: Interaction) -> None:
        await show_privacy(interaction, app)

    return back
