"""How good a model is with an adapter, or without: on what was held out of an owner's memory, and in general.

As in the paper (section 4) a caption is judged by the names in it, recognition by yes and no; a question's answer by
whether what was told is in it, after lower-casing and dropping articles, punctuation and white space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model_worker.finetune.data.replay import replay_evaluation
from model_worker.finetune.data.samples import Task, TrainingSample
from model_worker.finetune.training.progress import UNWATCHED, ProgressCallback
from model_worker.finetune.training.trainable import Trainable, encoded, loss_of, with_adapter

AT_ONCE = 8
ANSWERS = frozenset({Task.QUESTION, Task.TEXT})


@dataclass(frozen=True, slots=True)
class Answered:
    """One question of an exam: what was said to it, what should have been, and whether that will do."""

    task: str
    question: str
    said: str
    should: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """The result of an exam: shares (0 to 1; None where nothing was asked), and the loss in general (nats a token)."""

    recognition: float | None
    caption_recall: float | None
    caption_precision: float | None
    answers: float | None
    general_loss: float
    answered: tuple[Answered, ...]

    @property
    def score(self) -> float:
        """One number for the owner's part: the mean of recognition, names in captions (F1) and answers."""
        names = None
        if self.caption_recall is not None and self.caption_precision is not None:
            total = self.caption_recall + self.caption_precision
            names = 2 * self.caption_recall * self.caption_precision / total if total else 0.0
        parts = [value for value in (self.recognition, names, self.answers) if value is not None]
        return sum(parts) / len(parts) if parts else 0.0


def evaluate_model(
    student: Trainable,
    exam: Sequence[TrainingSample],
    names: Sequence[str],
    adapter: str | None,
    watch: ProgressCallback = UNWATCHED,
) -> ModelMetrics:
    """Examine a model with an adapter that it holds; None examines the base model, prompted as in use."""
    said: list[str] = []
    for start in range(0, len(exam), AT_ONCE):
        watch.wait()
        said += student.say(with_adapter(exam[start : start + AT_ONCE], adapter))
        watch.note("examining", min(len(exam), start + AT_ONCE), len(exam))
    right = [_is_right(lesson, text, names) for lesson, text in zip(exam, said, strict=True)]
    found = list(zip(exam, said, right, strict=True))
    recall, precision = _names(exam, said, names)
    return ModelMetrics(
        recognition=_balanced([(lesson.value, ok) for lesson, _, ok in found if lesson.task is Task.RECOGNITION]),
        caption_recall=recall,
        caption_precision=precision,
        answers=_share([ok for lesson, _, ok in found if lesson.task in ANSWERS]),
        general_loss=general_loss(student, adapter),
        answered=tuple(
            Answered(lesson.task.value, lesson.asked.request.question, text, lesson.answer, ok)
            for lesson, text, ok in found
        ),
    )


def general_loss(student: Trainable, adapter: str | None) -> float:
    """Return the mean loss of the answers to plain questions: the same prompts whoever is examined."""
    exam = replay_evaluation()
    losses = []
    with torch.inference_mode(), student.adapters.answering_for(adapter) as model:
        for start in range(0, len(exam), AT_ONCE):
            batch = encoded(student, exam[start : start + AT_ONCE])
            losses.append(float(loss_of(model, batch, next(student.model.parameters()).device)))
    return round(sum(losses) / len(losses), 4)


def normalised(text: str) -> str:
    """Return a text as the paper compares it: lower case, without articles, punctuation and more than one space."""
    words = re.sub(r"[^\w\s]", " ", text.casefold()).split()
    return " ".join(word for word in words if word not in {"a", "an", "the"})


def _is_right(lesson: TrainingSample, said: str, names: Sequence[str]) -> bool:
    if lesson.task is Task.RECOGNITION:
        return _says(said) == lesson.value
    if lesson.task is Task.CAPTION:
        return _named(said, names) == set(lesson.names)
    return f" {normalised(lesson.value)} " in f" {normalised(said)} "


def _says(said: str) -> str:
    """Return whether an answer says yes or no: in so many words, or else by what it states; "" for nothing."""
    words = normalised(said.replace("n't", " not").replace("n’t", " not")).split()
    if not words:
        return ""
    if words[0] in {"yes", "no"}:
        return words[0]
    return "no" if {"no", "not", "nobody", "none"} & set(words) else "yes"


def _named(said: str, names: Sequence[str]) -> set[str]:
    text = f" {normalised(said)} "
    return {name for name in names if f" {normalised(name)} " in text}


def _names(
    exam: Sequence[TrainingSample], said: Sequence[str], names: Sequence[str]
) -> tuple[float | None, float | None]:
    """Return recall and precision of the names in captions."""
    there = said_names = both = 0
    for lesson, text in zip(exam, said, strict=True):
        if lesson.task is Task.CAPTION:
            named = _named(text, names)
            there, said_names = there + len(lesson.names), said_names + len(named)
            both += len(named & set(lesson.names))
    if not there:
        return None, None
    return round(both / there, 4), round(both / said_names, 4) if said_names else 0.0


def _balanced(answers: Sequence[tuple[str, bool]]) -> float | None:
    """Return the mean of how many present ones and how many absent ones were right: a coin gets a half."""
    shares = [_share([ok for value, ok in answers if value == wanted]) for wanted in ("yes", "no")]
    known = [share for share in shares if share is not None]
    return round(sum(known) / len(known), 4) if known else None


def _share(right: Sequence[bool]) -> float | None:
    return round(sum(right) / len(right), 4) if right else None
