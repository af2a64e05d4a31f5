"""RAP's training tasks, built from an owner's memory (arXiv 2410.13360, section 3.4 and appendix).

What recall would find is put into each request as in use, and as wrongly as in use: concepts that have nothing to do
with the picture, the right one missing, a look-alike taken for it, names swapped. Without such negatives, the paper
found, precision falls from 96 to 58.

A writer that doesn't look at pictures is told who is where, so for it only that can be wrong which it can know.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from db.geometry import Box
from model_worker.api.certainty import certainty, place_in_picture
from model_worker.api.protocol import GenerateRequest, PromptConcept
from model_worker.finetune.data.augment import cut_out, may_be_mirrored, scene_of, varied
from model_worker.finetune.data.facts import Fact, facts_of, yours
from model_worker.finetune.data.material import Known
from model_worker.finetune.data.samples import Dataset, Task, TrainingSample
from model_worker.generation.types import GenerationInput

PICTURE = "picture"
ONE_WORD = "Answer with a single word or phrase."
IS_THERE = (
    (
        *("Is {name} in this picture?", f"Is {{name}} in this image? {ONE_WORD}", "Can you see {name}?"),
        *("Is {name} there?", "Do you see {name} here?", "Does this show {name}?", "Did you find {name} in it?"),
    ),
    ("Is {name} in this photo?", "Can you spot {name} here?"),
)
"""Questions to train with, and questions kept for the exam; so are all pairs below."""
CAPTIONS = (
    ("Give a caption of the image.", "Describe this picture in one sentence.", "What is in this picture?"),
    ("Write a caption for this photo.", "What can be seen here?"),
)
WHERE = (
    ("Where is {name}?", "Where in the picture is {name}?", "On which side is {name}?"),
    ("Whereabouts in this photo is {name}?",),
)
ABOUT = (
    ("Tell me about {name}.", "What do you know about {name}?", "Who or what is {name}?"),
    ("What did I tell you about {name}?",),
)
MISSED, MISTAKEN, SWAPPED, BESIDE_THE_POINT = 0.1, 0.25, 0.1, 0.5
"""How often recall misses one, takes a region for somebody else, swaps two, and brings what isn't in the picture."""
EXAMINED = 10
"""At least so many times somebody is looked for in the exam's pictures."""
MAX_EXTRA = 3
"""Lessons more for what was said with "right" or "not them"."""


def dataset_of(known: Sequence[Known], *, sees: bool, rounds: int, max_concepts: int, seed: int) -> Dataset:
    """Build the lessons of an owner.

    Of a concept with two pictures or more the last is only in the exam, and so is the last way to ask each question.
    """
    taught = [replace(item, views=item.views[:-1]) if len(item.views) > 1 else item for item in known]
    held_out = [replace(item, views=item.views[-1:]) for item in known if len(item.views) > 1]
    training = _School(tuple(taught), tuple(taught), sees, False, max_concepts, random.Random(seed))
    examined = tuple(held_out) if sees else tuple(taught)
    exam = _School(tuple(taught), examined, sees, True, max_concepts, random.Random(seed + 1))
    return Dataset(
        tuple(lesson for number in range(rounds) for lesson in training.lessons(number)),
        tuple(exam.exam()),
        len(held_out) if sees else 0,
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """A picture, and who is where in it."""

    picture: Image.Image | None
    places: tuple[tuple[Known, Box], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(known.name for known, _ in self.places)


@dataclass(frozen=True, slots=True)
class _School:
    """One side of the split: ``memory`` is what is recalled from, ``pictured`` what may be in pictures."""

    memory: tuple[Known, ...]
    pictured: tuple[Known, ...]
    sees: bool
    is_exam: bool
    max_concepts: int
    chance: random.Random

    def lessons(self, number: int) -> list[TrainingSample]:
        """Return one round of lessons about every concept, in an order of chance."""
        made: list[TrainingSample] = []
        for known in self.memory:
            made += [self._present(known) for _ in range(1 + min(known.right, MAX_EXTRA))]
            made += [self._absent(known) for _ in range(1 + min(known.incorrect, MAX_EXTRA))]
            made += [self._caption([known]), self._caption(self._with_others(known)), self._where(known)]
            made += [self._about(known)] if known.info else []
            made += [self._fact(known, fact, number) for fact in _facts(known) if not _is_held_out(known, fact)]
        made += [self._caption([]) for _ in self.memory[::3]]
        self.chance.shuffle(made)
        return made

    def exam(self) -> list[TrainingSample]:
        """Return the questions of the exam.

        A small memory is asked about more than once, in other scenes: few answers are as good as a coin.
        """
        made: list[TrainingSample] = []
        for known in self.pictured * -(-EXAMINED // max(1, len(self.pictured))):
            made += [self._present(known), self._present(known), self._caption(self._with_others(known))]
            made += [self._absent(known) for _ in range(2 if len(self.pictured) > 1 else 0)]
        for known in self.memory:
            made += [self._fact(known, fact, 0) for fact in _facts(known)]
        return made

    def _present(self, known: Known) -> TrainingSample:
        question = self._asks(IS_THERE, known.name)
        shown = self._shows(self._alone_or_not(known))
        place = _place_of(shown, known)
        answer = "Yes." if ONE_WORD in question else f"Yes, {known.name} is in this picture, {place}."
        return TrainingSample(Task.RECOGNITION, self._asked(question, shown, known), answer, shown.names, "yes")

    def _absent(self, known: Known) -> TrainingSample:
        """Return a lesson with somebody else in the picture: one who looks alike, where there is one.

        As many are in it as where the answer is yes: how many there are may not give the answer away.
        """
        question = self._asks(IS_THERE, known.name)
        shown = self._shows(self._alone_or_not(self._somebody_else(known), known) if len(self.pictured) > 1 else [])
        answer = "No." if ONE_WORD in question else f"No, {known.name} isn't in this picture."
        return TrainingSample(Task.RECOGNITION, self._asked(question, shown, known), answer, shown.names, "no")

    def _caption(self, present: Sequence[Known]) -> TrainingSample:
        shown = self._shows(present)
        places = [f"{known.name} {place_in_picture(box)}" for known, box in shown.places]
        answer = f"A picture of {_listed(places)}." if places else "A picture of nobody and nothing I was told about."
        return TrainingSample(Task.CAPTION, self._asked(self._asks(CAPTIONS), shown, None), answer, shown.names)

    def _where(self, known: Known) -> TrainingSample:
        shown = self._shows(self._with_others(known))
        place = _place_of(shown, known)
        asked = self._asked(self._asks(WHERE, known.name), shown, known)
        return TrainingSample(Task.GROUNDING, asked, f"{known.name} is {place}.", shown.names, place)

    def _about(self, known: Known) -> TrainingSample:
        said = [fact.statement.format(name=known.name) for fact in _facts(known)]
        answer = " ".join(said) or f"{known.name}: {yours(' '.join(known.info.split()))}."
        nothing = _Shown(None, ())
        return TrainingSample(Task.DESCRIPTION, self._asked(self._asks(ABOUT, known.name), nothing, known), answer)

    def _fact(self, known: Known, fact: Fact, number: int) -> TrainingSample:
        asks = fact.questions[-1:] if self.is_exam else fact.questions[:-1]
        question = asks[number % len(asks)].format(name=known.name)
        has_picture = known in self.pictured and self.chance.random() < 0.4
        shown = self._shows([known]) if has_picture else _Shown(None, ())
        task = Task.QUESTION if has_picture else Task.TEXT
        answer = fact.statement.format(name=known.name)
        return TrainingSample(task, self._asked(question, shown, known), answer, shown.names, fact.value)

    def _asks(self, ways: tuple[tuple[str, ...], tuple[str, ...]], name: str = "") -> str:
        return self.chance.choice(ways[1] if self.is_exam else ways[0]).format(name=name)

    def _alone_or_not(self, known: Known, without: Known | None = None) -> list[Known]:
        return self._with_others(known, without) if self.chance.random() < 0.5 else [known]

    def _with_others(self, item: Known, without: Known | None = None) -> list[Known]:
        known = {item.name} if without is None else {item.name, without.name}
        others = [other for other in self.pictured if other.name not in known]
        together = [item, *self.chance.sample(others, min(len(others), self.chance.choice((1, 1, 2))))]
        self.chance.shuffle(together)
        return together[: self.max_concepts] if item in together[: self.max_concepts] else [item]

    def _somebody_else(self, known: Known, among: Sequence[Known] = ()) -> Known:
        others = [other for other in among or self.pictured if other.name != known.name]
        alike = [other for other in others if known.category and other.category.casefold() == known.category.casefold()]
        return self.chance.choice(alike if alike and self.chance.random() < 0.7 else others)

    def _shows(self, present: Sequence[Known]) -> _Shown:
        cut = [self._cut(known) if self.sees else Image.new("RGB", (80, 60)) for known in present]
        scene = scene_of(cut, self.chance)
        return _Shown(scene.picture, tuple(zip(present, scene.boxes, strict=True)))

    def _cut(self, known: Known) -> Image.Image:
        view = self.chance.choice(known.views)
        part = cut_out(view.picture, view.box, self.chance)
        return part if self.is_exam else varied(part, self.chance, mirrors=may_be_mirrored(known.category))

    def _asked(self, question: str, shown: _Shown, about: Known | None) -> GenerationInput:
        """Return a question with what recall finds for it, right or wrong, as the bot asks it."""
        found = self._recalled(shown, about)
        pictures = {f"avatar {known.name}": _avatar(known) for known, _, _ in found} if self.sees else {}
        if self.sees and shown.picture is not None:
            pictures[PICTURE] = shown.picture
        concepts = tuple(
            PromptConcept(
                name=known.name,
                info=known.info,
                category=known.category,
                where=where,
                certainty=sure,
                avatar=f"avatar {known.name}" if self.sees else None,
            )
            for known, where, sure in found
        )
        request = GenerateRequest(
            question=question,
            has_picture=shown.picture is not None,
            concepts=concepts,
            picture=PICTURE if PICTURE in pictures else None,
        )
        return GenerationInput(request, pictures)

    def _recalled(self, shown: _Shown, about: Known | None) -> list[tuple[Known, str | None, str | None]]:
        in_memory = {known.name: known for known in self.memory}
        seen = [(in_memory[known.name], box) for known, box in shown.places]
        sure = [self.chance.uniform(0.6, 1.0) for _ in seen]
        if self.sees:
            seen = self._mistaken(seen)
        found = [
            (known, place_in_picture(box), certainty(probability))
            for (known, box), probability in zip(seen, sure, strict=False)
        ]
        names = {known.name for known, _, _ in found}
        beside = [] if about is None or about.name in names else [(in_memory[about.name], None, None)]
        others = [
            known for known in self.memory if known.name not in names and (about is None or known.name != about.name)
        ]
        if others and self.chance.random() < BESIDE_THE_POINT:
            beside.append((self.chance.choice(others), None, None))
        return [*found, *beside][: self.max_concepts]

    def _mistaken(self, seen: list[tuple[Known, Box]]) -> list[tuple[Known, Box]]:
        """Return what recall takes for being in the picture: mostly what is, as in use."""
        if len(seen) > 1 and self.chance.random() < SWAPPED:
            (first, at), (second, there), *rest = seen
            return [(first, there), (second, at), *rest]
        kept: list[tuple[Known, Box]] = []
        for item, box in seen:
            chance = self.chance.random()
            if chance < MISSED:
                continue
            if chance < MISSED + MISTAKEN and len(self.memory) > 1:
                other = self._somebody_else(item, self.memory)
                if all(other.name != known.name for known, _ in [*kept, *seen]):
                    kept.append((other, box))
                continue
            kept.append((item, box))
        return kept


def _facts(known: Known) -> list[Fact]:
    return facts_of(known.info)


def _is_held_out(known: Known, fact: Fact) -> bool:
    """Whether a fact is only in the exam: one in five, always the same ones."""
    return hashlib.sha256(f"{known.name} {fact.statement}".encode()).digest()[0] % 5 == 0 and len(_facts(known)) > 2


def _avatar(known: Known) -> Image.Image:
    view = known.views[0]
    return cut_out(view.picture, view.box, random.Random(0), around=0.0)


def _place_of(shown: _Shown, known: Known) -> str:
    return next(place_in_picture(box) for other, box in shown.places if other.name == known.name)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
