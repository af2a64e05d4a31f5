"""Where in a reference picture the thing is: the part that looks unlike the picture's border."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from db.geometry import Box

STANDS_OUT = 0.3
"""Cells that stand out at least this much, as a share of the one that does most, belong to the thing."""


def thing_box(features: torch.Tensor) -> Box:
    """Return the box around what stands out, a cell wider on each side (border prior, ECCV 2012 "geodesic saliency").

    ``features`` has the shape ``(channels, rows, columns)``.
    """
    standing_out = _unlike_border(features.numpy())
    chosen = standing_out > STANDS_OUT * standing_out.max()
    rows, columns = chosen.shape
    top, bottom = _ends(chosen.any(axis=1))
    left, right = _ends(chosen.any(axis=0))
    return Box(left=left / columns, top=top / rows, right=right / columns, bottom=bottom / rows)


def _ends(chosen: NDArray[np.bool_]) -> tuple[int, int]:
    places = np.flatnonzero(chosen)
    if len(places) == 0:
        return 0, len(chosen)
    return max(0, int(places[0]) - 1), min(len(chosen), int(places[-1]) + 2)


def _unlike_border(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return, for each cell, its strength times its distance from the border cells most like it."""
    channels, rows, columns = features.shape
    cells = features.reshape(channels, -1)
    strength = np.linalg.norm(cells, axis=0)
    directions = cells / np.maximum(strength, 1e-6)
    border = np.ones((rows, columns), dtype=bool)
    border[1:-1, 1:-1] = False
    alike = np.sort(directions[:, border.ravel()].T @ directions, axis=0)
    nearest = alike[-max(3, len(alike) // 4) :].mean(axis=0)
    standing_out: NDArray[np.float32] = (np.clip(1 - nearest, 0.02, 1.0) * strength).reshape(rows, columns)
    return standing_out
