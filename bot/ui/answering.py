"""From a question to the finished answer in Discord: words, picture, certainty, buttons."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass

import discord

from bot import texts
from bot.service.app import Actor, App
from bot.service.ask import AnswerContext, Question, ask
from bot.service.audience import Audience
from bot.service.conversation import note_spoken
from bot.ui.annotate import annotated
from bot.ui.feedback_buttons import buttons_for
from bot.ui.stream import AnswerSurface, speak
from db.spoken import Spoken
from db.types import Match

FILE_NAME = "keepsake.jpg"


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a question was asked: which channel, which message (a command has none), whether its picture is hidden."""

    channel_id: int
    message_id: int | None = None
    is_spoiler: bool = False


async def answer(app: App, actor: Actor, question: Question, asked: Asked, place: AnswerSurface) -> None:
    """Answer a question in a place; raises what `bot.service.ask.ask` raises."""
    reply = await ask(app, actor, question)
    others_read = question.audience is Audience.OTHERS
    recognised = reply.context.recalled.recognised
    file = None
    if recognised and reply.context.picture is not None:
        file = await picture_of(reply.context.picture, recognised, is_spoiler=asked.is_spoiler)
    ending = f"\n-# {texts.answers.certainties(recognised)}" if recognised else ""
    await speak(place, reply.words, ending=ending, file=file, view=buttons_for(reply.context, others_read=others_read))
    if others_read:
        await note_spoken(app, actor, _spoken(actor, asked, await place.message_ids(), reply.context))


async def picture_of(jpeg: bytes, recognised: Sequence[Match], *, is_spoiler: bool) -> discord.File:
    """Return a picture with boxes and names on it; one that came hidden stays hidden."""
    data = await asyncio.to_thread(annotated, jpeg, recognised)
    description = texts.answers.described(recognised)[:1024]
    return discord.File(io.BytesIO(data), FILE_NAME, description=description, spoiler=is_spoiler)


def _spoken(actor: Actor, asked: Asked, message_ids: Sequence[int], context: AnswerContext) -> list[Spoken]:
    return [
        Spoken(
            owner_id=actor.personal_memory,
            message_id=message_id,
            first_id=message_ids[0],
            channel_id=asked.channel_id,
            question_id=asked.message_id,
            answer_id=context.answer_id,
            concept_ids=tuple(concept.concept_id for concept in context.withheld),
        )
        for message_id in message_ids
    ]
