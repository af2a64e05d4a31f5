"""How much better a writer is with an adapter than without: `keepsake-worker evaluate learning`.

A memory is trained on, as an owner's is, again for each seed: one that the samples were developed with, or one that
was only measured on. A writer that looks at pictures is evaluated on an owner's: `keepsake-worker finetune owner`.
"""

from __future__ import annotations

import resource
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from db.geometry import WHOLE
from model_worker.api.packs import Pack, PackError
from model_worker.api.recipes import recipe_of
from model_worker.finetune.data.material import TrainingConcept, View
from model_worker.finetune.jobs.adapter_training import compare, personalization_of, train_adapter
from model_worker.finetune.training.loading import load_trainable
from model_worker.finetune.training.progress import ProgressCallback

FILE = Path(__file__).with_name("memories.toml")
STEPS_A_LINE = 20
"""Between two lines of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningScores:
    """What one seed came to: metrics without the adapter and with it. ``peak_gb`` is the most memory taken so far."""

    seed: int
    samples: int
    steps: int
    training_seconds: float
    seconds: float
    peak_gb: float
    before: Mapping[str, float | None]
    after: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class AllScores:
    """What each seed came to."""

    memory: str
    seeds: tuple[LearningScores, ...]


def evaluate_learning(pack: Pack, memory: str, seeds: Sequence[int]) -> AllScores:
    """Train on a memory of `memories.toml` with each seed: minutes a seed. Raises PackError."""
    entries = tomllib.loads(FILE.read_text(encoding="utf-8"))[memory]
    blank = View(Image.new("RGB", (64, 64)), WHOLE)
    concepts = [
        TrainingConcept(name=entry["name"], info=entry["info"], category=entry["category"], views=(blank,))
        for entry in entries
    ]
    return AllScores(memory, tuple(_learn(pack, concepts, seed) for seed in seeds))


def _learn(pack: Pack, concepts: Sequence[TrainingConcept], seed: int) -> LearningScores:
    started, trainable = time.monotonic(), load_trainable(pack)
    if trainable.sees_pictures:
        raise PackError("This pack's writer looks at pictures: train it on an owner's (`finetune owner`).")
    progress = ProgressCallback(
        lambda phase, step, steps: _print(f"seed {seed}: {phase} {step}/{steps}") if step % STEPS_A_LINE == 0 else None
    )
    personalization = personalization_of(
        trainable, concepts, pack=pack.name, recipe=recipe_of(pack), seed=seed, progress=progress
    )
    adapter = train_adapter(personalization.job)
    comparison = compare(personalization, adapter)
    return LearningScores(
        seed=seed,
        samples=len(personalization.job.samples),
        steps=adapter.trained.steps,
        training_seconds=round(adapter.trained.seconds, 1),
        seconds=round(time.monotonic() - started, 1),
        peak_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        before=comparison.base.reported().model_dump(),
        after=comparison.candidate.reported().model_dump(),
    )


def _print(line: str) -> None:
    sys.stderr.write(f"{line}\n")
