"""What is seen in a picture, with the real weights; and the geometry of regions without them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from bot.demo import pictures
from db.geometry import WHOLE, Box, iou
from model_worker.api.packs import MAX_REGIONS, PackError, load_pack, weights_problems
from model_worker.perception.panels import find_panels
from model_worker.perception.single_pass import Perceiver
from model_worker.perception.windows import suppress, windows


@pytest.fixture(scope="module")
def perceiver() -> Perceiver:
    return Perceiver(load_pack())


def similarity(perceiver: Perceiver, picture: Image.Image, reference: Image.Image) -> float:
    known = perceiver.refer(reference).embedding
    return max(float(known @ region.embedding) for region in perceiver.perceive([picture])[0].regions)


def test_windows_cover_the_picture_and_stay_inside() -> None:
    boxes = windows(900, 600, (0.7, 0.5))
    assert boxes[0] == WHOLE
    assert all(0 <= box.left < box.right <= 1.0001 and 0 <= box.top < box.bottom <= 1.0001 for box in boxes)
    assert max(box.right for box in boxes[1:]) == pytest.approx(1)
    sides = {(round((box.right - box.left) * 900), round((box.bottom - box.top) * 600)) for box in boxes[1:]}
    assert sides == {(420, 420), (300, 300)}


@pytest.mark.parametrize("size", [(2048, 103), (103, 2048), (2048, 512), (2048, 1)])
def test_a_long_strip_has_no_more_regions_than_a_message_takes_and_they_lie_all_over_it(size: tuple[int, int]) -> None:
    boxes = windows(*size, (0.7, 0.5))
    assert len(boxes) == MAX_REGIONS - 1
    ends = [max(box.right, box.bottom) if max(size) == size[0] else box.bottom for box in boxes[1:]]
    assert max(ends) == pytest.approx(1)


def test_of_overlapping_boxes_the_best_stays() -> None:
    boxes = [
        Box(left=0, top=0, right=0.5, bottom=0.5),
        Box(left=0.02, top=0, right=0.52, bottom=0.5),
        Box(left=0.6, top=0.6, right=1, bottom=1),
    ]
    assert suppress(boxes, [0.5, 0.9, 0.1], overlap=0.5, most=5) == [1, 2]
    assert suppress(boxes, [0.5, 0.9, 0.1], overlap=0.5, most=1) == [1]


def test_the_panels_of_a_collage_are_found_exactly() -> None:
    ground = Image.new("RGB", (900, 600), (90, 110, 130))
    true = [(40, 60, 340, 260), (500, 250, 800, 550)]
    for box, photo in zip(true, (pictures.cat(), pictures.cup()), strict=True):
        ground.paste(photo.resize((300, 200) if box[3] - box[1] == 200 else (300, 300)), box[:2])
    found = find_panels(ground, 6)
    for left, top, right, bottom in true:
        box = Box(left=left / 900, top=top / 600, right=right / 900, bottom=bottom / 600)
        assert max(iou(box, item) for item in found) > 0.9
    assert find_panels(Image.new("RGB", (300, 200), "grey"), 6) == []


def test_an_unknown_pack_is_named_with_those_that_exist() -> None:
    with pytest.raises(PackError, match="starter"):
        load_pack("no-such-pack")


def test_the_weights_are_those_of_the_pack() -> None:
    pack = load_pack()
    assert weights_problems(pack) == []
    assert pack.weights
    assert all(len(weights.sha256) == len(hashlib.sha256().hexdigest()) for weights in pack.weights)


@pytest.mark.slow
def test_a_thing_is_more_like_itself_than_like_others(perceiver: Perceiver) -> None:
    calibration = perceiver.calibration
    least = -calibration.offset / calibration.slope
    assert similarity(perceiver, pictures.cat_again(), pictures.cat()) > least
    assert similarity(perceiver, pictures.motorcycle_again(), pictures.motorcycle()) > least
    for other in (pictures.cup(), pictures.stranger(), pictures.motorcycle()):
        assert similarity(perceiver, other, pictures.cat()) < least


@pytest.mark.slow
def test_a_region_says_where_and_tags_say_what(perceiver: Perceiver) -> None:
    seen = perceiver.perceive([pictures.cup()])[0]
    assert seen.regions[0].box == WHOLE
    assert any(tag.label in {"espresso", "cup", "coffee mug"} for tag in seen.tags)
    lengths = [float(np.linalg.norm(region.embedding)) for region in seen.regions]
    assert lengths[0] == pytest.approx(1, abs=1e-3)
    assert all(length < 1.3 for length in lengths)


@pytest.mark.slow
def test_what_is_looked_for_is_in_no_tag(perceiver: Perceiver) -> None:
    [looked_for] = perceiver.perceive([pictures.cup()], [["espresso of my therapist"]])
    [seen] = perceiver.perceive([pictures.cup()])
    assert looked_for.tags == seen.tags


@pytest.mark.slow
def test_the_region_of_a_reference_is_the_thing_or_what_is_given(perceiver: Perceiver) -> None:
    ground = Image.new("RGB", (800, 800), (200, 200, 200))
    ground.paste(pictures.cat().resize((240, 160)), (500, 560))
    found = perceiver.refer(ground)
    assert found.box.left > 0.3
    assert found.box.top > 0.4
    given = Box(left=0.625, top=0.7, right=0.925, bottom=0.9)
    inside = perceiver.refer(ground, given)
    assert given.left - 1e-6 <= inside.box.left < inside.box.right <= given.right + 1e-6
    alone = perceiver.refer(pictures.cat()).embedding
    assert float(inside.embedding @ alone) > float(perceiver.refer(ground).embedding @ alone) - 0.05


@pytest.mark.slow
def test_tiny_and_extreme_pictures_are_seen_too(perceiver: Perceiver) -> None:
    for size in ((16, 16), (2048, 20), (20, 2048)):
        seen = perceiver.perceive([Image.new("RGB", size, "red")])[0]
        assert seen.regions
        assert all(np.isfinite(region.embedding).all() for region in seen.regions)
        assert np.isfinite(perceiver.refer(Image.new("RGB", size, "red")).embedding).all()


def test_the_same_picture_and_box_give_the_same_embedding_whenever_it_is_made(perceiver: Perceiver) -> None:
    for picture, place in (
        (pictures.cat(), None),
        (pictures.cat_and_cup(), Box(left=0.5, top=0.2, right=1, bottom=0.9)),
    ):
        remembered = perceiver.refer(picture, place)
        again = perceiver.embed(picture, remembered.box)
        assert np.array_equal(remembered.embedding, again.embedding)
