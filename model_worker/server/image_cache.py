"""Pictures that were sent, held for the next questions about them, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True)
class CachedImage:
    """A decoded picture; ``jpeg`` is what was sent, if that can be stored as it is."""

    picture: Image.Image
    jpeg: bytes | None = None


class ImageCache:
    """The pictures used last, by the SHA-256 of what was sent; at most ``max_bytes`` of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pictures: OrderedDict[str, CachedImage] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._pictures)

    def put(self, sha256: str, held: CachedImage) -> None:
        """Hold a decoded picture; drops those used longest ago."""
        self._drop(sha256)
        self._pictures[sha256] = held
        self.bytes += _size(held)
        while self.bytes > self._max_bytes and len(self._pictures) > 1:
            self._drop(next(iter(self._pictures)))

    def get(self, sha256: str) -> CachedImage | None:
        """Return a picture, None when it isn't held (any more)."""
        if sha256 in self._pictures:
            self._pictures.move_to_end(sha256)
        return self._pictures.get(sha256)

    def _drop(self, sha256: str) -> None:
        dropped = self._pictures.pop(sha256, None)
        if dropped is not None:
            self.bytes -= _size(dropped)


def _size(held: CachedImage) -> int:
    return 3 * held.picture.width * held.picture.height + len(held.jpeg or b"")
