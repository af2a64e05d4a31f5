"""Embeddings: a region of a feature map pooled into one vector.

Generalised-mean pooling (arXiv 1711.02512, section 3.2) with p = 2, each cell weighted by how near it is to the
middle of the region, where the thing is; then the mean embedding is taken off, which all pictures share.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from db.geometry import Box
from db.types import Vector

Floats = NDArray[np.float32]

SPREAD = 0.5
"""Standard deviation of the weight around a region's middle, in halves of the region's side."""


def pool(features: torch.Tensor, boxes: Sequence[Box]) -> Floats:
    """Pool boxes out of a feature map.

    Parameters
    ----------
    features : torch.Tensor
        Shape ``(channels, rows, columns)``, not negative.
    boxes : Sequence[Box]
        Fractions of the map's sides.

    Returns
    -------
    Floats
        Shape ``(boxes, channels)``, each of length 1.

    """
    _, rows, columns = features.shape
    down = np.stack([_weights(box.top, box.bottom, rows) for box in boxes])
    across = np.stack([_weights(box.left, box.right, columns) for box in boxes])
    weights = (down[:, :, None] * across[:, None, :]).reshape(len(boxes), -1)
    weights /= weights.sum(axis=1, keepdims=True)
    # Multiplied by torch, as all else is: numpy's threads and torch's would fight for the same cores.
    means = torch.from_numpy(weights) @ features.flatten(1).square().T
    return _of_length_one(means.sqrt().numpy())


def join(pooled: Sequence[Floats]) -> Floats:
    """Average what was pooled from several scales: shape ``(boxes, channels)``, each of length 1."""
    return _of_length_one(np.sum(pooled, axis=0))


def centre(pooled: Floats, mean: Vector) -> Floats:
    """Take the mean off: shape as given, each of length 1."""
    return _of_length_one(pooled - mean)


def _weights(low: float, high: float, cells: int) -> Floats:
    """Return how much of each cell lies between low and high (fractions), weighted towards the middle."""
    edges = np.arange(cells + 1) / cells
    inside = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0.0, None)
    off_middle = np.clip(2 * ((np.arange(cells) + 0.5) / cells - low) / (high - low) - 1, -1.0, 1.0)
    weights: Floats = (inside * np.exp(-(off_middle**2) / (2 * SPREAD**2))).astype(np.float32)
    return weights


def _of_length_one(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Floats = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit
