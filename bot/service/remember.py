"""Remember: a concept from one picture and a few words, a part of a picture, or one more picture of what is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import asyncpg

from bot.service import people, permissions
from bot.service.app import Actor, App
from bot.service.feedback import sighting_of
from bot.service.people import Request
from bot.service.references import make_ready
from bot.service.retrieval import Detections, retrieve
from db import admission, concepts, persons, questions, sightings
from db.errors import NameTakenError
from db.geometry import Box
from db.names import check_category, check_info, check_name, name_key
from db.pool import viewing
from db.recall import recognised_in
from db.types import Answer, Concept, NewConcept, OwnerId, RetrievalResult, Source
from model_worker.api.protocol import ReferenceView

MAX_PARTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What `remember` did: the concept, whether it waits for the server's admins, what it looks like.

    ``request`` is to who it is, when they have to agree to its being shared.
    """

    concept: Concept
    waits: bool = False
    alike: Concept | None = None
    request: Request | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a picture to choose for remembering; ``alike`` is what it looks like, ``probability`` how much."""

    picture: int
    box: Box
    alike: Concept | None = None
    probability: float = 0.0


@dataclass(frozen=True, slots=True)
class PictureParts:
    """What is seen in several pictures (upright JPEGs): the parts of all of them, numbered through."""

    pictures: tuple[bytes, ...]
    parts: tuple[Part, ...]


async def remember(
    app: App,
    actor: Actor,
    name: str,
    picture: bytes,
    info: str = "",
    category: str = "",
    *,
    share: bool = False,
    linked_user: int | None = None,
) -> Remembered:
    """Remember a concept from one picture and a few words, for oneself or to share with the server.

    Raises InvalidTextError, NameTakenError, NotAllowedError, ObjectedError, PeopleOffError, WordMissingError,
    LimitReachedError and RateLimitedError; nothing is kept then.
    """
    name, info, category = check_name(name), check_info(info), check_category(category)
    async with viewing(app.pool, actor.viewer) as connection:  # before the picture is looked at: that takes longer
        is_person = await persons.check_may_keep(connection, actor.viewer, category, linked_user)
        owner = await _owner_of_new(connection, actor, share=share, is_person=is_person)
        if any(concept.owner_id == owner for concept in await concepts.find(connection, actor.viewer, name)):
            raise NameTakenError(name)
        await permissions.count_use(connection, actor, permissions.REMEMBERS)
    ready = await make_ready(app, actor, owner, picture)
    new = NewConcept(
        owner_id=owner,
        name=name,
        info=info,
        category=category,
        created_by=actor.user_id,
        reference=ready.reference,
        learned=actor.channel,
        linked_user=linked_user,
    )
    async with viewing(app.pool, actor.viewer) as connection:
        alike = await _look_alike(connection, actor, owner, ready.in_use)
        concept = await concepts.remember(connection, new)
        if not share or concept.is_shared or actor.server_memory is None:
            return Remembered(concept=concept, alike=alike)
        shared = await people.share(connection, actor, concept)
    waits = shared.concept is None and shared.request is None
    return Remembered(concept=shared.concept or concept, waits=waits, alike=alike, request=shared.request)


async def remember_part(
    app: App,
    actor: Actor,
    picture: bytes,
    box: Box,
    name: str,
    info: str = "",
    category: str = "",
    *,
    source: Source | None,
) -> Concept:
    """Remember what is in a part of a picture, for the actor alone; ``source`` is the message that it is from.

    A name that they have already gets one more reference; a new one becomes a concept.

    Raises InvalidTextError, PeopleOffError, WordMissingError, LimitReachedError, RateLimitedError, AuthorObjectedError.
    """
    name, info, category = check_name(name), check_info(info), check_category(category)
    async with viewing(app.pool, actor.viewer) as connection:
        await persons.check_may_keep(connection, actor.viewer, category)
        await permissions.count_use(connection, actor, permissions.REMEMBERS)
    ready = await make_ready(app, actor, actor.personal_memory, picture, box, source=source)
    async with viewing(app.pool, actor.viewer) as connection:
        found = await concepts.find(connection, actor.viewer, name)
        known = next((concept for concept in found if not concept.is_shared), None)
        if known is not None:
            return await concepts.add_reference(connection, known, ready.reference, actor.user_id)
        new = NewConcept(
            owner_id=actor.personal_memory,
            name=name,
            info=info,
            category=category,
            created_by=actor.user_id,
            reference=ready.reference,
            learned=actor.channel,
        )
        return await concepts.remember(connection, new)


async def remember_region(
    app: App, actor: Actor, answer: Answer, region: int, name: str, info: str = "", category: str = ""
) -> Concept:
    """Remember what is in a region of an earlier answer's picture, for the actor alone.

    Raises as `remember_part` and NotRememberedError when the region isn't known any more.
    """
    sighting = sighting_of(answer, region)
    concept = await remember_part(app, actor, answer.picture, sighting.box, name, info, category, source=answer.source)
    named = replace(sighting, concept=concept, probability=1.0)
    async with viewing(app.pool, actor.viewer) as connection:
        await sightings.rename_sighting(connection, actor.viewer, answer.answer_id, named)
    return concept


async def add_picture(
    app: App, actor: Actor, concept: Concept, picture: bytes, box: Box | None = None, *, source: Source | None = None
) -> Concept:
    """Add one more picture of a concept, or a part of one; ``source`` is the message that it is from.

    Raises NotAllowedError, NotRememberedError, LimitReachedError, RateLimitedError, AuthorObjectedError.
    """
    async with viewing(app.pool, actor.viewer) as connection:
        await admission.check_may_change(connection, concept)
        await admission.check_fits(connection, concept.owner_id, concept.concept_id, more=1)
        await permissions.count_use(connection, actor, permissions.REMEMBERS)
    ready = await make_ready(app, actor, concept.owner_id, picture, box, source=source)
    async with viewing(app.pool, actor.viewer) as connection:
        return await concepts.add_reference(connection, concept, ready.reference, actor.user_id)


async def find_parts(app: App, actor: Actor, pictures: tuple[bytes, ...]) -> PictureParts:
    """Look for what could be remembered in several pictures. Raises RateLimitedError."""
    plan = await questions.plan_question(app.pool, actor.viewer, permissions.limits_of(actor, permissions.ASKS))
    kept: list[bytes] = []
    parts: list[Part] = []
    for number, picture in enumerate(pictures):
        found = await retrieve(app, actor, plan, picture)
        if found.detections is not None:
            kept.append(found.detections.picture)
            parts += _parts_of(number, found.detections, found.result)
    return PictureParts(tuple(kept), tuple(parts[:MAX_PARTS]))


async def is_name_of(app: App, actor: Actor, name: str, concept: Concept) -> bool:
    """Whether a name is this concept's, or that of another one that the actor has already."""
    if name_key(name) == name_key(concept.name):
        return True
    async with viewing(app.pool, actor.viewer) as connection:
        return any(not found.is_shared for found in await concepts.find(connection, actor.viewer, name))


async def _owner_of_new(connection: asyncpg.Connection, actor: Actor, *, share: bool, is_person: bool) -> OwnerId:
    """Return whose memory a new concept goes into; what somebody has to agree to is the actor's own till then."""
    if share:
        shared = permissions.server_memory_of(actor)
        await admission.check_may_put(connection, shared, approved=True)
        if not is_person and not await admission.needs_approval(connection, shared):
            return shared
    await admission.check_may_put(connection, actor.personal_memory)
    return actor.personal_memory


async def _look_alike(
    connection: asyncpg.Connection, actor: Actor, owner: OwnerId, view: ReferenceView
) -> Concept | None:
    """Return what of the same memory a new reference looks like."""
    recognised = await recognised_in(connection, actor.viewer, [view.region], view.calibration)
    return next((match.concept for match in recognised if match.concept.owner_id == owner), None)


def _parts_of(number: int, detections: Detections, result: RetrievalResult) -> list[Part]:
    """Return the clear parts of one picture, and the whole of it, with what they look like."""
    regions = [region for region in detections.regions if region.objectness >= 1]
    known = {match.box: match for match in result.recognised}
    boxes = list(dict.fromkeys([*known, *(region.box for region in regions)]))
    return [
        Part(picture=number, box=box, alike=known[box].concept, probability=known[box].probability)
        if box in known
        else Part(picture=number, box=box)
        for box in boxes
    ]
