"""Samples: what a model is trained and evaluated on. Each is a prompt exactly as in use, and the right answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from model_worker.generation.types import GenerationInput


class Task(StrEnum):
    """RAP's training tasks (arXiv 2410.13360, section 3.4), and plain prompts against forgetting."""

    CAPTION = "caption"
    RECOGNITION = "recognition"
    QUESTION = "question"
    DESCRIPTION = "description"
    GROUNDING = "grounding"
    TEXT = "text"
    GENERAL = "general"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSample:
    """A prompt with its pictures, and how it should be answered.

    ``names`` are the concepts that are really in the picture, whatever was retrieved; ``expected`` is what a right
    answer to a question has in it ("yes" or "no" for recognition).
    """

    task: Task
    prompt: GenerationInput
    answer: str
    names: tuple[str, ...] = ()
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples to train on, and samples to evaluate on: other questions, other pictures, none of them trained on.

    ``held_out_pictures`` counts the references that no sample to train on shows.
    """

    training: tuple[TrainingSample, ...]
    evaluation: tuple[TrainingSample, ...]
    held_out_pictures: int
