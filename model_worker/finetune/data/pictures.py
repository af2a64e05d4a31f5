"""An owner's material, as the database has it, opened to make samples of."""

from __future__ import annotations

import hashlib
import json

from PIL import Image

from db.geometry import Box
from db.training import Material, MaterialConcept
from model_worker.api.images import decode_picture
from model_worker.finetune.data.material import TrainingConcept, View

SIDE = 768
"""Pixels of an opened picture's longest side: samples show it in scenes of 512."""


def concepts_from(material: Material) -> list[TrainingConcept]:
    """Open the pictures of a material; the avatar comes first."""
    return [_opened_concept(concept) for concept in material.concepts]


def data_hash(material: Material) -> str:
    """Return a SHA-256 of all that a training sees, which says nothing of it to who doesn't have it."""
    seen = [_all_of(concept) for concept in material.concepts]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _all_of(concept: MaterialConcept) -> list[object]:
    return [
        concept.name,
        concept.info,
        concept.category,
        concept.right,
        concept.incorrect,
        [hashlib.sha256(reference.picture).hexdigest() for reference in concept.references],
        [_corners(reference.box) for reference in concept.references],
    ]


def _corners(box: Box) -> list[float]:
    return [box.left, box.top, box.right, box.bottom]


def _opened_concept(concept: MaterialConcept) -> TrainingConcept:
    ordered = sorted(concept.references, key=lambda reference: not reference.is_avatar)
    return TrainingConcept(
        name=concept.name,
        info=concept.info,
        category=concept.category,
        views=tuple(View(_opened(reference.picture), reference.box) for reference in ordered),
        right=concept.right,
        incorrect=concept.incorrect,
    )


def _opened(jpeg: bytes) -> Image.Image:
    picture = decode_picture(jpeg)
    picture.thumbnail((SIDE, SIDE))
    return picture
