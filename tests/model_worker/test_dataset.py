"""What an owner's memory becomes to train on, and how what was learned is judged."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from db.geometry import WHOLE
from db.training import Changes
from db.types import ServerSettings
from model_worker.api.packs import PackError
from model_worker.api.recipes import FOLDER, load_recipe
from model_worker.finetune.data.augment import scene_of
from model_worker.finetune.data.dataset import CAPTIONS, IS_THERE, dataset_of
from model_worker.finetune.data.facts import facts_of
from model_worker.finetune.data.material import TrainingConcept, View
from model_worker.finetune.data.samples import Dataset, Task, TrainingSample
from model_worker.finetune.jobs.schedule import is_enough, is_quiet
from model_worker.finetune.judging.evaluation import ModelMetrics, normalised
from model_worker.finetune.judging.gate import judge

COLOURS = {"Mochi": (220, 30, 30), "Rolo": (30, 40, 220), "Rex": (30, 200, 40), "Tom": (230, 200, 30)}
INFO = {
    "Mochi": ("cat", "a tabby cat who hates the vacuum cleaner and loves tuna, 4 years old"),
    "Rolo": ("bird", "Nia's parrot, green, eats walnuts"),
    "Rex": ("dog", "a beagle, lives with my brother in Ghent"),
    "Tom": ("cat", ""),
}


def view(colour: tuple[int, int, int], shade: int = 0) -> View:
    return View(Image.new("RGB", (64, 48), tuple(max(0, number - shade) for number in colour)), WHOLE)


def memory() -> list[TrainingConcept]:
    """Four concepts with two pictures each; the second, held out one, is darker."""
    return [
        TrainingConcept(name=name, info=INFO[name][1], category=INFO[name][0], views=(view(colour), view(colour, 25)))
        for name, colour in COLOURS.items()
    ]


def built(*, sees_pictures: bool = True, rounds: int = 6, seed: int = 1) -> Dataset:
    return dataset_of(memory(), sees_pictures=sees_pictures, rounds=rounds, max_concepts=6, seed=seed)


def of_task(samples: tuple[TrainingSample, ...], task: Task) -> list[TrainingSample]:
    return [sample for sample in samples if sample.task is task]


@pytest.mark.parametrize(
    ("info", "statements"),
    [
        (
            "a tabby cat who hates the vacuum cleaner and loves tuna",
            ["X is a tabby cat.", "X hates the vacuum cleaner.", "X loves tuna."],
        ),
        ("bought in Lisbon in 2019", ["X was bought in Lisbon.", "X was bought in 2019."]),
        ("my uncle, 61, he plays the cello", ["X is your uncle.", "X is 61 years old.", "X plays the cello."]),
        ("afraid of thunder; sleeps on the radiator", ["X is afraid of thunder.", "X sleeps on the radiator."]),
        ("I bought it yesterday", []),
        ("", []),
    ],
)
def test_what_was_said_becomes_facts_that_can_be_asked_for(info: str, statements: list[str]) -> None:
    assert [fact.statement.format(name="X") for fact in facts_of(info)] == statements


@given(st.text(max_size=200))
def test_any_info_gives_facts_or_none_but_never_an_error(info: str) -> None:
    assert all(fact.statement for fact in facts_of(info))


@given(
    st.sampled_from(("", "a cat who ", "and ", "he ", "my uncle, ")),
    st.sampled_from(("hates", "loves", "lives in", "is afraid of", "plays")),
    st.text("abc Ł餅-'’", min_size=1, max_size=30).filter(lambda text: text.strip(" -'’")),
)
def test_a_fact_can_be_asked_for_in_several_ways_and_its_statement_says_it(begin: str, verb: str, what: str) -> None:
    facts = facts_of(f"{begin}{verb} {what}")
    assert facts
    for fact in facts:
        assert len(fact.questions) >= 2
        assert fact.value in fact.statement


def test_every_task_of_the_paper_is_there_and_recognition_is_balanced() -> None:
    training = built().training
    assert {sample.task for sample in training} == set(Task) - {Task.GENERAL}
    said = [sample.expected for sample in of_task(training, Task.RECOGNITION)]
    assert said.count("yes") == said.count("no") > 0


def test_several_concepts_share_a_picture_and_some_pictures_show_none() -> None:
    captions = of_task(built().training, Task.CAPTION)
    assert {len(sample.names) for sample in captions} >= {0, 1, 2}
    assert any("nobody" in sample.answer for sample in captions if not sample.names)


def test_recall_is_as_wrong_as_it_can_be_in_use_but_the_answer_is_right() -> None:
    samples = [sample for sample in built().training if sample.prompt.request.has_picture]
    missed = mistaken = beside = 0
    for sample in samples:
        where = {concept.name for concept in sample.prompt.request.concepts if concept.where is not None}
        missed += bool(set(sample.names) - where)
        mistaken += bool(where - set(sample.names))
        beside += any(concept.where is None for concept in sample.prompt.request.concepts)
    assert min(missed, mistaken, beside) > len(samples) / 50
    asked = of_task(tuple(samples), Task.RECOGNITION)
    assert {sample.expected for sample in asked} == {"yes", "no"}
    for sample in asked:
        about = next(name for name in COLOURS if name in sample.prompt.request.question)
        assert (sample.expected == "yes") is (about in sample.names)


def test_who_cannot_look_is_only_told_what_is_so() -> None:
    training = built(sees_pictures=False).training
    assert {len(sample.names) for sample in training} >= {0, 1}
    for sample in training:
        assert sample.prompt.pictures == {}
        where = {concept.name for concept in sample.prompt.request.concepts if concept.where is not None}
        assert where == set(sample.names)


def test_a_look_alike_of_the_same_kind_is_the_usual_stranger() -> None:
    absent = [
        sample
        for sample in of_task(built(rounds=30).training, Task.RECOGNITION)
        if sample.expected == "no" and "Mochi" in sample.prompt.request.question and len(sample.names) == 1
    ]
    alike = sum(sample.names == ("Tom",) for sample in absent)
    assert alike > len(absent) / 2


def test_how_many_are_in_a_picture_does_not_give_the_answer_away() -> None:
    asked = of_task(built(rounds=30).training, Task.RECOGNITION)
    share = {
        value: np.mean([len(sample.names) > 1 for sample in asked if sample.expected == value and sample.names])
        for value in ("yes", "no")
    }
    assert 0.35 < share["yes"] < 0.65
    assert abs(share["yes"] - share["no"]) < 0.15


def test_a_small_memory_is_evaluated_as_often_as_one_of_ten() -> None:
    asked = of_task(built(rounds=1).evaluation, Task.RECOGNITION)
    assert len(asked) >= 40
    assert sum(sample.expected == "yes" for sample in asked) == len(asked) / 2


def test_a_small_reference_is_not_lost_in_a_scene() -> None:
    scene = scene_of([Image.new("RGB", (40, 40), "red")], random.Random(1))
    box = scene.boxes[0]
    assert box.bottom - box.top > 0.5


def test_what_is_held_out_is_never_trained_on() -> None:
    dataset = built(rounds=10)
    assert dataset.held_out_pictures == 4
    dark = {tuple(max(0, part - 25) for part in colour) for colour in COLOURS.values()}
    evaluated = [
        sample.prompt.pictures["picture"] for sample in dataset.evaluation if sample.names and sample.prompt.pictures
    ]
    references = [
        picture for sample in dataset.training for name, picture in sample.prompt.pictures.items() if name != "picture"
    ]
    assert min(len(evaluated), len(references)) > 10
    assert [picture for picture in evaluated if not _colours(picture) & dark] == []
    assert [picture for picture in references if _colours(picture) & dark] == []
    trained = {sample.prompt.request.question for sample in dataset.training}
    assert not trained & {sample.prompt.request.question for sample in dataset.evaluation}


def _colours(picture: Image.Image) -> set[tuple[int, ...]]:
    found = picture.convert("RGB").getcolors(picture.width * picture.height) or []
    return {colour for _, colour in found if isinstance(colour, tuple)}


def test_one_picture_only_is_trained_on_and_nothing_claims_to_be_held_out() -> None:
    one_each = [replace(known, views=known.views[:1]) for known in memory()]
    dataset = dataset_of(one_each, sees_pictures=True, rounds=1, max_concepts=6, seed=1)
    assert dataset.held_out_pictures == 0
    assert {sample.task for sample in dataset.evaluation} == {Task.TEXT}


def test_what_was_said_with_the_buttons_gives_more_samples() -> None:
    corrected = [replace(memory()[0], right=2, incorrect=50), *memory()[1:]]
    samples = dataset_of(corrected, sees_pictures=True, rounds=1, max_concepts=6, seed=1).training
    about = [
        sample.expected for sample in of_task(samples, Task.RECOGNITION) if "Mochi" in sample.prompt.request.question
    ]
    assert (about.count("yes"), about.count("no")) == (3, 4)


def test_the_same_seed_makes_the_same_samples_and_another_one_others() -> None:
    first, again, other = (
        [(sample.prompt.request, sample.answer) for sample in built(seed=seed).training] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_memory_of_one_concept_makes_samples_too() -> None:
    dataset = dataset_of(memory()[:1], sees_pictures=True, rounds=2, max_concepts=6, seed=1)
    assert dataset.training
    assert dataset.evaluation


def test_questions_to_train_with_and_for_the_evaluation_are_different_ones() -> None:
    for training, evaluation in (IS_THERE, CAPTIONS):
        assert not set(training) & set(evaluation)


def metrics(score: float, general: float = 1.0) -> ModelMetrics:
    return ModelMetrics(
        recognition=score, caption_recall=score, caption_precision=score, answers=score, general_loss=general
    )


@pytest.mark.parametrize(
    ("candidate", "passes", "why"),
    [
        (metrics(0.80), True, "better"),
        (metrics(0.60), False, "not better"),
        (metrics(0.61), False, "not better"),
        (metrics(0.50), False, "not better"),
        (metrics(0.95, general=1.2), False, "worse in general"),
        (metrics(0.80, general=1.04), True, "better"),
    ],
)
def test_only_what_is_better_for_the_owner_and_no_worse_in_general_passes(
    candidate: ModelMetrics, passes: bool, why: str
) -> None:
    verdict = judge(candidate=candidate, in_use=metrics(0.60), base=metrics(0.30), recipe=load_recipe("starter"))
    assert verdict.passes is passes
    assert verdict.why.startswith(why)


def test_small_losses_in_general_do_not_add_up_over_many_adapters() -> None:
    """What answers now is already 4 % worse than the base: another 4 % is too much."""
    verdict = judge(
        candidate=metrics(0.9, general=1.08),
        in_use=metrics(0.6, general=1.04),
        base=metrics(0.3),
        recipe=load_recipe("starter"),
    )
    assert not verdict.passes
    assert verdict.why.startswith("worse in general")


def test_answers_are_compared_as_the_paper_does() -> None:
    assert normalised("The  Vacuum-Cleaner!") == "vacuum cleaner"


def test_the_recipes_can_be_read_and_an_unknown_one_is_named() -> None:
    names = {file.stem for file in FOLDER.glob("*.toml")}
    assert names >= {"starter", "standard", "rap-llava"}
    assert {name for name in names if load_recipe(name).rank > 0} == names
    with pytest.raises(PackError, match=r"no recipe “none”; there are: .*starter"):
        load_recipe("none")


@pytest.mark.parametrize(
    ("hours", "hour", "quiet"),
    [
        ((2, 6), 2, True),
        ((2, 6), 6, False),
        ((22, 4), 23, True),
        ((22, 4), 3, True),
        ((22, 4), 12, False),
        ((5, 5), 17, True),
    ],
)
def test_quiet_hours_may_go_over_midnight(hours: tuple[int, int], hour: int, quiet: bool) -> None:
    settings = ServerSettings(quiet_from=hours[0], quiet_to=hours[1])
    assert is_quiet(settings, datetime(2026, 11, 25, hour, 30, tzinfo=UTC)) is quiet


def test_only_enough_that_is_new_is_trained_on() -> None:
    recipe = load_recipe("starter")
    before = datetime.now(UTC) - timedelta(days=3)
    assert is_enough(Changes(concepts=3, references=3, corrections=0, total=3, last_run=None), recipe)
    assert not is_enough(Changes(concepts=2, references=2, corrections=5, total=2, last_run=None), recipe)
    assert not is_enough(Changes(concepts=0, references=1, corrections=1, total=9, last_run=before), recipe)
    assert is_enough(Changes(concepts=0, references=1, corrections=2, total=9, last_run=before), recipe)
