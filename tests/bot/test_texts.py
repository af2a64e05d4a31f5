"""How answers are put into messages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.texts import split
from bot.ui import stream
from bot.ui.annotate import label
from bot.ui.stream import speak
from db.types import Box
from model_worker.api.certainty import certainty, place_in_picture


def test_long_answers_are_split_after_a_sentence_and_lose_nothing() -> None:
    text = " ".join(f"This is sentence number {number} of a long answer." for number in range(120))
    parts = split(text)
    assert len(parts) > 1
    assert all(len(part) <= 2000 for part in parts)
    assert all(part.endswith(".") for part in parts)
    assert " ".join(parts) == text


def test_a_text_without_any_break_is_split_all_the_same() -> None:
    assert [len(part) for part in split("x" * 4100)] == [2000, 2000, 100]


class Recorded:
    def __init__(self) -> None:
        self.shown: list[str] = []

    async def edit(self, content: str, file: object = None, view: object = None) -> None:
        self.shown.append(content)

    async def add(self, content: str, file: object = None, view: object = None) -> None:
        self.shown.append(content)


async def _words(clock: list[float], step: float) -> AsyncIterator[str]:
    for number in range(20):
        clock[0] += step
        yield f"word{number} "


@pytest.mark.parametrize(("step", "edits"), [(0.01, 1), (0.5, 11), (2.0, 21)])
async def test_an_answer_is_edited_once_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch, step: float, edits: int
) -> None:
    clock = [0.0]
    monkeypatch.setattr(stream.time, "monotonic", lambda: clock[0])
    place = Recorded()
    await speak(place, _words(clock, step))
    assert len(place.shown) == edits
    assert place.shown[-1].endswith("word19")


def test_certainty_and_place_in_words() -> None:
    assert [certainty(value) for value in (0.99, 0.85, 0.7, 0.51)] == [
        "almost certainly",
        "very probably",
        "probably",
        "maybe",
    ]
    assert place_in_picture(Box(0, 0, 0.3, 0.3)) == "at the top left"
    assert place_in_picture(Box(0.7, 0.3, 1, 0.7)) == "on the right"
    assert place_in_picture(Box(0, 0, 1, 1)) == "in the middle"


def test_a_name_the_font_cannot_draw_is_a_number_in_the_picture() -> None:
    assert label(1, "Zoë") == "1 Zoë"
    assert label(2, "もち") == "2"
