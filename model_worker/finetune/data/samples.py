"""Lessons: what a model is trained and examined on. Each is a request exactly as in use, and the right answer."""

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


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """A request with its pictures, and how it should be answered.

    ``names`` are the concepts that are really in the picture, whatever was retrieved; ``value`` is what a right answer
    to a question has in it ("yes" or "no" for recognition).
    """

    task: Task
    asked: GenerationInput
    answer: str
    names: tuple[str, ...] = ()
    value: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Lessons to train on, and lessons to be examined on: other questions, other pictures, none of them trained on.

    ``held_out_pictures`` counts the references that no lesson to train on shows.
    """

    training: tuple[TrainingSample, ...]
    exam: tuple[TrainingSample, ...]
    held_out_pictures: int
