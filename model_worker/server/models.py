"""What the server needs of a pack's models."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from PIL import Image

from db.geometry import Box
from db.types import Calibration, Region
from model_worker.api.packs import Verification
from model_worker.api.protocol import Tag
from model_worker.generation.pair import ImagePair
from model_worker.generation.types import GenerationInput, Pieces


class Detections(Protocol):
    """What was found in one picture."""

    @property
    def regions(self) -> tuple[Region, ...]: ...  # noqa: D102
    @property
    def tags(self) -> tuple[Tag, ...]: ...  # noqa: D102


class PerceptionModel(Protocol):
    """What embeds pictures, such as `model_worker.perception.single_pass.Perceiver`."""

    embedding_id: str
    calibration: Calibration

    def perceive(  # noqa: D102
        self, pictures: Sequence[Image.Image], categories: Sequence[Sequence[str]] | None = None
    ) -> Sequence[Detections]: ...
    def refer(self, picture: Image.Image, box: Box | None = None) -> Region: ...  # noqa: D102
    def embed(self, picture: Image.Image, box: Box) -> Region: ...  # noqa: D102


class GenerationModel(Protocol):
    """What writes answers, such as `model_worker.generation.starter.writer.Writer`."""

    sees_pictures: bool

    def write(  # noqa: D102
        self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]
    ) -> Iterator[Pieces]: ...


class AdapterStore(Protocol):
    """The adapters that a writer can answer with: `model_worker.generation.adapters.loaded`."""

    base: str

    def __contains__(self, name: str) -> bool: ...
    def take(self, name: str, data: bytes) -> object: ...  # noqa: D102


@runtime_checkable
class AdaptableModel(Protocol):
    """A writer that answers with adapters."""

    @property
    def adapters(self) -> AdapterStore: ...  # noqa: D102


class FeatureCounts(Protocol):
    """How often a picture's features were known already: `model_worker.generation.multimodal.vision_cache`."""

    hits: int
    misses: int


@runtime_checkable
class MultimodalModel(Protocol):
    """A writer that sees pictures itself: `model_worker.generation.multimodal.writer.ImageTextWriter`."""

    @property
    def features(self) -> FeatureCounts: ...  # noqa: D102

    def verify(self, pairs: Sequence[ImagePair]) -> list[float]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models of a pack, loaded; ``verification`` is None where the pack doesn't verify."""

    pack: str
    perceiver: PerceptionModel
    writer: GenerationModel
    verification: Verification | None = None

    @property
    def adapters(self) -> AdapterStore | None:
        """The adapters that the writer can answer with, None when it takes none."""
        return self.writer.adapters if isinstance(self.writer, AdaptableModel) else None

    @property
    def verifier(self) -> MultimodalModel | None:
        """What verifies what recall found, None when the pack or its writer doesn't."""
        if self.verification is None or not isinstance(self.writer, MultimodalModel):
            return None
        return self.writer
