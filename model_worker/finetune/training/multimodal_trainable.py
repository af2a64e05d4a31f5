"""A multimodal writer as one that learns. What sees stays as it is: pictures are encoded as for an answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from model_worker.api.packs import ImageTextWriting, LlavaWriting, Pack, PackError
from model_worker.finetune.training.trainable import Trainable
from model_worker.generation.multimodal.writer import ImageTextWriter
from model_worker.generation.types import GenerationInput


def multimodal_trainable(pack: Pack) -> Trainable:
    """Load a pack's multimodal writer to be taught: seconds to minutes. Raises PackError."""
    if not isinstance(pack.writer, ImageTextWriting | LlavaWriting):
        raise PackError(f"The pack “{pack.name}” is written by a server elsewhere: train its adapters there.")
    writer = ImageTextWriter(pack.writer)
    tokenizer = writer.speaker.tokenizer
    ends = _ends(writer)

    def prompt(asked: Sequence[GenerationInput]) -> Mapping[str, Any]:
        return writer.ready(asked)

    def answer(text: str) -> list[int]:
        tokens: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return [*tokens, *ends]

    def say(asked: Sequence[GenerationInput]) -> list[str]:
        said = ["" for _ in asked]
        for pieces in writer.write(asked, [threading.Event() for _ in asked]):
            for index, piece in pieces:
                said[index] += piece if isinstance(piece, str) else ""  # none for what is too long
        return [text.strip() for text in said]

    return Trainable(True, writer.model, writer.adapters, prompt, answer, say)


def _ends(writer: ImageTextWriter) -> list[int]:
    """Return the tokens that end an answer: what the conversation says, or else the end token."""
    tokenizer = writer.speaker.tokenizer
    if writer.speaker.stop is not None:
        stop: list[int] = tokenizer.encode(writer.speaker.stop, add_special_tokens=False)
        return stop
    return [int(tokenizer.eos_token_id)]
