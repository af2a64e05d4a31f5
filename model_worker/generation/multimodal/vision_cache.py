"""What a model makes of pictures, kept: references come back in question after question, and are encoded once.

transformers' ``generate`` takes encoded pictures (``mm_encoder_outputs``) in place of pixels. Models differ in what
they encode a picture to; whether one's pictures can be encoded one by one is tried when it is loaded.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

log = logging.getLogger("keepsake.worker")

MAX_BYTES = 256 * 1024 * 1024
PIXELS = ("pixel_values", "pixel_attention_mask")
"""What encoded pictures stand in for."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One picture as a model's language part sees it: its tokens, and, for some models, more for deeper layers."""

    tokens: tuple[torch.Tensor, ...]
    deeper: tuple[tuple[torch.Tensor, ...], ...]

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return sum(token.nbytes for token in (*self.tokens, *(part for layer in self.deeper for part in layer)))


class VisionCache:
    """The encoded pictures that were used last, by content, of one model.

    ``pixels`` makes a picture what the model's encoder takes.
    """

    def __init__(self, model: Any, pixels: Callable[[Image.Image], Any], max_bytes: int = MAX_BYTES) -> None:
        self._model = model
        self._pixels = pixels
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, Encoded] = OrderedDict()
        self._output: type[Any] | None = None
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def in_place_of_pixels(self, inputs: Any, pictures: Sequence[Image.Image]) -> dict[str, Any]:
        """Return a batch's inputs with its pictures, in the order of their tokens, encoded."""
        if not pictures:
            return dict(inputs)
        encoded = [self._encoded(picture) for picture in pictures]
        found: dict[str, Any] = {"pooler_output": [part for item in encoded for part in item.tokens]}
        if encoded[0].deeper:
            found["deepstack_features"] = [
                [part for item in encoded for part in item.deeper[layer]] for layer in range(len(encoded[0].deeper))
            ]
        assert self._output is not None  # noqa: S101 (there are pictures)
        rest = {name: value for name, value in inputs.items() if name not in PIXELS}
        return {**rest, "mm_encoder_outputs": {"image": self._output(**found)}}

    def _encoded(self, picture: Image.Image) -> Encoded:
        key = hashlib.sha256(f"{picture.mode} {picture.size}".encode() + picture.tobytes()).hexdigest()
        if key in self._kept:
            self.hits += 1
            self._kept.move_to_end(key)
            return self._kept[key]
        self.misses += 1
        encoded = self._encode(picture)
        self._kept[key] = encoded
        self.bytes += encoded.bytes
        while self.bytes > self._max_bytes and len(self._kept) > 1:
            self.bytes -= self._kept.popitem(last=False)[1].bytes
        return encoded

    def _encode(self, picture: Image.Image) -> Encoded:
        encoder = self._model.base_model.get_image_features
        taken = inspect.signature(encoder).parameters
        inputs = {name: value for name, value in self._pixels(picture).items() if name in taken}
        output = encoder(**inputs, return_dict=True)
        self._output = type(output)
        deeper = output.get("deepstack_features") or ()
        return Encoded(tuple(output["pooler_output"]), tuple(tuple(layer) for layer in deeper))


def can_be_kept(model: Any, features: VisionCache, inputs: Any, pictures: Sequence[Image.Image]) -> bool:
    """Whether a model says the same to pictures that were encoded one by one as to their pixels."""
    try:
        with torch.inference_mode():
            wanted = model(**inputs).logits
            found = model(**features.in_place_of_pixels(inputs, pictures)).logits
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        log.warning("This model's pictures are encoded anew for each question: %s", error)
        return False
    is_same = torch.allclose(wanted.float(), found.float(), rtol=0.02, atol=0.02 * float(wanted.float().std()))
    if not is_same:
        log.warning("This model's pictures are encoded anew for each question: one by one they look different to it")
    return bool(is_same)
