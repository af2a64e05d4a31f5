"""Pictures for the demo and the sandbox: free ones that come with scikit-image, and collages of them."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

GAP = 40


def _photo(name: str) -> Image.Image:
    import skimage

    return Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")


def png(picture: Image.Image) -> bytes:
    """Encode a picture."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def cat() -> Image.Image:
    """Return Chelsea the cat."""
    return _photo("chelsea.png")


def cup() -> Image.Image:
    """Return a cup of espresso."""
    return _photo("coffee.png")


def motorcycle() -> Image.Image:
    """Return a motorcycle in a garage."""
    return _photo("motorcycle_left.png")


def motorcycle_again() -> Image.Image:
    """Return the same motorcycle, photographed from another place."""
    return _photo("motorcycle_right.png")


def rocket() -> Image.Image:
    """Return a rocket on its way."""
    return _photo("rocket.jpg")


def photographer() -> Image.Image:
    """Return a man with a camera."""
    return _photo("camera.png")


def coins() -> Image.Image:
    """Return old coins."""
    return _photo("coins.png")


def horse() -> Image.Image:
    """Return the silhouette of a horse."""
    return _photo("horse.png")


def moon() -> Image.Image:
    """Return the moon's face."""
    return _photo("moon.png")


def clock() -> Image.Image:
    """Return a clock, moved while it was photographed."""
    return _photo("clock_motion.png")


def stranger() -> Image.Image:
    """Return somebody whom nobody told the bot about: Eileen Collins, astronaut."""
    return _photo("astronaut.png")


def cat_again() -> Image.Image:
    """Return the cat cut closer, mirrored and in another light."""
    picture = cat()
    closer = picture.crop((60, 10, picture.width - 20, picture.height - 10))
    return ImageEnhance.Brightness(ImageOps.mirror(closer)).enhance(0.85)


def cup_again() -> Image.Image:
    """Return the cup cut closer, tilted and in another light."""
    tilted = cup().rotate(6, Image.Resampling.BICUBIC)
    return ImageEnhance.Contrast(tilted.crop((70, 40, tilted.width - 60, tilted.height - 40))).enhance(1.15)


def cat_and_cup() -> Image.Image:
    """Return one picture with both: two photos on a blurred ground, as people post them."""
    left, right = ImageOps.contain(cat_again(), (420, 420)), ImageOps.contain(cup_again(), (420, 420))
    width = left.width + right.width + 3 * GAP
    height = max(left.height, right.height) + 2 * GAP
    ground = stranger().resize((width, height)).filter(ImageFilter.GaussianBlur(40))
    ground.paste(left, (GAP, GAP))
    ground.paste(right, (2 * GAP + left.width, height - GAP - right.height))
    return ground
