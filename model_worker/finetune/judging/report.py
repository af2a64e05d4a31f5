"""What a training came to: kept with the run, shown to the owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from model_worker.finetune.judging.evaluation import Answered, ModelMetrics
from model_worker.finetune.judging.gate import Verdict

MAX_ANSWERS = 40
PLAIN = ("pack", "recipe", "seed", "lessons", "held_out_pictures", "steps")


@dataclass(frozen=True, slots=True)
class Report:
    """The marks of the base model, of what answered before (None: the base) and of the new adapter; the verdict."""

    pack: str
    recipe: str
    seed: int
    lessons: int
    held_out_pictures: int
    steps: int
    seconds: float
    base: ModelMetrics
    in_use: ModelMetrics | None
    candidate: ModelMetrics
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """Return it as the database keeps it: numbers, and the questions that the new adapter was asked."""
        return {
            **{
                name: getattr(self, name)
                for name in ("pack", "recipe", "seed", "lessons", "held_out_pictures", "steps")
            },
            "seconds": round(self.seconds, 1),
            "base": _numbers(self.base),
            "in_use": None if self.in_use is None else _numbers(self.in_use),
            "candidate": _numbers(self.candidate),
            "verdict": asdict(self.verdict),
            "answers": _compared(self.base, self.candidate),
        }

    def lines(self) -> list[str]:
        """Return it as a table for a terminal."""
        columns = [("base", self.base), ("in use", self.in_use or self.base), ("new", self.candidate)]
        rows = [f"{'':20}" + "".join(f"{name:>10}" for name, _ in columns)]
        for label, field in (
            ("recognition", "recognition"),
            ("names: recall", "caption_recall"),
            ("names: precision", "caption_precision"),
            ("answers", "answers"),
            ("score", "score"),
            ("loss in general", "general_loss"),
        ):
            rows.append(f"{label:20}" + "".join(f"{_shown(getattr(marks, field)):>10}" for _, marks in columns))
        outcome = "put to use" if self.verdict.passes else "not put to use"
        return [
            f"{self.lessons} lessons, {self.steps} steps, {self.seconds:.0f} s; "
            f"{self.held_out_pictures} pictures held out",
            *rows,
            f"{outcome}: {self.verdict.why}",
        ]


def metrics(marks: ModelMetrics) -> Mapping[str, float]:
    """Return marks as an adapter's manifest has them."""
    return {name: value for name, value in _numbers(marks).items() if value is not None}


def _numbers(marks: ModelMetrics) -> dict[str, float | None]:
    return {
        "recognition": marks.recognition,
        "caption_recall": marks.caption_recall,
        "caption_precision": marks.caption_precision,
        "answers": marks.answers,
        "general_loss": marks.general_loss,
        "score": round(marks.score, 4),
    }


def _compared(base: ModelMetrics, candidate: ModelMetrics) -> list[dict[str, object]]:
    """Return questions with what was said to them before and after: first those that the answer changed for."""
    pairs = sorted(
        zip(base.answered, candidate.answered, strict=True), key=lambda pair: pair[0].is_right == pair[1].is_right
    )
    return [_pair(before, after) for before, after in pairs[:MAX_ANSWERS]]


def _pair(before: Answered, after: Answered) -> dict[str, object]:
    return {
        "question": after.question,
        "before": before.said,
        "after": after.said,
        "should": after.should,
        "was_right": before.is_right,
        "is_right": after.is_right,
    }


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
