"""“Remember this” on a message: its pictures with numbered boxes, one to pick, a name to give."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import discord
from discord import ui

from bot import texts
from bot.service.app import App
from bot.service.remember import Part, PictureParts, add_picture, find_parts, is_name_of, remember_part
from bot.ui.actor import actor_of
from bot.ui.annotate import numbered
from bot.ui.cards import (
    ActionButton,
    Card,
    ChoiceMenu,
    Form,
    Interaction,
    TextField,
    info_field,
    name_field,
)
from bot.ui.word import with_word
from db.geometry import WHOLE
from db.types import Concept, Source
from model_worker.api.certainty import certainty, place_in_picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What somebody said about a part of a picture; ``source`` is the message that it is from."""

    picture: bytes
    source: Source
    part: Part
    name: str
    info: str
    category: str


async def offer_parts(interaction: Interaction, app: App, pictures: tuple[bytes, ...], source: Source) -> None:
    """Show what could be remembered in these pictures of a message. Raises what looking raises."""
    look = await find_parts(app, actor_of(interaction), pictures)
    card = PartsCard(app, look, source, await asyncio.to_thread(_with_numbers, look))
    await card.show(interaction)


class PartsCard(Card):
    """Pictures with their parts numbered, and a menu to pick one."""

    def __init__(self, app: App, look: PictureParts, source: Source, pictures: dict[str, bytes]) -> None:
        super().__init__(ui.TextDisplay(texts.memories.WHICH_ONE))
        self._app = app
        self._look = look
        self._source = source
        self.pictures = pictures
        # One gallery each: of several in one, Discord would cut off the edges, where the numbers are.
        self.add(*(ui.MediaGallery(discord.MediaGalleryItem(f"attachment://{name}")) for name in pictures))
        options = [
            discord.SelectOption(label=_label(number, part, len(look.pictures)), value=str(number))
            for number, part in enumerate(look.parts, start=1)
        ]
        self.add(ui.ActionRow(ChoiceMenu("Which one?", options, self.pick, custom_id="part")))

    async def pick(self, interaction: Interaction, chosen: list[str]) -> None:
        """Ask for the name of a part."""
        part = self._look.parts[int(chosen[0]) - 1]
        await interaction.response.send_modal(
            NamingForm(self._app, self._look.pictures[part.picture], self._source, part)
        )


class NamingForm(Form):
    """Asks for the name of a part of a picture, and what should be known about it."""

    def __init__(self, app: App, picture: bytes, source: Source, part: Part) -> None:
        self._app = app
        self._picture = picture
        self._source = source
        self._part = part
        self._name = name_field("" if part.alike is None else part.alike.name)
        self._info = info_field()
        self._category = TextField("Category: cat, friend, mug…", "category", required=False)
        super().__init__("Remember this", self._name, self._info, self._category)

    async def submit(self, interaction: Interaction) -> None:
        """Remember it; when it looks like something of another name, ask whether it is the same."""
        await interaction.response.defer()
        naming = Naming(
            picture=self._picture,
            source=self._source,
            part=self._part,
            name=self._name.value,
            info=self._info.value,
            category=self._category.value,
        )
        alike = self._part.alike
        if alike is None or await is_name_of(self._app, actor_of(interaction), naming.name, alike):
            await with_word(interaction, self._app, partial(_remember, interaction, self._app, naming))
        else:
            await SameCard(self._app, naming, alike).show(interaction)


class SameCard(Card):
    """Asks whether what was named is the same as what it looks like."""

    def __init__(self, app: App, naming: Naming, alike: Concept) -> None:
        super().__init__(ui.TextDisplay(f"### {texts.memories.same(alike)}"))
        self._app = app
        self._naming = naming
        self._alike = alike
        green = discord.ButtonStyle.success
        self.add(
            ui.ActionRow(
                ActionButton(f"Yes, it's {alike.name}", self.add_picture, green, custom_id="same"),
                ActionButton(f"No, it's {naming.name}", self.remember, custom_id="other"),
            )
        )

    async def add_picture(self, interaction: Interaction) -> None:
        """It is: one more picture of it."""
        await interaction.response.defer()
        actor, naming = actor_of(interaction), self._naming
        concept = await add_picture(
            self._app, actor, self._alike, naming.picture, naming.part.box, source=naming.source
        )
        await Card(ui.TextDisplay(texts.memories.added(concept))).show(interaction)

    async def remember(self, interaction: Interaction) -> None:
        """It isn't: something new."""
        await interaction.response.defer()
        await with_word(interaction, self._app, partial(_remember, interaction, self._app, self._naming))


async def _remember(interaction: Interaction, app: App, naming: Naming) -> None:
    concept = await remember_part(
        app,
        actor_of(interaction),
        naming.picture,
        naming.part.box,
        naming.name,
        naming.info,
        naming.category,
        source=naming.source,
    )
    text = texts.memories.remembered(concept) if concept.references == 1 else texts.memories.added(concept)
    await Card(ui.TextDisplay(text)).show(interaction)


def _with_numbers(look: PictureParts) -> dict[str, bytes]:
    """Return the pictures with the numbers of their parts, by the file names they are shown under."""
    pictures = {}
    for place, picture in enumerate(look.pictures):
        boxes = [(number, part.box) for number, part in enumerate(look.parts, start=1) if part.picture == place]
        pictures[f"{place}.jpg"] = numbered(picture, boxes)
    return pictures


def _label(number: int, part: Part, pictures: int) -> str:
    where = "the whole picture" if part.box == WHOLE else place_in_picture(part.box)
    which = f", picture {part.picture + 1}" if pictures > 1 else ""
    known = f": {certainty(part.probability)} {part.alike.name}" if part.alike else ""
    return f"{number} · {where}{which}{known}"[:100]
