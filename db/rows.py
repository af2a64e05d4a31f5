"""What several tables have in common, as it comes out of a row: boxes, embeddings, and where a picture is from."""

from __future__ import annotations

import asyncpg
import numpy as np
from pgvector import HalfVector

from db.geometry import Box
from db.types import Source, Vector


def box_from(row: asyncpg.Record) -> Box:
    """Return the box of a row with the columns box_left, box_top, box_right and box_bottom."""
    return Box(left=row["box_left"], top=row["box_top"], right=row["box_right"], bottom=row["box_bottom"])


def source_from(row: asyncpg.Record) -> Source | None:
    """Return the message that a picture was taken from, of a row with origin, source_author and source_message."""
    return Source(row["source_author"], row["source_message"]) if row["origin"] == "message" else None


def source_columns(source: Source | None) -> tuple[str, int | None, int | None]:
    """Return the columns origin, source_author and source_message of a picture."""
    return ("upload", None, None) if source is None else ("message", source.author, source.message)


def to_vector(stored: HalfVector) -> Vector:
    """Return a stored ``halfvec`` as an array: shape ``(dimensions,)``, float32."""
    return np.asarray(stored.to_numpy(), dtype=np.float32)


def count_of(status: str) -> int:
    """Return how many rows a statement changed, from what Postgres says of it: ``DELETE 3``."""
    return int(status.rpartition(" ")[2])
