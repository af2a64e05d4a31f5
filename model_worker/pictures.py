"""Pictures from strangers: decoded by their content, within limits, upright; refused with a sentence otherwise."""

from __future__ import annotations

import io
import warnings

import pillow_heif
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

LARGEST_BYTES = 20 * 1024 * 1024
LARGEST_PIXELS = 50_000_000
SMALLEST_SIDE = 16
LONGEST_SIDE = 30_000
WORKING_SIDE = 2048
"""Larger pictures are made smaller at once: nothing here looks at more."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "HEIF", "AVIF")
BACKGROUND = (128, 128, 128)
JPEG_QUALITY = 88

pillow_heif.register_heif_opener()
Image.MAX_IMAGE_PIXELS = LARGEST_PIXELS
ImageFile.LOAD_TRUNCATED_IMAGES = False
PngImagePlugin.MAX_TEXT_MEMORY = 1024 * 1024


class PictureProblem(ValueError):  # noqa: N818 (it says what is the matter)
    """Bytes that can't be used as a picture; the text is a sentence for the person who sent them."""


def decode_picture(data: bytes) -> Image.Image:
    """Decode a picture: RGB, upright by its EXIF, the first frame, at most 2,048 pixels a side.

    Raises PictureProblem when it is too large (bytes or pixels, by its header, before it is decoded), of
    another format, truncated or broken.
    """
    if len(data) > LARGEST_BYTES:
        raise PictureProblem(f"That picture has {len(data) / 1e6:.0f} MB; I take at most 20 MB.")
    if not data:
        raise PictureProblem("That picture is empty.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limits are checked below
            return _decode(data)
    except PictureProblem:
        raise
    except Image.DecompressionBombError as error:
        raise PictureProblem("That picture has too many pixels; I take at most 50 megapixels.") from error
    except Exception as error:  # a hostile file makes the libraries raise nearly anything
        raise PictureProblem(
            "I can't read that picture: it is broken, or not all of it arrived. Please send it again as PNG or JPEG."
        ) from error


def encode_jpeg(picture: Image.Image, longest: int = WORKING_SIDE) -> bytes:
    """Encode a picture as JPEG without metadata, its longest side at most ``longest`` pixels."""
    smaller = picture.copy()
    smaller.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    smaller.info.clear()
    file = io.BytesIO()
    smaller.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _decode(data: bytes) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise PictureProblem(
            "That isn't a picture I can read. I take JPEG, PNG, WebP, GIF, BMP, HEIC and AVIF."
        ) from error
    with opened:
        _check_size(*opened.size)
        opened.draft("RGB", (WORKING_SIDE, WORKING_SIDE))  # a large JPEG is decoded at a fraction of its size
        opened.load()
        upright = ImageOps.exif_transpose(_shrunk(opened)) if _has_turn(opened) else _shrunk(opened)
        return _as_rgb(upright)


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST_PIXELS:
        megapixels = width * height / 1e6
        raise PictureProblem(f"That picture has {megapixels:.0f} megapixels; I take at most 50.")
    if min(width, height) < SMALLEST_SIDE:
        raise PictureProblem(f"That picture is too small: {width} × {height} pixels.")
    if max(width, height) > LONGEST_SIDE:
        raise PictureProblem(f"That picture is too long: {width} × {height} pixels.")


def _has_turn(picture: Image.Image) -> bool:
    try:
        return picture.getexif().get(0x0112, 1) != 1
    except Exception:  # broken EXIF is no reason to refuse the pixels
        return False


def _shrunk(picture: Image.Image) -> Image.Image:
    if max(picture.size) <= WORKING_SIDE:
        return picture
    flat = picture if picture.mode in {"RGB", "RGBA", "L", "LA"} else _as_rgb(picture)
    exif = picture.getexif() if _has_turn(picture) else None
    flat = flat.copy() if flat is picture else flat
    flat.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if exif is not None:
        flat.getexif()[0x0112] = exif[0x0112]
    return flat


def _as_rgb(picture: Image.Image) -> Image.Image:
    """Convert any mode to RGB: transparency onto grey, 16 bits a channel to 8."""
    if picture.mode in {"I;16", "I;16L", "I;16B", "I;16N"}:
        picture = picture.convert("I").point(lambda value: value / 257).convert("L")
    elif picture.mode in {"I", "F"}:
        picture = picture.point(lambda value: value / 257 if picture.mode == "I" else value).convert("L")
    has_alpha = "A" in picture.getbands() or "transparency" in picture.info
    if not has_alpha:
        rgb = picture.convert("RGB")
        rgb.info.clear()
        return rgb
    layered = picture.convert("RGBA")
    ground = Image.new("RGBA", layered.size, (*BACKGROUND, 255))
    return Image.alpha_composite(ground, layered).convert("RGB")
