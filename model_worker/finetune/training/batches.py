"""The samples of one training as batches, made when they are needed; what can't be trained on is left out then."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache

from model_worker.api.recipes import Recipe
from model_worker.finetune.data.samples import TrainingSample
from model_worker.finetune.training.trainable import Batch, Trainable, encode_batch

log = logging.getLogger("keepsake.trainer")

VALIDATION_SHARE = 0.08
"""The share of samples whose loss decides when to stop."""
MAX_VALIDATION = 256
"""Samples: of a large data set no more are needed to tell."""
MAX_NAMED = 10
"""Samples that are left out and named in the log; the rest are only counted."""


class Batches:
    """Shuffled samples: the first ``validation_size`` are kept back, the rest are ``per_epoch`` batches to train on.

    There may be more samples than fit into memory with their pictures, so each is encoded when its batch is asked for.
    One that is longer than the recipe allows, or whose pictures can't be opened, is left out: ``left_out`` has its
    place. A memory too small to spare any has no validation.
    """

    def __init__(self, trainable: Trainable, samples: Sequence[TrainingSample], recipe: Recipe, seed: int) -> None:
        self._trainable, self._recipe, self._seed = trainable, recipe, seed
        self._samples = list(samples)
        random.Random(seed).shuffle(self._samples)
        share = min(MAX_VALIDATION, round(VALIDATION_SHARE * len(self._samples)))
        self.validation_size = max(recipe.batch, share) if len(self._samples) > 4 * recipe.batch else 0
        self.per_epoch = math.ceil((len(self._samples) - self.validation_size) / recipe.batch)
        self.left_out: set[int] = set()

    def training_batch(self, number: int) -> Batch:
        """Return a batch by its number, or, where none of it fits, one after it: each process has to have one.

        Each epoch has an order of its own, the same whenever it is asked for: a resumed training goes on with the
        batches that it would have had. Raises ValueError when nothing fits.
        """
        epoch, place = divmod(number, self.per_epoch)
        order = _shuffled(self.validation_size, len(self._samples), f"{self._seed} {epoch}")
        for turn in range(self.per_epoch):
            start = (place + turn) % self.per_epoch * self._recipe.batch
            batch = self._fitting(order[start : start + self._recipe.batch])
            if batch is not None:
                return batch
        raise ValueError("None of the samples fits the model's context.")

    def validation_batches(self) -> Iterator[Batch]:
        """Yield what was kept back, the same batches each time."""
        for start in range(0, self.validation_size, self._recipe.batch):
            batch = self._fitting(range(start, min(self.validation_size, start + self._recipe.batch)))
            if batch is not None:
                yield batch

    def _fitting(self, places: Sequence[int]) -> Batch | None:
        """Return those of a few samples that fit as a batch; None when none does.

        One that is too long or broken spoils the whole batch, and only on its own it can be told which that is: so they
        are tried together first, and one by one only when that fails.
        """
        try:
            batch = encode_batch(self._trainable, [self._samples[place] for place in places])
            if batch.inputs["input_ids"].shape[1] <= self._recipe.longest:
                return batch
            why = f"it takes more than {self._recipe.longest} tokens"
        except ValueError as error:
            why = str(error)
        if len(places) == 1:
            self._leave_out(places[0], why)
            return None
        fitting = [place for place in places if self._fitting([place]) is not None]
        return encode_batch(self._trainable, [self._samples[place] for place in fitting]) if fitting else None

    def _leave_out(self, place: int, why: str) -> None:
        if place not in self.left_out and len(self.left_out) < MAX_NAMED:
            log.warning("A sample is left out: %s", why)  # its words are somebody's
        self.left_out.add(place)


@lru_cache(maxsize=2)
def _shuffled(first: int, end: int, seed: str) -> Sequence[int]:
    """Return the places of an epoch in its order; asked for once a batch, so the last are kept."""
    order = list(range(first, end))
    random.Random(seed).shuffle(order)
    return order
