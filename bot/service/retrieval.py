"""Retrieve: what is in a picture, which the worker says, and what of the actor's memories that is, or a text is about.

A picture is looked at with every embedder that these memories go by, which is one but while packs change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from uuid import UUID

import asyncpg

from bot.service import verification
from bot.service.app import Actor, App
from bot.service.planning import Plan
from bot.service.thumbnails import LARGE, thumbnail
from db import pictures, recall, reindexing, search
from db.concepts import owners
from db.pool import viewing
from db.types import Calibration, Concept, Embedded, Match, Reference, Region, RetrievalResult
from model_worker.api.errors import UnknownEmbedderError
from model_worker.api.protocol import Perception, Tag, Turn

log = logging.getLogger("keepsake.retrieval")

MAX_TRIES = 3
MAX_CONCEPTS_IN_PROMPT = 6


@dataclass(frozen=True, slots=True)
class Detections:
    """What the embedders found in a picture; ``picture`` is it as it is stored (JPEG) and goes by its hash.

    Regions are counted through all perceptions.
    """

    picture: bytes
    perceptions: tuple[Perception, ...]

    @property
    def picture_sha256(self) -> str:
        """By what the worker knows the picture."""
        return self.perceptions[0].picture_sha256

    @property
    def width(self) -> int:
        """The picture's, in pixels."""
        return self.perceptions[0].width

    @property
    def height(self) -> int:
        """The picture's, in pixels."""
        return self.perceptions[0].height

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions of all perceptions."""
        return tuple(chain.from_iterable(perception.regions for perception in self.perceptions))

    @property
    def tags(self) -> tuple[Tag, ...]:
        """Words for the scene; any embedder's do."""
        return next((perception.tags for perception in self.perceptions if perception.tags), ())

    def embedding_of(self, region: int) -> Embedded:
        """Return the embedding of a region, with its kind."""
        return Embedded(self.calibration_of(region).embedding_id, self.regions[region].embedding)

    def calibration_of(self, region: int) -> Calibration:
        """Return the calibration of the pack that saw a region."""
        each = chain.from_iterable(
            [perception.calibration] * len(perception.regions) for perception in self.perceptions
        )
        return list(each)[region]


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What was found for a question: in its picture (None without one), and in the actor's memories.

    ``avatars`` are small pictures (JPEG), by concept, for a writer that looks at them; none for others.
    """

    detections: Detections | None
    result: RetrievalResult
    avatars: Mapping[UUID, bytes]


async def retrieve(
    app: App, actor: Actor, plan: Plan, picture: bytes | None, text: str = "", history: Sequence[Turn] = ()
) -> Retrieved:
    """Perceive, recall, and verify what recall isn't sure of.

    A memory that moves to another embedder in just this moment is looked at again.
    """
    if picture is None:
        return (await recall_concepts(app, actor, None, text, history))[0]
    embedding_ids = plan.embedding_ids
    for _ in range(MAX_TRIES):
        detections = await perceive(app, picture, embedding_ids, plan.categories)
        found, in_use = await recall_concepts(app, actor, detections, text, history)
        if in_use == embedding_ids:
            break
        embedding_ids = in_use
    return await _verified(app, found, detections, picture)


async def perceive(app: App, picture: bytes, embedding_ids: Sequence[str], categories: Sequence[str]) -> Detections:
    """Ask the worker what is in a picture, with these embedders, or with the pack's own where it has none of them."""
    perceptions = []
    for embedding_id in embedding_ids:
        try:
            perceptions.append(await app.worker.perceive(picture, embedding_id, categories))
        except UnknownEmbedderError as lacking:  # what is remembered by it comes back when it has been moved
            log.warning("%s", lacking)
    if not perceptions:
        perceptions = [await app.worker.perceive(picture, None, categories)]
    return Detections(await app.worker.fetch_picture(perceptions[0].picture_sha256), tuple(perceptions))


async def recall_concepts(
    app: App, actor: Actor, detections: Detections | None, text: str, history: Sequence[Turn]
) -> tuple[Retrieved, tuple[str, ...]]:
    """Recall, in one transaction, who is in a picture and who a text names, with the avatars that will be needed.

    Returns the embeddings that the actor's memories go by now, too.
    """
    by, sees_pictures = await app.worker.verification(), await app.worker.sees_pictures()
    memories = owners(actor.viewer)
    async with viewing(app.pool, actor.viewer) as connection:
        if detections is None:
            result = await _spoken_of(connection, actor, text, history)
        else:
            perceptions = [verification.with_unsure(perception, by) for perception in detections.perceptions]
            result = await recall.recall(connection, actor.viewer, perceptions, text)
        shown = [] if by is None else [match.concept for match in verification.unsure(result.recognised, by)]
        if sees_pictures:
            shown += [concept for concept, _ in in_prompt(result, MAX_CONCEPTS_IN_PROMPT + len(shown))]
        avatars = await pictures.avatars(connection, shown) if shown else {}
        in_use = await reindexing.in_use(connection, memories)
    return Retrieved(detections, result, await asyncio.to_thread(_small, avatars)), in_use


def in_prompt(result: RetrievalResult, limit: int = MAX_CONCEPTS_IN_PROMPT) -> list[tuple[Concept, Match | None]]:
    """Return the concepts that a prompt has room for: those in the picture, then those only named."""
    present = {match.concept.concept_id for match in result.recognised}
    seen: list[tuple[Concept, Match | None]] = [(match.concept, match) for match in result.recognised]
    named = [(concept, None) for concept in result.mentioned if concept.concept_id not in present]
    return [*seen, *named][:limit]


async def _spoken_of(
    connection: asyncpg.Connection, actor: Actor, text: str, history: Sequence[Turn]
) -> RetrievalResult:
    """Return who a text names, or else what its words are about; when neither, who was spoken of last."""
    mentioned = await recall.mentioned_in(connection, actor.viewer, text)
    mentioned = mentioned or await search.about(connection, owners(actor.viewer), text)
    for turn in reversed(history):
        mentioned = mentioned or await recall.mentioned_in(connection, actor.viewer, turn.text)
    return RetrievalResult(mentioned, ())


def _small(avatars: Mapping[UUID, Reference]) -> dict[UUID, bytes]:
    return {concept_id: thumbnail(avatar, LARGE) for concept_id, avatar in avatars.items()}


async def _verified(app: App, found: Retrieved, detections: Detections, picture: bytes) -> Retrieved:
    """Leave out what the writer, where the pack asks it, doesn't confirm."""
    by = await app.worker.verification()
    if by is None:
        return found
    recognised = found.result.recognised
    thresholds = [detections.calibration_of(match.region).threshold for match in recognised]
    said = await verification.ask_writer(app, picture, verification.unsure(recognised, by), found.avatars)
    held = verification.holding(recognised, thresholds, by, said)
    return replace(found, result=replace(found.result, recognised=held))
