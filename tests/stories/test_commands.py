"""The commands as a person types them: demo, doctor, up, evaluate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bot.demo import pictures


def run(*command: str, home: Path, seconds: int = 240) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DISCORD_TOKEN", "DATABASE_URL", "WORKER_URL", "KEEPSAKE_WORKER_TOKEN"}
    }
    return subprocess.run(
        [sys.executable, *command],
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**environment, "KEEPSAKE_HOME": str(home)},
    )


@pytest.mark.slow
def test_the_demo_is_as_expected_and_leaves_nothing_running(tmp_path: Path) -> None:
    before = {process.pid for process in psutil.process_iter()}

    ran = run("-m", "bot.cli", "demo", "--out", str(tmp_path / "out"), home=tmp_path)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    transcript = (tmp_path / "out" / "transcript.md").read_text()
    assert "I see Chelsea on the left" in transcript
    assert (tmp_path / "out" / "picture-01.jpg").stat().st_size > 10_000
    ours = [
        process.info["name"]
        for process in psutil.process_iter(["name", "cmdline", "status"])
        if process.pid not in before
        and process.info["status"] != psutil.STATUS_ZOMBIE
        and any("model_worker" in word or "keepsake-demo" in word for word in process.info["cmdline"] or ())
    ]
    assert ours == []


@pytest.mark.slow
def test_the_doctor_finds_everything_in_order_or_says_what_to_do(tmp_path: Path) -> None:
    fine = run("-m", "bot.cli", "doctor", home=tmp_path / "home")
    assert fine.returncode == 0, fine.stdout + fine.stderr
    for part in ("token", "database", "weights", "worker", "disk", "gpu"):
        assert part in fine.stdout
    assert "pgvector" in fine.stdout

    os.environ["KEEPSAKE_PACK"] = "none-such"
    try:
        wrong = run("-m", "bot.cli", "doctor", home=tmp_path / "home")
    finally:
        del os.environ["KEEPSAKE_PACK"]
    assert wrong.returncode == 1
    assert "starter" in wrong.stdout


@pytest.mark.slow
def test_a_part_that_cannot_start_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    ran = run("-m", "bot.cli", "up", home=file / "home")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-2].startswith("database: ")


@pytest.mark.slow
def test_the_evaluations_run_on_any_pictures(tmp_path: Path) -> None:
    photos, scenes = tmp_path / "photos", tmp_path / "scenes"
    things = {
        "cat": (pictures.cat(), pictures.cat_again()),
        "cup": (pictures.cup(), pictures.cup_again()),
        "motorcycle": (pictures.motorcycle(), pictures.motorcycle_again()),
    }
    for name, shown in things.items():
        (photos / name).mkdir(parents=True)
        for number, picture in enumerate(shown):
            picture.save(photos / name / f"{number:02}.jpg")
    scenes.mkdir()
    both = pictures.cat_and_cup()
    both.save(scenes / "both.jpg")
    truth = {
        "memory": {name: ["00.jpg", "01.jpg"] for name in things},
        "scenes": [{"image": "both.jpg", "concepts": {"cat": [40, 40, 460, 357], "cup": [500, 77, 920, 357]}}],
    }
    (scenes / "truth.json").write_text(json.dumps(truth))
    out = tmp_path / "out.json"

    nothing = run("-m", "model_worker.cli", "evaluate", "identify", str(tmp_path / "nowhere"), home=tmp_path)
    assert nothing.returncode == 2
    assert "nowhere" in nothing.stderr.splitlines()[-1]

    identify = run("-m", "model_worker.cli", "evaluate", "identify", str(photos), "--json", str(out), home=tmp_path)
    assert identify.returncode == 0, identify.stderr
    known = json.loads(out.read_text())
    assert {"top1", "top2", "auroc", "stranger_rejection", "ms_per_image"} <= set(known)
    assert known["top1"] == 1.0

    found = run(
        "-m",
        "model_worker.cli",
        "evaluate",
        "scenes",
        str(scenes),
        "--photos",
        str(photos),
        "--json",
        str(out),
        home=tmp_path,
    )
    assert found.returncode == 0, found.stderr
    scores = json.loads(out.read_text())
    assert {"precision", "recall", "f1", "mean_iou", "ms_per_image"} <= set(scores)
    assert scores["f1"] == 1.0
    assert scores["mean_iou"] > 0.8
    assert out.with_suffix(".png").stat().st_size > 1000
