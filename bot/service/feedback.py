"""Feedback: an answer's buttons, by which people say whether a recognition was right."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from bot.errors import AnswerGoneError, RegionGoneError
from bot.service import permissions
from bot.service.app import Actor, App
from db import corrections, reindexing, sightings
from db.errors import NothingRecognisedError
from db.pool import viewing
from db.types import Answer, Concept, OwnerId, Sighting, Verdict


async def answer_of(app: App, actor: Actor, answer_id: UUID) -> Answer:
    """Return an earlier answer to this actor. Raises NotRememberedError when it is too old or another's."""
    async with permissions.looking(app, actor) as connection:
        answer = await sightings.load_answer(connection, actor.viewer, answer_id)
    if answer is None:
        raise AnswerGoneError
    return answer


async def judge(app: App, actor: Actor, answer: Answer, region: int, verdict: Verdict) -> Concept:
    """Store what the actor said about a recognition: it counts from the next picture on.

    Raises NotRememberedError when nobody was recognised there, or was forgotten since.
    """
    sighting = sighting_of(answer, region)
    concept = sighting.concept
    if concept is None:
        raise NothingRecognisedError
    sighting = await _as_in_use(app, actor, answer, sighting, concept.owner_id)
    async with permissions.changing(app, actor) as connection:
        await corrections.store(connection, actor.viewer, sighting, verdict)
    return concept


def sighting_of(answer: Answer, region: int) -> Sighting:
    """Return what an answer showed in a region. Raises NotRememberedError when that isn't known (any more)."""
    sighting = answer.sighting(region)
    if sighting is None:
        raise RegionGoneError
    return sighting


async def _as_in_use(app: App, actor: Actor, answer: Answer, sighting: Sighting, owner: OwnerId) -> Sighting:
    """Return a sighting with the embedding that the owner's recall goes by now; packs may be changed."""
    async with viewing(app.pool, actor.viewer) as connection:
        used = await reindexing.in_use(connection, [owner])
    if sighting.embedding_id in used or not used:
        return sighting
    view = await app.worker.refer(answer.picture, sighting.box, exact=True, embedding_id=used[0])
    return replace(sighting, embedding_id=used[0], embedding=view.region.embedding)
