"""From a question to the finished answer in Discord: words, picture, certainty, buttons."""

from __future__ import annotations

import asyncio
import io

import discord

from bot.service.app import Actor, App
from bot.service.ask import Question, ask
from bot.texts.answers import certainties, described
from bot.ui.annotate import annotated
from bot.ui.feedback_buttons import buttons_for
from bot.ui.stream import AnswerSurface, speak


async def answer(app: App, actor: Actor, question: Question, place: AnswerSurface) -> None:
    """Answer a question in a place; raises what `bot.service.ask.ask` raises."""
    reply = await ask(app, actor, question)
    recognised = reply.told.recalled.recognised
    file = None
    if recognised and reply.told.picture is not None:
        picture = await asyncio.to_thread(annotated, reply.told.picture, recognised)
        file = discord.File(io.BytesIO(picture), "keepsake.jpg", description=described(recognised)[:1024])
    ending = f"\n-# {certainties(recognised)}" if recognised else ""
    await speak(
        place,
        reply.words,
        ending=ending,
        file=file,
        view=buttons_for(reply.told),
    )
