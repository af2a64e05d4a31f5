"""The benchmark runs, and its numbers fit together; how fast anything is, no test says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_worker.evaluation.benchmark import CLIENTS, bench
from model_worker.evaluation.writer_speed import TRIES, bytes_read_a_token, writer_speed
from model_worker.generation.multimodal.writer import ImageTextWriter
from model_worker.server.models import Models
from tests.support import tiny_models
from tests.support.fake_models import FakePerceiver, FakeWriter


def test_every_line_is_measured_against_the_loop_of_the_same_run(tmp_path: Path) -> None:
    models = Models(
        pack="fake", perceiver=FakePerceiver(pause=0.005), writer=FakeWriter(pause=0.002, sees_pictures=True)
    )

    result = bench(models, 0.3, tmp_path / "plot.png")

    for loads, loop in ((result.perceive, result.perceive_loop), (result.generate, result.generate_loop)):
        assert tuple(load.clients for load in loads) == CLIENTS
        for load in loads:
            assert load.per_second > 0
            assert abs(load.times_the_loop - load.per_second / loop) < 0.1 * load.times_the_loop + 0.05
            assert 0 < load.p50_ms <= load.p95_ms
    assert result.server_ms > 0
    assert result.memory_gb > 0
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert result.writer is None


@pytest.mark.slow
def test_a_model_that_writes_is_measured_with_references_it_has_and_has_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPSAKE_WEIGHTS", str(tmp_path))
    tiny_models.save_qwen3_vl(tmp_path / "tiny" / "qwen3_vl")
    writer = ImageTextWriter(tiny_models.writing("qwen3_vl"))
    random = np.random.default_rng(0)
    pictures = (Image.fromarray(random.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for _ in range(100))

    speed = writer_speed(writer, pictures)

    assert speed.tokens_per_second > 0
    assert speed.share_of_limit == pytest.approx(
        speed.tokens_per_second / speed.bandwidth_limit_tokens_per_second, abs=1e-3
    )
    first = speed.first_token_ms
    assert min(first.one_reference, first.one_reference_cached, first.four_references, first.four_references_cached) > 0
    assert writer.features.misses == 2 + TRIES * (2 + 1 + 5 + 1)
    assert writer.features.hits == 2 + TRIES * (1 + 4)
    language = writer.model.model.language_model  # its embeddings aren't read, the last layer, of the same size, is
    assert bytes_read_a_token(writer.model) == sum(parameter.nbytes for parameter in language.parameters())
    writer.model.lm_head.weight = language.embed_tokens.weight
    assert bytes_read_a_token(writer.model) == sum(parameter.nbytes for parameter in language.parameters())
