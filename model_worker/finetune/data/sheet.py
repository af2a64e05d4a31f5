"""A picture sheet of what would be trained on: some lessons of each task, with all that is shown and told."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from model_worker.api.protocol import PromptConcept
from model_worker.finetune.data.rap_format import SampleError
from model_worker.finetune.data.samples import Task, TrainingSample

MOST = 40
COLUMNS = 4
WIDTH, HEIGHT = 460, 480
"""Pixels of a lesson; below its text it is cut off."""
MARGIN = 10
SHOWN = (280, 190)
"""Pixels that the picture has at most."""
REFERENCE = 66
LETTERS, LINE = 58, 17
"""A line's length, and its height in pixels."""
MAX_CONCEPTS = 6
NAME_LETTERS = 10
"""Below a reference."""


def draw_sheet(lessons: Sequence[TrainingSample], path: Path) -> None:
    """Draw at most 40 lessons, as many of each task as there is room for, and save the sheet (PNG)."""
    tiles = [_tile(sample) for sample in _some_of_each(lessons)]
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    heights = [max(tile.height for tile in row) + 2 for row in rows]
    sheet = Image.new("RGB", (COLUMNS * WIDTH, max(1, sum(heights))), "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = sum(heights[:number])
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * WIDTH, top))
        draw.line((0, top, sheet.width, top), "#bbbbbb")
    sheet.save(path)


def _some_of_each(lessons: Sequence[TrainingSample]) -> list[TrainingSample]:
    """Return lessons by task, as many of each as there are and there is room for; those of a task are from all over."""
    by_task = {task: [sample for sample in lessons if sample.task is task] for task in Task}
    room = {task: 0 for task, found in by_task.items() if found}
    while sum(room.values()) < min(MOST, len(lessons)):
        with_more = [task for task in room if room[task] < len(by_task[task])]
        room[min(with_more, key=room.__getitem__)] += 1
    return [by_task[task][len(by_task[task]) * number // most] for task, most in room.items() for number in range(most)]


def _tile(lesson: TrainingSample) -> Image.Image:
    tile = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw, request = ImageDraw.Draw(tile), lesson.asked.request
    try:
        top = _draw_pictures(tile, draw, lesson)
    except SampleError as problem:
        tile.paste("white", (0, 0, *tile.size))
        top = _write(draw, MARGIN, str(problem), "#b00020", 4)
    top = _write(draw, top, lesson.task.value, "#888888", 1)
    for concept in request.concepts[:MAX_CONCEPTS]:
        top = _write(draw, top, _told(concept), "#555555", 1)
    top = _write(draw, top, request.question, "black", 3)
    top = _write(draw, top, lesson.answer, "#006400", 3)
    return tile.crop((0, 0, WIDTH, min(HEIGHT, top + MARGIN)))


def _draw_pictures(tile: Image.Image, draw: ImageDraw.ImageDraw, lesson: TrainingSample) -> int:
    """Draw the picture and the references of a lesson; returns where the text begins."""
    asked, left, top = lesson.asked, MARGIN, MARGIN
    if asked.request.picture is not None and asked.request.picture in asked.pictures:
        tile.paste(_small(asked.pictures[asked.request.picture], SHOWN), (left, top))
        left, top = left + SHOWN[0] + MARGIN, top + SHOWN[1] + MARGIN
    across = (WIDTH - left) // (REFERENCE + MARGIN)
    shown = [
        concept for concept in asked.request.concepts if concept.avatar is not None and concept.avatar in asked.pictures
    ]
    for place, concept in enumerate(shown[:MAX_CONCEPTS]):
        x, y = left + place % across * (REFERENCE + MARGIN), MARGIN + place // across * (REFERENCE + LINE + MARGIN)
        tile.paste(_small(asked.pictures[concept.avatar or ""], (REFERENCE, REFERENCE)), (x, y))
        name = concept.name if len(concept.name) <= NAME_LETTERS else f"{concept.name[: NAME_LETTERS - 1]}…"
        draw.text((x, y + REFERENCE), name, "black", _font(12))
        top = max(top, y + REFERENCE + LINE + MARGIN)
    return top


def _told(concept: PromptConcept) -> str:
    where = "" if concept.where is None else f" ({concept.where})"
    return f"{concept.name}{where}: {concept.info}"


def _small(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    smaller = picture.convert("RGB")
    smaller.thumbnail(size)
    return smaller


def _write(draw: ImageDraw.ImageDraw, top: int, text: str, colour: str, lines: int) -> int:
    """Write a text on so many lines at most; returns where the next begins."""
    wrapped = textwrap.wrap(text, LETTERS, max_lines=lines, placeholder=" …") or [""]
    for number, line in enumerate(wrapped):
        draw.text((MARGIN, top + number * LINE), line, colour, _font(14))
    return top + len(wrapped) * LINE + 2


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
