"""How fast a pack's multimodal model writes for one request, against what this machine's memory allows.

Each token that is written reads all weights of the language model once: what memory moves in a second is its limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from PIL import Image

from model_worker.api.protocol import GenerateRequest, PromptConcept
from model_worker.generation.multimodal.writer import ImageTextWriter
from model_worker.generation.types import GenerationInput
from model_worker.perception.embedders import device

TOKENS = 64
TRIES = 3
COPIES = 5
COPIED_BYTES = {"cuda": 1_000_000_000}
COPIED_BYTES_ELSEWHERE = 256_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstToken:
    """Milliseconds from a question to the first token of its answer: the median of a few.

    By how many references it comes with (RAP's prompt takes two or three at most), and whether these were encoded
    before; the picture asked about never was.
    """

    one_reference: float
    one_reference_cached: float
    four_references: float
    four_references_cached: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterSpeed:
    """Tokens a second of one request once the first is there, and what they can be at most.

    The limit is the bandwidth of a copy on the device, what is read and what is written counted, over the bytes of
    weights that a token reads. Weights that the processor's cache holds can be faster than that.
    """

    tokens_per_second: float
    bandwidth_limit_tokens_per_second: float
    share_of_limit: float
    first_token_ms: FirstToken


def writer_speed(writer: ImageTextWriter, pictures: Iterator[Image.Image]) -> WriterSpeed:
    """Measure a writer: seconds. ``pictures`` are as many as it takes, none of which the writer has seen."""
    question = _question([next(pictures)], next(pictures))
    _token_seconds(writer, question, TOKENS)  # what is made once isn't counted
    seconds = _token_seconds(writer, question, TOKENS)
    per_second = (len(seconds) - 1) / (seconds[-1] - seconds[0])
    limit = _copied_bytes_per_second() / bytes_read_a_token(writer.model)
    one_new, one_cached = _first_token_ms(writer, pictures, references=1)
    four_new, four_cached = _first_token_ms(writer, pictures, references=4)
    return WriterSpeed(
        tokens_per_second=round(per_second, 2),
        bandwidth_limit_tokens_per_second=round(limit, 2),
        share_of_limit=round(per_second / limit, 4),
        first_token_ms=FirstToken(
            one_reference=one_new,
            one_reference_cached=one_cached,
            four_references=four_new,
            four_references_cached=four_cached,
        ),
    )


def bytes_read_a_token(model: Any) -> int:
    """Return the bytes of weights that writing one token reads: the language model's and its last layer's.

    Not those of what sees, and of the embeddings only one row, unless the last layer is made of them.
    """
    language = set(model.get_decoder().parameters()) - set(model.get_input_embeddings().parameters())
    return sum(item.nbytes for item in language | set(model.get_output_embeddings().parameters()))


def _first_token_ms(
    writer: ImageTextWriter, pictures: Iterator[Image.Image], *, references: int
) -> tuple[float, float]:
    """Return the milliseconds to the first token: with references that are new, and with ones encoded before."""
    new: list[float] = []
    cached: list[float] = []
    for _ in range(TRIES):
        shown = [next(pictures) for _ in range(references)]
        for seconds in (new, cached):
            seconds.extend(_token_seconds(writer, _question(shown, next(pictures)), 1))
    return round(1000 * median(new), 1), round(1000 * median(cached), 1)


def _token_seconds(writer: ImageTextWriter, prompt: GenerationInput, tokens: int) -> list[float]:
    """Write so many tokens, whatever they are; returns the seconds after which each was there."""
    _wait_for_device()
    clock = _Clock()
    with torch.inference_mode():
        writer.adapters.generate(
            [None],
            **writer.ready([prompt]),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=False,
            streamer=clock,
        )
    return clock.seconds[1:]


class _Clock:
    """What ``generate`` writes to: the prompt first, then a token at a time."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds: list[float] = []

    def put(self, _: torch.Tensor) -> None:
        """Note when this came: it comes in the processor's memory, so the device has it done."""
        self.seconds.append(time.perf_counter() - self._started)

    def end(self) -> None:
        """Do nothing."""


def _copied_bytes_per_second() -> float:
    """Return how many bytes the device's memory reads and writes in a second, copying: the best of several."""
    size = COPIED_BYTES.get(device(), COPIED_BYTES_ELSEWHERE)
    source = torch.ones(size, dtype=torch.uint8, device=device())  # written to: untouched memory is read from a cache
    target = torch.zeros_like(source)
    return 2 * size / min(_seconds(lambda: target.copy_(source)) for _ in range(COPIES))


def _seconds(do: Callable[[], object]) -> float:
    _wait_for_device()
    started = time.perf_counter()
    do()
    _wait_for_device()
    return time.perf_counter() - started


def _wait_for_device() -> None:
    """Return when a GPU has done what it was given: calls return before."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _question(references: Sequence[Image.Image], picture: Image.Image) -> GenerationInput:
    known = [
        PromptConcept(
            name=f"Mochi {number}",
            info="a tabby cat who hates the vacuum cleaner",
            category="cat",
            avatar=f"reference {number}",
        )
        for number in range(len(references))
    ]
    request = GenerateRequest(
        question="What does Mochi hate?",
        has_picture=True,
        concepts=tuple(known),
        picture="picture",
    )
    return GenerationInput(
        request, {"picture": picture, **{f"reference {n}": reference for n, reference in enumerate(references)}}
    )
