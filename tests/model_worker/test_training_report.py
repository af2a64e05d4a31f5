"""What a training came to: as a table, as it is kept, and as an older trainer wrote it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from model_worker.api.training_report import ReportedMetrics, TrainingReport, Verdict
from model_worker.finetune.judging.evaluation import Answered, ModelMetrics
from model_worker.finetune.judging.report import MAX_ANSWERS, compared_answers, table


def metrics(*right: bool) -> ModelMetrics:
    answered = [
        Answered(task="text", question=f"{number}?", answer=str(ok), expected="True", is_right=ok)
        for number, ok in enumerate(right)
    ]
    return ModelMetrics(
        recognition=0.75,
        caption_recall=0.5,
        caption_precision=None,
        answers=1.0,
        general_loss=1.25,
        answered=tuple(answered),
    )


def report() -> TrainingReport:
    reported = metrics().reported()
    return TrainingReport(
        pack="tiny",
        recipe="quick",
        samples=10,
        held_out_pictures=4,
        steps=5,
        seconds=6.7,
        base=reported,
        candidate=reported,
        verdict=Verdict(passes=False, why="not better"),
    )


def test_a_report_is_a_table_that_can_be_read() -> None:
    first, head, recognition, *rest, last = table(report())
    assert first == "10 samples, 5 steps, 7 s; 4 pictures held out"
    assert head.split() == ["base", "in", "use", "new"]
    assert recognition.split() == ["recognition", "0.750", "0.750", "0.750"]
    assert ["names:", "precision", "-", "-", "-"] in [line.split() for line in rest]
    assert last == "not put to use: not better"


def test_what_is_kept_is_read_back() -> None:
    assert TrainingReport.model_validate_json(report().model_dump_json()) == report()


def test_an_older_trainers_report_can_be_read() -> None:
    old = TrainingReport.model_validate({"lessons": 84, "answers": [{"question": "Who?", "should": "Mochi"}]})
    assert (old.samples, old.answers[0].expected) == (84, "Mochi")


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        ReportedMetrics(general_loss=float("nan"))


def test_answers_that_changed_come_first_and_not_all_are_kept() -> None:
    unchanged = [True] * MAX_ANSWERS
    compared = compared_answers(metrics(*unchanged, False), metrics(*unchanged, True))
    assert len(compared) == MAX_ANSWERS
    assert compared[0].question == f"{MAX_ANSWERS}?"
    assert (compared[0].before, compared[0].after, compared[0].expected) == ("False", "True", "True")
