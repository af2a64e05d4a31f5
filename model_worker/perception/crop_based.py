"""Perception in two steps: regions first, then an embedding of each, cut out and laid on a square."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

from db.geometry import WHOLE, Box, placed
from db.types import Region
from model_worker.api.packs import Detector, OnePass, Pack, PackError, Windows
from model_worker.perception.detector import load_detector
from model_worker.perception.embedders import load_embedder
from model_worker.perception.panels import find_panels
from model_worker.perception.single_pass import Detections
from model_worker.perception.windows import cropped, windows

CLEAR = 1.0
"""The objectness of what is surely a thing; windows have less."""
GUESS = 0.9

Propose = Callable[[Image.Image, Sequence[str]], list[tuple[Box, float]]]
"""From a picture, and what to look for in particular, to boxes and their objectness, the best first."""


class CropPerceiver:
    """Sees with an embedder and a proposer of regions; the whole picture is always a region, too.

    Made once (loads weights: seconds), used from one thread at a time.
    """

    def __init__(self, pack: Pack) -> None:
        if isinstance(pack.embedder, OnePass):
            raise PackError(f"The pack “{pack.name}” isn't made for crops.")
        self.embedding_id = pack.embedding_id
        self.calibration = pack.match_calibration
        self._embed = load_embedder(pack.embedder)
        self._propose = load_proposer(pack.regions)

    def perceive(
        self, pictures: Sequence[Image.Image], categories: Sequence[Sequence[str]] | None = None
    ) -> list[Detections]:
        """Perceive upright RGB pictures. There are no tags: the generator sees the picture itself.

        ``categories`` are what to look for in each of them, beside the general things of the pack's detector.
        """
        wanted = categories or [()] * len(pictures)
        return [
            Detections(self._regions_of(picture, special), ())
            for picture, special in zip(pictures, wanted, strict=True)
        ]

    def refer(self, picture: Image.Image, box: Box | None = None) -> Region:
        """Return the region of a reference picture that is the thing: the clearest one in it, or in a part of it."""
        place = WHOLE if box is None else box
        found = self._propose(cropped(picture, place), ())
        inner = next((item for item, objectness in found if objectness >= CLEAR), WHOLE)
        return self.embed(picture, placed(inner, place))

    def embed(self, picture: Image.Image, box: Box) -> Region:
        """Return the region of a reference picture that is known to be the thing."""
        return Region(box, self._embed([cropped(picture, box)])[0], CLEAR)

    def _regions_of(self, picture: Image.Image, categories: Sequence[str]) -> tuple[Region, ...]:
        found = self._propose(picture, categories)
        proposed = [(WHOLE, CLEAR), *((box, clear) for box, clear in found if box != WHOLE)]
        embeddings = self._embed([cropped(picture, box) for box, _ in proposed])
        return tuple(
            Region(box, embedding, objectness)
            for (box, objectness), embedding in zip(proposed, embeddings, strict=True)
        )


def load_proposer(regions: Windows | Detector) -> Propose:
    """Load what proposes regions. Raises PackError."""
    if isinstance(regions, Detector):
        detect = load_detector(regions)
        return lambda picture, categories: [(box, CLEAR) for box, _ in detect(picture, categories)]

    def by_geometry(picture: Image.Image, _: Sequence[str]) -> list[tuple[Box, float]]:
        panels = [(box, CLEAR) for box in find_panels(picture, regions.panels)]
        return panels or [(box, GUESS) for box in windows(*picture.size, regions.windows)[1:]]

    return by_geometry
