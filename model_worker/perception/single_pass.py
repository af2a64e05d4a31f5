"""Perception: from a picture to its regions, their embeddings and the scene tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from db.geometry import WHOLE, Box, area, placed, within
from db.types import Region, Vector
from model_worker.api.packs import OnePass, Pack, PackError, Windows
from model_worker.api.protocol import Tag
from model_worker.perception.backbone import class_probabilities, feature_map, load_backbone
from model_worker.perception.panels import find_panels
from model_worker.perception.pooling import Floats, centre, join, pool
from model_worker.perception.saliency import thing_box
from model_worker.perception.tags import tags_from
from model_worker.perception.windows import cropped, windows


@dataclass(frozen=True, slots=True)
class Detections:
    """What was seen in one picture. The first region is the whole of it."""

    regions: tuple[Region, ...]
    tags: tuple[Tag, ...]


COLLAGE = 2
"""With so many panels a picture is a collage: what matters is in them."""


SMALL_THING = 0.2
"""Of a picture's area: a smaller thing is looked at from nearer."""
MARGIN = 0.15
"""Of a small thing's sides: what is seen around it."""


class Perceiver:
    """Sees: made once (loads weights: a second), used from one thread at a time.

    A picture is looked at at two sizes, and through windows over the larger feature map. Of a collage the whole
    is looked at once, for the scene, and each panel, being a picture, once.
    """

    def __init__(self, pack: Pack) -> None:
        if not (isinstance(pack.embedder, OnePass) and isinstance(pack.regions, Windows)):
            raise PackError(f"The pack “{pack.name}” isn't made for one pass.")
        self.embedding_id = pack.embedding_id
        self.calibration = pack.match_calibration
        self._pass, self._places = pack.embedder, pack.regions
        self._network = load_backbone()
        mean: Vector = np.load(self._pass.mean).astype(np.float32)
        self._mean = mean * np.float32(self._pass.mean_share)

    def perceive(
        self, pictures: Sequence[Image.Image], categories: Sequence[Sequence[str]] | None = None
    ) -> list[Detections]:
        """Perceive upright RGB pictures. Things are found without being named: ``categories`` don't matter."""
        return [self._perceive_one(picture) for picture in pictures]

    def refer(self, picture: Image.Image, box: Box | None = None) -> Region:
        """Return the region of a reference picture that is the thing: what stands out in it, or in a part of it."""
        place = WHOLE if box is None else box
        part = picture if box is None else cropped(picture, box)
        return self.embed(picture, placed(thing_box(self._maps(part, self._pass.whole)[-1]), place))

    def embed(self, picture: Image.Image, box: Box) -> Region:
        """Return the region of a reference picture that is known to be the thing.

        The same picture and box give the same embedding, whenever it is made.
        """
        around = _around(box)
        part = picture if around == WHOLE else cropped(picture, around)
        return Region(box, self._embed(self._maps(part, self._pass.whole), [within(box, around)])[0], 1.0)

    def _perceive_one(self, picture: Image.Image) -> Detections:
        panels = find_panels(picture, self._places.panels)
        is_collage = len(panels) >= COLLAGE
        maps = self._maps(picture, self._pass.whole[:1] if is_collage else self._pass.whole)
        regions = [Region(WHOLE, self._embed(maps, [WHOLE])[0], 1.0)]
        regions += [self._panel(picture, box) for box in panels]
        if not is_collage:
            regions += self._windows(maps[-1], picture.size)
        return Detections(tuple(regions), tags_from(class_probabilities(self._network, maps[0])))

    def _panel(self, picture: Image.Image, box: Box) -> Region:
        maps = self._maps(cropped(picture, box), (self._pass.panel,))
        return Region(box, self._embed(maps, [WHOLE])[0] * np.float32(self._places.panel_trust), 1.0)

    def _windows(self, features: torch.Tensor, size: tuple[int, int]) -> list[Region]:
        boxes = windows(*size, self._places.windows)[1:]
        if not boxes:
            return []
        trust = np.float32(self._places.window_trust)
        embeddings = self._embed([features], boxes) * trust
        return [
            Region(box, embedding, self._places.window_trust) for box, embedding in zip(boxes, embeddings, strict=True)
        ]

    def _maps(self, picture: Image.Image, sizes: Sequence[int]) -> list[torch.Tensor]:
        return [feature_map(self._network, picture, size) for size in sizes]

    def _embed(self, maps: Sequence[torch.Tensor], boxes: Sequence[Box]) -> Floats:
        return centre(join([pool(features, boxes) for features in maps]), self._mean)


def _around(box: Box) -> Box:
    """Return the part of a picture to look at for a thing: all of it, or what is around a small one."""
    if area(box) >= SMALL_THING:
        return WHOLE
    width, height = box.right - box.left, box.bottom - box.top
    across, down = MARGIN * width, MARGIN * height
    return Box(
        left=max(0.0, box.left - across),
        top=max(0.0, box.top - down),
        right=min(1.0, box.right + across),
        bottom=min(1.0, box.bottom + down),
    )
