"""Boxes in a picture: parts of it, windows to look through, how much two overlap, and non-maximum suppression."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from db.types import Box

WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def windows(width: int, height: int, scales: Sequence[float]) -> list[Box]:
    """Return square windows over a picture of this size, half overlapping, and the whole of it first.

    A scale is a window's side as a share of the picture's shorter side (R-MAC, arXiv 1511.05879, section 3.2).
    """
    boxes = [WHOLE]
    for scale in scales:
        side = scale * min(width, height)
        boxes += [
            Box(left, top, left + side / width, top + side / height)
            for top in _starts(side / height)
            for left in _starts(side / width)
        ]
    return list(dict.fromkeys(boxes))


def _starts(side: float) -> list[float]:
    """Return where windows of this side (a share of the whole) begin, so that neighbours share half."""
    steps = max(0, -int(-(1 - side) // (side / 2))) if side < 1 else 0
    return [0.0] if steps == 0 else [step * (1 - side) / steps for step in range(steps + 1)]


def area(box: Box) -> float:
    """Return a box's share of the picture."""
    return max(0.0, box.right - box.left) * max(0.0, box.bottom - box.top)


def intersection(box: Box, other: Box) -> float:
    """Return the share of the picture that two boxes have in common."""
    width = min(box.right, other.right) - max(box.left, other.left)
    height = min(box.bottom, other.bottom) - max(box.top, other.top)
    return max(0.0, width) * max(0.0, height)


def iou(box: Box, other: Box) -> float:
    """Return intersection over union, 0 to 1."""
    common = intersection(box, other)
    return common / max(area(box) + area(other) - common, 1e-12)


def share_of_smaller(box: Box, other: Box) -> float:
    """Return what part of the smaller box lies in the other, 0 to 1."""
    return intersection(box, other) / max(min(area(box), area(other)), 1e-12)


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


def within(box: Box, outer: Box) -> Box:
    """Return a box given in fractions of the picture in fractions of another one around it."""
    width, height = outer.right - outer.left, outer.bottom - outer.top
    return Box(
        (box.left - outer.left) / width,
        (box.top - outer.top) / height,
        (box.right - outer.left) / width,
        (box.bottom - outer.top) / height,
    )


def placed(inner: Box, outer: Box) -> Box:
    """Return a box given in fractions of another one in fractions of the picture."""
    width, height = outer.right - outer.left, outer.bottom - outer.top
    return Box(
        outer.left + inner.left * width,
        outer.top + inner.top * height,
        outer.left + inner.right * width,
        outer.top + inner.bottom * height,
    )
