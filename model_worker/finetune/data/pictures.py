"""An owner's material, as the database has it, opened for lessons."""

from __future__ import annotations

import hashlib
import json

from PIL import Image

from db.training import Material, MaterialConcept
from model_worker.api.images import decode_picture
from model_worker.finetune.data.material import Known, View

SIDE = 768
"""Pixels of an opened picture's longest side: lessons cut it into scenes of 512."""


def known_from(material: Material) -> list[Known]:
    """Open the pictures of a material; the avatar comes first."""
    return [_known(concept) for concept in material.concepts]


def data_hash(material: Material) -> str:
    """Return a SHA-256 of all that a training sees, which says nothing of it to who doesn't have it."""
    seen = [
        [
            *(concept.name, concept.info, concept.category, concept.right, concept.incorrect),
            [hashlib.sha256(reference.picture).hexdigest() for reference in concept.references],
            [[reference.box.left, reference.box.top, reference.box.right, reference.box.bottom]
             for reference in concept.references],
        ]
        for concept in material.concepts
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _known(concept: MaterialConcept) -> Known:
    ordered = sorted(concept.references, key=lambda reference: not reference.is_avatar)
    views = [View(_opened(reference.picture), reference.box) for reference in ordered]
    return Known(concept.name, concept.info, concept.category, tuple(views), concept.right, concept.incorrect)


def _opened(jpeg: bytes) -> Image.Image:
    picture = decode_picture(jpeg)
    picture.thumbnail((SIDE, SIDE))
    return picture
