"""Boxes in a picture: parts of it, windows to look through, and non-maximum suppression."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from db.geometry import WHOLE, Box, share_of_smaller
from model_worker.api.packs import MAX_REGIONS


def windows(width: int, height: int, scales: Sequence[float]) -> list[Box]:
    """Return square windows over a picture of this size, half overlapping, and the whole of it first.

    A scale is a window's side as a share of the picture's shorter side (R-MAC, arXiv 1511.05879, section 3.2).
    Of a long strip's windows there are as many as a picture may have regions, but one; they lie evenly over it.
    """
    boxes = [WHOLE]
    for scale in scales:
        side = scale * min(width, height)
        boxes += [
            Box(left=left, top=top, right=left + side / width, bottom=top + side / height)
            for top in _starts(side / height)
            for left in _starts(side / width)
        ]
    distinct = list(dict.fromkeys(boxes))
    kept = min(len(distinct), MAX_REGIONS - 1)
    return [distinct[index * len(distinct) // kept] for index in range(kept)]


def _starts(side: float) -> list[float]:
    """Return where windows of this side (a share of the whole) begin, so that neighbours share half."""
    steps = max(0, -int(-(1 - side) // (side / 2))) if side < 1 else 0
    return [0.0] if steps == 0 else [step * (1 - side) / steps for step in range(steps + 1)]


def suppress(boxes: Sequence[Box], scores: Sequence[float], overlap: float, most: int) -> list[int]:
    """Non-maximum suppression: return the indices of at most ``most`` boxes, the best score first.

    Of two boxes, the smaller of which lies in the other by more than the share ``overlap``, the better one stays.
    """
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda index: -scores[index]) if most else ():
        if all(share_of_smaller(boxes[index], boxes[other]) <= overlap for other in kept):
            kept.append(index)
        if len(kept) >= most:
            break
    return kept


def cropped(picture: Image.Image, box: Box) -> Image.Image:
    """Return a part of a picture, at least a pixel of it."""
    left, top = round(box.left * picture.width), round(box.top * picture.height)
    right, bottom = round(box.right * picture.width), round(box.bottom * picture.height)
    return picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
