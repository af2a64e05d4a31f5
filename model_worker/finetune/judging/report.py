"""What a training came to, from what was measured: as the report that is kept with the run, and as a table."""

from __future__ import annotations

from model_worker.api.training_report import ComparedAnswer, TrainingReport
from model_worker.finetune.judging.evaluation import Answered, ModelMetrics

MAX_ANSWERS = 40
ROWS = (
    ("recognition", "recognition"),
    ("names: recall", "caption_recall"),
    ("names: precision", "caption_precision"),
    ("answers", "answers"),
    ("score", "score"),
    ("loss in general", "general_loss"),
)
"""A table's labels, and the metrics that they stand for."""


def compared_answers(base: ModelMetrics, candidate: ModelMetrics) -> tuple[ComparedAnswer, ...]:
    """Return questions with what was answered to them before and after, at most 40.

    First come those whose answer changed between wrong and right: there may be no room for all.
    """
    pairs = sorted(
        zip(base.answered, candidate.answered, strict=True), key=lambda pair: pair[0].is_right == pair[1].is_right
    )
    return tuple(_compared(before, after) for before, after in pairs[:MAX_ANSWERS])


def table(report: TrainingReport) -> list[str]:
    """Return a report as lines for a terminal."""
    columns = (("base", report.base), ("in use", report.before), ("new", report.candidate))
    outcome = "put to use" if report.verdict.passes else "not put to use"
    return [
        f"{report.samples} samples, {report.steps} steps, {report.seconds:.0f} s; "
        f"{report.held_out_pictures} pictures held out",
        f"{'':20}" + "".join(f"{name:>10}" for name, _ in columns),
        *(
            f"{label:20}" + "".join(f"{_shown(metrics.known.get(metric)):>10}" for _, metrics in columns)
            for label, metric in ROWS
        ),
        f"{outcome}: {report.verdict.why}",
    ]


def _compared(before: Answered, after: Answered) -> ComparedAnswer:
    return ComparedAnswer(
        question=after.question,
        before=before.answer,
        after=after.answer,
        expected=after.expected,
        was_right=before.is_right,
        is_right=after.is_right,
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
