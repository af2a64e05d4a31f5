"""A picture sheet of what would be trained on: some samples of each task, with all that belongs to them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from model_worker.api.protocol import PromptConcept
from model_worker.finetune.data.rap_format import SampleError
from model_worker.finetune.data.samples import Task, TrainingSample
from model_worker.generation.types import GenerationInput

MAX_SAMPLES = 40
COLUMNS = 4
WIDTH, HEIGHT = 460, 480
"""Pixels of a sample; below its text it is cut off."""
MARGIN = 10
SHOWN = (280, 190)
"""Pixels that the picture has at most."""
REFERENCE = 66
LETTERS, LINE = 58, 17
"""A line's length, and its height in pixels."""
MAX_CONCEPTS = 6
NAME_LETTERS = 10
"""Below a reference."""


def draw_sheet(samples: Sequence[TrainingSample], path: Path) -> None:
    """Draw at most 40 samples, as many of each task as there is room for, and save the sheet (PNG)."""
    tiles = [_tile(sample) for sample in _some_of_each(samples)]
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


def _some_of_each(samples: Sequence[TrainingSample]) -> list[TrainingSample]:
    """Return samples by task, as many of each as there are and there is room for; those of a task are from all over."""
    by_task = {task: [sample for sample in samples if sample.task is task] for task in Task}
    room = {task: 0 for task, found in by_task.items() if found}
    while sum(room.values()) < min(MAX_SAMPLES, len(samples)):
        with_more = [task for task in room if room[task] < len(by_task[task])]
        room[min(with_more, key=room.__getitem__)] += 1
    return [
        by_task[task][len(by_task[task]) * number // count] for task, count in room.items() for number in range(count)
    ]


def _tile(sample: TrainingSample) -> Image.Image:
    tile = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw, request = ImageDraw.Draw(tile), sample.prompt.request
    try:
        top = _draw_pictures(tile, draw, sample.prompt)
    except SampleError as problem:
        tile.paste("white", (0, 0, *tile.size))
        top = _write(draw, MARGIN, str(problem), "#b00020", 4)
    top = _write(draw, top, sample.task.value, "#888888", 1)
    for concept in request.concepts[:MAX_CONCEPTS]:
        top = _write(draw, top, _words_about(concept), "#555555", 1)
    top = _write(draw, top, request.question, "black", 3)
    top = _write(draw, top, sample.answer, "#006400", 3)
    return tile.crop((0, 0, WIDTH, min(HEIGHT, top + MARGIN)))


def _draw_pictures(tile: Image.Image, draw: ImageDraw.ImageDraw, prompt: GenerationInput) -> int:
    """Draw the picture and the references of a prompt; returns where the text begins."""
    left, top = MARGIN, MARGIN
    if prompt.request.picture is not None and prompt.request.picture in prompt.pictures:
        tile.paste(_small(prompt.pictures[prompt.request.picture], SHOWN), (left, top))
        left, top = left + SHOWN[0] + MARGIN, top + SHOWN[1] + MARGIN
    columns = (WIDTH - left) // (REFERENCE + MARGIN)
    shown = [(concept.name, concept.avatar) for concept in prompt.request.concepts if concept.avatar in prompt.pictures]
    for place, (name, avatar) in enumerate(shown[:MAX_CONCEPTS]):
        x = left + place % columns * (REFERENCE + MARGIN)
        y = MARGIN + place // columns * (REFERENCE + LINE + MARGIN)
        tile.paste(_small(prompt.pictures[avatar or ""], (REFERENCE, REFERENCE)), (x, y))
        short = name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…"
        draw.text((x, y + REFERENCE), short, "black", _font(12))
        top = max(top, y + REFERENCE + LINE + MARGIN)
    return top


def _words_about(concept: PromptConcept) -> str:
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
