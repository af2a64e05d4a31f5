"""How learning from a memory stands, and what the trainer's report says of it; what it doesn't say is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from db.adapters import PromotionEntry
from db.training import RunState, TrainingRun

SILENT_AFTER = timedelta(minutes=10)
"""Without a word from a run for so long, its trainer is taken for gone."""

MARKS = ("recognition", "caption_recall", "caption_precision", "answers", "score", "general_loss")
"""What a model is examined in: shares from 0 to 1, but for the last one, where less is better."""


class StopReason(StrEnum):
    """Why a run was stopped, as it is kept with the run."""

    PAUSED = "paused"


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


@dataclass(frozen=True, slots=True)
class Learning:
    """How learning from a memory stands.

    ``run`` is the latest one; ``waits`` is whether another was asked for; ``history`` has what came into use, the
    latest first; ``usable`` is how many concepts may be learned from, counted only while there was no run;
    ``needed`` is how many that takes, None where it isn't known.
    """

    run: TrainingRun | None
    waits: bool
    history: tuple[PromotionEntry, ...]
    usable: int | None
    needed: int | None = None

    @property
    def in_use(self) -> PromotionEntry | None:
        """Since when what was learned answers, and why; None when the base model does."""
        return self.history[0] if self.history and self.history[0].adapter_id is not None else None

    @property
    def report(self) -> Report | None:
        """What the latest run reported."""
        return None if self.run is None or self.run.report is None else report_from(self.run.report)

    @property
    def is_silent(self) -> bool:
        """Whether a run that should go on says nothing any more."""
        return self._runs and self.run is not None and datetime.now(UTC) - self.run.changed_at > SILENT_AFTER

    @property
    def is_under_way(self) -> bool:
        """Whether there is something to watch."""
        return self.waits or (self._runs and not self.is_silent)

    @property
    def can_go_back(self) -> bool:
        """Whether something that was learned came into use so far."""
        return any(promotion.adapter_id is not None for promotion in self.history)

    @property
    def is_of_latest_run(self) -> bool:
        """Whether what is in use came from the latest run."""
        run, used = self.run, self.in_use
        if run is None or used is None or run.state is not RunState.PROMOTED or run.finished_at is None:
            return False
        return run.started_at <= used.at <= run.finished_at

    @property
    def _runs(self) -> bool:
        return self.run is not None and self.run.state is RunState.RUNNING


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
    asked = [mapping for mapping in found if isinstance(mapping, Mapping)] if isinstance(found, list) else []
    learned = [mapping for mapping in asked if mapping.get("is_right") is True and mapping.get("was_right") is False]
    examples = [
        Example(_text(mapping, "question"), _text(mapping, "before"), _text(mapping, "after")) for mapping in learned
    ]
    return tuple({example.question: example for example in reversed(examples)}.values())[::-1]


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
