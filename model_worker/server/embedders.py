"""The embedders that are loaded: the pack's own, and, while memories move to it, the one that they come from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from db.geometry import Box
from db.types import Region
from model_worker.api.errors import UnknownEmbedderError
from model_worker.server.batching import Batcher, in_a_thread_that_ends
from model_worker.server.loading import LoadFormer
from model_worker.server.models import Detections, PerceptionModel

log = logging.getLogger("keepsake.worker")

MAX_BATCH = 8
IDLE_SECONDS = 600.0
"""A former pack's embedder that nobody asked for so long is let go."""


@dataclass(frozen=True, slots=True)
class DetectionRequest:
    """A picture to be perceived, and what to search it for in particular."""

    picture: Image.Image
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReferenceRequest:
    """A picture to be remembered; ``box`` is where to search it, or, if ``exact``, the thing itself."""

    picture: Image.Image
    box: Box | None
    exact: bool


class Embedder:
    """One embedder at work: what waits for it is done together."""

    def __init__(self, model: PerceptionModel, max_waiting: int) -> None:
        self.model = model
        self.perceive: Batcher[DetectionRequest, Detections] = Batcher(self._perceive, MAX_BATCH, max_waiting)
        self.refer: Batcher[ReferenceRequest, Region] = Batcher(self._refer, MAX_BATCH, max_waiting)

    @property
    def at_work(self) -> bool:
        """Whether a picture waits, or is being perceived or referred to."""
        return self.perceive.at_work or self.refer.at_work

    def _perceive(self, items: Sequence[DetectionRequest]) -> Sequence[Detections]:
        return self.model.perceive([request.picture for request in items], [request.categories for request in items])

    def _refer(self, items: Sequence[ReferenceRequest]) -> list[Region]:
        return [self._referred(request) for request in items]

    def _referred(self, request: ReferenceRequest) -> Region:
        if request.exact and request.box is not None:
            return self.model.embed(request.picture, request.box)
        return self.model.refer(request.picture, request.box)


class EmbedderPool:
    """The pack's own embedder, and at most one of another pack, loaded when it is asked for.

    ``load_former`` loads the embedder with an embedding id; it raises UnknownEmbedderError.
    """

    def __init__(self, own: PerceptionModel, load_former: LoadFormer, max_waiting: int) -> None:
        self.own = Embedder(own, max_waiting)
        self._load_former = load_former
        self._max_waiting = max_waiting
        self._former: Embedder | None = None
        self._lacking: dict[str, str] = {}
        self._loading = asyncio.Lock()
        self._letting_go: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many pictures wait to be perceived."""
        return self.own.perceive.waiting + (0 if self._former is None else self._former.perceive.waiting)

    @property
    def at_work(self) -> bool:
        """Whether a picture waits, or is being perceived."""
        return self.own.at_work or (self._former is not None and self._former.at_work)

    async def embedder_for(self, embedding_id: str | None) -> Embedder:
        """Return the embedder that makes embeddings of this id; None asks for the pack's own.

        Raises UnknownEmbedderError.
        """
        if embedding_id is None or embedding_id == self.own.model.embedding_id:
            return self.own
        async with self._loading:
            if self._former is None or self._former.model.embedding_id != embedding_id:
                self._former = await self._loaded(embedding_id)
        if self._letting_go is not None:
            self._letting_go.cancel()
        self._letting_go = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._let_go)
        return self._former

    async def _loaded(self, embedding_id: str) -> Embedder:
        if embedding_id in self._lacking:
            raise UnknownEmbedderError(embedding_id, detail=self._lacking[embedding_id])
        try:
            model = await in_a_thread_that_ends(lambda: self._load_former(embedding_id))
        except UnknownEmbedderError as error:
            self._lacking[embedding_id] = error.detail  # trying again takes as long; a restart does try
            log.warning("No embedder for %s: %s", embedding_id, error.detail)
            raise
        return Embedder(model, self._max_waiting)

    def _let_go(self) -> None:
        self._former = None
