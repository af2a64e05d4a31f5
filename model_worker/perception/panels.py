"""Panels: pictures inside a picture (a collage, a screenshot, a shared post), found by their straight edges.

People share many pictures that are made of pictures. A panel is a rectangle whose four sides are edges that
follow one row or column of pixels nearly without a break, which hardly anything in a photograph does. Such a
box is exact to a pixel or two, where a window over the feature map is exact to half a cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import maximum_filter1d

from db.geometry import Box
from model_worker.perception.windows import suppress

LONGEST = 512
"""Pixels of the longest side at which edges are looked for."""
SMALLEST = 0.08
"""A panel's sides, as a share of the picture's longest side, are at least this long."""
STEP = 8
"""Neighbouring pixels that differ by more than this (of 255, in any channel) are an edge."""
SIDE = 0.5
"""What part of each side must be an edge."""
SIDES = 0.75
"""What part of the whole outline must be an edge."""
LINES = 24
"""At most so many rows, and columns, are considered."""
OVERLAP = 0.1
CANDIDATES = 400
THIN = 4
"""An edge is the strongest change within so many pixels on either side."""

Edges = NDArray[np.bool_]


def find_panels(picture: Image.Image, most: int) -> list[Box]:
    """Return the boxes of at most ``most`` panels, the clearest first; none overlaps another."""
    pixels = _small(picture)
    height, width = pixels.shape[:2]
    upright = _edges(pixels)
    level = _edges(pixels.transpose(1, 0, 2))
    shortest = max(8, round(SMALLEST * max(width, height)))
    columns, rows = _lines(upright, shortest), _lines(level, shortest)
    outline = _outlines(_cover(upright, columns, rows), _cover(level, rows, columns))
    outline[_too_short(columns, rows, shortest)] = 0.0
    return _clearest(outline, columns / width, rows / height, most)


def _small(picture: Image.Image) -> NDArray[np.int16]:
    small = picture.copy() if max(picture.size) <= LONGEST else _shrunk(picture)
    return np.asarray(small, dtype=np.int16)


def _shrunk(picture: Image.Image) -> Image.Image:
    scale = LONGEST / max(picture.size)
    size = max(2, round(picture.width * scale)), max(2, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _edges(pixels: NDArray[np.int16]) -> Edges:
    """Return where the picture changes along axis 1, and more so than anywhere within `THIN` pixels.

    In a texture the strongest change is now here, now there: only a drawn border stays in one column. An edge
    counts for its neighbours too: shrinking blurs it over two pixels.
    """
    change = np.abs(np.diff(pixels, axis=1)).max(axis=2)
    nearby = maximum_filter1d(change, 2 * THIN + 1, axis=1)
    edges = (change > STEP) & (change == nearby)
    wide: Edges = edges.copy()
    wide[:, 1:] |= edges[:, :-1]
    wide[:, :-1] |= edges[:, 1:]
    return wide


def _lines(edges: Edges, shortest: int) -> NDArray[np.int64]:
    """Return where straight edges run along axis 0: the picture's two borders and the strongest between."""
    sums = np.vstack([np.zeros(edges.shape[1], np.int32), np.cumsum(edges, axis=0, dtype=np.int32)])
    size = edges.shape[1] + 1
    if len(sums) <= shortest:
        return np.array([0, size])
    strength = (sums[shortest:] - sums[:-shortest]).max(axis=0) / shortest
    longest = edges.mean(axis=0)
    lines: list[int] = []
    for position in np.argsort(-(strength + longest), kind="stable"):
        if strength[position] < SIDE or len(lines) == LINES:
            break
        if all(abs(position + 1 - line) > 3 for line in lines) and 3 < position + 1 < size - 3:
            lines.append(int(position) + 1)
    return np.array([0, *sorted(lines), size])


def _cover(edges: Edges, lines: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return what part of each line is an edge between any two ends: shape (lines, ends, ends).

    The picture's own border counts as an edge.
    """
    sums = np.vstack([np.zeros(edges.shape[1], np.int32), np.cumsum(edges, axis=0, dtype=np.int32)])
    at = np.clip(lines - 1, 0, edges.shape[1] - 1)
    along = sums[np.minimum(ends, len(sums) - 1)][:, at].T
    lengths = np.maximum(ends[None, :] - ends[:, None], 1)
    cover: NDArray[np.float32] = ((along[:, None, :] - along[:, :, None]) / lengths[None]).astype(np.float32)
    cover[[0, -1]] = 1.0
    return cover


def _outlines(upright: NDArray[np.float32], level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how complete each rectangle's outline is: shape (left, right, top, bottom), 0 where it is none."""
    left, right = upright[:, None, :, :], upright[None, :, :, :]
    across = level.transpose(1, 2, 0)
    top, bottom = across[:, :, :, None], across[:, :, None, :]
    weakest = np.minimum(np.minimum(left, right), np.minimum(top, bottom))
    mean = (left + right + top + bottom) / 4
    return np.where((weakest >= SIDE) & (mean >= SIDES), mean, 0.0).astype(np.float32)


def _too_short(columns: NDArray[np.int64], rows: NDArray[np.int64], shortest: int) -> Edges:
    """Return which rectangles are too small, inside out, or have three of the picture's own borders."""
    narrow = (columns[None, :] - columns[:, None]) < shortest
    low = (rows[None, :] - rows[:, None]) < shortest
    across, down = _borders(len(columns)), _borders(len(rows))
    borders = across[:, :, None, None] + down[None, None, :, :]
    return narrow[:, :, None, None] | low[None, None, :, :] | (borders >= 3)


def _borders(count: int) -> NDArray[np.int64]:
    first = np.zeros((count, count), np.int64)
    first[0, :] += 1
    first[:, -1] += 1
    return first


def _clearest(
    outline: NDArray[np.float32], columns: NDArray[np.float64], rows: NDArray[np.float64], most: int
) -> list[Box]:
    found = np.argwhere(outline > 0)
    scores = outline[tuple(found.T)]
    clearest = np.argsort(-scores, kind="stable")[:CANDIDATES]
    boxes = [
        Box(left=float(columns[left]), top=float(rows[top]), right=float(columns[right]), bottom=float(rows[bottom]))
        for left, right, top, bottom in found[clearest]
    ]
    return [boxes[index] for index in suppress(boxes, scores[clearest].tolist(), OVERLAP, most)]
