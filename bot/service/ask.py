"""Ask: remember, retrieve, generate. What Keepsake does with a question, without a word about Discord or models."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg

from bot.service import permissions
from bot.service.app import Actor, App
from bot.service.retrieval import Detections, see, upright
from bot.service.thumbnails import LARGE, thumbnail
from db import adapters, concepts, pictures, search, servers, sightings
from db.adapters import AdapterInUse
from db.errors import DatabaseUnavailableError
from db.geometry import Box, area, share_of_smaller
from db.pool import viewing
from db.recall import mentioned_in
from db.types import Concept, Match, Region, RetrievalResult, Sighting
from model_worker.api.certainty import certainty, place_in_picture
from model_worker.api.protocol import GenerateRequest, PromptConcept, Turn

MAX_CONCEPTS_IN_PROMPT = 6


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, what was said before (oldest first), and the picture it is about (as it was sent)."""

    text: str
    picture: bytes | None = None
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """What `ask` found before it begins to speak. ``picture`` is what boxes are drawn on (JPEG)."""

    recalled: RetrievalResult
    picture: bytes | None = None
    answer_id: UUID | None = None
    unknown_region: int | None = None


@dataclass(slots=True)
class Reply:
    """An answer on its way: what was recalled, and the words as they come."""

    told: AnswerContext
    words: AsyncIterator[str]


async def ask(app: App, actor: Actor, question: Question) -> Reply:
    """Retrieve what is in the picture and in the text from the actor's memory, and begin to answer.

    Raises RateLimitedError.
    """
    async with viewing(app.pool, actor.viewer) as connection:
        await permissions.count_use(connection, actor, permissions.ASKS)
    seen = None
    if question.picture is not None:
        seen = await see(app, actor, question.picture, question.text)
    recalled = await _recall_text(app, actor, question) if seen is None else seen.recalled
    told = AnswerContext(recalled)
    if seen is not None and question.picture is not None:
        told = await _keep_answer(app, actor, question.picture, seen)
    shown = await _avatars(app, actor, recalled)
    pictures = {_sha256(avatar): avatar for avatar in shown.values()}
    sees_it = told.picture is not None and await app.worker.sees_pictures()
    if told.picture is not None and sees_it:
        pictures[_sha256(told.picture)] = told.picture
    adapter = await _adapter_for(app, actor)
    request = GenerateRequest(
        question=question.text,
        has_picture=seen is not None,
        tags=() if seen is None else seen.tags,
        concepts=_for_prompt(actor, recalled, shown),
        history=question.history,
        picture=_sha256(told.picture) if told.picture is not None and sees_it else None,
        adapter=None if adapter is None else adapter.adapter_id,
    )
    return Reply(told, app.worker.generate(request, pictures, partial(_weights_of, app, actor, adapter)))


async def _recall_text(app: App, actor: Actor, question: Question) -> RetrievalResult:
    """Recall actor a text names, or else what its words are about; when neither, actor was spoken of last."""
    async with viewing(app.pool, actor.viewer) as connection:
        mentioned = await mentioned_in(connection, actor.viewer, question.text)
        mentioned = mentioned or await search.about(connection, concepts.owners(actor.viewer), question.text)
        for turn in reversed(question.history):
            mentioned = mentioned or await mentioned_in(connection, actor.viewer, turn.text)
    return RetrievalResult(tuple(mentioned), ())


async def _avatars(app: App, actor: Actor, recalled: RetrievalResult) -> dict[UUID, bytes]:
    """Return small pictures of what was recalled, for a writer that looks at them itself; none for others."""
    found = _for_prompt_in_order(recalled)
    if not found or not await app.worker.sees_pictures():
        return {}
    async with viewing(app.pool, actor.viewer) as connection:
        avatars = [(concept.concept_id, await pictures.avatar(connection, concept)) for concept, _ in found]
    return {
        concept_id: await asyncio.to_thread(thumbnail, avatar, LARGE)
        for concept_id, avatar in avatars
        if avatar is not None
    }


async def _adapter_for(app: App, actor: Actor) -> AdapterInUse | None:
    """Return what was learned from the actor's own memory, or else from the server's, for the worker's model."""
    base = await app.worker.base()
    if base is None:
        return None
    async with viewing(app.pool, actor.viewer) as connection:
        learned = await adapters.in_use(connection, concepts.owners(actor.viewer))
    return next((adapter for adapter in learned if adapter.base == base), None)


async def _weights_of(app: App, actor: Actor, adapter: AdapterInUse | None) -> bytes | None:
    """Return an adapter's file, None when it can't be had: then the base model answers."""
    if adapter is None:
        return None
    try:
        async with viewing(app.pool, actor.viewer) as connection:
            return await adapters.weights_of(connection, adapter.owner_id, adapter.adapter_id)
    except DatabaseUnavailableError:
        return None


async def _keep_answer(app: App, actor: Actor, picture: bytes, seen: Detections) -> AnswerContext:
    """Keep the picture and what was seen in it, for the answer's buttons."""
    recognised = {match.region: match for match in seen.recalled.recognised}
    unknown = _unknown_region(seen.regions, seen.recalled.recognised)
    regions = sorted({*recognised, *([] if unknown is None else [unknown])})
    sighted = [_sighting(seen, index, recognised.get(index)) for index in regions]
    jpeg = await asyncio.to_thread(upright, picture)
    async with viewing(app.pool, actor.viewer) as connection:
        await concepts.mark_recognised(connection, [match.concept for match in seen.recalled.recognised])
        keep_for = await _retention(connection, actor)
        if not keep_for:
            return AnswerContext(seen.recalled, jpeg)
        answer_id = await sightings.store_answer(
            connection, actor.viewer, jpeg, seen.width, seen.height, sighted, keep_for
        )
    return AnswerContext(seen.recalled, jpeg, answer_id, unknown)


async def _retention(connection: asyncpg.Connection, actor: Actor) -> timedelta:
    """Return how long answers are kept where the actor is."""
    if actor.server_memory is None:
        return sightings.KEPT_FOR
    return timedelta(days=(await servers.settings_of(connection, actor.server_memory)).retention_days)


def _sighting(seen: Detections, region: int, recognition: Match | None) -> Sighting:
    made = seen.embedding_of(region)
    return Sighting(
        region=region,
        box=seen.regions[region].box,
        embedding_id=made.embedding_id,
        embedding=made.vector,
        concept=None if recognition is None else recognition.concept,
        probability=None if recognition is None else recognition.probability,
    )


def _for_prompt(actor: Actor, recalled: RetrievalResult, shown: Mapping[UUID, bytes]) -> tuple[PromptConcept, ...]:
    """Return what the generator is told: who is in the picture, and who was only named."""
    return tuple(
        PromptConcept(
            name=concept.name,
            info=concept.info,
            category=concept.category,
            where=None if recognition is None else place_in_picture(recognition.box),
            certainty=None if recognition is None else certainty(recognition.probability),
            avatar=_sha256(shown[concept.concept_id]) if concept.concept_id in shown else None,
            told_by_asker=concept.created_by == actor.user_id,
        )
        for concept, recognition in _for_prompt_in_order(recalled)
    )


def _for_prompt_in_order(recalled: RetrievalResult) -> list[tuple[Concept, Match | None]]:
    """Return the concepts that a prompt has room for: those in the picture, then those only named."""
    present = {match.concept.concept_id for match in recalled.recognised}
    seen: list[tuple[Concept, Match | None]] = [(match.concept, match) for match in recalled.recognised]
    named = [(concept, None) for concept in recalled.mentioned if concept.concept_id not in present]
    return [*seen, *named][:MAX_CONCEPTS_IN_PROMPT]


def _sha256(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()


def _unknown_region(regions: Sequence[Region], recognised: Sequence[Match]) -> int | None:
    """Return the region to offer for remembering: the largest clear one that nobody was recognised in."""
    clear = [
        index
        for index, region in enumerate(regions)
        if region.objectness >= 1 and all(_apart(region.box, match.box) for match in recognised)
    ]
    parts = [index for index in clear if area(regions[index].box) < 1]
    return max(parts or clear, key=lambda index: area(regions[index].box), default=None)


def _apart(box: Box, other: Box) -> bool:
    return share_of_smaller(box, other) < 0.1
