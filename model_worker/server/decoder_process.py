"""The process that decodes strangers' pictures: `python -m model_worker.server.decoder_process`.

On its standard input come pictures, each after its length in eight bytes; on its standard output go a line of JSON
(`Decoded`) and the pixels, as RGB, for each. It is given no secret, and knows no other picture than the present one.
"""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

from PIL import AvifImagePlugin, Image
from pydantic import BaseModel, ConfigDict, Field

from model_worker.api.errors import ImageError, error_to_wire
from model_worker.api.images import WORKING_SIDE, decode_picture
from model_worker.api.limits import limit_this_process

MAX_MEMORY = 2_000_000_000
"""Bytes of address space: the largest picture that is taken, as WebP, needs half of it."""
MAX_THREADS = 2
"""Of a decoder that would take as many as there are processors, each with memory of its own."""
LENGTH_BYTES = 8


class Decoded(BaseModel):
    """What became of a picture: its size in pixels, or the error, as it crosses the wire."""

    model_config = ConfigDict(frozen=True)

    width: int = Field(default=1, ge=1, le=WORKING_SIDE)
    height: int = Field(default=1, ge=1, le=WORKING_SIDE)
    error: dict[str, Any] | None = None


def main() -> int:
    """Decode pictures until there are no more."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = MAX_THREADS
    limit_this_process(MAX_MEMORY)
    while length := sys.stdin.buffer.read(LENGTH_BYTES):
        decode_next(sys.stdin.buffer.read(int.from_bytes(length, "big")), sys.stdout.buffer)
    return 0


def decode_next(data: bytes, output: BinaryIO) -> None:
    """Decode a picture, and write what became of it."""
    try:
        _write(output, decode_picture(data))
    except ImageError as error:
        _write_line(output, Decoded(error=error_to_wire(error)))
    output.flush()


def _write(output: BinaryIO, picture: Image.Image) -> None:
    pixels = picture.tobytes()
    _write_line(output, Decoded(width=picture.width, height=picture.height))
    output.write(pixels)


def _write_line(output: BinaryIO, decoded: Decoded) -> None:
    output.write(decoded.model_dump_json().encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
