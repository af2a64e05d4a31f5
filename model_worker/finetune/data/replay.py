"""Lessons that have nothing to do with an owner: what the base model would say anyway, so that it isn't forgotten."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Sequence
from pathlib import Path

from model_worker.api.protocol import GenerateRequest
from model_worker.finetune.data.samples import Lesson, Task
from model_worker.finetune.training.trainable import Student
from model_worker.generation.types import Asked

FILE = Path(__file__).with_name("general.toml")
AT_ONCE = 8


def replay_lessons(student: Student, share: float, lessons: int, seed: int) -> list[Lesson]:
    """Return plain prompts with the base model's own answers: so many that they are this share of all lessons."""
    wanted = round(lessons * share / (1 - share))
    prompts: list[str] = tomllib.loads(FILE.read_text(encoding="utf-8"))["replay"]
    chosen = random.Random(seed).sample(prompts, min(wanted, len(prompts)))
    asked = [Asked(GenerateRequest(question=one, has_picture=False)) for one in chosen]
    said = [answer for some in _in_parts(asked) for answer in student.say(some)]
    answered = [Lesson(Task.GENERAL, one, answer) for one, answer in zip(asked, said, strict=True) if answer]
    return [answered[number % len(answered)] for number in range(wanted)] if answered else []


def general_exam() -> list[Lesson]:
    """Return plain questions with answers, whose loss is compared."""
    entries = tomllib.loads(FILE.read_text(encoding="utf-8"))["exam"]
    return [
        Lesson(Task.GENERAL, Asked(GenerateRequest(question=one["question"], has_picture=False)), one["answer"])
        for one in entries
    ]


def _in_parts(asked: Sequence[Asked]) -> list[Sequence[Asked]]:
    return [asked[start : start + AT_ONCE] for start in range(0, len(asked), AT_ONCE)]
