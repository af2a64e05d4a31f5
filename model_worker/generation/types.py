"""A question with the pictures that belong to it, as writers get it; and the pieces of answers that they return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from model_worker.api.errors import WorkerError
from model_worker.api.protocol import GenerateRequest

Pieces = Sequence[tuple[int, str | WorkerError]]
"""Of several requests, by their index: the next piece of an answer, or why there is none (any more)."""


@dataclass(frozen=True, slots=True)
class GenerationInput:
    """A request and its pictures, by the SHA-256 that the request names them by; empty for writers that don't see."""

    request: GenerateRequest
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)
