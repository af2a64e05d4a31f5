"""What the bot says: words for every error, and how answers are put into messages."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.archive.schema import ArchiveProblem, ProblemKind
from bot.texts.archives import problem
from bot.texts.errors import for_error
from bot.texts.formatting import duration, split
from bot.ui import stream
from bot.ui.annotate import label
from bot.ui.errors import sentence_for
from bot.ui.stream import speak
from db.errors import UserFacingError
from db.geometry import WHOLE, Box
from model_worker.api.certainty import certainty, place_in_picture
from tests.support.errors import an_example_of, user_facing_errors


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
    assert place_in_picture(Box(left=0, top=0, right=0.3, bottom=0.3)) == "at the top left"
    assert place_in_picture(Box(left=0.7, top=0.3, right=1, bottom=0.7)) == "on the right"
    assert place_in_picture(WHOLE) == "in the middle"


def test_a_name_the_font_cannot_draw_is_a_number_in_the_picture() -> None:
    assert label(1, "Zoë") == "1 Zoë"
    assert label(2, "もち") == "2"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 second"), (1, "1 second"), (40, "40 seconds"), (61, "2 minutes"), (3600, "60 minutes"), (3601, "2 hours")],
)
def test_waiting_times_are_said_in_words(seconds: int, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize("kind", user_facing_errors())
def test_every_error_has_words_of_its_own(kind: type[UserFacingError]) -> None:
    sentence = for_error(an_example_of(kind))

    assert kind in for_error.registry
    assert sentence[0].isupper() or sentence[0] == "“"
    assert sentence.endswith((".", "?"))
    assert kind.__name__ not in sentence


def test_no_two_errors_have_the_same_words() -> None:
    sentences = [for_error(an_example_of(kind)) for kind in user_facing_errors()]
    assert len(set(sentences)) == len(sentences)


def test_an_error_without_words_is_not_told() -> None:
    class ForgottenError(UserFacingError):
        """Nobody gave it words."""

    with pytest.raises(TypeError, match="ForgottenError"):
        for_error(ForgottenError())


@pytest.mark.parametrize("kind", user_facing_errors())
def test_an_error_is_the_same_in_another_process(kind: type[UserFacingError]) -> None:
    error = an_example_of(kind)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("kind", ProblemKind)
def test_every_problem_of_an_archive_has_words_of_its_own(kind: ProblemKind) -> None:
    item = ArchiveProblem(kind=kind, file="a.json", concept="*Mochi*", field="concepts", count=3, max_count=2)
    sentence = problem(item, "It is empty.")
    assert sentence.endswith(".")
    assert "*Mochi*" not in sentence
    assert [problem(replace(item, kind=other), "It is empty.") for other in ProblemKind].count(sentence) == 1


async def test_what_nobody_expected_is_told_with_a_number_that_the_log_has(caplog: pytest.LogCaptureFixture) -> None:
    sentence = sentence_for(ValueError("relation “concept” does not exist"))

    assert "relation" not in sentence
    assert sentence.split()[-1] in caplog.text
    assert "relation" in caplog.text
