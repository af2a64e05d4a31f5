"""The embedders that are open: the pack's own, and, while memories move to it, the one that they come from."""

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
from model_worker.server.loading import Detections, LoadFormer, Sees

log = logging.getLogger("keepsake.worker")

LARGEST_BATCH = 8
IDLE_SECONDS = 600.0
"""A former pack's embedder that nobody asked for so long is let go."""


@dataclass(frozen=True, slots=True)
class DetectionRequest:
    """A picture to be perceived, and what to look for in particular."""

    picture: Image.Image
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReferenceRequest:
    """A picture to be remembered; ``box`` is where to look in it, or, if ``exact``, the thing itself."""

    picture: Image.Image
    box: Box | None
    exact: bool


class Embedder:
    """One embedder at work: what waits for it is done together."""

    def __init__(self, sees: Sees, max_waiting: int) -> None:
        def refer(items: Sequence[ReferenceRequest]) -> list[Region]:
            return [_referred(sees, request) for request in items]

        def look(items: Sequence[DetectionRequest]) -> Sequence[Detections]:
            return sees.perceive([request.picture for request in items], [request.categories for request in items])

        self.sees = sees
        self.perceive: Batcher[DetectionRequest, Detections] = Batcher(look, LARGEST_BATCH, max_waiting)
        self.refer: Batcher[ReferenceRequest, Region] = Batcher(refer, LARGEST_BATCH, max_waiting)


class EmbedderPool:
    """The pack's own eye, and at most one of another pack, opened when it is asked for.

    ``load_former`` loads what sees in the pack with an embedding id; it raises UnknownEmbedderError.
    """

    def __init__(self, own: Sees, load_former: LoadFormer, max_waiting: int) -> None:
        self.own = Embedder(own, max_waiting)
        self._load_former = load_former
        self._max_waiting = max_waiting
        self._former: Embedder | None = None
        self._lacking: dict[str, str] = {}
        self._opening = asyncio.Lock()
        self._letting_go: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many pictures wait to be perceived."""
        return self.own.perceive.waiting + (0 if self._former is None else self._former.perceive.waiting)

    @property
    def at_work(self) -> bool:
        """Whether a picture waits, or is being perceived."""
        return any(
            desk.at_work for eye in (self.own, self._former) if eye is not None for desk in (eye.perceive, eye.refer)
        )

    async def that_make(self, embedding_id: str | None) -> Embedder:
        """Return the eye that makes embeddings of this id; None asks for the pack's own.

        Raises UnknownEmbedderError.
        """
        if embedding_id is None or embedding_id == self.own.sees.embedding_id:
            return self.own
        async with self._opening:
            if self._former is None or self._former.sees.embedding_id != embedding_id:
                self._former = await self._opened(embedding_id)
        if self._letting_go is not None:
            self._letting_go.cancel()
        self._letting_go = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._let_go)
        return self._former

    async def _opened(self, embedding_id: str) -> Embedder:
        if embedding_id in self._lacking:
            raise UnknownEmbedderError(embedding_id, detail=self._lacking[embedding_id])
        try:
            sees = await in_a_thread_that_ends(lambda: self._load_former(embedding_id))
        except UnknownEmbedderError as error:
            self._lacking[embedding_id] = error.detail  # looking again takes as long; a restart does
            log.warning("No embedder for %s: %s", embedding_id, error.detail)
            raise
        return Embedder(sees, self._max_waiting)

    def _let_go(self) -> None:
        self._former = None


def _referred(sees: Sees, request: ReferenceRequest) -> Region:
    if request.exact and request.box is not None:
        return sees.embed(request.picture, request.box)
    return sees.refer(request.picture, request.box)
