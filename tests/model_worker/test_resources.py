"""A training lets answers go first, and other trainings."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from model_worker.finetune.progress_bar import ProgressBar
from model_worker.finetune.training import resources
from model_worker.finetune.training.resources import alone_on_this_device, wait_for_answers


@pytest.fixture
def work() -> list[bool]:
    """What the worker says next time it is asked whether it is at work; the last one again and again."""
    return [False]


@pytest.fixture
def worker(work: list[bool], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            body = json.dumps({"at_work": work.pop(0) if len(work) > 1 else work[0]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WORKER_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("KEEPSAKE_WORKER_TOKEN", "a-secret-of-the-worker")
    monkeypatch.setattr(resources, "PAUSE_SECONDS", 0.01)
    yield asked
    server.shutdown()
    server.server_close()


def test_it_waits_while_the_worker_is_at_work(work: list[bool], worker: list[str]) -> None:
    work[:] = [True, True, True, False]
    wait_for_answers()
    assert worker == ["Bearer a-secret-of-the-worker"] * 4


def test_it_goes_on_when_the_worker_is_away(worker: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_URL", "http://127.0.0.1:9")
    wait_for_answers()
    monkeypatch.delenv("WORKER_URL")
    wait_for_answers()
    assert worker == []


def make_progress() -> None:
    with ProgressBar() as bar:
        for phase, step, steps in (("preparing", 0, 0), ("training", 1, 2), ("training", 2, 2), ("evaluating", 1, 1)):
            bar.show(phase, step, steps)


def test_progress_is_a_bar_a_phase_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    make_progress()
    shown = re.split(r"[\r\n]+", capsys.readouterr().err)
    last = {line.partition(":")[0].strip(): line for line in shown if line.strip()}
    assert list(last) == ["preparing", "training", "evaluating"]
    assert "2/2" in last["training"]
    assert "1/1" in last["evaluating"]


def test_progress_draws_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    make_progress()
    assert capsys.readouterr().err == ""


async def test_one_at_a_time_on_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PAUSE_SECONDS", 0.01)
    spans: list[tuple[float, float]] = []

    async def train() -> None:
        async with alone_on_this_device(tmp_path):
            began = time.monotonic()
            await asyncio.sleep(0.05)
            spans.append((began, time.monotonic()))

    await asyncio.gather(train(), train(), train())

    first, second, third = sorted(spans)
    assert first[1] <= second[0]
    assert second[1] <= third[0]
