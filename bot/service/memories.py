"""Looking after what is remembered: pages, cards, pictures, sharing, merging. Nothing here knows Discord."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from bot.errors import NoServerError, NotAllowedError, NotYoursError, UnknownNameError
from bot.service import permissions
from bot.service.assistant import Assistant, upright
from bot.service.permissions import Actor
from bot.service.retrieval import Detections, make_ready, see
from db import concepts, merging, search, trash
from db.errors import NotRememberedError
from db.geometry import Box
from db.names import name_key
from db.pool import viewing
from db.types import Avatar, Concept, OwnerId, StoredReference

PAGE = 5
MAX_REGIONS = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants to look through: their own memory or the server's, which page, found by what."""

    shared: bool = False
    search: str = ""
    category: str = ""
    page: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a memory, with the pictures that are shown, and the categories there are to choose from."""

    wanted: Wanted
    entries: tuple[tuple[Concept, Avatar | None], ...]
    total: int
    has_more: bool
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """All about one concept, and what the person may do with it."""

    concept: Concept
    references: tuple[StoredReference, ...]
    may_change: bool
    may_share: bool
    may_unshare: bool


@dataclass(frozen=True, slots=True)
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


async def browse(pool: asyncpg.Pool, who: Actor, wanted: Wanted) -> Page:
    """Return a page of a memory. Raises NotAllowedError when there is no server here."""
    owner = _owner(who, shared=wanted.shared)
    async with viewing(pool, who.viewer) as connection:
        found = await search.browse(
            connection,
            [owner],
            search=wanted.search,
            category=wanted.category,
            limit=PAGE + 1,
            offset=PAGE * wanted.page,
        )
        entries = [(concept, await concepts.avatar(connection, concept)) for concept in found[:PAGE]]
        return Page(
            wanted,
            tuple(entries),
            await concepts.count(connection, owner),
            len(found) > PAGE,
            tuple(await search.categories(connection, [owner])),
        )


async def card(pool: asyncpg.Pool, who: Actor, owner: OwnerId, concept_id: UUID) -> Card:
    """Return a concept's card. Raises NotRememberedError when it isn't there (any more)."""
    async with viewing(pool, who.viewer) as connection:
        concept = await concepts.get(connection, owner, concept_id)
        try:
            await permissions.check_may_change(connection, who, concept)
            may_change = True
        except NotAllowedError:
            may_change = False
        references = tuple(await concepts.references(connection, concept))
    return Card(
        concept,
        references,
        may_change=may_change,
        may_share=who.viewer.server_memory is not None and not concept.is_shared,
        may_unshare=concept.is_shared and concept.created_by == who.user_id,
    )


async def add_picture(
    assistant: Assistant, who: Actor, concept: Concept, picture: bytes, box: Box | None = None
) -> Concept:
    """Add one more picture of a concept, or a part of one.

    Raises NotAllowedError, NotRememberedError, LimitReachedError, RateLimitedError.
    """
    async with viewing(assistant.pool, who.viewer) as connection:
        await permissions.check_may_change(connection, who, concept)
        now = await concepts.get(connection, concept.owner_id, concept.concept_id)
        permissions.check_pictures(now.references + 1)
        await permissions.count_use(connection, who.viewer, permissions.REMEMBERS)
    ready = await make_ready(assistant.pool, assistant.worker, who.viewer, concept.owner_id, picture, box)
    async with viewing(assistant.pool, who.viewer) as connection:
        return await concepts.add_reference(connection, concept, ready.reference, who.user_id)


async def choose_avatar(pool: asyncpg.Pool, who: Actor, concept: Concept, reference_id: UUID) -> None:
    """Choose the picture that is shown. Raises NotAllowedError, NotRememberedError."""
    async with viewing(pool, who.viewer) as connection:
        await permissions.check_may_change(connection, who, concept)
        await concepts.choose_avatar(connection, concept, reference_id)


async def remove_picture(pool: asyncpg.Pool, who: Actor, concept: Concept, reference_id: UUID) -> None:
    """Remove one picture of several. Raises NotAllowedError, NotRememberedError."""
    async with viewing(pool, who.viewer) as connection:
        await permissions.check_may_change(connection, who, concept)
        await concepts.remove_reference(connection, concept, reference_id)


async def share(pool: asyncpg.Pool, who: Actor, concept: Concept) -> Concept | None:
    """Move a concept into the server's memory; None when a copy waits for the admins instead.

    Raises NotAllowedError, LimitReachedError, NameTakenError, NotRememberedError, ObjectedError.
    """
    async with viewing(pool, who.viewer) as connection:
        shared = await permissions.check_may_share(connection, who)
        if await permissions.needs_approval(connection, who):
            await trash.propose(connection, concept, shared, who.user_id)
            return None
        moved = await trash.restore(connection, shared, await trash.take(connection, concept), concept.name)
        await concepts.forget(connection, concept.owner_id, concept.concept_id)
        return moved


async def unshare(pool: asyncpg.Pool, who: Actor, concept: Concept) -> None:
    """Take a concept back out of the server's memory, into the person's own.

    Raises NotAllowedError when somebody else shared it, NotRememberedError, NameTakenError.
    """
    async with viewing(pool, who.viewer) as connection:
        await permissions.check_may_change(connection, who, concept)
        if concept.created_by != who.user_id:
            raise NotYoursError(concept.name)
        if not await _has(connection, who.viewer.personal, concept.concept_id):
            snapshot = await trash.take(connection, concept)
            await trash.restore(connection, who.viewer.personal, snapshot, concept.name)
        await concepts.forget(connection, concept.owner_id, concept.concept_id)


async def merge(pool: asyncpg.Pool, who: Actor, kept: Concept, other: Concept) -> Concept:
    """Make one concept of two.

    Raises NotAllowedError, NotRememberedError, InvalidTextError when both infos are too long together.
    """
    async with viewing(pool, who.viewer) as connection:
        for concept in (kept, other):
            await permissions.check_may_change(connection, who, concept)
        permissions.check_pictures(kept.references + other.references)
        return await merging.merge(connection, who.viewer, kept, other)


async def other_of_name(pool: asyncpg.Pool, who: Actor, concept: Concept, name: str) -> Concept:
    """Return the concept of that name in the same memory as another one. Raises NotRememberedError, with a hint."""
    async with viewing(pool, who.viewer) as connection:
        for item in await concepts.find(connection, who.viewer, name):
            if item.owner_id == concept.owner_id and item.concept_id != concept.concept_id:
                return item
        alike = await concepts.did_you_mean(connection, who.viewer, name)
    raise UnknownNameError(name, tuple(text for text in alike if text != concept.name))


async def look(assistant: Assistant, who: Actor, pictures: tuple[bytes, ...]) -> PictureParts:
    """Look for what could be remembered in several pictures. Raises RateLimitedError."""
    async with viewing(assistant.pool, who.viewer) as connection:
        await permissions.count_use(connection, who.viewer, permissions.ASKS)
    parts: list[Part] = []
    for number, picture in enumerate(pictures):
        parts += _parts_of(number, await see(assistant.pool, assistant.worker, who.viewer, picture))
    kept = [await asyncio.to_thread(upright, picture) for picture in pictures]
    return PictureParts(tuple(kept), tuple(parts[:MAX_REGIONS]))


async def is_name_of(pool: asyncpg.Pool, who: Actor, name: str, concept: Concept) -> bool:
    """Whether a name is this concept's, or that of another one that the person has already."""
    if name_key(name) == name_key(concept.name):
        return True
    async with viewing(pool, who.viewer) as connection:
        return any(not item.is_shared for item in await concepts.find(connection, who.viewer, name))


def _parts_of(number: int, seen: Detections) -> list[Part]:
    """Return the clear parts of one picture, and the whole of it, with what they look like."""
    regions = [region for region in seen.regions if region.objectness >= 1]
    known = {match.box: match for match in seen.recalled.recognised}
    boxes = list(dict.fromkeys([*known, *(region.box for region in regions)]))
    return [
        Part(number, box, known[box].concept, known[box].probability) if box in known else Part(number, box)
        for box in boxes
    ]


async def _has(connection: asyncpg.Connection, owner: OwnerId, concept_id: UUID) -> bool:
    try:
        await concepts.get(connection, owner, concept_id)
    except NotRememberedError:
        return False
    return True


def _owner(who: Actor, *, shared: bool) -> OwnerId:
    if not shared:
        return who.viewer.personal
    if who.viewer.server_memory is None:
        raise NoServerError
    return who.viewer.server_memory
