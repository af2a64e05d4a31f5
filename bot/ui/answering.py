"""From a question to the finished answer in Discord: words, picture, certainty, buttons."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import discord

from bot import texts
from bot.service.app import Actor, App
from bot.service.ask import AnswerContext, Question, ask
from bot.service.conversation import note_context, note_spoken
from bot.ui.annotate import annotated
from bot.ui.feedback_buttons import buttons_for
from bot.ui.stream import AnswerSurface, speak
from db.spoken import Spoken
from db.types import Match

FILE_NAME = "keepsake.jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Where a question was asked: which channel, which message (a command has none), whether its picture is hidden.

    ``stays`` is whether its answer is a message like others, which is noted as it is posted, and can be taken back.
    """

    channel_id: int
    message_id: int | None = None
    is_spoiler: bool = False
    stays: bool = False


async def begin(app: App, actor: Actor, asked: Asked, place: AnswerSurface) -> None:
    """Note whom the message that was posted in a place is going to answer, before anything else is done.

    Whoever deletes their question while it is being answered takes back what there is, and nothing more comes.
    """
    if asked.stays:
        await _note(app, actor, asked, place)


async def answer(app: App, actor: Actor, question: Question, asked: Asked, place: AnswerSurface) -> None:
    """Answer a question in a place, after `begin`; raises what `bot.service.ask.ask` raises."""
    reply = await ask(app, actor, question)
    if asked.stays and not await _is_wanted(app, actor, place, reply.context):
        return
    recognised = reply.context.recalled.recognised
    file = None
    if recognised and reply.context.picture is not None:
        file = await picture_of(reply.context.picture, recognised, is_spoiler=asked.is_spoiler)
    await speak(
        place,
        reply.words,
        ending=f"\n-# {texts.answers.certainties(recognised)}" if recognised else "",
        file=file,
        view=buttons_for(reply.context, stays=asked.stays),
        posted=partial(_note, app, actor, asked, place, reply.context) if asked.stays else None,
    )
    if asked.stays and len(await place.message_ids()) > 1:
        await _is_wanted(app, actor, place, reply.context)


async def _is_wanted(app: App, actor: Actor, place: AnswerSurface, context: AnswerContext) -> bool:
    """Note what an answer is about; one that was taken back meanwhile goes, with whatever was posted since."""
    first_id, *_ = await place.message_ids()
    if await note_context(app, actor, first_id, context):
        return True
    await place.withdraw()
    return False


async def picture_of(jpeg: bytes, recognised: Sequence[Match], *, is_spoiler: bool) -> discord.File:
    """Return a picture with boxes and names on it; one that came hidden stays hidden."""
    data = await asyncio.to_thread(annotated, jpeg, recognised)
    description = texts.answers.described(recognised)[:1024]
    return discord.File(io.BytesIO(data), FILE_NAME, description=description, spoiler=is_spoiler)


async def _note(
    app: App, actor: Actor, asked: Asked, place: AnswerSurface, context: AnswerContext | None = None
) -> None:
    """Note that the latest message of a place answers the actor."""
    message_ids = await place.message_ids()
    spoken = Spoken(
        owner_id=actor.personal_memory,
        message_id=message_ids[-1],
        first_id=message_ids[0],
        channel_id=asked.channel_id,
        question_id=asked.message_id,
        answer_id=None if context is None else context.answer_id,
        concept_ids=() if context is None else tuple(concept.concept_id for concept in context.withheld),
        about=() if context is None else context.about,
    )
    await note_spoken(app, actor, [spoken])
