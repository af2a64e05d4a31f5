"""The starter pack's writer, which is told what was seen, as one that learns."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import torch

from model_worker.finetune.training.trainable import Trainable
from model_worker.generation.starter.prompt import prompt_for
from model_worker.generation.starter.writer import Writer
from model_worker.generation.types import GenerationInput


def text_trainable() -> Trainable:
    """Load it: seconds. On a processor it is taught in float32, which is twice as fast there as bfloat16."""
    writer = Writer(torch.bfloat16 if torch.cuda.is_available() else torch.float32)
    tokenizer = writer.language.tokenizer

    def prompt(asked: Sequence[GenerationInput]) -> Mapping[str, torch.Tensor]:
        texts = [prompt_for(item.request, examples=False) for item in asked]
        inputs: Mapping[str, torch.Tensor] = tokenizer(texts, return_tensors="pt", padding=True)
        return inputs

    def answer(text: str) -> list[int]:
        tokens: list[int] = tokenizer.encode(f" {text}\n", add_special_tokens=False)
        return tokens

    def say(asked: Sequence[GenerationInput]) -> list[str]:
        return writer.complete([item.request for item in asked], [threading.Event() for _ in asked])

    return Trainable(False, writer.language.model, writer.adapters, prompt, answer, say)
