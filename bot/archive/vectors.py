"""Embeddings in archives: base64 of float16, which is as exact as the database keeps them."""

from __future__ import annotations

import base64

import numpy as np

from db.types import Vector


def pack_vector(vector: Vector) -> str:
    """Encode an embedding as base64 of little-endian float16."""
    return base64.b64encode(vector.astype("<f2").tobytes()).decode()


def unpack_vector(text: str) -> Vector:
    """Decode `pack_vector`: shape ``(dimensions,)``, float32. Raises ValueError on anything else."""
    return np.frombuffer(base64.b64decode(text), dtype="<f2").astype(np.float32)
