"""References: a picture made ready to be remembered, so that its owner's recall finds it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bot.service.app import Actor, App
from db import reindexing
from db.geometry import Box
from db.pool import viewing
from db.types import Embedded, NewReference, OwnerId, Source
from model_worker.api.errors import UnknownEmbedderError
from model_worker.api.protocol import ReferenceView

log = logging.getLogger("keepsake.references")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyReference:
    """A picture (JPEG) made ready to be remembered; ``former`` is as the pack sees it that its owner's memory goes by.

    It is None where that is the worker's own. ``source`` is the message that it is from; None: it was uploaded.
    """

    jpeg: bytes
    view: ReferenceView
    former: ReferenceView | None
    source: Source | None = None

    @property
    def in_use(self) -> ReferenceView:
        """The view whose embedding can be compared with what the owner has."""
        return self.former or self.view

    @property
    def reference(self) -> NewReference:
        """The picture, as it is stored."""
        view, former = self.view, self.former
        return NewReference(
            picture=self.jpeg,
            picture_sha256=view.picture_sha256,
            width=view.width,
            height=view.height,
            box=view.region.box,
            embedding_id=view.calibration.embedding_id,
            embedding=view.region.embedding,
            former=None if former is None else Embedded(former.calibration.embedding_id, former.region.embedding),
            source=self.source,
        )


async def make_ready(
    app: App,
    actor: Actor,
    owner: OwnerId,
    picture: bytes,
    box: Box | None = None,
    *,
    exact: bool = False,
    source: Source | None = None,
) -> ReadyReference:
    """Make a picture ready to be remembered for an owner whom the actor sees; ``box`` is as in `WorkerClient.refer`.

    Where packs are being changed, it is embedded for the one that recall goes by still, too.
    """
    view = await app.worker.refer(picture, box, exact=exact)
    jpeg = await app.worker.fetch_picture(view.picture_sha256)
    async with viewing(app.pool, actor.viewer) as connection:
        used = await reindexing.in_use(connection, [owner])
    if not used or used[0] == view.calibration.embedding_id:
        return ReadyReference(jpeg=jpeg, view=view, former=None, source=source)
    try:
        former = await app.worker.refer(jpeg, view.region.box, exact=True, embedding_id=used[0])
    except UnknownEmbedderError as lacking:
        log.warning("%s", lacking)
        return ReadyReference(jpeg=jpeg, view=view, former=None, source=source)
    return ReadyReference(jpeg=jpeg, view=view, former=former, source=source)
