"""Seeing a picture for a viewer: with every embedder that their memories go by, which is one but while packs change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import asyncpg

from bot.service.verification import lowered, verified
from bot.service.worker_client import WorkerClient
from db import reindexing, search
from db.concepts import owners
from db.geometry import Box
from db.pool import viewing
from db.recall import recall
from db.types import Calibration, Embedded, OwnerId, Reference, Region, RetrievalResult, Viewer
from model_worker.api.errors import UnknownEmbedderError
from model_worker.api.protocol import Perception, ReferenceView, Tag

log = logging.getLogger("keepsake.seeing")

MAX_TRIES = 3


@dataclass(frozen=True, slots=True)
class Detections:
    """A picture as the embedders saw it, and what the viewer's memories recalled.

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


@dataclass(frozen=True, slots=True)
class ReadyReference:
    """A picture made ready to be remembered, and, where its owner's memory goes by another pack, as that sees it."""

    view: ReferenceView
    former: ReferenceView | None

    @property
    def in_use(self) -> ReferenceView:
        """The view whose embedding can be compared with what the owner has."""
        return self.former or self.view

    @property
    def reference(self) -> Reference:
        """The picture, as it is stored."""
        view, former = self.view, self.former
        return Reference(
            picture=view.jpeg,
            picture_sha256=view.picture_sha256,
            width=view.width,
            height=view.height,
            box=view.region.box,
            embedding_id=view.calibration.embedding_id,
            embedding=view.region.embedding,
            former=None if former is None else Embedded(former.calibration.embedding_id, former.region.embedding),
        )


async def see(pool: asyncpg.Pool, worker: WorkerClient, viewer: Viewer, picture: bytes, text: str = "") -> Detections:
    """Perceive a picture, and recall who of the viewer's memories is in it, and who a text names.

    A memory that moves to another embedder in just this moment is looked at again. Where the pack verifies, what recall
    isn't sure of is confirmed or rejected.
    """
    verification = await worker.verification()
    async with viewing(pool, viewer) as connection:
        used = await reindexing.in_use(connection, owners(viewer))
        categories = await search.categories(connection, owners(viewer))
    for _ in range(MAX_TRIES):
        perceptions = await _perceived(worker, picture, used, categories)
        sights = [
            replace(perception, calibration=lowered(perception.calibration, verification)) for perception in perceptions
        ]
        async with viewing(pool, viewer) as connection:
            seen = Detections(perceptions, await recall(connection, viewer, sights, text))
            before, used = used, await reindexing.in_use(connection, owners(viewer))
        if used == before:
            break
    if verification is None or not seen.recalled.recognised:
        return seen
    found = seen.recalled.recognised
    thresholds = [seen.calibration_of(match.region).threshold for match in found]
    sure = await verified(pool, worker, viewer, picture, found, thresholds, verification)
    return replace(seen, recalled=replace(seen.recalled, recognised=sure))


async def make_ready(
    pool: asyncpg.Pool,
    worker: WorkerClient,
    viewer: Viewer,
    owner: OwnerId,
    picture: bytes,
    box: Box | None = None,
    *,
    exact: bool = False,
) -> ReadyReference:
    """Make a picture ready to be remembered for an owner whom the viewer sees; ``box`` is as in `WorkerClient.refer`.

    Where packs are being changed, it is embedded for the one that recall goes by still, too.
    """
    view = await worker.refer(picture, box, exact=exact)
    async with viewing(pool, viewer) as connection:
        used = await reindexing.in_use(connection, [owner])
    if not used or used[0] == view.calibration.embedding_id:
        return ReadyReference(view, None)
    try:
        return ReadyReference(view, await worker.refer(view.jpeg, view.region.box, exact=True, embedding_id=used[0]))
    except UnknownEmbedderError as lacking:
        log.warning("%s", lacking)
        return ReadyReference(view, None)


async def _perceived(
    worker: WorkerClient, picture: bytes, used: Sequence[str], categories: Sequence[str]
) -> tuple[Perception, ...]:
    """Perceive with these embedders; with the pack's own where there is none of them."""
    perceptions = []
    for embedding_id in used:
        try:
            perceptions.append(await worker.perceive(picture, embedding_id, categories))
        except UnknownEmbedderError as lacking:  # what is remembered by it comes back when it has been moved
            log.warning("%s", lacking)
    return tuple(perceptions) or (await worker.perceive(picture, None, categories),)
