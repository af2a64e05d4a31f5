"""Pictures for samples, made of references: cut out, turned, in another light, and put into scenes with others.

All chance comes from the generator that is given, so the same seed makes the same pictures.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from db.geometry import Box

SCENE = (512, 384)
"""Pixels of a scene."""
NOT_MIRRORED = ("text", "book", "sign", "logo", "plate", "card", "label", "poster", "shirt", "clock", "can", "bottle")
"""Categories whose things have writing on them, more often than not: mirrored they are not themselves."""
MAX_TURNED = 12.0
"""Degrees."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and where in it each thing is, in the order they were given."""

    picture: Image.Image
    boxes: tuple[Box, ...]


def cut_out(picture: Image.Image, box: Box, chance: random.Random, around: float = 0.12) -> Image.Image:
    """Return the part of a picture that is the thing.

    ``around`` is how much more may come with it on each side, as a share of the thing's; up to half of that may be
    missing instead.
    """
    width, height = box.right - box.left, box.bottom - box.top
    left = max(0.0, box.left - chance.uniform(-0.5, 1) * around * width)
    top = max(0.0, box.top - chance.uniform(-0.5, 1) * around * height)
    right = min(1.0, box.right + chance.uniform(-0.5, 1) * around * width)
    bottom = min(1.0, box.bottom + chance.uniform(-0.5, 1) * around * height)
    pixels = (left * picture.width, top * picture.height, right * picture.width, bottom * picture.height)
    return picture.crop(tuple(round(pixel) for pixel in pixels))  # type: ignore[arg-type]


def varied(picture: Image.Image, chance: random.Random, *, mirrors: bool) -> Image.Image:
    """Return a picture as it might have been taken another time: from another side, and in another light."""
    if mirrors and chance.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = _seen_aslant(picture, chance)
    picture = picture.rotate(
        chance.uniform(-MAX_TURNED, MAX_TURNED), Image.Resampling.BICUBIC, fillcolor=_mean(picture)
    )
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(chance.uniform(0.75, 1.25))
    return picture.filter(ImageFilter.GaussianBlur(chance.uniform(0.3, 1.2))) if chance.random() < 0.2 else picture


def may_be_mirrored(category: str) -> bool:
    """Whether a thing of this category is itself in a mirror."""
    return not any(word in category.casefold() for word in NOT_MIRRORED)


def scene_of(things: Sequence[Image.Image], chance: random.Random) -> Scene:
    """Put things into one picture, beside each other, on a ground that is none of them.

    Small things are made larger: otherwise how small somebody is would tell who it is.
    """
    ground = _ground(chance)
    columns = max(1, len(things))
    room = SCENE[0] / columns
    boxes = []
    for place, thing in enumerate(things):
        share = chance.uniform(0.6, 0.95) if columns == 1 else chance.uniform(0.75, 0.95)
        fitted = ImageOps.contain(thing, (int(room * share), int(SCENE[1] * share)), Image.Resampling.BICUBIC)
        left = int(room * place + chance.uniform(0, room - fitted.width))
        top = int(chance.uniform(0, SCENE[1] - fitted.height))
        ground.paste(fitted, (left, top))
        boxes.append(
            Box(
                left=left / SCENE[0],
                top=top / SCENE[1],
                right=(left + fitted.width) / SCENE[0],
                bottom=(top + fitted.height) / SCENE[1],
            )
        )
    return Scene(ground, tuple(boxes))


def _ground(chance: random.Random) -> Image.Image:
    """Return a soft ground of a few colours."""
    numbers = np.random.default_rng(chance.getrandbits(32))
    colours = numbers.integers(40, 216, size=(3, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(SCENE, Image.Resampling.BICUBIC)


def _seen_aslant(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Return a picture seen from a little to one side: its corners moved by up to a 24th of its size."""
    width, height = picture.size
    corners: list[float] = []
    for x, y in ((0, 0), (0, height), (width, height), (width, 0)):  # the order that Pillow takes them in
        corners += [x + chance.uniform(-width, width) / 24, y + chance.uniform(-height, height) / 24]
    return picture.transform(
        picture.size, Image.Transform.QUAD, corners, Image.Resampling.BICUBIC, fillcolor=_mean(picture)
    )


def _mean(picture: Image.Image) -> tuple[int, ...]:
    """Return a picture's mean colour: what was outside of it doesn't stand out then."""
    return tuple(int(item) for item in np.asarray(picture.resize((1, 1), Image.Resampling.BOX))[0, 0])
