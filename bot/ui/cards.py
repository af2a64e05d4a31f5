"""What all cards have in common: messages of components, for one person's eyes, that change as they press."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import discord
from discord import ui

from bot.ui.errors import explained
from bot.ui.live import end_live

CARD_SECONDS = 14 * 60.0
"""A little less than Discord lets the bot edit a message that only one person sees."""

BLUE = 0x2E86AB
VIOLET = 0x5E548E
WARNING = 0xA23B72

Interaction = discord.Interaction[Any]
Action = Callable[[Interaction], Awaitable[None]]
Choice = Callable[[Interaction, list[str]], Awaitable[None]]
Item = ui.Item[Any]


class Card(ui.LayoutView):
    """A message of components within one frame. Its buttons and menus call its methods; its forms have their own.

    A card holds what it shows, and never who may do what: that is taken from the interaction at every press.
    """

    def __init__(self, *items: Item, colour: int = BLUE) -> None:
        super().__init__(timeout=CARD_SECONDS)
        self.pictures: dict[str, bytes] = {}
        """By the file names that the items show them under."""
        self._frame: ui.Container[Any] = ui.Container(accent_colour=colour)
        self.add_item(self._frame)
        self.add(*items)

    def add(self, *items: Item) -> None:
        """Add items at the end. Raises ValueError when there are more than the 40 that Discord allows."""
        for item in items:
            self._frame.add_item(item)

    async def show(self, interaction: Interaction) -> discord.InteractionMessage:
        """Show the card in place of what was there."""
        if not interaction.response.is_done():
            await interaction.response.defer()
        if interaction.message is not None:
            end_live(interaction.message.id)
        files = [discord.File(io.BytesIO(picture), name) for name, picture in self.pictures.items()]
        return await interaction.edit_original_response(
            view=self, attachments=files, allowed_mentions=discord.AllowedMentions.none()
        )


class ActionButton(ui.Button[Any]):
    """A button that calls a method of its card."""

    def __init__(
        self,
        label: str,
        action: Action,
        style: discord.ButtonStyle = discord.ButtonStyle.secondary,
        *,
        custom_id: str,
        disabled: bool = False,
    ) -> None:
        super().__init__(label=label[:80], style=style, custom_id=custom_id, disabled=disabled)
        self._action = action

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Call it."""
        await self._action(interaction)


class ChoiceMenu(ui.Select[Any]):
    """A menu that calls a method of its card with what was chosen."""

    def __init__(
        self, placeholder: str, options: Sequence[discord.SelectOption], choice: Choice, *, custom_id: str
    ) -> None:
        super().__init__(placeholder=placeholder, options=list(options)[:25], custom_id=custom_id)
        self._choice = choice

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Call it."""
        await self._choice(interaction, self.values)


class Form(ui.Modal):
    """A form with these fields; its subclasses say in `submit` what is done with them."""

    def __init__(self, title: str, *fields: Item) -> None:
        super().__init__(title=title[:45])
        for field in fields:
            self.add_item(field)

    @explained
    async def on_submit(self, interaction: Interaction) -> None:
        """Do it."""
        await self.submit(interaction)

    @abstractmethod
    async def submit(self, interaction: Interaction) -> None:
        """Do what the form is for."""


class TextField(ui.Label[Any]):
    """A field for text: one line of it, or several, which may stay empty."""

    def __init__(
        self,
        label: str,
        custom_id: str,
        *,
        text: str = "",
        max_length: int = 64,
        required: bool = True,
        several_lines: bool = False,
    ) -> None:
        self._input: ui.TextInput[Any] = ui.TextInput(
            custom_id=custom_id,
            default=text or None,
            max_length=max_length,
            required=required,
            style=discord.TextStyle.paragraph if several_lines else discord.TextStyle.short,
        )
        super().__init__(text=label[:45], component=self._input)

    @property
    def value(self) -> str:
        """What was typed."""
        return self._input.value


class FileField(ui.Label[Any]):
    """A field for a file."""

    def __init__(self, label: str, custom_id: str, description: str) -> None:
        self._upload: ui.FileUpload[Any] = ui.FileUpload(custom_id=custom_id)
        super().__init__(text=label[:45], description=description[:100], component=self._upload)

    @property
    def file(self) -> discord.Attachment:
        """What was put in: Discord lets nobody submit the form without."""
        return self._upload.values[0]


def name_field(text: str = "") -> TextField:
    """Return the field for a concept's name."""
    return TextField("Name", "name", text=text)


def info_field(text: str = "") -> TextField:
    """Return the field for what is known of a concept."""
    return TextField("What should I know?", "info", text=text, max_length=1000, required=False, several_lines=True)


def rows(items: Sequence[Item]) -> list[ui.ActionRow[Any]]:
    """Return buttons in rows of five."""
    return [ui.ActionRow(*items[start : start + 5]) for start in range(0, len(items), 5)]


async def whisper(interaction: Interaction, text: str, **more: Any) -> None:
    """Tell one person something beside the card."""
    if not interaction.response.is_done():
        await interaction.response.defer(ephemeral=True, thinking=True)
    await interaction.followup.send(
        text, ephemeral=True, allowed_mentions=discord.AllowedMentions.none(), suppress_embeds=True, **more
    )
