"""Pictures in Discord: which attachment is one, and reading it while its address is good."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from model_worker.pictures import LARGEST_BYTES

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".heic", ".heif", ".avif")


class NoPicture(Exception):  # noqa: N818 (it says what is the matter)
    """There is no picture where one is needed, or it can't be fetched."""


def picture_in(attachments: Sequence[discord.Attachment]) -> discord.Attachment | None:
    """Return the first attachment that seems to be a picture; what it really is, its content will say."""
    for one in attachments:
        kind = one.content_type or ""
        if kind.startswith("image/") or one.filename.lower().endswith(ENDINGS):
            return one
    return None


async def read(attachment: discord.Attachment) -> bytes:
    """Read an attachment. Raises NoPicture when it is too large, or gone."""
    if attachment.size > LARGEST_BYTES:
        raise NoPicture(f"That file has {attachment.size / 1e6:.0f} MB; I take at most 20 MB.")
    try:
        return await attachment.read()
    except discord.HTTPException as error:
        raise NoPicture("I couldn't fetch that picture from Discord. Please send it again.") from error
