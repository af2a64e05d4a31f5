"""A pack's writer as one that learns: lessons become batches, prompted exactly as in use; only answers count."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from model_worker.finetune.data.samples import TrainingSample
from model_worker.generation.adapters.loaded import Adapters
from model_worker.generation.types import GenerationInput

IGNORED = -100
"""torch's label for tokens that don't count."""


@dataclass(frozen=True, slots=True)
class Trainable:
    """A model that can be taught.

    ``prompt`` returns what the model takes for a batch, padded on the left; ``answer`` the tokens of an answer, with
    what ends it; ``say`` what the model says to requests, unchecked, with the adapter that each names.
    """

    sees: bool
    model: Any
    adapters: Adapters
    prompt: Callable[[Sequence[GenerationInput]], Mapping[str, torch.Tensor]]
    answer: Callable[[str], list[int]]
    say: Callable[[Sequence[GenerationInput]], list[str]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Lessons as the model takes them. ``labels`` are those of the last tokens only: shape ``(lessons, kept)``."""

    inputs: dict[str, Any]
    labels: torch.Tensor


def encoded(student: Trainable, lessons: Sequence[TrainingSample]) -> Batch:
    """Return lessons as a batch: prompts and answers, padded on the left, with labels for the answers alone."""
    prompts = dict(student.prompt([sample.asked for sample in lessons]))
    answers = [student.answer(sample.answer) for sample in lessons]
    asked = [ids[mask.bool()] for ids, mask in zip(prompts["input_ids"], prompts["attention_mask"], strict=True)]
    longest = max(len(prompt) + len(answer) for prompt, answer in zip(asked, answers, strict=True))
    kept = max(map(len, answers))
    labels = torch.full((len(lessons), kept), IGNORED)
    shape = prompts["input_ids"].shape
    a_token = {
        name: tensor for name, tensor in prompts.items() if isinstance(tensor, torch.Tensor) and tensor.shape == shape
    }
    padded = {name: torch.zeros(len(lessons), longest, dtype=tensor.dtype) for name, tensor in a_token.items()}
    for row, (prompt, answer) in enumerate(zip(asked, answers, strict=True)):
        begins = longest - len(answer)
        mask = prompts["attention_mask"][row].bool()
        for name, tensor in a_token.items():
            padded[name][row, begins - len(prompt) : begins] = tensor[row][mask]
        padded["input_ids"][row, begins:] = torch.tensor(answer)
        padded["attention_mask"][row, begins:] = 1
        labels[row, kept - len(answer) :] = torch.tensor(answer)
    return Batch({**prompts, **padded}, labels)


def loss_of(model: Any, batch: Batch, device: torch.device | str) -> torch.Tensor:
    """Return the mean loss of the answers' tokens, in nats. Logits are made of the last tokens only, where possible."""
    kept = batch.labels.shape[1]
    inputs = {name: item.to(device) if hasattr(item, "to") else item for name, item in batch.inputs.items()}
    inputs = {**inputs, **_only_the_last(model, kept + 1)}
    logits = model(**inputs, use_cache=False).logits[:, -kept - 1 : -1].float()
    return torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), batch.labels.to(device).reshape(-1), ignore_index=IGNORED
    )


def _only_the_last(model: Any, count: int) -> dict[str, int]:
    inside = model
    while hasattr(inside, "module"):
        inside = inside.module
    inside = inside.get_base_model() if hasattr(inside, "get_base_model") else inside
    takes_it = "logits_to_keep" in inspect.signature(inside.forward).parameters
    return {"logits_to_keep": count} if takes_it else {}


def with_adapter(lessons: Sequence[TrainingSample], adapter: str | None) -> list[GenerationInput]:
    """Return what lessons ask, to be answered with an adapter."""
    return [
        replace(sample.asked, request=sample.asked.request.model_copy(update={"adapter": adapter}))
        for sample in lessons
    ]
