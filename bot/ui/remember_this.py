"""“Remember this” on a message: its pictures with numbered boxes, one to pick, a name to give."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import discord
from discord import ui

from bot import texts
from bot.service.app import App
from bot.service.remember import Part, PictureParts, add_picture, find_parts, is_name_of, remember_part
from bot.ui.actor import actor_of
from bot.ui.annotate import numbered
from bot.ui.cards import (
    Act,
    Ask,
    Choose,
    Interaction,
    Press,
    Shown,
    line,
    paragraph,
    show,
    value_of,
    view_of,
)
from db.geometry import WHOLE
from db.types import Concept
from model_worker.api.certainty import certainty, place_in_picture


@dataclass(frozen=True, slots=True)
class Naming:
    """What somebody said about a part of a picture."""

    picture: bytes
    part: Part
    name: str
    info: str
    category: str


async def offer_parts(interaction: Interaction, app: App, pictures: tuple[bytes, ...]) -> None:
    """Show what could be remembered in these pictures. Raises what looking raises."""
    look = await find_parts(app, actor_of(interaction), pictures)
    images = {}
    for place, picture in enumerate(look.pictures):
        boxes = [(number, part.box) for number, part in enumerate(look.parts, start=1) if part.picture == place]
        images[f"{place}.jpg"] = await asyncio.to_thread(numbered, picture, boxes)
    items: list[ui.Item[Any]] = [ui.TextDisplay(texts.memories.WHICH_ONE)]
    # One gallery each: of several in one, Discord would cut off the edges, where the numbers are.
    items += [ui.MediaGallery(discord.MediaGalleryItem(f"attachment://{name}")) for name in images]
    items.append(ui.ActionRow(_menu(app, look)))
    await show(interaction, Shown(view_of(*items), images))


def _menu(app: App, look: PictureParts) -> Choose:
    options = [
        discord.SelectOption(label=_label(number, part, len(look.pictures)), value=str(number))
        for number, part in enumerate(look.parts, start=1)
    ]

    async def pick(interaction: Interaction, chosen: list[str]) -> None:
        part = look.parts[int(chosen[0]) - 1]
        await interaction.response.send_modal(_form(app, look.pictures[part.picture], part))

    return Choose("Which one?", options, pick, custom_id="part")


def _label(number: int, part: Part, pictures: int) -> str:
    where = "the whole picture" if part.box == WHOLE else place_in_picture(part.box)
    which = f", picture {part.picture + 1}" if pictures > 1 else ""
    known = f": {certainty(part.probability)} {part.alike.name}" if part.alike else ""
    return f"{number} · {where}{which}{known}"[:100]


def _form(app: App, picture: bytes, part: Part) -> Ask:
    name = line("Name", "name", text="" if part.alike is None else part.alike.name)
    info = paragraph("What should I know?", "info")
    category = line("Category: cat, friend, mug…", "category", required=False)

    async def submit(interaction: Interaction) -> None:
        await interaction.response.defer()
        naming = Naming(picture, part, value_of(name), value_of(info), value_of(category))
        alike = part.alike
        if alike is None or await is_name_of(app, actor_of(interaction), naming.name, alike):
            await _remember(interaction, app, naming)
        else:
            await _ask_whether_the_same(interaction, app, naming, alike)

    return Ask("Remember this", submit, name, info, category)


async def _ask_whether_the_same(interaction: Interaction, app: App, naming: Naming, alike: Concept) -> None:
    items = [
        ui.TextDisplay[ui.LayoutView](f"### {texts.memories.same(alike)}"),
        ui.ActionRow[ui.LayoutView](
            Press(f"Yes, it's {alike.name}", _adds(app, naming, alike), discord.ButtonStyle.success),
            Press(f"No, it's {naming.name}", _remembers(app, naming)),
        ),
    ]
    await show(interaction, Shown(view_of(*items), {}))


def _adds(app: App, naming: Naming, alike: Concept) -> Act:
    async def add(interaction: Interaction) -> None:
        await interaction.response.defer()
        actor = actor_of(interaction)
        concept = await add_picture(app, actor, alike, naming.picture, naming.part.box)
        await _say(interaction, texts.memories.added(concept))

    return add


def _remembers(app: App, naming: Naming) -> Act:
    async def remember(interaction: Interaction) -> None:
        await interaction.response.defer()
        await _remember(interaction, app, naming)

    return remember


async def _remember(interaction: Interaction, app: App, naming: Naming) -> None:
    concept = await remember_part(
        app, actor_of(interaction), naming.picture, naming.part.box, naming.name, naming.info, naming.category
    )
    await _say(
        interaction, texts.memories.remembered(concept) if concept.references == 1 else texts.memories.added(concept)
    )


async def _say(interaction: Interaction, text: str) -> None:
    await show(interaction, Shown(view_of(ui.TextDisplay[ui.LayoutView](text)), {}))
