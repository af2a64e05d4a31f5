"""What the server needs of a pack's models, and how the real ones are loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from PIL import Image

from db.geometry import Box
from db.types import Calibration, Region
from model_worker.api.errors import UnknownEmbedderError
from model_worker.api.packs import (
    OnePass,
    Pack,
    PackError,
    ServedWriting,
    TextWriting,
    Verification,
    load_pack,
    pack_that_makes,
)
from model_worker.api.protocol import Tag
from model_worker.generation.pair import ImagePair
from model_worker.generation.types import GenerationInput, Pieces


class Detections(Protocol):
    """What was seen in one picture."""

    @property
    def regions(self) -> tuple[Region, ...]: ...  # noqa: D102
    @property
    def tags(self) -> tuple[Tag, ...]: ...  # noqa: D102


class Sees(Protocol):
    """A perceiver: `model_worker.perception.perceive.Perceiver`."""

    embedding_id: str
    calibration: Calibration

    def perceive(  # noqa: D102
        self, pictures: Sequence[Image.Image], categories: Sequence[Sequence[str]] | None = None
    ) -> Sequence[Detections]: ...
    def refer(self, picture: Image.Image, box: Box | None = None) -> Region: ...  # noqa: D102

    def embed(self, picture: Image.Image, box: Box) -> Region: ...  # noqa: D102


class Writes(Protocol):
    """A writer: `model_worker.words.generate.Writer`."""

    sees_pictures: bool

    def write(  # noqa: D102
        self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]
    ) -> Iterator[Pieces]: ...


class HeldAdapters(Protocol):
    """What holds adapters: `model_worker.words.adapters.Adapters`."""

    base: str

    def __contains__(self, name: str) -> bool: ...
    def take(self, name: str, data: bytes) -> object: ...  # noqa: D102


@runtime_checkable
class Adapts(Protocol):
    """A writer that answers with adapters: `model_worker.words.generate.Writer` and `ImageTextWriter`."""

    @property
    def adapters(self) -> HeldAdapters: ...  # noqa: D102


class CachedFeatures(Protocol):
    """What is kept of pictures: `model_worker.words.features.PictureFeatures`."""

    hits: int
    misses: int


@runtime_checkable
class Looks(Protocol):
    """A writer that looks at pictures itself: `model_worker.words.image_text.ImageTextWriter`."""

    @property
    def features(self) -> CachedFeatures: ...  # noqa: D102

    def verify(self, pairs: Sequence[ImagePair]) -> list[float]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a pack, loaded; ``verification`` is None where the pack doesn't verify."""

    pack: str
    sees: Sees
    writes: Writes
    verification: Verification | None = None


Load = Callable[[], Models]
LoadFormer = Callable[[str], Sees]
"""From an embedding id to what sees in the pack that makes such embeddings. Raises UnknownEmbedderError."""


def load_models(pack_name: str) -> Models:
    """Load a pack's models: seconds. Raises PackError and RuntimeError."""
    pack = load_pack(pack_name)
    return Models(pack.name, load_perceiver(pack), load_writer(pack), pack.verification)


def load_former(embedding_id: str) -> Sees:
    """Load what sees in the pack that makes embeddings of this id: seconds. Raises UnknownEmbedderError."""
    pack = pack_that_makes(embedding_id)
    if pack is None:
        raise UnknownEmbedderError(embedding_id, detail=f"no pack here makes embeddings {embedding_id}")
    try:
        return load_perceiver(pack)
    except (PackError, RuntimeError) as error:
        raise UnknownEmbedderError(
            embedding_id, detail=f"the pack “{pack.name}”, which makes them, can't be loaded: {error}"
        ) from error


def load_writer(pack: Pack) -> Writes:
    """Load what writes in a pack. Raises PackError and RuntimeError."""
    if isinstance(pack.writing, ServedWriting):
        from model_worker.generation.remote import ServedWriter

        return ServedWriter(pack.writing)
    if not isinstance(pack.writing, TextWriting):
        from model_worker.generation.multimodal.writer import ImageTextWriter

        return ImageTextWriter(pack.writing)
    from model_worker.generation.starter.writer import Writer

    return Writer()


def load_perceiver(pack: Pack) -> Sees:
    """Load what sees in a pack. Raises PackError and RuntimeError."""
    if isinstance(pack.perception, OnePass):
        from model_worker.perception.single_pass import Perceiver

        return Perceiver(pack)
    from model_worker.perception.crop_based import CropPerceiver

    return CropPerceiver(pack)
