"""The three transactions of a question: plan it, recall what it is about, keep what its answer's buttons refer to.

Between them models work, for seconds, so each is opened here and closed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from db import adapters, consent, notes, pictures, rate_limits, reindexing, search, servers, sightings
from db.adapters import AdapterInUse
from db.concepts import mark_recognised, owners
from db.notes import Note
from db.pool import viewing
from db.rate_limits import Limit
from db.recall import Detections, mentioned_in, recall
from db.types import Concept, InPublic, OwnerId, Reference, RetrievalResult, Sighting, Source, Viewer


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionPlan:
    """How a question is answered.

    ``embedding_ids`` are those that the viewer's memories go by: one, but while packs are being changed.
    ``categories`` are what to look for in particular, whoever reads the answer: no tag comes of these words.
    ``adapters`` answer for these memories, the viewer's own first.
    ``in_public`` is what may be said of the viewer's own memory where others read. ``keep_for`` is how long an answer
    is kept where they are; not at all when it is 0.
    """

    embedding_ids: tuple[str, ...]
    categories: tuple[str, ...]
    adapters: tuple[AdapterInUse, ...]
    keep_for: timedelta
    in_public: InPublic


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What a question is about, with the notes on it and the avatars that were wanted; and what recall goes by now."""

    result: RetrievalResult
    notes: Mapping[UUID, Sequence[Note]]
    avatars: Mapping[UUID, Reference]
    embedding_ids: tuple[str, ...]


async def plan_question(pool: asyncpg.Pool, viewer: Viewer, limits: Sequence[tuple[OwnerId, Limit]]) -> QuestionPlan:
    """Count a question against these limits, and return how to answer it. Raises RateLimitedError."""
    memories = owners(viewer)
    async with viewing(pool, viewer) as connection:
        for owner, limit in limits:
            await rate_limits.use(connection, owner, limit)
        return QuestionPlan(
            embedding_ids=await reindexing.in_use(connection, memories),
            categories=tuple(await search.categories(connection, memories)),
            adapters=tuple(await adapters.in_use(connection, memories)),
            keep_for=await _retention(connection, viewer),
            in_public=await consent.in_public(connection, viewer),
        )


async def recall_for_question(
    pool: asyncpg.Pool,
    viewer: Viewer,
    text: str,
    *,
    earlier: Sequence[str] = (),
    seen: Sequence[Detections] = (),
    says_all: bool = True,
    wants_avatars_of: Callable[[RetrievalResult], Sequence[Concept]],
) -> Recalled:
    """Return who is in a picture, as embedders ``seen`` it, and who a text names.

    Without a picture a text may also be about what its words are, or else about who was spoken of last; ``earlier`` has
    what was said before, the oldest first. Unless ``says_all``, a text that names nobody is about nobody private: that
    its words are somebody's would be said by the name, and a name is given to the very message that asks for it.
    """
    async with viewing(pool, viewer) as connection:
        if seen:
            result = await recall(connection, viewer, seen, text)
        else:
            result = RetrievalResult(await _spoken_of(connection, viewer, text, earlier, says_all=says_all), ())
        wanted = wants_avatars_of(result)
        return Recalled(
            result=result,
            notes=await notes.notes_of_several(connection, [*_seen_in(result), *result.mentioned]),
            avatars=await pictures.avatars(connection, wanted) if wanted else {},
            embedding_ids=await reindexing.in_use(connection, owners(viewer)),
        )


async def keep_answer(
    pool: asyncpg.Pool,
    viewer: Viewer,
    picture: bytes,
    width: int,
    height: int,
    sighted: Sequence[Sighting],
    keep_for: timedelta,
    source: Source | None = None,
) -> UUID | None:
    """Count who was recognised, and store an answer as `db.sightings.store_answer` does, unless none is kept here.

    Returns the id for its buttons, or None.
    """
    async with viewing(pool, viewer) as connection:
        await mark_recognised(connection, [item.concept for item in sighted if item.concept is not None])
        if not keep_for:
            return None
        return await sightings.store_answer(connection, viewer, picture, width, height, sighted, keep_for, source)


def _seen_in(result: RetrievalResult) -> list[Concept]:
    return [match.concept for match in result.recognised]


async def _retention(connection: asyncpg.Connection, viewer: Viewer) -> timedelta:
    if viewer.server_memory is None:
        return sightings.KEPT_FOR
    return timedelta(days=(await servers.settings_of(connection, viewer.server_memory)).retention_days)


async def _spoken_of(
    connection: asyncpg.Connection, viewer: Viewer, text: str, earlier: Sequence[str], *, says_all: bool
) -> tuple[Concept, ...]:
    searched = owners(viewer) if says_all else [owner for owner in owners(viewer) if owner != viewer.personal]
    found = await mentioned_in(connection, viewer, text)
    found = found or (await search.about(connection, searched, text) if searched else ())
    for said in reversed(earlier):
        named = () if found else await mentioned_in(connection, viewer, said)
        found = found or tuple(concept for concept in named if says_all or concept.is_shared)
    return found
