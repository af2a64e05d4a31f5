"""Conversations where others read: which message answers whom, and taking an answer back."""

from __future__ import annotations

from collections.abc import Sequence

from bot.errors import AnswerGoneError
from bot.service.app import Actor, App
from bot.service.ask import AnswerContext
from db import concepts, persons, sightings, spoken
from db.errors import NotRememberedError
from db.pool import viewing, without_viewer
from db.spoken import Spoken
from db.types import Answer, Concept, viewer_of


async def is_answer_to(app: App, actor: Actor, message_id: int) -> bool:
    """Whether a message is the bot's, and answers this actor."""
    async with viewing(app.pool, actor.viewer) as connection:
        return await spoken.find(connection, actor.viewer, message_id) is not None


async def note_spoken(app: App, actor: Actor, messages: Sequence[Spoken]) -> None:
    """Note which messages answer the actor."""
    async with viewing(app.pool, actor.viewer) as connection:
        await spoken.note(connection, actor.viewer, messages)


async def note_context(app: App, actor: Actor, first_id: int, context: AnswerContext) -> bool:
    """Note what an answer that is being given is about.

    Returns False when it was taken back meanwhile: then nothing is kept for it, and nothing more is to be said.
    """
    concept_ids = [concept.concept_id for concept in context.withheld]
    async with viewing(app.pool, actor.viewer) as connection:
        is_there = await spoken.link(
            connection,
            actor.viewer,
            first_id,
            answer_id=context.answer_id,
            concept_ids=concept_ids,
            about=context.about,
        )
        if not is_there:
            await spoken.forget(connection, actor.viewer, await spoken.parts(connection, actor.viewer, first_id))
            await spoken.forget_answers(connection, actor.viewer, [context.answer_id] if context.answer_id else [])
    return is_there


async def known_of(app: App, actor: Actor, message_id: int) -> tuple[list[Concept], Answer | None]:
    """Return what a message was about of the actor's own memory, and what is kept of its picture.

    Raises AnswerGoneError when it answers somebody else, or is too old.
    """
    async with viewing(app.pool, actor.viewer) as connection:
        found = await spoken.find(connection, actor.viewer, message_id)
        if found is None:
            raise AnswerGoneError
        without_people = await persons.are_off(connection)
        known = []
        for concept_id in found.concept_ids:
            try:
                concept = await concepts.get(connection, actor.personal_memory, concept_id)
            except NotRememberedError:
                continue  # forgotten since then
            if not (without_people and concept.is_person):
                known.append(concept)
        if found.answer_id is None:
            return known, None
        return known, await sightings.load_answer(connection, actor.viewer, found.answer_id)


async def take_back(app: App, actor: Actor, message_id: int) -> list[Spoken]:
    """Forget an answer to the actor, with the copy of its picture; returns its messages, to be deleted.

    Raises AnswerGoneError when it answers somebody else, or is too old.
    """
    async with viewing(app.pool, actor.viewer) as connection:
        found = await spoken.find(connection, actor.viewer, message_id)
        if found is None:
            raise AnswerGoneError
        messages = await spoken.parts(connection, actor.viewer, found.first_id)
        await spoken.forget(connection, actor.viewer, messages)
    return messages


async def take_back_answers_to(app: App, question_ids: Sequence[int]) -> list[Spoken]:
    """Forget what answered messages that are deleted; returns the answers' messages, to be deleted, too."""
    async with without_viewer(app.pool) as connection:
        messages = await spoken.answering(connection, question_ids)
    for owner in {message.owner_id for message in messages}:
        viewer = viewer_of(owner)
        async with viewing(app.pool, viewer) as connection:
            own = [message for message in messages if message.owner_id == owner]
            await spoken.forget(connection, viewer, own)
    return messages
