"""How good a model is with an adapter, or without: on what was held out of an owner's memory, and in general.

As in the paper (arXiv 2410.13360, section 4) a caption is judged by the names in it, recognition by yes and no; a
question's answer by whether what was asked for is in it, after lower-casing and dropping articles, punctuation and
white space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model_worker.api.training_report import ReportedMetrics
from model_worker.finetune.data.replay import replay_evaluation
from model_worker.finetune.data.samples import Task, TrainingSample
from model_worker.finetune.training.progress import NO_PROGRESS, ProgressCallback
from model_worker.finetune.training.trainable import Trainable, encode_batch, loss_of, with_adapter

BATCH = 8
ANSWERS = frozenset({Task.QUESTION, Task.TEXT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A sample's question: what was answered to it, what should have been, and whether that will do."""

    task: str
    question: str
    answer: str
    expected: str
    is_right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetrics:
    """The result of an evaluation: shares (0 to 1; None where nothing was asked).

    ``general_loss`` is the loss on plain questions, in nats a token.
    """

    recognition: float | None
    caption_recall: float | None
    caption_precision: float | None
    answers: float | None
    general_loss: float
    answered: tuple[Answered, ...] = ()

    @property
    def score(self) -> float:
        """One number for the owner's part: the mean of recognition, names in captions (F1) and answers."""
        names = None
        if self.caption_recall is not None and self.caption_precision is not None:
            total = self.caption_recall + self.caption_precision
            names = 2 * self.caption_recall * self.caption_precision / total if total else 0.0
        parts = [value for value in (self.recognition, names, self.answers) if value is not None]
        return sum(parts) / len(parts) if parts else 0.0

    def reported(self) -> ReportedMetrics:
        """Return all but the answers, as reports and manifests have it."""
        return ReportedMetrics(
            recognition=self.recognition,
            caption_recall=self.caption_recall,
            caption_precision=self.caption_precision,
            answers=self.answers,
            score=round(self.score, 4),
            general_loss=self.general_loss,
        )


def evaluate_model(
    trainable: Trainable,
    samples: Sequence[TrainingSample],
    names: Sequence[str],
    adapter: str | None,
    progress: ProgressCallback = NO_PROGRESS,
) -> ModelMetrics:
    """Evaluate a model with an adapter that it holds; None evaluates the base model, prompted as in use.

    ``names`` are those of all concepts: a caption may have none of them that isn't in the picture. Raises what
    ``progress`` does.
    """
    answers: list[str] = []
    for start in range(0, len(samples), BATCH):
        progress.on_step_begin()
        answers += trainable.generate(with_adapter(samples[start : start + BATCH], adapter))
        progress.on_step_end("evaluating", min(len(samples), start + BATCH), len(samples))
    right = [_is_right(sample, answer, names) for sample, answer in zip(samples, answers, strict=True)]
    judged = list(zip(samples, answers, right, strict=True))
    recall, precision = _caption_names(samples, answers, names)
    return ModelMetrics(
        recognition=_balanced([(sample.expected, ok) for sample, _, ok in judged if sample.task is Task.RECOGNITION]),
        caption_recall=recall,
        caption_precision=precision,
        answers=_share([ok for sample, _, ok in judged if sample.task in ANSWERS]),
        general_loss=general_loss(trainable, adapter),
        answered=tuple(_answered(sample, answer, is_right=ok) for sample, answer, ok in judged),
    )


def general_loss(trainable: Trainable, adapter: str | None) -> float:
    """Return the mean loss (nats a token) of the answers to plain questions: the same prompts whatever is evaluated."""
    samples = replay_evaluation()
    device = next(trainable.model.parameters()).device
    losses = []
    with torch.inference_mode(), trainable.adapters.answering_for(adapter) as model:
        for start in range(0, len(samples), BATCH):
            batch = encode_batch(trainable, samples[start : start + BATCH])
            losses.append(float(loss_of(model, batch, device)))
    return round(sum(losses) / len(losses), 4)


def normalised(text: str) -> str:
    """Return a text as the paper compares it: lower case, without articles, punctuation and more than one space."""
    words = re.sub(r"[^\w\s]", " ", text.casefold()).split()
    return " ".join(word for word in words if word not in {"a", "an", "the"})


def _answered(sample: TrainingSample, answer: str, *, is_right: bool) -> Answered:
    return Answered(
        task=sample.task.value,
        question=sample.prompt.request.question,
        answer=answer,
        expected=sample.answer,
        is_right=is_right,
    )


def _is_right(sample: TrainingSample, answer: str, names: Sequence[str]) -> bool:
    if sample.task is Task.RECOGNITION:
        return _yes_or_no(answer) == sample.expected
    if sample.task is Task.CAPTION:
        return _names_in(answer, names) == set(sample.names)
    return f" {normalised(sample.expected)} " in f" {normalised(answer)} "


def _yes_or_no(answer: str) -> str:
    """Return whether an answer says yes or no: in so many words, or else by what it states; "" for nothing."""
    words = normalised(answer.replace("n't", " not").replace("n’t", " not")).split()
    if not words:
        return ""
    if words[0] in {"yes", "no"}:
        return words[0]
    return "no" if {"no", "not", "nobody", "none"} & set(words) else "yes"


def _names_in(answer: str, names: Sequence[str]) -> set[str]:
    text = f" {normalised(answer)} "
    return {name for name in names if f" {normalised(name)} " in text}


def _caption_names(
    samples: Sequence[TrainingSample], answers: Sequence[str], names: Sequence[str]
) -> tuple[float | None, float | None]:
    """Return recall and precision of the names in captions, over all captions together; None without captions."""
    captions = [
        (set(sample.names), _names_in(answer, names))
        for sample, answer in zip(samples, answers, strict=True)
        if sample.task is Task.CAPTION
    ]
    present = sum(len(sample.names) for sample in samples if sample.task is Task.CAPTION)
    mentioned = sum(len(found) for _, found in captions)
    both = sum(len(true & found) for true, found in captions)
    if not present:
        return None, None
    return round(both / present, 4), round(both / mentioned, 4) if mentioned else 0.0


def _balanced(answers: Sequence[tuple[str, bool]]) -> float | None:
    """Return the mean of how many present ones and how many absent ones were right: a coin gets a half."""
    shares = [_share([ok for expected, ok in answers if expected == wanted]) for wanted in ("yes", "no")]
    known = [share for share in shares if share is not None]
    return round(sum(known) / len(known), 4) if known else None


def _share(right: Sequence[bool]) -> float | None:
    return round(sum(right) / len(right), 4) if right else None
