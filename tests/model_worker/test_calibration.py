"""Calibration: on numbers whose truth is known, and the command on real pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bot.demo import pictures
from model_worker.cli import main
from model_worker.evaluation.calibration import calibration_error, fit_platt, sigmoid


def test_the_fit_finds_how_the_numbers_were_made() -> None:
    random = np.random.default_rng(0)
    similarity = random.uniform(0, 1, 20_000)
    truth = sigmoid(12 * similarity - 5)
    is_right = (random.uniform(size=len(truth)) < truth).astype(float)

    slope, offset = fit_platt(similarity, is_right)

    assert slope == pytest.approx(12, rel=0.05)
    assert offset == pytest.approx(-5, rel=0.05)
    assert calibration_error(sigmoid(slope * similarity + offset), is_right) < 0.01


def test_the_error_is_how_far_words_are_from_deeds() -> None:
    is_right = np.array([1.0, 0.0] * 500)
    assert calibration_error(np.full(1000, 0.5), is_right) == pytest.approx(0)
    assert calibration_error(np.full(1000, 0.9), is_right) == pytest.approx(0.4)
    assert calibration_error(is_right, is_right) == pytest.approx(0)


@pytest.mark.slow
def test_a_pack_is_calibrated_on_a_folder_of_things(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shown in {
        "cat": (pictures.cat(), pictures.cat_again()),
        "cup": (pictures.cup(), pictures.cup_again()),
        "motorcycle": (pictures.motorcycle(), pictures.motorcycle_again()),
    }.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, picture in enumerate(shown):
            picture.save(tmp_path / "photos" / name / f"{number}.jpg")

    assert main(["calibrate", str(tmp_path / "photos"), "--plot", str(tmp_path / "plot.png")]) == 0

    fit = json.loads(capsys.readouterr().out)
    assert fit["slope"] > 0
    assert fit["samples"] == 12
    assert 0 <= fit["brier"] <= fit["brier_held_out"] + 0.1
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert main(["calibrate", str(tmp_path / "nowhere")]) == 2
