"""What samples are made of: an owner's concepts, with their pictures opened."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from db.geometry import Box


@dataclass(frozen=True, slots=True)
class View:
    """One picture of a concept, and where in it the concept is."""

    picture: Image.Image
    box: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConcept:
    """A concept as its owner gave it.

    ``right`` and ``incorrect`` count what was said about recognitions of it: only that is used of them, because the
    pictures that they were about may come from messages, which are never trained on.
    """

    name: str
    info: str
    category: str
    views: tuple[View, ...]
    right: int = 0
    incorrect: int = 0
