"""Pictures from strangers: what is read, which way up, and what hostile files cost."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from model_worker.api.errors import (
    ImageBrokenError,
    ImageEmptyError,
    ImageError,
    ImageFormatError,
    ImageTooLargeError,
    ImageTooLongError,
    ImageTooSmallError,
    TooManyPixelsError,
)
from model_worker.api.images import LARGEST_BYTES, LARGEST_STORED_BYTES, decode_picture, encode_jpeg, is_plain_jpeg
from model_worker.server.image_cache import CachedImage
from tests.support.hostile import BLUE, DATA, GREEN, HOSTILE, RED, WHITE, cat, corners, png, saved

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "HEIF", "AVIF"]
ORIENTATION = ExifTags.Base.Orientation


def near(seen: tuple[int, ...], meant: tuple[int, ...]) -> bool:
    return max(abs(number - other) for number, other in zip(seen, meant, strict=True)) < 30


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_known_by_its_content(form: str) -> None:
    read = decode_picture(saved(cat(), form))

    assert (read.mode, read.size) == ("RGB", cat().size)
    assert np.abs(np.asarray(read).astype(int) - np.asarray(cat())).mean() < 12


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF"])  # a HEIF is turned by its own boxes, not by EXIF
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_come_out_upright(form: str, orientation: int) -> None:
    # each orientation is undone by the one that it is undone by: 6 and 8 are each other's, all others their own
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    own = {2: 0, 3: 3, 4: 1, 5: 5, 7: 6}
    turn = undo.get(orientation, Image.Transpose(own[orientation]) if orientation in own else None)
    stored = corners() if turn is None else corners().transpose(turn)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation

    read = decode_picture(saved(stored, form, exif=exif, quality=95))

    assert read.size == (64, 32)
    seen = [read.getpixel(point) for point in ((8, 6), (56, 6), (8, 26), (56, 26))]
    assert all(near(*pair) for pair in zip(seen, (RED, GREEN, BLUE, WHITE), strict=True)), seen


def test_a_large_turned_picture_is_made_smaller_and_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    wide = corners().resize((5000, 2500)).transpose(Image.Transpose.ROTATE_90)

    for form in ("JPEG", "PNG", "WEBP"):
        read = decode_picture(saved(wide, form, exif=exif))
        assert read.size == (2048, 1024)
        assert near(read.getpixel((1900, 100)), GREEN)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_of_an_animated_picture_the_first_frame_is_taken(form: str) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, GREEN, BLUE)]

    read = decode_picture(saved(frames[0], form, save_all=True, append_images=frames[1:], duration=100))

    assert near(read.getpixel((20, 20)), RED)


def test_a_phones_jpeg_with_a_second_picture_inside_is_read() -> None:
    read = decode_picture(saved(cat(), "MPO", save_all=True, append_images=[corners()]))

    assert read.size == cat().size


def test_what_is_transparent_becomes_grey() -> None:
    see_through = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])

    for data in (
        saved(see_through, "PNG"),
        saved(see_through, "WEBP", lossless=True),
        saved(see_through.resize((4000, 400)), "PNG"),
        saved(palette, "PNG", transparency=0),
        saved(palette, "GIF", transparency=0),
        saved(Image.new("LA", (40, 40), (255, 0)), "PNG"),
    ):
        read = decode_picture(data)
        assert (read.mode, read.getpixel((20, 20))) == ("RGB", (128, 128, 128))


def test_other_kinds_of_pixels_keep_their_brightness() -> None:
    sixteen_bits = Image.fromarray(np.full((40, 40), 0x8080, np.uint16))
    large_sixteen_bits = Image.fromarray(np.full((400, 4000), 0x8080, np.uint16))
    black_and_white = Image.new("1", (40, 40), 1)
    four_inks = Image.new("RGB", (40, 40), RED).convert("CMYK")

    assert decode_picture(saved(sixteen_bits, "PNG")).getpixel((20, 20)) == (128, 128, 128)
    assert decode_picture(saved(large_sixteen_bits, "PNG")).getpixel((20, 10)) == (128, 128, 128)
    assert decode_picture(saved(black_and_white, "PNG")).getpixel((20, 20)) == (255, 255, 255)
    assert near(decode_picture(saved(four_inks, "JPEG")).getpixel((20, 20)), RED)


def test_broken_exif_is_no_reason_to_refuse_the_pixels() -> None:
    read = decode_picture(saved(cat(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40))

    assert read.size == cat().size


def test_a_jpeg_for_keeps_says_nothing_but_pixels() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "My own camera"
    sent = saved(cat(), "JPEG", exif=exif, comment=b"My own comment", icc_profile=b"My own profile" * 20)

    kept = encode_jpeg(decode_picture(sent), longest=200)

    assert b"My own" in sent
    assert b"My own" not in kept
    assert max(Image.open(io.BytesIO(kept)).size) == 200


def test_whether_a_jpeg_can_be_kept_is_soon_seen_however_it_is_filled() -> None:
    sound = saved(cat(), "JPEG")
    filled = sound[:-2] + b"\xff" * 3_000_000 + b"\0" + sound[-2:]

    assert is_plain_jpeg(sound)
    assert is_plain_jpeg(filled)
    assert not is_plain_jpeg(sound[:-2] + b"\xff" * 3_000 + b"\xfe\0\2" + sound[-2:])


@pytest.mark.parametrize(("width", "height"), [(2048, 2048), (1500, 1100)])
def test_what_is_stored_fits_its_budget_whatever_it_shows(width: int, height: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)

    kept = CachedImage.from_bytes(saved(Image.fromarray(noise), "JPEG", quality=100)).as_reference()

    assert len(kept.jpeg) <= LARGEST_STORED_BYTES
    assert kept.picture.size == (width, height)


@pytest.mark.parametrize("form", FORMATS)
def test_half_a_picture_is_refused(form: str) -> None:
    data = saved(cat(), form)

    with pytest.raises((ImageBrokenError, ImageFormatError)):
        decode_picture(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", ImageEmptyError),
        (b"%PDF-1.7 not a picture at all", ImageFormatError),
        (saved(cat(), "TIFF"), ImageFormatError),
        (saved(cat(), "ICO"), ImageFormatError),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ImageFormatError),
        (bytes(LARGEST_BYTES + 1), ImageTooLargeError),
        (saved(Image.new("L", (8, 8)), "PNG"), ImageTooSmallError),
        (png(10_000, 6_000), TooManyPixelsError),
        (png(1, 50_000_000), ImageTooSmallError),
        (png(100, 400_000), ImageTooLongError),
        (png(30_000, 16), ImageTooLongError),
        (png(16, 321), ImageTooLongError),
        (png(0, 100), (ImageBrokenError, ImageFormatError)),
    ],
)
def test_what_cannot_be_used_is_refused(data: bytes, error: type[ImageError]) -> None:
    with pytest.raises(error):
        decode_picture(data)


def test_any_damage_gives_a_picture_or_is_refused() -> None:
    chance = np.random.default_rng(7)
    small = cat().resize((90, 60))
    refused: list[ImageError] = []

    for form in FORMATS:
        whole = np.frombuffer(saved(small, form), np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            places = chance.integers(0, len(damaged), 6)
            damaged[places] = chance.integers(0, 256, 6)
            try:
                assert decode_picture(damaged.tobytes()).mode == "RGB"
            except ImageError as error:
                refused.append(error)
    assert refused


def test_several_threads_read_at_once() -> None:
    data = [saved(cat(), form) for form in FORMATS]

    with ThreadPoolExecutor(8) as threads:
        sizes = set(threads.map(lambda item: decode_picture(item).size, data * 6))

    assert sizes == {cat().size}


READ_ALONE = """
import io, json, sys
from pathlib import Path
from PIL import Image
from model_worker.api.errors import ImageError
from model_worker.api.images import decode_picture

def peak():  # of this program alone, unlike getrusage, which also counts what it was started from
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

def read(data):
    try:
        return decode_picture(data).size
    except ImageError as problem:
        return str(problem)

small = io.BytesIO()
for form in ("PNG", "JPEG", "WEBP"):
    Image.new("RGB", (64, 64)).save(small, form)
    read(small.getvalue())
read(Path(sys.argv[2]).read_bytes())
data = Path(sys.argv[1]).read_bytes()
before = peak()
said = read(data)
print(json.dumps({"said": said, "megabytes": peak() - before}))
"""


def read_alone(data: bytes, folder: Path) -> tuple[object, float]:
    """Decode in a process of its own: what it said, and by how many megabytes its memory rose."""
    (folder / "picture").write_bytes(data)
    ran = subprocess.run(
        [sys.executable, "-c", READ_ALONE, folder / "picture", DATA / "corners.heic"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    return told["said"], told["megabytes"]


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory with /proc")


@needs_proc
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_picture_costs_no_memory(kind: str, tmp_path: Path) -> None:
    said, megabytes = read_alone(HOSTILE[kind](), tmp_path)

    print(kind, said, round(megabytes, 1))
    assert isinstance(said, str) or kind == "png-pixels-that-swell"  # what follows the pixels is left unread
    assert megabytes < 40


@needs_proc
@pytest.mark.parametrize(
    ("form", "options", "max_megabytes"),
    [("JPEG", {}, 120), ("JPEG", {"progressive": True}, 250), ("PNG", {}, 470), ("WEBP", {"method": 0}, 900)],
)
def test_the_largest_allowed_picture_costs_a_known_amount(
    form: str, options: dict[str, object], max_megabytes: int, tmp_path: Path
) -> None:
    data = saved(Image.new("RGBA" if form == "PNG" else "RGB", (7071, 7071), RED), form, **options)

    said, megabytes = read_alone(data, tmp_path)

    print(form, options, said, round(megabytes, 1))
    assert said == [2048, 2048]
    assert megabytes < max_megabytes
