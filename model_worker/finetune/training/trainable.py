"""A pack's writer to be trained: samples become batches, prompted exactly as in use; only answers count."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from model_worker.finetune.data.samples import TrainingSample
from model_worker.generation.adapters.loaded import Adapters
from model_worker.generation.types import GenerationInput

IGNORED = -100
"""torch's label for tokens that don't count."""


class Trainable(ABC):
    """A writer to be trained.

    ``model`` is transformers' model, ``adapters`` are those it can answer with. ``sees_pictures`` says whether it gets
    pictures, or only words about them.
    """

    sees_pictures: bool
    model: Any
    adapters: Adapters

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[GenerationInput]) -> Mapping[str, Any]:
        """Return what the model takes for a batch of prompts: tensors by name, tokens padded on the left.

        Raises ValueError when a picture of one of them can't be opened.
        """

    @abstractmethod
    def encode_answer(self, text: str) -> list[int]:
        """Return the tokens of an answer, with what ends it."""

    @abstractmethod
    def generate(self, prompts: Sequence[GenerationInput]) -> list[str]:
        """Return the model's answers, unchecked, each with the adapter that its prompt names."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples as the model takes them.

    ``inputs`` holds prompts and answers together, tokens of shape ``(samples, length)``. ``labels`` are those of the
    last tokens only, of shape ``(samples, longest answer)``.
    """

    inputs: dict[str, Any]
    labels: torch.Tensor


def encode_batch(trainable: Trainable, samples: Sequence[TrainingSample]) -> Batch:
    """Return samples as a batch: prompts and answers, padded on the left, with labels for the answers alone.

    Raises ValueError when a picture can't be opened.
    """
    inputs = dict(trainable.encode_prompts([sample.prompt for sample in samples]))
    answers = [torch.tensor(trainable.encode_answer(sample.answer)) for sample in samples]
    masks = inputs["attention_mask"].bool()
    length = max(int(mask.sum()) + len(answer) for mask, answer in zip(masks, answers, strict=True))
    padded = {
        name: _padded(values, masks, _values_of_answers(name, answers), length)
        for name, values in inputs.items()
        if isinstance(values, torch.Tensor) and values.shape == masks.shape  # one value a token
    }
    return Batch({**inputs, **padded}, _labels(answers))


def loss_of(model: Any, batch: Batch, device: torch.device | str) -> torch.Tensor:
    """Return the mean loss of the answers' tokens, in nats. Logits are made of the last tokens only, where possible."""
    kept = batch.labels.shape[1]
    inputs = {name: item.to(device) if hasattr(item, "to") else item for name, item in batch.inputs.items()}
    inputs = {**inputs, **_only_last_logits(model, kept + 1)}
    # The logits at a token are those of the next one, so the labels are compared with what is one place before them.
    logits = model(**inputs, use_cache=False).logits[:, -kept - 1 : -1].float()
    return torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), batch.labels.to(device).reshape(-1), ignore_index=IGNORED
    )


def with_adapter(samples: Sequence[TrainingSample], adapter: str | None) -> list[GenerationInput]:
    """Return the prompts of samples, to be answered with an adapter."""
    return [
        replace(sample.prompt, request=sample.prompt.request.model_copy(update={"adapter": adapter}))
        for sample in samples
    ]


def _values_of_answers(name: str, answers: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return what an input has at the tokens of answers: the tokens, ones for the mask; for token types zeros."""
    if name == "input_ids":
        return list(answers)
    return [torch.full_like(answer, int(name == "attention_mask")) for answer in answers]


def _padded(
    values: torch.Tensor, masks: torch.Tensor, values_of_answers: Sequence[torch.Tensor], length: int
) -> torch.Tensor:
    """Return the values of prompts' tokens with those of answers' after them, and zeros on the left."""
    padded = torch.zeros(len(values_of_answers), length, dtype=values.dtype)
    for row, added in enumerate(values_of_answers):
        whole = torch.cat([values[row][masks[row]], added.to(values.dtype)])
        padded[row, length - len(whole) :] = whole
    return padded


def _labels(answers: Sequence[torch.Tensor]) -> torch.Tensor:
    labels = torch.full((len(answers), max(map(len, answers))), IGNORED)
    for row, answer in enumerate(answers):
        labels[row, labels.shape[1] - len(answer) :] = answer
    return labels


def _only_last_logits(model: Any, count: int) -> dict[str, int]:
    """Return the argument with which a model makes only its last logits: those of a whole prompt can fill a GPU.

    What a model takes is asked of itself: accelerate (``module``) and peft hide it behind ``**kwargs``.
    """
    inside = model
    while hasattr(inside, "module"):
        inside = inside.module
    inside = inside.get_base_model() if hasattr(inside, "get_base_model") else inside
    takes_it = "logits_to_keep" in inspect.signature(inside.forward).parameters
    return {"logits_to_keep": count} if takes_it else {}
