"""Models that perceive and write at once, for tests of the HTTP interface alone: what is true of any pack is tried with
them, fast and with timing under control. The only fake in the tests besides Discord itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from db.geometry import WHOLE, Box
from db.types import Calibration, Region
from model_worker.api.protocol import Tag
from model_worker.generation.pair import ImagePair
from model_worker.generation.types import GenerationInput


@dataclass(frozen=True, slots=True)
class FakeDetections:
    regions: tuple[Region, ...]
    tags: tuple[Tag, ...]


@dataclass(kw_only=True)
class FakePerceiver:
    """Its embedding is the picture's mean colour; it notes the sizes of its batches.

    ``turned`` is for another pack's: red is embedded as the first one embeds green, so that who compares the embeddings
    of one with those of the other takes one thing for another.
    """

    batches: list[int] = field(default_factory=list)
    pause: float = 0.0
    broken: bool = False
    embedding_id: str = "fake/1"
    turned: int = 0
    categories: list[list[str]] = field(default_factory=list)

    @property
    def calibration(self) -> Calibration:
        return Calibration(embedding_id=self.embedding_id, slope=10.0, offset=-5.0, threshold=0.5)

    def perceive(
        self, pictures: Sequence[Image.Image], categories: Sequence[Sequence[str]] | None = None
    ) -> list[FakeDetections]:
        self.batches.append(len(pictures))
        self.categories = [] if categories is None else [list(category) for category in categories]
        time.sleep(self.pause)
        if self.broken:
            raise RuntimeError("out of memory, say")
        return [
            FakeDetections((self.refer(picture),), (Tag(label="picture", probability=0.9),)) for picture in pictures
        ]

    def embed(self, picture: Image.Image, box: Box) -> Region:
        return self.refer(picture, box)

    def refer(self, picture: Image.Image, box: Box | None = None) -> Region:
        mean = np.asarray(picture, dtype=np.float32).mean(axis=(0, 1)) / 255
        colour = np.roll(mean, self.turned) / max(float(np.linalg.norm(mean)), 1e-6)
        return Region(box or WHOLE, colour.astype(np.float32), 1.0)


@dataclass
class FakeFeatures:
    hits: int = 0
    misses: int = 0


@dataclass(kw_only=True)
class FakeWriter:
    """Says the question back, word by word."""

    pause: float = 0.0
    batches: list[int] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    sees_pictures: bool = False

    def write(
        self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]
    ) -> Iterator[list[tuple[int, str]]]:
        self.batches.append(len(asked))
        words = [[*item.request.question.split(), *sorted(item.pictures)] for item in asked]
        for place in range(max(len(word) for word in words)):
            time.sleep(self.pause)
            pieces = [
                (index, word[place] + " ")
                for index, word in enumerate(words)
                if place < len(word) and not cancelled[index].is_set()
            ]
            self.written += [piece for _, piece in pieces]
            yield pieces


@dataclass(kw_only=True)
class FakeVerifier(FakeWriter):
    """Verifies pairs of pictures, too, and notes them: the name, and the mean colours of region and reference."""

    sees_pictures: bool = True
    yes: float = 0.9
    broken: bool = False
    features: FakeFeatures = field(default_factory=FakeFeatures)
    verified: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)

    def verify(self, pairs: Sequence[ImagePair]) -> list[float]:
        if self.broken:
            raise RuntimeError("out of memory, say")
        for pair in pairs:
            self.verified.append((pair.name, _mean_colour(pair.region), _mean_colour(pair.reference)))
        return [self.yes] * len(pairs)


def _mean_colour(picture: Image.Image) -> tuple[int, ...]:
    return tuple(np.asarray(picture).reshape(-1, 3).mean(axis=0).round().astype(int))
