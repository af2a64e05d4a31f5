"""A picture sheet of an evaluation's worst cases: true boxes green, recognised ones red."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from db.geometry import Box

TILE = 360
COLUMNS = 4

Case = tuple[Path, dict[str, Box], dict[str, tuple[Box, float]]]


def draw_sheet(cases: Sequence[Case], path: Path) -> None:
    """Draw the cases, four a row, and save the sheet (PNG)."""
    rows = max(1, -(-len(cases) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * TILE), "white")
    for place, case in enumerate(cases):
        sheet.paste(_tile(case), (place % COLUMNS * TILE, place // COLUMNS * TILE))
    sheet.save(path)


def _tile(case: Case) -> Image.Image:
    path, true, found = case
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((TILE - 4, TILE - 4))
    draw = ImageDraw.Draw(picture)
    for name, box in true.items():
        _outline(draw, picture.size, box, "green", name)
    for name, (box, probability) in found.items():
        _outline(draw, picture.size, box, "red", f"{name} {probability:.2f}")
    return picture


def _outline(draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, colour: str, words: str) -> None:
    width, height = size
    left, top = box.left * width, box.top * height
    draw.rectangle((left, top, box.right * width - 1, box.bottom * height - 1), outline=colour, width=2)
    draw.text((left + 4, top + (4 if colour == "green" else 16)), words, fill=colour)
