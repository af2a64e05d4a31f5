"""Multimodal models of transformers, answering in batches, a piece at a time."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image

from model_worker.api.errors import ModelOutOfMemoryError, QuestionTooLongError
from model_worker.api.packs import ImageTextWriting, LlavaWriting
from model_worker.generation.adapters.loaded import Adapters
from model_worker.generation.multimodal.chat_model import FULL, ChatModel, Prompted, dtype, load_chat_model
from model_worker.generation.multimodal.llava import load_llava
from model_worker.generation.multimodal.truncation import fit
from model_worker.generation.multimodal.vision_cache import VisionCache, can_be_kept
from model_worker.generation.pair import ImagePair
from model_worker.generation.told import credited
from model_worker.generation.types import GenerationInput, Pieces
from model_worker.perception.embedders import device

log = logging.getLogger("keepsake.worker")

MAX_TURNS = 8
YES = ("Yes", "yes", " Yes", " yes", "YES")
NO = ("No", "no", " No", " no", "NO")


class ImageTextWriter:
    """Answers questions about pictures. Made once (loads weights), used from one thread at a time."""

    sees_pictures = True

    def __init__(self, writing: ImageTextWriting | LlavaWriting) -> None:
        self._writing = writing
        self._speaker = load_llava(writing) if isinstance(writing, LlavaWriting) else load_chat_model(writing)
        tokenizer = self._speaker.tokenizer
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._speaker.model.train(False)
        self.adapters = Adapters(self._speaker.model)
        if writing.bits == FULL:  # fewer are where they belong from the start
            torch.nn.Module.to(self._speaker.model, device())
        self._turn = threading.Lock()
        yes, no = _first_tokens(tokenizer, YES), _first_tokens(tokenizer, NO)
        self._yes, self._no = sorted(yes - no), sorted(no - yes)
        self.features = VisionCache(self._speaker.model, self._speaker.pixels)
        self._keeps_features = self._try_features()

    @property
    def model(self) -> Any:
        """The model of transformers, for who measures it."""
        return self._speaker.model

    @property
    def speaker(self) -> ChatModel:
        """The model and how it is prompted, for who measures or teaches it."""
        return self._speaker

    def verify(self, pairs: Sequence[ImagePair]) -> list[float]:
        """Return for each pair how probable it is, to the model, that both pictures show the same.

        Read from the probabilities of "yes" and "no" as the first word of its answer; nothing is written.
        """
        try:
            with self._turn:
                return self._verify(pairs)
        except torch.OutOfMemoryError:
            _free_memory()
            if len(pairs) == 1:
                raise
            log.warning("Out of memory with %s pairs", len(pairs))
        half = len(pairs) // 2
        return [*self.verify(pairs[:half]), *self.verify(pairs[half:])]

    def _verify(self, pairs: Sequence[ImagePair]) -> list[float]:
        with torch.inference_mode():
            found = self.adapters.generate(
                [None] * len(pairs),
                **self._ready(self._speaker.verify(pairs)),
                max_new_tokens=1,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
                pad_token_id=self._speaker.tokenizer.pad_token_id,
            )
        words = torch.log_softmax(found.logits[0].float(), dim=-1)
        yes = torch.logsumexp(words[:, self._yes], dim=-1)
        no = torch.logsumexp(words[:, self._no], dim=-1)
        probabilities: list[float] = torch.sigmoid(yes - no).tolist()
        return probabilities

    def write(self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]) -> Iterator[Pieces]:
        """Yield ``(index of the request, next piece of its answer)`` as pieces are ready.

        What is too long for the context is cut down (`model_worker.words.fitting`), or gets a QuestionTooLongError. Out
        of memory, a batch is halved and tried again; a single request that doesn't fit gets an ModelOutOfMemoryError.
        """
        yield from credited(asked, cancelled, self._write(list(range(len(asked))), asked, cancelled))

    def _write(
        self, rows: list[int], asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]
    ) -> Iterator[Pieces]:
        rows = [row for row in rows if not cancelled[row].is_set()]
        if not rows:
            return
        fitting, prompted = self._prompted([asked[row] for row in rows])
        too_long: Pieces = [(row, QuestionTooLongError()) for index, row in enumerate(rows) if index not in fitting]
        if too_long:
            yield too_long
        if prompted is None:
            return
        rows = [rows[index] for index in fitting]
        adapters = self.adapters.held([asked[row].request.adapter for row in rows])
        spoke = False
        try:
            for pieces in self._generate(prompted, adapters, [cancelled[row] for row in rows]):
                spoke = True
                yield [(rows[index], piece) for index, piece in pieces]
        except torch.OutOfMemoryError:
            _free_memory()
            log.warning("Out of memory with a batch of %s", len(rows))
            if spoke or len(rows) == 1:
                yield [(row, ModelOutOfMemoryError()) for row in rows]
                return
            half = len(rows) // 2
            yield from self._write(rows[:half], asked, cancelled)
            yield from self._write(rows[half:], asked, cancelled)

    def _generate(
        self, prompted: Prompted, adapters: Sequence[str | None], cancelled: Sequence[threading.Event]
    ) -> Iterator[list[tuple[int, str]]]:
        inputs = self._ready(prompted)
        padding = inputs["input_ids"].shape[1] - prompted.lengths.to(device())
        stop, tokenizer = self._speaker.stop, self._speaker.tokenizer
        steps = _Steps(tokenizer, len(cancelled), stop)
        ends = {} if stop is None else {"stop_strings": [stop], "tokenizer": tokenizer}

        def is_done(tokens: torch.Tensor, _: Any, **__: Any) -> torch.Tensor:
            is_full: torch.Tensor = tokens.shape[1] - padding >= self._writing.context
            return is_full | torch.tensor([event.is_set() for event in cancelled], device=tokens.device)

        def run() -> None:
            try:
                with self._turn, torch.inference_mode():
                    self.adapters.generate(
                        adapters,
                        **inputs,
                        max_new_tokens=self._writing.longest_answer,
                        do_sample=False,
                        streamer=steps,
                        stopping_criteria=[is_done],
                        pad_token_id=tokenizer.pad_token_id,
                        **ends,
                    )
            except BaseException as error:  # it goes on in the thread that reads
                steps.fail(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            for pieces in steps:
                kept = [(index, piece) for index, piece in pieces if not cancelled[index].is_set()]
                if kept:
                    yield kept
        finally:
            thread.join()

    def _prompted(self, asked: Sequence[GenerationInput]) -> tuple[list[int], Prompted | None]:
        """Return which of a batch fit the context, and their prompt; each is cut down only where it has to be."""
        context, longest_answer = self._writing.context, self._writing.longest_answer
        prompted = self._speaker.ask(asked, MAX_TURNS)
        if int(prompted.lengths.max()) + longest_answer <= context:
            return list(range(len(asked))), prompted

        def length_of(item: GenerationInput) -> int:
            return int(self._speaker.ask([item], MAX_TURNS).lengths)

        cut = [fit(item, context, longest_answer, length_of) for item in asked]
        fitting = [item for item in cut if item is not None]
        indices = [index for index, item in enumerate(cut) if item is not None]
        return indices, self._speaker.ask(fitting, MAX_TURNS) if fitting else None

    def ready(self, asked: Sequence[GenerationInput]) -> dict[str, Any]:
        """Return what the model takes for questions that fit, for who measures or teaches it."""
        return self._ready(self._speaker.ask(asked, MAX_TURNS))

    def _ready(self, prompted: Prompted) -> dict[str, Any]:
        """Return what the model takes, where it computes; of its pictures only new ones are encoded."""
        inputs = prompted.inputs.to(device(), dtype())
        if not self._keeps_features:
            return dict(inputs)
        with torch.no_grad():  # inference_mode's tensors can't be learned from
            return self.features.in_place_of_pixels(inputs, prompted.pictures)

    def _try_features(self) -> bool:
        """Try whether this model's pictures can be encoded one by one."""
        pictures = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
        prompted = self._speaker.verify([ImagePair(region=pictures[0], reference=pictures[1], name="it")])
        can = can_be_kept(self._speaker.model, self.features, prompted.inputs.to(device(), dtype()), prompted.pictures)
        self.features.hits = self.features.misses = 0
        return can


def _first_tokens(tokenizer: Any, spellings: Sequence[str]) -> set[int]:
    """Return the tokens that a word, in any of its spellings, begins with."""
    tokens = (tokenizer.encode(word, add_special_tokens=False) for word in spellings)
    return {token[0] for token in tokens if token}


def _free_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class _Steps:
    """What ``generate`` writes, row by row: it puts tokens in, whoever iterates takes text out."""

    def __init__(self, tokenizer: Any, rows: int, stop: str | None) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._tokens: list[list[int]] = [[] for _ in range(rows)]
        self._said = [""] * rows
        self._is_prompt = True
        self._queue: queue.Queue[list[tuple[int, str]] | BaseException | None] = queue.Queue()

    def put(self, tokens: torch.Tensor) -> None:
        """Take the prompt once, then one token a row at each step."""
        if self._is_prompt:
            self._is_prompt = False
            return
        pieces = []
        for index, token in enumerate(tokens.reshape(-1).tolist()):
            self._tokens[index].append(token)
            text = self._before_stop(self._tokenizer.decode(self._tokens[index], skip_special_tokens=True))
            if len(text) > len(self._said[index]) and not text.endswith("�"):
                pieces.append((index, text[len(self._said[index]) :]))
                self._said[index] = text
        if pieces:
            self._queue.put(pieces)

    def _before_stop(self, text: str) -> str:
        """Return what of a text comes before what ends it, or before what may become that."""
        if self._stop is None:
            return text
        text = text.partition(self._stop)[0]
        begun = (length for length in range(len(self._stop) - 1, 0, -1) if text.endswith(self._stop[:length]))
        return text[: len(text) - next(begun, 0)]

    def end(self) -> None:
        """Note that all rows are written."""
        self._queue.put(None)

    def fail(self, error: BaseException) -> None:
        """Hand over what went wrong."""
        self._queue.put(error)

    def __iter__(self) -> Iterator[list[tuple[int, str]]]:
        while True:
            taken = self._queue.get()
            if taken is None:
                return
            if isinstance(taken, BaseException):
                raise taken
            yield taken
