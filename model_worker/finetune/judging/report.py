"""What a training came to: kept with the run, shown to the owner."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from model_worker.finetune.judging.evaluation import Answered, ModelMetrics
from model_worker.finetune.judging.gate import Verdict

MAX_ANSWERS = 40
PLAIN = ("pack", "recipe", "seed", "lessons", "held_out_pictures", "steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The metrics of the base model, of what answered before (None: the base), and of the new adapter; the verdict."""

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
            "base": self.base.numbers(),
            "in_use": None if self.in_use is None else self.in_use.numbers(),
            "candidate": self.candidate.numbers(),
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
            rows.append(f"{label:20}" + "".join(f"{_shown(getattr(metrics, field)):>10}" for _, metrics in columns))
        outcome = "put to use" if self.verdict.passes else "not put to use"
        return [
            f"{self.lessons} samples, {self.steps} steps, {self.seconds:.0f} s; "
            f"{self.held_out_pictures} pictures held out",
            *rows,
            f"{outcome}: {self.verdict.why}",
        ]


def known_numbers(metrics: ModelMetrics) -> dict[str, float]:
    """Return metrics as an adapter's manifest has them: without those of what wasn't asked."""
    return {name: value for name, value in metrics.numbers().items() if value is not None}


def _compared(base: ModelMetrics, candidate: ModelMetrics) -> list[dict[str, object]]:
    """Return questions with what was said to them before and after: first those that the answer changed for."""
    pairs = sorted(
        zip(base.answered, candidate.answered, strict=True), key=lambda pair: pair[0].is_right == pair[1].is_right
    )
    return [_pair(before, after) for before, after in pairs[:MAX_ANSWERS]]


def _pair(before: Answered, after: Answered) -> dict[str, object]:
    return {
        "question": after.question,
        "before": before.answer,
        "after": after.answer,
        "should": after.expected,
        "was_right": before.is_right,
        "is_right": after.is_right,
    }


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
