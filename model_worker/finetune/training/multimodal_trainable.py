"""A multimodal writer to be trained. What sees stays as it is: pictures are encoded as for an answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from model_worker.api.packs import ImageTextWriting, LlavaWriting, Pack, PackError
from model_worker.finetune.training.trainable import Trainable
from model_worker.generation.multimodal.writer import ImageTextWriter
from model_worker.generation.types import GenerationInput


class MultimodalTrainable(Trainable):
    """Loads a pack's writer when it is made: seconds to minutes. Raises PackError when it is a server's elsewhere."""

    sees_pictures = True

    def __init__(self, pack: Pack) -> None:
        if not isinstance(pack.writer, ImageTextWriting | LlavaWriting):
            raise PackError(f"The pack “{pack.name}” is written by a server elsewhere: train its adapters there.")
        self._writer = ImageTextWriter(pack.writer)
        self.model, self.adapters = self._writer.model, self._writer.adapters
        self._end = _end_of_answer(self._writer)

    def encode_prompts(self, prompts: Sequence[GenerationInput]) -> Mapping[str, Any]:
        """Encode prompts with their pictures, as for an answer."""
        return self._writer.ready(prompts)

    def encode_answer(self, text: str) -> list[int]:
        """Encode an answer, with what ends it."""
        tokens: list[int] = self._writer.speaker.tokenizer.encode(text, add_special_tokens=False)
        return [*tokens, *self._end]

    def generate(self, prompts: Sequence[GenerationInput]) -> list[str]:
        """Answer prompts in one batch."""
        answers = ["" for _ in prompts]
        for pieces in self._writer.write(prompts, [threading.Event() for _ in prompts]):
            for index, piece in pieces:
                answers[index] += piece if isinstance(piece, str) else ""  # an error, where a prompt is too long
        return [answer.strip() for answer in answers]


def _end_of_answer(writer: ImageTextWriter) -> list[int]:
    """Return the tokens that end an answer: what the conversation says, or else the end token."""
    tokenizer = writer.speaker.tokenizer
    if writer.speaker.stop is not None:
        stop: list[int] = tokenizer.encode(writer.speaker.stop, add_special_tokens=False)
        return stop
    return [int(tokenizer.eos_token_id)]
