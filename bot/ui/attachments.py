"""Pictures in Discord: which attachment is one, and reading it while its address is good."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
import discord

from bot.archive.schema import LARGEST_FILE
from bot.errors import FileNotFetchedError, FileTooLargeError
from db.types import Source
from model_worker.api.images import LARGEST_BYTES

FETCH_SECONDS = 60.0
LARGEST_TOGETHER = 3 * LARGEST_BYTES
"""Of the pictures of one message: they are held together until it is chosen among them."""
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".heic", ".heif", ".avif")


def picture_in(attachments: Sequence[discord.Attachment]) -> discord.Attachment | None:
    """Return the first attachment that seems to be a picture; what it really is, its content will say."""
    return next(iter(pictures_in(attachments)), None)


def pictures_in(attachments: Sequence[discord.Attachment]) -> list[discord.Attachment]:
    """Return the attachments that seem to be pictures."""
    return [
        attachment
        for attachment in attachments
        if (attachment.content_type or "").startswith("image/") or attachment.filename.lower().endswith(ENDINGS)
    ]


def source_of(message: discord.Message) -> Source:
    """Return a message as where a picture is from."""
    return Source(message.author.id, message.id)


async def read(attachment: discord.Attachment) -> bytes:
    """Read a picture. Raises FileTooLargeError, and FileNotFetchedError when it is gone."""
    return await read_file(attachment, LARGEST_BYTES)


async def read_all(found: Sequence[discord.Attachment]) -> list[bytes]:
    """Read several pictures. Raises FileTooLargeError also for all of them together, and FileNotFetchedError."""
    size = sum(attachment.size for attachment in found)
    if size > LARGEST_TOGETHER:
        raise FileTooLargeError(size, LARGEST_TOGETHER)
    return [await read(attachment) for attachment in found]


async def read_file(attachment: discord.Attachment, largest: int = LARGEST_FILE) -> bytes:
    """Read any file. Raises FileTooLargeError above ``largest`` bytes, FileNotFetchedError when it is gone."""
    if attachment.size > largest:
        raise FileTooLargeError(attachment.size, largest)
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            data = await attachment.read()
    except (discord.HTTPException, aiohttp.ClientError, TimeoutError) as error:
        raise FileNotFetchedError from error
    if len(data) > largest:
        raise FileTooLargeError(len(data), largest)
    return data
