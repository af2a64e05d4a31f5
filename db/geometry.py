"""Boxes in a picture, in fractions of its width and height: how large they are, how they lie to each other."""

from __future__ import annotations

from dataclasses import dataclass

SMALLEST_AREA = 1e-12
"""What an area is at least where one is divided by, so that an empty box overlaps with nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle in an upright picture, in fractions of its width and height (0 to 1)."""

    left: float
    top: float
    right: float
    bottom: float


WHOLE = Box(left=0.0, top=0.0, right=1.0, bottom=1.0)


def area(box: Box) -> float:
    """Return a box's share of the picture, 0 to 1."""
    return max(0.0, box.right - box.left) * max(0.0, box.bottom - box.top)


def intersection(box: Box, other: Box) -> float:
    """Return the share of the picture that two boxes have in common, 0 to 1."""
    width = min(box.right, other.right) - max(box.left, other.left)
    height = min(box.bottom, other.bottom) - max(box.top, other.top)
    return max(0.0, width) * max(0.0, height)


def iou(box: Box, other: Box) -> float:
    """Return intersection over union, 0 to 1."""
    common = intersection(box, other)
    return common / max(area(box) + area(other) - common, SMALLEST_AREA)


def share_of_smaller(box: Box, other: Box) -> float:
    """Return what part of the smaller box lies in the other, 0 to 1."""
    return intersection(box, other) / max(min(area(box), area(other)), SMALLEST_AREA)


def within(box: Box, outer: Box) -> Box:
    """Return a box of the picture in fractions of another one around it; `placed` is the way back."""
    width, height = outer.right - outer.left, outer.bottom - outer.top
    return Box(
        left=(box.left - outer.left) / width,
        top=(box.top - outer.top) / height,
        right=(box.right - outer.left) / width,
        bottom=(box.bottom - outer.top) / height,
    )


def placed(inner: Box, outer: Box) -> Box:
    """Return a box that is given in fractions of another one in fractions of the picture."""
    width, height = outer.right - outer.left, outer.bottom - outer.top
    return Box(
        left=outer.left + inner.left * width,
        top=outer.top + inner.top * height,
        right=outer.left + inner.right * width,
        bottom=outer.top + inner.bottom * height,
    )
