"""Pictures from strangers: decoded by content, within limits, upright; or refused."""

from __future__ import annotations

import io
import re
import warnings

import pi_heif
from PIL import ExifTags, Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from model_worker.api.errors import (
    ImageBrokenError,
    ImageEmptyError,
    ImageError,
    ImageFormatError,
    ImageTooHardError,
    ImageTooLargeError,
    ImageTooLongError,
    ImageTooSmallError,
    TooManyPixelsError,
)

LARGEST_BYTES = 20 * 1024 * 1024
LARGEST_PIXELS = 50_000_000
SMALLEST_SIDE = 16
LONGEST_SIDE = 30_000
MOST_STRETCHED = 20
"""The longer side in shorter ones: of a thinner strip little is left at the size that is looked at."""
MAX_PARTS = 1000
"""Segments of a JPEG (a colour profile has 255 at most) and its scans; each is read in Python, or costs all pixels."""
MAX_SCANS = 50
"""Of a progressive JPEG, which has ten: each goes over all of its pixels, and takes fifty bytes."""
MAX_CHUNKS = 20_000
"""Of a PNG; most have 8 kB each."""
WORKING_SIDE = 2048
"""Larger pictures are made smaller at once: no model here takes more."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "HEIF", "AVIF")
BACKGROUND = (128, 128, 128)
JPEG_QUALITIES = (88, 80, 70, 55, 40)
"""The first by which a picture fits is taken: nearly always the first."""
LARGEST_STORED_BYTES = 1_500_000
"""A photo of 2,048 pixels a side has a third of it; only noise needs more."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation: what makes the picture upright."""
PIXEL_SEGMENTS = {0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD}
"""The markers of a JPEG's frames and tables."""
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
MARKER = re.compile(b"\xff[\x02-\xcf\xd9-\xfe]")
"""Of a JPEG's segment: not one that only says that the pixels go on (0xD0 to 0xD7)."""
JFIF, JFIF_LENGTH = 0xE0, 16
"""The header that says which kind of JPEG it is, without a thumbnail."""

warnings.filterwarnings("ignore", module=r"PIL\.")  # our own limits say it
pi_heif.register_heif_opener()  # it decodes only: pillow-heif, which also encodes, carries x265 (GPL)
Image.MAX_IMAGE_PIXELS = LARGEST_PIXELS
ImageFile.LOAD_TRUNCATED_IMAGES = False
PngImagePlugin.MAX_TEXT_MEMORY = 1024 * 1024


def decode_picture(data: bytes) -> Image.Image:
    """Decode a picture: RGB, upright by its EXIF, the first frame, at most 2,048 pixels a side.

    Raises ImageError when it is too large (bytes or pixels, by its header, before it is decoded), of
    another format, truncated or broken, or made so that reading it takes long.
    """
    if len(data) > LARGEST_BYTES:
        raise ImageTooLargeError(len(data), LARGEST_BYTES)
    if not data:
        raise ImageEmptyError
    try:
        return _decode(data)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageTooHardError from error
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(None, LARGEST_PIXELS) from error
    except Exception as error:  # a hostile file makes the libraries raise nearly anything
        raise ImageBrokenError from error


def encode_jpeg(picture: Image.Image, longest: int = WORKING_SIDE) -> bytes:
    """Encode a picture as JPEG without metadata, its longest side at most ``longest`` pixels, in 1.5 MB at most.

    Where it takes more, it loses quality, and at the worst size, until it fits.
    """
    smaller = picture.convert("RGB")
    smaller.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    smaller.info.clear()
    for quality in JPEG_QUALITIES:
        jpeg = _saved(smaller, quality)
        if len(jpeg) <= LARGEST_STORED_BYTES:
            return jpeg
    return encode_jpeg(smaller, max(smaller.size) * 3 // 4)


def _saved(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def is_plain_jpeg(data: bytes) -> bool:
    """Whether bytes are a JPEG of nothing but pixels (ITU-T T.81): no metadata, no thumbnail, nothing after its end.

    Such a one can be kept as it is: encoding it again would only lose some of it.
    """
    if not (data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")):
        return False
    place = 2
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == START_OF_SCAN:
            return data.count(b"\xff\xd9", place) == 1 and not _has_segment(data[place + 2 + length : -2])
        if marker not in PIXEL_SEGMENTS and not (marker == JFIF and length == JFIF_LENGTH):
            return False
        place += 2 + length
    return False


def _has_segment(scans: bytes) -> bool:
    """Whether there is an application's segment or a comment between a JPEG's scans."""
    return any(
        scans[place] == 0xFE or 0xE0 <= scans[place] <= 0xEF
        for place in (match.end() - 1 for match in MARKER.finditer(scans))
    )


def _decode(data: bytes) -> Image.Image:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        _check_size(*_webp_size(data))  # opening one allocates its whole canvas
    elif data[:2] == b"\xff\xd8":
        _check_segments(data)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        _check_chunks(data)
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageFormatError from error
    with opened:
        _check_size(*opened.size)
        opened.draft("RGB", (WORKING_SIDE, WORKING_SIDE))  # a large JPEG is decoded at a fraction of its size
        opened.load()
        turn = _turn(opened)
        picture = _on_ground(_shrunk(_plain(opened)))
    return picture if turn is None else picture.transpose(turn)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height as a WebP's header says them (RFC 9649, section 2)."""
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:10], "little")
    return width & 0x3FFF, height & 0x3FFF


def _check_segments(data: bytes) -> None:
    """Check how many segments and scans a JPEG has, up to its end. Raises ImageTooHardError."""
    place, parts, scans = 2, 0, 0
    while (found := MARKER.search(data, place)) is not None and found[0][1] != END_OF_IMAGE:
        parts += 1
        scans += found[0][1] == START_OF_SCAN
        filled = found.start() - place if not scans else 0  # between segments there is nothing, or a few bytes
        if max(parts, filled) > MAX_PARTS or scans > MAX_SCANS:
            raise ImageTooHardError
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")


def _check_chunks(data: bytes) -> None:
    """Check how many chunks a PNG has. Raises ImageTooHardError."""
    place, chunks = 8, 0
    while place + 8 <= len(data) and data[place + 4 : place + 8] != b"IEND":
        chunks += 1
        if chunks > MAX_CHUNKS:
            raise ImageTooHardError
        place += 12 + int.from_bytes(data[place : place + 4], "big")


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST_PIXELS:
        raise TooManyPixelsError(width * height, LARGEST_PIXELS)
    if min(width, height) < SMALLEST_SIDE:
        raise ImageTooSmallError(width, height)
    if max(width, height) > min(LONGEST_SIDE, MOST_STRETCHED * min(width, height)):
        raise ImageTooLongError(width, height)


def _turn(picture: Image.Image) -> Image.Transpose | None:
    try:
        return TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF is no reason to refuse the pixels
        return None


def _plain(picture: Image.Image) -> Image.Image:
    """Return any mode as RGB, or RGBA where it has transparency; 16 bits a channel become 8."""
    if picture.mode.startswith("I;16"):
        picture = picture.convert("I").point(lambda value: value / 257).convert("L")
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)  # converting to the same mode copies


def _shrunk(picture: Image.Image) -> Image.Image:
    scale = WORKING_SIDE / max(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _on_ground(picture: Image.Image) -> Image.Image:
    """Lay what is transparent on grey; drop what isn't pixels."""
    ground = Image.new("RGB", picture.size, BACKGROUND)
    ground.paste(picture, mask=picture if picture.mode == "RGBA" else None)
    return ground
