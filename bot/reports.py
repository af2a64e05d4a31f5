"""What the report of a training says, as the trainer wrote it; what it doesn't say is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MARKS = ("recognition", "caption_recall", "caption_precision", "answers", "score", "general_loss")
"""What a model is examined in: shares from 0 to 1, but for the last one, where less is better."""


@dataclass(frozen=True, slots=True)
class Example:
    """A question that was held out, and what was said to it before and after."""

    question: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a training came to: the marks of the base model, of what answered before, and of what was learned."""

    lessons: int
    pictures: int
    steps: int
    seconds: float
    passes: bool
    why: str
    base: Mapping[str, float]
    before: Mapping[str, float]
    now: Mapping[str, float]
    examples: tuple[Example, ...]

    @property
    def better_by(self) -> float | None:
        """By how much the score of what was learned is above that of what answered before."""
        if "score" not in self.now or "score" not in self.before:
            return None
        return self.now["score"] - self.before["score"]


def report_from(data: Mapping[str, object]) -> Report:
    """Read a report as the database keeps it."""
    verdict, base = _object(data, "verdict"), _marks(data, "base")
    return Report(
        lessons=int(_number(data, "lessons") or 0),
        pictures=int(_number(data, "held_out_pictures") or 0),
        steps=int(_number(data, "steps") or 0),
        seconds=_number(data, "seconds") or 0.0,
        passes=verdict.get("passes") is True,
        why=_text(verdict, "why"),
        base=base,
        before=_marks(data, "in_use") or base,
        now=_marks(data, "candidate"),
        examples=_examples(data),
    )


def _examples(data: Mapping[str, object]) -> tuple[Example, ...]:
    """Return the questions that were answered wrongly before, and rightly after: each once."""
    found = data.get("answers")
    asked = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
    learned = [one for one in asked if one.get("is_right") is True and one.get("was_right") is False]
    examples = [Example(_text(one, "question"), _text(one, "before"), _text(one, "after")) for one in learned]
    return tuple({one.question: one for one in reversed(examples)}.values())[::-1]


def _marks(data: Mapping[str, object], whose: str) -> Mapping[str, float]:
    marks = _object(data, whose)
    numbers = {name: _number(marks, name) for name in MARKS}
    return {name: number for name, number in numbers.items() if number is not None}


def _object(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = data.get(name)
    return value if isinstance(value, Mapping) else {}


def _number(data: Mapping[str, object], name: str) -> float | None:
    value = data.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(data: Mapping[str, object], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
