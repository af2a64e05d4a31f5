"""Two pictures that may show the same thing, as verification gets them."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePair:
    """A region of a picture, cut out, and a reference of what recall took it for."""

    region: Image.Image
    reference: Image.Image
    name: str
    category: str = ""
