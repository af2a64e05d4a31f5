"""How much better a writer is with an adapter than without: `keepsake-worker evaluate learning`.

A memory is learned from, as an owner's is, again for each seed: one that the lessons were developed with, or one that
was only measured on. A writer that looks at pictures is evaluated on an owner's: `keepsake-worker finetune owner`.
"""

from __future__ import annotations

import resource
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from db.geometry import WHOLE
from model_worker.api.packs import Pack, PackError
from model_worker.api.recipes import recipe_of
from model_worker.finetune.data.dataset import dataset_of
from model_worker.finetune.data.material import Known, View
from model_worker.finetune.data.replay import replay_samples
from model_worker.finetune.judging.evaluation import ModelMetrics, evaluate_model
from model_worker.finetune.training.loading import load_trainable
from model_worker.finetune.training.progress import ProgressCallback
from model_worker.finetune.training.train import train
from model_worker.generation.adapters.file import AdapterFile, Manifest, adapter_id, write_adapter

FILE = Path(__file__).with_name("memories.toml")


@dataclass(frozen=True, slots=True)
class LearningMetrics:
    """The marks of an exam, as numbers (shares; the loss in nats a token)."""

    recognition: float | None
    caption_recall: float | None
    caption_precision: float | None
    answers: float | None
    score: float
    general_loss: float


@dataclass(frozen=True, slots=True)
class LearningScores:
    """What one seed came to: without the adapter and with it. ``peak_gb`` is the most memory taken so far."""

    seed: int
    lessons: int
    steps: int
    training_seconds: float
    seconds: float
    peak_gb: float
    before: LearningMetrics
    after: LearningMetrics


@dataclass(frozen=True, slots=True)
class AllScores:
    """What each seed came to."""

    memory: str
    seeds: tuple[LearningScores, ...]


def evaluate_learning(pack: Pack, memory: str, seeds: Sequence[int]) -> AllScores:
    """Learn a memory of `memories.toml` with each seed. Raises PackError."""
    entries = tomllib.loads(FILE.read_text(encoding="utf-8"))[memory]
    nothing = View(Image.new("RGB", (64, 64)), WHOLE)
    known = [Known(entry["name"], entry["info"], entry["category"], (nothing,)) for entry in entries]
    return AllScores(memory, tuple(_learn(pack, known, seed) for seed in seeds))


def _learn(pack: Pack, known: Sequence[Known], seed: int) -> LearningScores:
    started, recipe, student = time.monotonic(), recipe_of(pack), load_trainable(pack)
    if student.sees:
        raise PackError("This pack's writer looks at pictures: train it on an owner's (`finetune owner`).")
    watch = ProgressCallback(
        lambda phase, step, steps: _tell(f"seed {seed}: {phase} {step}/{steps}") if step % 20 == 0 else None
    )
    curriculum = dataset_of(known, sees=student.sees, rounds=recipe.rounds, max_concepts=recipe.max_concepts, seed=seed)
    names = [item.name for item in known]
    plain = replay_samples(student, recipe.general_share, len(curriculum.training), seed)
    lessons = [*curriculum.training, *plain]
    trained = train(student, lessons, recipe, seed, None, watch)
    before = evaluate_model(student, curriculum.exam, names, None, watch)
    manifest = Manifest(
        *(student.adapters.base, "", recipe.name, pack.name, recipe.rank, recipe.alpha), student.adapters.modules, {}
    )
    data = write_adapter(AdapterFile(manifest, trained.weights))
    student.adapters.take(adapter_id(data), data)
    after = evaluate_model(student, curriculum.exam, names, adapter_id(data), watch)
    return LearningScores(
        *(seed, len(lessons), trained.steps, round(trained.seconds, 1), round(time.monotonic() - started, 1)),
        round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        _numbers(before),
        _numbers(after),
    )


def _numbers(marks: ModelMetrics) -> LearningMetrics:
    found = {name: value for name, value in asdict(marks).items() if name != "answered"}
    return LearningMetrics(**found, score=round(marks.score, 4))


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
