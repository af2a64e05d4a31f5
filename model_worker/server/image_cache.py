"""Pictures that were sent, kept for the next questions about them, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image

from model_worker.api.images import WORKING_SIDE, decode_picture, encode_jpeg, is_plain_jpeg


@dataclass(frozen=True, slots=True)
class CachedImage:
    """A decoded picture; ``jpeg`` is what was sent, if that can be stored as it is."""

    picture: Image.Image
    jpeg: bytes | None = None

    @classmethod
    def from_bytes(cls, data: bytes) -> CachedImage:
        """Decode a picture. Raises ImageError."""
        return cls(decode_picture(data), data if is_plain_jpeg(data) else None)

    def stored(self) -> tuple[bytes, Image.Image]:
        """Return the picture as it is stored (JPEG), and as that will be decoded again.

        A reference's embedding is that of its stored picture, so that whoever embeds it later gets the same.
        """
        jpeg = self.jpeg
        if jpeg is None or max(self.picture.size) > WORKING_SIDE:
            jpeg = encode_jpeg(self.picture)
        return jpeg, decode_picture(jpeg)


class ImageCache:
    """The pictures used last, by the SHA-256 of what was sent; at most ``max_bytes`` of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._images: OrderedDict[str, CachedImage] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._images)

    def put(self, sha256: str, image: CachedImage) -> None:
        """Keep a decoded picture; drops those used longest ago."""
        self._drop(sha256)
        self._images[sha256] = image
        self.bytes += _size(image)
        while self.bytes > self._max_bytes and len(self._images) > 1:
            self._drop(next(iter(self._images)))

    def get(self, sha256: str) -> CachedImage | None:
        """Return a picture, None when it isn't here (any more)."""
        if sha256 in self._images:
            self._images.move_to_end(sha256)
        return self._images.get(sha256)

    def pictures(self, names: Iterable[str]) -> dict[str, Image.Image]:
        """Return those of some pictures that are here, decoded, by their SHA-256."""
        found = {sha256: self.get(sha256) for sha256 in names}
        return {sha256: image.picture for sha256, image in found.items() if image is not None}

    def _drop(self, sha256: str) -> None:
        dropped = self._images.pop(sha256, None)
        if dropped is not None:
            self.bytes -= _size(dropped)


def _size(image: CachedImage) -> int:
    return 3 * image.picture.width * image.picture.height + len(image.jpeg or b"")
