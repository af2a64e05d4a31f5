"""Files that strangers might send to break something: pictures and archives, small ones that become large or slow."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from skimage import data as skimage_data

DATA = Path(__file__).parent / "data"
RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 240, 240)


def cat() -> Image.Image:
    return Image.fromarray(skimage_data.chelsea())


def corners() -> Image.Image:
    """64 × 32 pixels: red, green above blue, white."""
    picture = Image.new("RGB", (64, 32), RED)
    picture.paste(GREEN, (32, 0, 64, 16))
    picture.paste(BLUE, (0, 16, 32, 32))
    picture.paste(WHITE, (32, 16, 64, 32))
    return picture


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    if form == "HEIF":  # what we decode it with can't encode: these two were made elsewhere
        return (DATA / ("corners.heic" if picture.size == (64, 32) else "cat.heic")).read_bytes()
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *extra: bytes) -> bytes:
    """A grey PNG whose header says so much, with extra chunks before pixels that are right for 16 × 16."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(17 * 16)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + pixels + png_chunk(b"IEND", b"")


def zeros(megabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


def with_size(heif: bytes, side: int) -> bytes:
    """The same HEIF file with other sizes in all its headers (`ispe` boxes)."""
    parts = heif.split(b"ispe\0\0\0\0")
    return (b"ispe\0\0\0\0" + struct.pack(">II", side, side)).join([parts[0], *(part[8:] for part in parts[1:])])


def too_wide_gif() -> bytes:
    small = bytearray(saved(corners(), "GIF"))
    at = small.index(b"\x2c")  # the frame, not the screen, says that it is huge
    small[at + 5 : at + 9] = struct.pack("<HH", 60_000, 60_000)
    return bytes(small)


def too_tall_bmp() -> bytes:
    data = bytearray(saved(corners(), "BMP"))
    data[18:26] = struct.pack("<ii", 40_000, 40_000)
    return bytes(data)


def too_large_jpeg() -> bytes:
    data = bytearray(saved(corners(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data)


def too_large_webp() -> bytes:
    data = bytearray(saved(corners(), "WEBP"))
    assert data[12:16] == b"VP8 "
    data[26:30] = struct.pack("<HH", 16_383, 16_383)
    return bytes(data)


def too_large_animated_webp() -> bytes:
    data = bytearray(saved(corners(), "WEBP", save_all=True, append_images=[corners().rotate(180)]))
    assert data[12:16] == b"VP8X"
    data[24:30] = (16_000).to_bytes(3, "little") * 2
    return bytes(data)


def progressive(scans: int) -> bytes:
    """A grey JPEG of 50 megapixels, whose last scan comes again and again: each goes over all of them."""
    data = saved(Image.new("RGB", (7040, 7040), (128, 128, 128)), "JPEG", progressive=True, quality=10)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + data[-2:]


def behind_the_start(of: bytes, times: int) -> bytes:
    """A JPEG with something between its first two bytes and its first segment."""
    data = saved(corners(), "JPEG")
    return data[:2] + of * times + data[2:]


HOSTILE: dict[str, Callable[[], bytes]] = {
    "png-of-2-gigapixels": lambda: png(50_000, 40_000),
    "png-pixels-that-swell": lambda: png(16, 16).replace(b"IEND", b"IEND") + zeros(8),
    "png-text-that-swells": lambda: png(16, 16, png_chunk(b"zTXt", b"a\0\0" + zeros(300))),
    "png-profile-that-swells": lambda: png(16, 16, png_chunk(b"iCCP", b"a\0\0" + zeros(300))),
    "png-many-texts": lambda: png(16, 16, *[png_chunk(b"zTXt", b"a\0\0" + zeros(1)[:-8])] * 400),
    "gif-frame-of-3-gigapixels": too_wide_gif,
    "bmp-of-1-gigapixel": too_tall_bmp,
    "jpeg-of-3-gigapixels": too_large_jpeg,
    "heif-of-3-gigapixels": lambda: with_size(saved(corners(), "HEIF"), 60_000),
    "avif-of-3-gigapixels": lambda: with_size(saved(corners(), "AVIF"), 60_000),
    "jpeg-of-13000-scans": lambda: progressive(13_000),
    "jpeg-of-5-million-segments": lambda: behind_the_start(b"\xff\xe5\0\2", 5_000_000),
    "jpeg-of-5-million-comments": lambda: behind_the_start(b"\xff\xfe\0\2", 5_000_000),
    "jpeg-filled-up": lambda: behind_the_start(b"\xff", 20_000_000),
    "jpeg-with-rubbish": lambda: behind_the_start(b"\xff\0", 10_000_000),
    "png-of-a-million-chunks": lambda: png(16, 16, png_chunk(b"abCd", b"") * 1_500_000),
    "webp-of-268-megapixels": too_large_webp,
    "webp-of-268-megapixels-animated": too_large_animated_webp,
}


def zipped(**files: bytes | str) -> bytes:
    """A zip of files, squeezed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def bomb(size: int = 35_000_000) -> bytes:
    """A zip of some 50 kB: a memory that is a list of very many empty lists."""
    return zipped(**{"keepsake.json": '{"version": 1, "concepts": [' + "[]," * (size // 3) + "[]]}"})


COSTLY: dict[str, Callable[[], bytes]] = {
    "png-strip-of-30000-by-16": lambda: png(30_000, 16),
    "jpeg-of-1-by-65535": lambda: with_sides(saved(corners(), "JPEG"), 1, 65_535),
    "gif-of-thousands-of-frames": lambda: saved(corners(), "GIF", save_all=True, append_images=frames(3000)),
    "webp-of-thousands-of-frames": lambda: saved(corners(), "WEBP", save_all=True, append_images=frames(3000)),
    "apng-of-thousands-of-frames": lambda: saved(corners(), "PNG", save_all=True, append_images=frames(3000)),
    "mpo-of-hundreds-of-pictures": lambda: saved(corners(), "MPO", save_all=True, append_images=frames(500)),
    "gif-of-10-million-comments": lambda: with_comment(b"\1a" * 10_000_000),
    "jpeg-of-300-tables-of-tags": lambda: behind_the_start(exif_of_tags(), 300),
    "jpeg-of-50-scans": lambda: progressive(40),
    "png-of-50-megapixels-cut-off": lambda: saved(Image.new("RGB", (7071, 7071), RED), "PNG")[:-5000],
    "png-of-50-megapixels": lambda: saved(Image.new("RGBA", (7071, 7071), RED), "PNG"),
    "avif-of-50-megapixels": lambda: saved(Image.new("RGB", (7071, 7071), RED), "AVIF", speed=10),
    "webp-of-50-megapixels": lambda: saved(Image.new("RGB", (7071, 7071), RED), "WEBP", method=0),
}
"""Pictures that cost time, or are refused for it; the last ones are as large as a picture may be."""


def with_sides(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG with other sides in its header."""
    at = jpeg.index(b"\xff\xc0")
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def frames(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (64, 32), (number % 256, number // 256, 0)) for number in range(count)]


def with_comment(blocks: bytes) -> bytes:
    """A GIF with a comment of such blocks before its frame."""
    data = saved(corners(), "GIF")
    at = data.index(b"\x2c")
    return data[:at] + b"\x21\xfe" + blocks + b"\0" + data[at:]


def exif_of_tags() -> bytes:
    """A segment of EXIF with as many tags as fit into it."""
    tags = b"MM\0*\0\0\0\x08" + struct.pack(">H", 5000) + b"\x01\x0e\0\2\0\0\0\1A\0\0\0" * 5000
    return b"\xff\xe1\xff\xff" + (b"Exif\0\0" + tags).ljust(65_533, b"\0")
