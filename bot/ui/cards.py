"""What all cards have in common: messages of components, for one person's eyes, that change as they press."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import discord
from discord import ui

from bot.ui.errors import explained
from bot.ui.live import end_live

CARD_SECONDS = 14 * 60.0
"""A little less than Discord lets the bot edit a message that only one person sees."""

Interaction = discord.Interaction[Any]
Act = Callable[[Interaction], Awaitable[None]]
Pick = Callable[[Interaction, list[Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Shown:
    """A card ready to be shown: what it is made of, and the pictures in it, by file name."""

    view: ui.LayoutView
    pictures: dict[str, bytes]


class Press(ui.Button[Any]):
    """A button that does what it was made with."""

    def __init__(
        self, label: str, act: Act, style: discord.ButtonStyle = discord.ButtonStyle.secondary, **more: Any
    ) -> None:
        super().__init__(label=label[:80], style=style, **more)
        self._act = act

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Do it."""
        await self._act(interaction)


class Choose(ui.Select[Any]):
    """A menu that does what it was made with, with what was chosen."""

    def __init__(self, placeholder: str, options: Sequence[discord.SelectOption], pick: Pick, **more: Any) -> None:
        super().__init__(placeholder=placeholder, options=list(options)[:25], **more)
        self._pick = pick

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Do it."""
        await self._pick(interaction, self.values)


class Ask(ui.Modal):
    """A form that does what it was made with; its fields are read by their custom ids."""

    def __init__(self, title: str, act: Act, *fields: ui.Label[Any]) -> None:
        super().__init__(title=title[:45])
        self._act = act
        for field in fields:
            self.add_item(field)

    @explained
    async def on_submit(self, interaction: Interaction) -> None:
        """Do it."""
        await self._act(interaction)


def line(label: str, custom_id: str, *, text: str = "", longest: int = 64, required: bool = True) -> ui.Label[Any]:
    """Return a field for one line of text."""
    field: ui.TextInput[Any] = ui.TextInput(
        custom_id=custom_id, default=text or None, max_length=longest, required=required
    )
    return ui.Label(text=label[:45], component=field)


def paragraph(label: str, custom_id: str, *, text: str = "", longest: int = 1000) -> ui.Label[Any]:
    """Return a field for several lines of text, which may stay empty."""
    field: ui.TextInput[Any] = ui.TextInput(
        custom_id=custom_id,
        default=text or None,
        max_length=longest,
        required=False,
        style=discord.TextStyle.paragraph,
    )
    return ui.Label(text=label[:45], component=field)


def upload(label: str, custom_id: str, description: str) -> ui.Label[Any]:
    """Return a field for a file."""
    return ui.Label(text=label[:45], description=description[:100], component=ui.FileUpload(custom_id=custom_id))


def value_of(field: ui.Label[Any]) -> str:
    """Return what was typed into a field."""
    assert isinstance(field.component, ui.TextInput)  # noqa: S101 (made by `line` or `paragraph`)
    return field.component.value


def file_of(field: ui.Label[Any]) -> discord.Attachment:
    """Return the file that was put into a field."""
    assert isinstance(field.component, ui.FileUpload)  # noqa: S101 (made by `upload`)
    return field.component.values[0]


def view_of(*items: ui.Item[Any], colour: int = 0x2E86AB) -> ui.LayoutView:
    """Return a card of these items, within one frame."""
    view = ui.LayoutView(timeout=CARD_SECONDS)
    view.add_item(ui.Container(*items, accent_colour=colour))
    return view


def rows(items: Sequence[ui.Item[Any]]) -> list[ui.ActionRow[Any]]:
    """Return buttons in rows of five."""
    return [ui.ActionRow(*items[start : start + 5]) for start in range(0, len(items), 5)]


async def show(interaction: Interaction, shown: Shown) -> discord.InteractionMessage:
    """Show a card in place of what was there, for the eyes of one person."""
    if not interaction.response.is_done():
        await interaction.response.defer()
    if interaction.message is not None:
        end_live(interaction.message.id)
    files = [discord.File(io.BytesIO(picture), name) for name, picture in shown.pictures.items()]
    return await interaction.edit_original_response(
        view=shown.view, attachments=files, allowed_mentions=discord.AllowedMentions.none()
    )


async def whisper(interaction: Interaction, text: str, **more: Any) -> None:
    """Tell one person something beside the card."""
    if not interaction.response.is_done():
        await interaction.response.defer(ephemeral=True, thinking=True)
    await interaction.followup.send(text, ephemeral=True, allowed_mentions=discord.AllowedMentions.none(), **more)
