"""From a question to the finished answer in Discord: words, picture, certainty, buttons."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence

import discord

from bot.service.assistant import Assistant, Question
from bot.texts.formatting import quoted
from bot.ui.annotate import annotated
from bot.ui.buttons import buttons_for
from bot.ui.stream import AnswerSurface, speak
from db.types import Match
from model_worker.api.certainty import certainty


async def answer(assistant: Assistant, question: Question, place: AnswerSurface) -> None:
    """Answer a question in a place; raises what `Assistant.ask` raises."""
    reply = await assistant.ask(question)
    recognised = reply.told.recalled.recognised
    file = None
    if recognised and reply.told.picture is not None:
        picture = await asyncio.to_thread(annotated, reply.told.picture, recognised)
        file = discord.File(io.BytesIO(picture), "keepsake.jpg", description=_described(recognised))
    await speak(place, reply.words, ending=_certainties(recognised), file=file, view=buttons_for(reply.told))


def _certainties(recognised: Sequence[Match]) -> str:
    """Return a line with the number, name and certainty of each recognition."""
    parts = [
        f"{number} **{quoted(match.concept.name)}** {certainty(match.probability)}"
        for number, match in enumerate(recognised, start=1)
    ]
    return f"\n-# {' · '.join(parts)}" if parts else ""


def _described(recognised: Sequence[Match]) -> str:
    return f"The picture with boxes around {', '.join(match.concept.name for match in recognised)}"[:1024]
