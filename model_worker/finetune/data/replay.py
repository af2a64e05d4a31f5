"""Lessons that have nothing to do with an owner: what the base model would say anyway, so that it isn't forgotten."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Sequence
from pathlib import Path

from model_worker.api.protocol import GenerateRequest
from model_worker.finetune.data.samples import Task, TrainingSample
from model_worker.finetune.training.trainable import Trainable
from model_worker.generation.types import GenerationInput

FILE = Path(__file__).with_name("general.toml")
AT_ONCE = 8


def replay_samples(student: Trainable, share: float, lessons: int, seed: int) -> list[TrainingSample]:
    """Return plain prompts with the base model's own answers: so many that they are this share of all lessons."""
    wanted = round(lessons * share / (1 - share))
    prompts: list[str] = tomllib.loads(FILE.read_text(encoding="utf-8"))["replay"]
    chosen = random.Random(seed).sample(prompts, min(wanted, len(prompts)))
    asked = [GenerationInput(GenerateRequest(question=text, has_picture=False)) for text in chosen]
    said = [answer for some in _in_parts(asked) for answer in student.say(some)]
    answered = [TrainingSample(Task.GENERAL, item, answer) for item, answer in zip(asked, said, strict=True) if answer]
    return [answered[number % len(answered)] for number in range(wanted)] if answered else []


def replay_evaluation() -> list[TrainingSample]:
    """Return plain questions with answers, whose loss is compared."""
    entries = tomllib.loads(FILE.read_text(encoding="utf-8"))["exam"]
    return [
        TrainingSample(
            Task.GENERAL,
            GenerationInput(GenerateRequest(question=entry["question"], has_picture=False)),
            entry["answer"],
        )
        for entry in entries
    ]


def _in_parts(asked: Sequence[GenerationInput]) -> list[Sequence[GenerationInput]]:
    return [asked[start : start + AT_ONCE] for start in range(0, len(asked), AT_ONCE)]
