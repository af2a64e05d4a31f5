"""A pack's models at work: loaded in the background, and then each with its own queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from model_worker.api.errors import ModelsFailedError, ModelsLoadingError
from model_worker.api.protocol import WorkerHealth
from model_worker.generation.pair import ImagePair
from model_worker.server.batching import Batcher, in_a_thread_that_ends
from model_worker.server.embedders import MAX_BATCH, EmbedderPool
from model_worker.server.loading import LoadFormer, LoadModels
from model_worker.server.models import Models
from model_worker.server.streaming import GenerationQueue

log = logging.getLogger("keepsake.worker")

LOADING_SECONDS = 5
"""After how long it is worth asking again whether the models are loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The loaded models, each with the queue before it; ``verification`` is None where the pack doesn't verify."""

    models: Models
    embedders: EmbedderPool
    generation: GenerationQueue
    verification: Batcher[ImagePair, float] | None

    @property
    def waiting(self) -> int:
        """How many pictures and questions wait."""
        return self.embedders.waiting + self.generation.waiting

    @property
    def at_work(self) -> bool:
        """Whether something waits, or is being done."""
        return self.embedders.at_work or self.generation.at_work


class ModelQueues:
    """The queues of one pack, from the moment on that its models are loaded."""

    def __init__(self, load: LoadModels, load_former: LoadFormer, max_waiting: int) -> None:
        self._load = load
        self._load_former = load_former
        self._max_waiting = max_waiting
        self._queues: Queues | None = None
        self._failure: str | None = None

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Load the models in the background, as long as this is entered."""
        loading = asyncio.create_task(self._load_models())
        try:
            yield
        finally:
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading

    def ready(self) -> Queues:
        """Return the queues. Raises ModelsLoadingError or ModelsFailedError while there are none."""
        if self._failure is not None:
            raise ModelsFailedError(detail=self._failure)
        if self._queues is None:
            raise ModelsLoadingError(LOADING_SECONDS)
        return self._queues

    def loaded(self) -> Queues | None:
        """Return the queues, None while there are none."""
        return self._queues

    def health(self, pictures_cached: int) -> WorkerHealth:
        """Return how the worker is."""
        if self._queues is None:
            return WorkerHealth(
                state="loading" if self._failure is None else "failed",
                why=self._failure,
                device=_device(),
                pictures_cached=pictures_cached,
            )
        models = self._queues.models
        return WorkerHealth(
            state="ready",
            device=_device(),
            pack=models.pack,
            embedding_id=models.perceiver.embedding_id,
            sees_pictures=models.writer.sees_pictures,
            verification=models.verification,
            base=None if models.adapters is None else models.adapters.base,
            pictures_cached=pictures_cached,
            waiting=self._queues.waiting,
            at_work=self._queues.at_work,
        )

    async def _load_models(self) -> None:
        try:
            models = await in_a_thread_that_ends(self._load)
        except Exception as error:
            log.exception("The models could not be loaded")
            self._failure = f"The models could not be loaded: {error}"
        else:
            self._queues = self._queues_of(models)

    def _queues_of(self, models: Models) -> Queues:
        verifier = models.verifier
        return Queues(
            models=models,
            embedders=EmbedderPool(models.perceiver, self._load_former, self._max_waiting),
            generation=GenerationQueue(models.writer.write, MAX_BATCH, self._max_waiting),
            verification=None if verifier is None else Batcher(verifier.verify, MAX_BATCH, self._max_waiting),
        )


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
