"""What the tests of the memory put into it: made by code, small, different for each seed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from db.geometry import Box
from db.types import Calibration, NewConcept, NewReference, OwnerId, Region, Vector

PACK = "test-pack"
DIMENSIONS = 8


@dataclass(frozen=True)
class ASight:
    regions: Sequence[Region]
    calibration: Calibration


def a_jpeg(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def an_embedding(seed: int = 0) -> Vector:
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def a_reference(seed: int = 0, embedding: Vector | None = None) -> NewReference:
    jpeg = a_jpeg(seed)
    return NewReference(
        picture=jpeg,
        picture_sha256=hashlib.sha256(jpeg).hexdigest(),
        width=16,
        height=12,
        box=Box(left=0.25, top=0.125, right=0.75, bottom=1.0),
        embedding_id=PACK,
        embedding=an_embedding(seed) if embedding is None else embedding,
    )


def a_concept(owner_id: OwnerId, name: str, seed: int = 0, reference: NewReference | None = None) -> NewConcept:
    return NewConcept(
        owner_id=owner_id,
        name=name,
        info="Sleeps on the piano.",
        category="cat",
        created_by=1,
        reference=a_reference(seed) if reference is None else reference,
    )
