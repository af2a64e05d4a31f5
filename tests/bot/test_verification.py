"""Verification: where recall is unsure, the writer looks again, and can only confirm or reject."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import numpy as np
import pytest
from PIL import Image

from bot.demo.pictures import png
from bot.service.app import Actor, App
from bot.service.ask import Question, ask
from bot.service.remember import remember
from db.geometry import WHOLE
from model_worker.api.errors import WorkerRefusedError
from model_worker.api.packs import PackError, Verification, load_pack
from model_worker.api.protocol import Candidate, VerifyRequest
from model_worker.evaluation.identification import EmptyFolderError
from model_worker.evaluation.verification import evaluate_verification
from model_worker.server.models import Models
from tests.support.fake_models import FakePerceiver, FakeVerifier, FakeWriter
from tests.support.served import TOKEN, served

ANNA = Actor(user_id=1, server_id=10, channel_id=100)
UNSURE = Verification(uncertain=(0.2, 0.95), accept=0.5)
RED = (255, 0, 0)
YELLOW = (255, 255, 0)
"""Like red with a similarity of 0.71, which is a match of 0.89: unsure, and above the threshold."""
GREENISH = (115, 228, 0)
"""0.45, which is 0.38: unsure, and below the threshold."""
LIME = (10, 255, 0)
"""0.04: no match that could be unsure."""


def of(colour: tuple[int, int, int]) -> bytes:
    return png(Image.new("RGB", (40, 30), colour))


@dataclass
class Set:
    app: App
    writer: FakeVerifier

    async def told(self, colour: tuple[int, int, int]) -> list[tuple[str, float]]:
        reply = await ask(self.app, ANNA, Question(text="who is this?", picture=of(colour)))
        return [(match.concept.name, round(match.probability, 2)) for match in reply.context.recalled.recognised]


@asynccontextmanager
async def knowing_red(pool: asyncpg.Pool, writer: FakeVerifier, by: Verification | None = UNSURE) -> AsyncIterator[Set]:
    models = Models(pack="fake", perceiver=FakePerceiver(), writer=writer, verification=by)
    async with served(load=lambda: models) as worker:
        app = App(pool=pool, worker=worker.client)
        await remember(app, ANNA, "Red", of(RED))
        yield Set(app, writer)


async def test_what_recall_is_unsure_of_is_confirmed(pool: asyncpg.Pool) -> None:
    async with knowing_red(pool, FakeVerifier(yes=0.9)) as known:
        assert await known.told(YELLOW) == [("Red", 0.9)]
        assert await known.told(GREENISH) == [("Red", 0.9)]  # recall alone would have left it out

    [(name, region, reference), _] = known.writer.verified
    assert name == "Red"
    assert np.allclose(region, YELLOW, atol=3)
    assert np.allclose(reference, RED, atol=3)


async def test_what_recall_is_unsure_of_is_rejected(pool: asyncpg.Pool) -> None:
    async with knowing_red(pool, FakeVerifier(yes=0.1)) as known:
        assert await known.told(YELLOW) == []
        assert await known.told(GREENISH) == []


async def test_the_sure_and_the_hopeless_are_not_asked_about(pool: asyncpg.Pool) -> None:
    async with knowing_red(pool, FakeVerifier(yes=0.1)) as known:
        assert await known.told(RED) == [("Red", 0.99)]
        known.writer.yes = 0.9
        assert await known.told(LIME) == []
    assert known.writer.verified == []


async def test_a_pack_that_does_not_verify_goes_by_recall_alone(pool: asyncpg.Pool) -> None:
    async with knowing_red(pool, FakeVerifier(yes=0.1), by=None) as known:
        assert await known.told(YELLOW) == [("Red", 0.89)]
        assert await known.told(GREENISH) == []
    assert known.writer.verified == []


async def test_a_writer_that_fails_leaves_it_to_recall(pool: asyncpg.Pool) -> None:
    async with knowing_red(pool, FakeVerifier(broken=True)) as known:
        assert await known.told(YELLOW) == [("Red", 0.89)]
        assert await known.told(GREENISH) == []


async def test_the_wire_takes_no_nonsense() -> None:
    unknown = "0" * 64
    async with served(
        load=lambda: Models(pack="fake", perceiver=FakePerceiver(), writer=FakeVerifier(), verification=UNSURE)
    ) as worker:
        request = VerifyRequest(picture=unknown, candidates=(Candidate(box=WHOLE, reference=unknown, name="Red"),))
        with pytest.raises(WorkerRefusedError, match="isn't here"):
            await worker.client.verify(request, {})
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
            for path, body in (
                ("/verify", "nonsense"),
                ("/verify", json.dumps({"picture": unknown})),
                ("/verify", json.dumps({"picture": unknown, "candidates": [{"box": {"left": 2}}]})),
                ("/pictures/missing", json.dumps({"pictures": "all"})),
                ("/pictures/missing", json.dumps({"pictures": ["x"] * 1000})),
            ):
                async with session.post(worker.url + path, data=body) as response:
                    assert response.status == 400, (path, body)
    async with served(writer=FakeWriter()) as worker:
        with pytest.raises(WorkerRefusedError, match="doesn't verify"):
            await worker.client.verify(request, {})


def test_a_pack_says_when_it_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPSAKE_PACKS", str(tmp_path))
    standard = Path("model_worker/packs/standard.toml").read_text()

    def with_section(section: str, base: str = standard) -> Verification | None:
        (tmp_path / "mine.toml").write_text(f"{base}\n[verification]\n{section}\n")
        return load_pack("mine").verification

    assert load_pack("standard").verification is None
    assert with_section("uncertain = [0.2, 0.8]\naccept = 0.6") == Verification(uncertain=(0.2, 0.8), accept=0.6)
    for wrong in ("uncertain = [0.8, 0.2]\naccept = 0.5", "uncertain = [0.2, 0.8]\naccept = 2", "accept = 0.5"):
        with pytest.raises(PackError):
            with_section(wrong)
    blind = Path("model_worker/packs/starter.toml").read_text()
    with pytest.raises(PackError, match="can't verify"):
        with_section("uncertain = [0.2, 0.8]\naccept = 0.6", blind)


def photos(folder: Path) -> Path:
    """Three colours, three shades of each."""
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("orange", (255, 140, 0))):
        (folder / name).mkdir(parents=True)
        for shade in range(3):
            grown = tuple(min(255, number + 25 * shade) for number in colour)
            Image.new("RGB", (40, 30), grown).save(folder / name / f"{shade}.png")
    return folder


class Judge(FakeVerifier):
    """Says yes where the colours are near, as a good writer would, or, if it is bad, where they aren't."""

    bad = False

    def verify(self, pairs):  # type: ignore[no-untyped-def]  # noqa: ANN201
        distances = [
            float(np.abs(np.asarray(pair.region).mean((0, 1)) - np.asarray(pair.reference).mean((0, 1))).max())
            for pair in pairs
        ]
        return [0.9 if (distance < 60) is not self.bad else 0.1 for distance in distances]


def test_what_verification_is_worth_is_measured(tmp_path: Path) -> None:
    folder, by = photos(tmp_path), Verification(uncertain=(0.2, 0.999), accept=0.5)

    good = evaluate_verification(FakePerceiver(), Judge(), by, folder)
    bad_judge = Judge()
    bad_judge.bad = True
    bad = evaluate_verification(FakePerceiver(), bad_judge, by, folder)

    assert good.guesses == 2 * 18
    assert good.unsure == bad.unsure > 10
    assert good.balanced_accuracy == 1.0 > bad.balanced_accuracy  # type: ignore[operator]
    assert good.rejected_with > good.rejected_without >= bad.rejected_with
    assert good.accepted_with >= good.accepted_without > bad.accepted_with
    with pytest.raises(EmptyFolderError, match="doesn't look at pictures"):
        evaluate_verification(FakePerceiver(), FakeWriter(), by, folder)
