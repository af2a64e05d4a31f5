"""Replay: plain samples that have nothing to do with an owner, so that training doesn't make the model forget.

The answers to train on are the base model's own: what it says now is what it should go on saying.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Sequence
from pathlib import Path

from model_worker.api.protocol import GenerateRequest
from model_worker.finetune.data.samples import Task, TrainingSample
from model_worker.finetune.training.trainable import Trainable
from model_worker.generation.types import GenerationInput

FILE = Path(__file__).with_name("replay.toml")
BATCH = 8


def replay_samples(trainable: Trainable, *, share: float, beside: int, seed: int) -> list[TrainingSample]:
    """Return plain samples to be trained on beside so many others, of which they are then this share (0 to 1).

    Prompts that the model has no answer to are left out; when there are too few, they come round again.
    """
    wanted = round(beside * share / (1 - share))
    questions: list[str] = tomllib.loads(FILE.read_text(encoding="utf-8"))["training"]
    prompts = [_plain(question) for question in random.Random(seed).sample(questions, min(wanted, len(questions)))]
    answers = [answer for batch in _in_batches(prompts) for answer in trainable.generate(batch)]
    samples = [
        TrainingSample(task=Task.GENERAL, prompt=prompt, answer=answer)
        for prompt, answer in zip(prompts, answers, strict=True)
        if answer
    ]
    return [samples[number % len(samples)] for number in range(wanted)] if samples else []


def replay_evaluation() -> list[TrainingSample]:
    """Return plain questions with answers, whose loss is compared."""
    entries = tomllib.loads(FILE.read_text(encoding="utf-8"))["evaluation"]
    return [
        TrainingSample(task=Task.GENERAL, prompt=_plain(entry["question"]), answer=entry["answer"]) for entry in entries
    ]


def _plain(question: str) -> GenerationInput:
    return GenerationInput(GenerateRequest(question=question, has_picture=False))


def _in_batches(prompts: Sequence[GenerationInput]) -> list[Sequence[GenerationInput]]:
    return [prompts[start : start + BATCH] for start in range(0, len(prompts), BATCH)]
