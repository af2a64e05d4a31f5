"""The picture of an answer: boxes and names drawn on it."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from db.geometry import Box
from db.types import Match

COLOURS = ("#e4572e", "#2e86ab", "#6a994e", "#a23b72", "#f2a541", "#5e548e")
LAST_DRAWABLE = 0x24F
"""The font has Latin letters; other scripts get a number, which the answer's text explains."""


def annotated(jpeg: bytes, recognised: Sequence[Match]) -> bytes:
    """Return a JPEG with a box, a number and a name for each recognition."""
    words = [(label(number, match.concept.name), number, match.box) for number, match in enumerate(recognised, start=1)]
    return _with_boxes(jpeg, words)


def numbered(jpeg: bytes, boxes: Sequence[tuple[int, Box]]) -> bytes:
    """Return a JPEG with these boxes and their numbers."""
    return _with_boxes(jpeg, [(str(number), number, box) for number, box in boxes])


def label(number: int, name: str) -> str:
    """Return what is written at a box."""
    return f"{number} {name}" if all(ord(text) <= LAST_DRAWABLE for text in name) else str(number)


def _with_boxes(jpeg: bytes, boxes: Sequence[tuple[str, int, Box]]) -> bytes:
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as opened:
        picture = opened.convert("RGB")
    draw = ImageDraw.Draw(picture)
    for words, number, box in boxes:
        _draw_box(draw, picture.size, box, words, COLOURS[(number - 1) % len(COLOURS)])
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    return file.getvalue()


def _draw_box(draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, words: str, colour: str) -> None:
    width, height = size
    line = max(2, max(size) // 250)
    left, top = box.left * width, box.top * height
    right, bottom = box.right * width - 1, box.bottom * height - 1
    draw.rectangle((left, top, right, bottom), outline=colour, width=line)
    font = ImageFont.load_default(size=max(14, max(size) // 36))
    text_left, _, text_right, text_bottom = draw.textbbox((0, 0), words, font=font)
    text_width, text_height = text_right - text_left + 2 * line, text_bottom + line
    x = min(max(0.0, left), max(0.0, width - text_width))
    y = top + line if top < text_height else top - text_height
    draw.rectangle((x, y, x + text_width, y + text_height), fill=colour)
    draw.text((x + line, y), words, font=font, fill="white")
