"""A probability and a box, in words."""

from __future__ import annotations

from db.geometry import Box

LEVELS = ((0.93, "almost certainly"), (0.8, "very probably"), (0.65, "probably"))


def certainty(probability: float) -> str:
    """Return a match probability in words."""
    return next((words for least, words in LEVELS if probability >= least), "maybe")


def place_in_picture(box: Box) -> str:
    """Return where in the picture a box is, such as “at the top left”."""
    across = _third((box.left + box.right) / 2, "left", "right")
    down = _third((box.top + box.bottom) / 2, "top", "bottom")
    if down:
        return f"at the {down} {across}".rstrip()
    return f"on the {across}" if across else "in the middle"


def _third(middle: float, low: str, high: str) -> str:
    return low if middle < 0.38 else high if middle > 0.62 else ""
