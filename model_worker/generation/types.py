"""A question with the pictures that belong to it, as writers get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image

from model_worker.api.protocol import GenerateRequest


@dataclass(frozen=True, slots=True)
class GenerationInput:
    """A request and its pictures, by the SHA-256 that the request names them by; empty for writers that don't see."""

    request: GenerateRequest
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)
