"""A loaded multimodal model, however it was loaded: the model, its tokenizer, and how questions become inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from model_worker.api.hub import checkpoint
from model_worker.api.packs import ImageTextWriting, PackError
from model_worker.generation.multimodal.messages import Message, messages_for, messages_to_verify, pictures_in
from model_worker.generation.pair import ImagePair
from model_worker.generation.types import GenerationInput
from model_worker.perception.embedders import device
from model_worker.perception.torchvision_shim import declare_missing_operators

FULL = 16
NOT_QUANTISED = ("lm_head", "vision_tower", "visual", "vision_model", "multi_modal_projector", "connector")
"""Small parts of a model that few bits do harm to: what sees, what leads from there to the words, the last layer."""


@dataclass(frozen=True, slots=True)
class Prompted:
    """A batch as the model takes it, and its pictures in the order of their tokens."""

    inputs: Any
    pictures: list[Image.Image]

    @property
    def lengths(self) -> torch.Tensor:
        """How many tokens each of the batch takes without its padding: shape ``(batch,)``."""
        lengths: torch.Tensor = self.inputs["attention_mask"].sum(dim=1)
        return lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatModel:
    """``ask`` prompts with a batch of questions and at most so many earlier turns, ``verify`` with pairs of pictures.

    ``pixels`` makes one picture what the model's encoder takes; ``stop`` ends an answer, beside the end token.
    """

    model: Any
    tokenizer: Any
    ask: Callable[[Sequence[GenerationInput], int], Prompted]
    verify: Callable[[Sequence[ImagePair]], Prompted]
    pixels: Callable[[Image.Image], Any]
    stop: str | None = None


def load_chat_model(writing: ImageTextWriting) -> ChatModel:
    """Load any checkpoint with a chat template: seconds to minutes. Raises PackError."""
    declare_missing_operators()
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = checkpoint(writing)
    try:
        processor: Any = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
        model = AutoModelForImageTextToText.from_pretrained(folder, use_safetensors=True, **loading(writing.bits))
    except (OSError, RuntimeError, ValueError, KeyError, ImportError) as error:
        raise PackError(f"{writing.repository} isn't a model that sees and writes: {error}") from error
    processor.tokenizer.padding_side = "left"

    def prompted(conversations: list[list[Message]]) -> Prompted:
        inputs = processor.apply_chat_template(
            conversations,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            sanitize_control_tokens=True,
            processor_kwargs={"padding": True, "return_tensors": "pt"},
        )
        return Prompted(inputs, [picture for conversation in conversations for picture in pictures_in(conversation)])

    return ChatModel(
        model=model,
        tokenizer=processor.tokenizer,
        ask=lambda asked, turns: prompted([messages_for(item, turns) for item in asked]),
        verify=lambda pairs: prompted([messages_to_verify(pair) for pair in pairs]),
        pixels=lambda picture: processor.image_processor([picture], return_tensors="pt").to(device(), dtype()),
    )


def loading(bits: int) -> dict[str, Any]:
    """Return how weights are loaded: as they compute, or the language model's in 8 or 4 bits (bitsandbytes)."""
    if bits == FULL:
        return {"dtype": dtype()}
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_8bit=bits == 8,
        load_in_4bit=bits == 4,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype(),
        llm_int8_skip_modules=list(NOT_QUANTISED),
    )
    return {"dtype": dtype(), "quantization_config": config, "device_map": device()}


def dtype() -> torch.dtype:
    """Return what models compute in here: bfloat16 on an accelerator, float32 on a processor."""
    return torch.float32 if device() == "cpu" else torch.bfloat16
