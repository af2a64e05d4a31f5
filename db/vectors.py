"""Embeddings on their way out of the database."""

from __future__ import annotations

import numpy as np
from pgvector import HalfVector

from db.types import Vector


def to_vector(stored: HalfVector) -> Vector:
    """Return a stored ``halfvec`` as an array: shape ``(dimensions,)``, float32."""
    return np.asarray(stored.to_numpy(), dtype=np.float32)
