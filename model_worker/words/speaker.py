"""A loaded multimodal model, however it was loaded: the model, its tokenizer, and how questions become inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from model_worker.hub import checkpoint
from model_worker.packs import ImageTextWriting, PackProblem
from model_worker.perception.embedders import device
from model_worker.perception.torchvision_shim import declare_missing_operators
from model_worker.words.asked import Asked
from model_worker.words.messages import messages_for


@dataclass(frozen=True, slots=True)
class Speaker:
    """``inputs`` makes a batch of questions, with at most so many earlier turns, what the model takes."""

    model: Any
    tokenizer: Any
    inputs: Callable[[Sequence[Asked], int], Any]


def load_speaker(writing: ImageTextWriting) -> Speaker:
    """Load any checkpoint with a chat template: seconds to minutes. Raises PackProblem."""
    declare_missing_operators()
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = checkpoint(writing.hub)
    try:
        processor: Any = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype())
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise PackProblem(f"{writing.hub.repository} isn't a model that sees and writes: {error}") from error
    processor.tokenizer.padding_side = "left"

    def inputs(asked: Sequence[Asked], turns: int) -> Any:
        return processor.apply_chat_template(
            [messages_for(one, turns) for one in asked],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
            sanitize_control_tokens=True,
        )

    return Speaker(model, processor.tokenizer, inputs)


def dtype() -> torch.dtype:
    """Return what models compute in here: bfloat16 on an accelerator, float32 on a processor."""
    return torch.float32 if device() == "cpu" else torch.bfloat16
