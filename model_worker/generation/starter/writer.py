"""The words of a pack, written a piece at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from model_worker.api.protocol import GenerateRequest
from model_worker.generation.adapters.loaded import Adapters
from model_worker.generation.starter.answer import checked, plan
from model_worker.generation.starter.language_model import DTYPE, load_language_model
from model_worker.generation.starter.prompt import prompt_for
from model_worker.generation.types import GenerationInput

LONGEST_ANSWER = 48
"""Tokens: the answers are one sentence, and anything longer is the model running on."""


class Writer:
    """Answers questions in batches. Made once (loads weights: seconds), used from one thread at a time."""

    sees_pictures = False

    def __init__(self, dtype: torch.dtype = DTYPE) -> None:
        self.language = load_language_model(dtype)
        self.adapters = Adapters(self.language.model)

    def write(
        self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]
    ) -> Iterator[list[tuple[int, str]]]:
        """Yield ``(index of the request, next piece of its answer)`` as pieces are ready.

        Pieces of one request joined in order are its answer. What recall knows comes at once; a sentence of the
        language model when it is complete and checked. A request whose event is set is dropped within one
        step; every other one gets at least one non-empty piece.
        """
        requests = [item.request for item in asked]
        plans = [plan(request) for request in requests]
        openings = [(index, item.opening) for index, item in enumerate(plans) if item.opening]
        yield [(index, text) for index, text in openings if not cancelled[index].is_set()]
        asking = [index for index, item in enumerate(plans) if item.asks_model and not cancelled[index].is_set()]
        if not asking:
            return
        said = self.complete([requests[index] for index in asking], [cancelled[index] for index in asking])
        for index, sentence in zip(asking, said, strict=True):
            if not cancelled[index].is_set():
                space = " " if plans[index].opening else ""
                yield [(index, space + checked(requests[index], plans[index].about, sentence))]

    def complete(self, requests: Sequence[GenerateRequest], cancelled: Sequence[threading.Event]) -> list[str]:
        """Return the first line that the model writes for each request, with the adapter that it names; unchecked."""
        tokenizer, model = self.language.tokenizer, self.language.model
        adapters = self.adapters.held([request.adapter for request in requests])
        prompts = [prompt_for(request, examples=name is None) for request, name in zip(requests, adapters, strict=True)]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True).to(model.device)
        length = inputs["input_ids"].shape[1]

        def is_done(tokens: torch.Tensor, _: Any, **__: Any) -> torch.Tensor:
            ends = ["\n" in text for text in tokenizer.batch_decode(tokens[:, length:])]
            done = [end or event.is_set() for end, event in zip(ends, cancelled, strict=True)]
            return torch.tensor(done, device=tokens.device)

        with torch.inference_mode():
            tokens = self.adapters.generate(
                adapters,
                **inputs,
                max_new_tokens=LONGEST_ANSWER,
                do_sample=False,
                no_repeat_ngram_size=0,
                stopping_criteria=[is_done],
                pad_token_id=tokenizer.pad_token_id,
            )
        lines = tokenizer.batch_decode(tokens[:, length:], skip_special_tokens=True)
        return [line.strip().partition("\n")[0].strip() for line in lines]
