"""Pictures that were sent, kept for the next questions about them, within a bound."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PIL import Image

from model_worker.api.images import LARGEST_STORED_BYTES, WORKING_SIDE, decode_picture, encode_jpeg, is_plain_jpeg

MAX_SECONDS_UNUSED = 600.0
ANSWER_SIDE = 1280
"""Pixels of the longest side of a picture that is stored with an answer."""


@dataclass(frozen=True, slots=True)
class CachedImage:
    """A decoded picture; ``jpeg`` is it as it can be stored, if it is such a one already."""

    picture: Image.Image
    jpeg: bytes | None = None

    @classmethod
    def from_bytes(cls, data: bytes, decode: Callable[[bytes], Image.Image] = decode_picture) -> CachedImage:
        """Decode a picture. Raises ImageError."""
        return cls(decode(data), data if is_plain_jpeg(data) else None)

    def as_reference(self) -> StoredImage:
        """Return the picture as it is stored with a concept, and as that will be decoded again.

        A reference's embedding is that of its stored picture, so that whoever embeds it later gets the same.
        """
        jpeg = self.jpeg
        if jpeg is None or len(jpeg) > LARGEST_STORED_BYTES or max(self.picture.size) > WORKING_SIDE:
            jpeg = encode_jpeg(self.picture)
        return StoredImage.from_jpeg(jpeg)

    def as_answer(self) -> StoredImage:
        """Return the picture as it is stored with an answer, drawn on, and shown to writers: small, and always a copy.

        It is decoded from what is stored, so that the same name stands for the same pixels, whoever sends them again.
        """
        return StoredImage.from_jpeg(encode_jpeg(self.picture, ANSWER_SIDE))


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A picture as the bot stores it: an upright JPEG without metadata, with the SHA-256 that it goes by."""

    sha256: str
    jpeg: bytes
    picture: Image.Image

    @classmethod
    def from_jpeg(cls, jpeg: bytes) -> StoredImage:
        """Decode a JPEG. Raises ImageError."""
        return cls(hashlib.sha256(jpeg).hexdigest(), jpeg, decode_picture(jpeg))


class ImageCache:
    """The pictures used last, by the SHA-256 of what was sent; at most ``max_bytes`` of them, and not for long.

    ``clock`` gives seconds.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._images: OrderedDict[str, CachedImage] = OrderedDict()
        self._used_at: dict[str, float] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._images)

    def put(self, sha256: str, image: CachedImage) -> None:
        """Keep a decoded picture; drops those used longest ago."""
        self._drop(sha256)
        self._images[sha256] = image
        self._used_at[sha256] = self._clock()
        self.bytes += _size(image)
        while self.bytes > self._max_bytes and len(self._images) > 1:
            self._drop(next(iter(self._images)))

    def get(self, sha256: str) -> CachedImage | None:
        """Return a picture, None when it isn't here (any more)."""
        if sha256 in self._images:
            self._images.move_to_end(sha256)
            self._used_at[sha256] = self._clock()
        return self._images.get(sha256)

    def keep(self, stored: StoredImage) -> None:
        """Keep a picture as the bot stores it, which it fetches next and names from then on."""
        self.put(stored.sha256, CachedImage(stored.picture, stored.jpeg))

    def pictures(self, names: Iterable[str]) -> dict[str, Image.Image]:
        """Return those of some pictures that are here, decoded, by their SHA-256."""
        found = {sha256: self.get(sha256) for sha256 in names}
        return {sha256: image.picture for sha256, image in found.items() if image is not None}

    def drop_unused(self) -> None:
        """Drop what nobody asked about for so long that it won't be asked about again: it may be erased since."""
        before = self._clock() - MAX_SECONDS_UNUSED
        for sha256 in [name for name, used_at in self._used_at.items() if used_at < before]:
            self._drop(sha256)

    def _drop(self, sha256: str) -> None:
        dropped = self._images.pop(sha256, None)
        self._used_at.pop(sha256, None)
        if dropped is not None:
            self.bytes -= _size(dropped)


def _size(image: CachedImage) -> int:
    return 3 * image.picture.width * image.picture.height + len(image.jpeg or b"")
