"""The starter pack's writer, which gets what was seen as text, to be trained."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import torch

from model_worker.finetune.training.trainable import Trainable
from model_worker.generation.starter.prompt import prompt_for
from model_worker.generation.starter.writer import Writer
from model_worker.generation.types import GenerationInput


class TextTrainable(Trainable):
    """Loads the writer when it is made: seconds.

    On a processor it is trained in float32, which is twice as fast there as bfloat16.
    """

    sees_pictures = False

    def __init__(self) -> None:
        self._writer = Writer(torch.bfloat16 if torch.cuda.is_available() else torch.float32)
        self.model, self.adapters = self._writer.language.model, self._writer.adapters

    def encode_prompts(self, prompts: Sequence[GenerationInput]) -> Mapping[str, torch.Tensor]:
        """Encode prompts without examples: what these show is what an adapter learns."""
        texts = [prompt_for(prompt.request, examples=False) for prompt in prompts]
        inputs: Mapping[str, torch.Tensor] = self._writer.language.tokenizer(texts, return_tensors="pt", padding=True)
        return inputs

    def encode_answer(self, text: str) -> list[int]:
        """Encode an answer as one line: the end of the line is where the writer stops."""
        tokens: list[int] = self._writer.language.tokenizer.encode(f" {text}\n", add_special_tokens=False)
        return tokens

    def generate(self, prompts: Sequence[GenerationInput]) -> list[str]:
        """Answer prompts in one batch."""
        return self._writer.complete([prompt.request for prompt in prompts], [threading.Event() for _ in prompts])
