"""How well questions are answered: `keepsake-worker evaluate words`.

`questions.toml` has twenty questions that the prompt was developed with, and twenty that were written before and
only looked at once it was done. Each says what an acceptable answer has, and what it must not have.
"""

from __future__ import annotations

import re
import sys
import threading
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_worker.api.protocol import GenerateRequest, PromptConcept, Tag, Turn
from model_worker.generation.starter.writer import Writer
from model_worker.generation.types import GenerationInput

FILE = Path(__file__).with_name("questions.toml")


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and regular expressions: each of ``has`` must occur in the answer, none of ``lacks``."""

    request: GenerateRequest
    has: tuple[str, ...]
    lacks: tuple[str, ...]

    def accepts(self, answer: str) -> bool:
        """Whether an answer is acceptable."""
        return all(re.search(text, answer, re.IGNORECASE) for text in self.has) and not any(
            re.search(lack, answer, re.IGNORECASE) for lack in self.lacks
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionScores:
    """How many questions of each set were answered acceptably."""

    developed_with: int
    developed_with_of: int
    held_out: int
    held_out_of: int
    seconds_per_answer: float


def evaluate_questions() -> QuestionScores:
    """Ask all questions, one at a time, printing each with its answer."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    writer = Writer()
    started = time.perf_counter()
    passed = {name: [_passes(writer, _question(entry)) for entry in data[name]] for name in ("dev", "held_out")}
    count = sum(len(group) for group in passed.values())
    return QuestionScores(
        developed_with=sum(passed["dev"]),
        developed_with_of=len(passed["dev"]),
        held_out=sum(passed["held_out"]),
        held_out_of=len(passed["held_out"]),
        seconds_per_answer=round((time.perf_counter() - started) / count, 2),
    )


def _passes(writer: Writer, question: Question) -> bool:
    pieces = writer.write([GenerationInput(question.request)], [threading.Event()])
    answer = "".join(str(piece) for batch in pieces for _, piece in batch)
    passes = question.accepts(answer)
    sys.stdout.write(f"{'pass' if passes else 'FAIL'}  {question.request.question}\n      {answer}\n")
    return passes


def _question(entry: dict[str, Any]) -> Question:
    tags = tuple(Tag(label=label, probability=probability) for label, probability in entry.get("tags", {}).items())
    request = GenerateRequest(
        question=entry["question"],
        has_picture=entry.get("picture", False),
        tags=tags,
        concepts=tuple(PromptConcept(**concept) for concept in entry.get("concepts", ())),
        history=tuple(Turn(**turn) for turn in entry.get("history", ())),
    )
    return Question(request, tuple(entry["has"]), tuple(entry.get("lacks", ())))
