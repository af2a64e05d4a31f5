"""Seeing a picture for an actor: with every embedder that their memories go by, which is one but while packs change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from bot.service.app import Actor, App
from bot.service.verification import lowered, verified
from db import reindexing, search
from db.concepts import owners
from db.pool import viewing
from db.recall import recall
from db.types import Calibration, Embedded, Region, RetrievalResult
from model_worker.api.errors import UnknownEmbedderError
from model_worker.api.images import decode_picture, encode_jpeg
from model_worker.api.protocol import Perception, Tag

log = logging.getLogger("keepsake.seeing")

MAX_TRIES = 3
ANSWER_PICTURE_SIDE = 1280


@dataclass(frozen=True, slots=True)
class Detections:
    """A picture as the embedders saw it, and what the actor's memories recalled.

    Regions are counted through all perceptions, as in ``recalled``.
    """

    perceptions: tuple[Perception, ...]
    recalled: RetrievalResult

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions of all perceptions."""
        return tuple(chain.from_iterable(perception.regions for perception in self.perceptions))

    @property
    def tags(self) -> tuple[Tag, ...]:
        """Words for the scene; any embedder's do."""
        return next((perception.tags for perception in self.perceptions if perception.tags), ())

    @property
    def width(self) -> int:
        """The picture's, in pixels."""
        return self.perceptions[0].width

    @property
    def height(self) -> int:
        """The picture's, in pixels."""
        return self.perceptions[0].height

    def embedding_of(self, region: int) -> Embedded:
        """Return the embedding of a region, with its kind."""
        return Embedded(self.calibration_of(region).embedding_id, self.regions[region].embedding)

    def calibration_of(self, region: int) -> Calibration:
        """Return the calibration of the pack that saw a region."""
        each = chain.from_iterable(
            [perception.calibration] * len(perception.regions) for perception in self.perceptions
        )
        return list(each)[region]


async def see(app: App, actor: Actor, picture: bytes, text: str = "") -> Detections:
    """Perceive a picture, and recall who of the actor's memories is in it, and who a text names.

    A memory that moves to another embedder in just this moment is looked at again. Where the pack verifies, what recall
    isn't sure of is confirmed or rejected.
    """
    verification = await app.worker.verification()
    async with viewing(app.pool, actor.viewer) as connection:
        used = await reindexing.in_use(connection, owners(actor.viewer))
        categories = await search.categories(connection, owners(actor.viewer))
    for _ in range(MAX_TRIES):
        perceptions = await _perceived(app, picture, used, categories)
        sights = [
            perception.model_copy(update={"calibration": lowered(perception.calibration, verification)})
            for perception in perceptions
        ]
        async with viewing(app.pool, actor.viewer) as connection:
            seen = Detections(perceptions, await recall(connection, actor.viewer, sights, text))
            before, used = used, await reindexing.in_use(connection, owners(actor.viewer))
        if used == before:
            break
    if verification is None or not seen.recalled.recognised:
        return seen
    found = seen.recalled.recognised
    thresholds = [seen.calibration_of(match.region).threshold for match in found]
    sure = await verified(app, actor, picture, found, thresholds, verification)
    return replace(seen, recalled=replace(seen.recalled, recognised=sure))


async def _perceived(
    app: App, picture: bytes, used: Sequence[str], categories: Sequence[str]
) -> tuple[Perception, ...]:
    """Perceive with these embedders; with the pack's own where there is none of them."""
    perceptions = []
    for embedding_id in used:
        try:
            perceptions.append(await app.worker.perceive(picture, embedding_id, categories))
        except UnknownEmbedderError as lacking:  # what is remembered by it comes back when it has been moved
            log.warning("%s", lacking)
    return tuple(perceptions) or (await app.worker.perceive(picture, None, categories),)


def upright(picture: bytes) -> bytes:
    """Return a picture as the worker saw it (and found harmless): upright, a JPEG without metadata."""
    return encode_jpeg(decode_picture(picture), ANSWER_PICTURE_SIDE)
