"""The benchmark runs, and its numbers fit together; how fast anything is, no test says."""

from __future__ import annotations

from pathlib import Path

from model_worker.bench import CLIENTS, bench
from model_worker.server.models import Models
from tests.fake_models import FakePerceiver, FakeWriter


def test_every_line_is_measured_against_the_loop_of_the_same_run(tmp_path: Path) -> None:
    models = Models("fake", FakePerceiver(pause=0.005), FakeWriter(pause=0.002, sees_pictures=True))

    result = bench(models, 0.3, tmp_path / "plot.png")

    for loads, loop in ((result.perceive, result.perceive_loop), (result.generate, result.generate_loop)):
        assert tuple(one.clients for one in loads) == CLIENTS
        for one in loads:
            assert one.per_second > 0
            assert abs(one.times_the_loop - one.per_second / loop) < 0.1 * one.times_the_loop + 0.05
            assert 0 < one.p50_ms <= one.p95_ms
    assert result.server_ms > 0
    assert result.memory_gb > 0
    assert (tmp_path / "plot.png").stat().st_size > 1000
