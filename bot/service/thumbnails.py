"""Small pictures of concepts for lists and cards: the thing itself, cut out of its picture."""

from __future__ import annotations

import io

from PIL import Image

from db.geometry import Box
from db.types import Reference

SMALL = 160
LARGE = 480
"""Pixels of the longest side."""


def thumbnail(shown: Reference, longest: int = SMALL) -> bytes:
    """Return the part of a picture that is the thing, as a JPEG of at most ``longest`` pixels a side."""
    with Image.open(io.BytesIO(shown.picture), formats=["JPEG"]) as opened:
        part = opened.convert("RGB").crop(_pixels(shown.box, opened.size))
    part.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    part.save(file, "JPEG", quality=85)
    return file.getvalue()


def _pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size
    left, top = int(box.left * width), int(box.top * height)
    return left, top, max(left + 1, round(box.right * width)), max(top + 1, round(box.bottom * height))
