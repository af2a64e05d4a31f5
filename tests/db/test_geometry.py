"""Boxes: how large, how they overlap, and one in fractions of another."""

from __future__ import annotations

import pytest

from db.geometry import WHOLE, Box, area, intersection, iou, placed, share_of_smaller, within

LEFT_HALF = Box(left=0, top=0, right=0.5, bottom=1)
MIDDLE = Box(left=0.25, top=0.25, right=0.75, bottom=0.75)


def test_areas_and_what_two_boxes_have_in_common() -> None:
    assert (area(WHOLE), area(LEFT_HALF), area(MIDDLE)) == (1, 0.5, 0.25)
    assert intersection(LEFT_HALF, MIDDLE) == 0.125
    assert iou(LEFT_HALF, MIDDLE) == pytest.approx(0.125 / 0.625)
    assert share_of_smaller(LEFT_HALF, MIDDLE) == share_of_smaller(MIDDLE, LEFT_HALF) == 0.5


def test_boxes_apart_and_boxes_without_area_overlap_with_nothing() -> None:
    corner = Box(left=0.8, top=0.8, right=1, bottom=1)
    line = Box(left=0.2, top=0.2, right=0.2, bottom=0.9)
    for other in (corner, line):
        assert intersection(LEFT_HALF, other) == iou(LEFT_HALF, other) == share_of_smaller(LEFT_HALF, other) == 0


def test_a_box_of_a_part_and_of_the_picture_are_two_ways_to_say_it() -> None:
    part = Box(left=0.5, top=0.2, right=0.9, bottom=0.6)
    inner = Box(left=0.6, top=0.3, right=0.7, bottom=0.5)

    said = within(inner, part)

    assert (said.left, said.top, said.right, said.bottom) == pytest.approx((0.25, 0.25, 0.5, 0.75))
    back = placed(said, part)
    assert (back.left, back.top, back.right, back.bottom) == pytest.approx((0.6, 0.3, 0.7, 0.5))
