"""RAP's training tasks, built from an owner's memory (arXiv 2410.13360, section 3.4 and appendix).

What recall would find is put into each request as in use, and as wrongly as in use: concepts that have nothing to do
with the picture, the right one missing, a look-alike taken for it, names swapped. Without such negatives, the paper
found, precision falls from 96 to 58.

A writer that doesn't look at pictures is told who is where, so nothing of that may be wrong: it couldn't know better.
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
from model_worker.finetune.data.material import TrainingConcept
from model_worker.finetune.data.samples import Dataset, Task, TrainingSample
from model_worker.generation.types import GenerationInput

PICTURE = "picture"
ONE_WORD = "Answer with a single word or phrase."
IS_THERE = (
    (
        "Is {name} in this picture?",
        f"Is {{name}} in this image? {ONE_WORD}",
        "Can you see {name}?",
        "Is {name} there?",
        "Do you see {name} here?",
        "Does this show {name}?",
        "Did you find {name} in it?",
    ),
    ("Is {name} in this photo?", "Can you spot {name} here?"),
)
"""Questions to train with, and questions kept for the evaluation; so are all pairs below."""
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
MIN_EVALUATED = 10
"""At least so many times somebody is looked for in the evaluation's pictures."""
MAX_EXTRA = 3
"""Samples more for what was said with "right" or "not them"."""
HELD_OUT_FACTS = 5
"""One fact in so many is only in the evaluation."""


def dataset_of(
    concepts: Sequence[TrainingConcept], *, sees_pictures: bool, rounds: int, max_concepts: int, seed: int
) -> Dataset:
    """Build the samples of an owner, ``rounds`` times each to train on; the same seed builds the same.

    Of a concept with two pictures or more the last is only in the evaluation, and so is the last way to ask each
    question. No prompt has more than ``max_concepts``.
    """
    taught = tuple(replace(item, views=item.views[:-1]) if len(item.views) > 1 else item for item in concepts)
    held_out = tuple(replace(item, views=item.views[-1:]) for item in concepts if len(item.views) > 1)
    training = _Split(
        memory=taught,
        pictured=taught,
        sees_pictures=sees_pictures,
        is_evaluation=False,
        max_concepts=max_concepts,
        chance=random.Random(seed),
    )
    evaluation = replace(
        training,
        pictured=held_out if sees_pictures else taught,
        is_evaluation=True,
        chance=random.Random(seed + 1),
    )
    return Dataset(
        training=tuple(sample for number in range(rounds) for sample in training.training_samples(number)),
        evaluation=tuple(evaluation.evaluation_samples()),
        held_out_pictures=len(held_out) if sees_pictures else 0,
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """A picture, and who is where in it."""

    picture: Image.Image | None
    places: tuple[tuple[TrainingConcept, Box], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(concept.name for concept, _ in self.places)


NO_PICTURE = _Shown(None, ())


@dataclass(frozen=True, slots=True)
class _Recalled:
    """What recall found: a concept, where it takes it to be and how sure that is (None: not in the picture)."""

    concept: TrainingConcept
    where: str | None = None
    certainty: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """One side of the split: ``memory`` is what is recalled from, ``pictured`` what may be in pictures."""

    memory: tuple[TrainingConcept, ...]
    pictured: tuple[TrainingConcept, ...]
    sees_pictures: bool
    is_evaluation: bool
    max_concepts: int
    chance: random.Random

    def training_samples(self, number: int) -> list[TrainingSample]:
        """Return one round of samples about every concept, in an order of chance."""
        made: list[TrainingSample] = []
        for concept in self.memory:
            made += [self._present(concept) for _ in range(1 + min(concept.right, MAX_EXTRA))]
            made += [self._absent(concept) for _ in range(1 + min(concept.incorrect, MAX_EXTRA))]
            made += [self._caption([concept]), self._caption(self._with_others(concept)), self._where(concept)]
            made += [self._about(concept)] if concept.info else []
            made += [self._fact(concept, fact, number) for fact in _facts(concept) if not _is_held_out(concept, fact)]
        made += [self._caption([]) for _ in self.memory[::3]]
        self.chance.shuffle(made)
        return made

    def evaluation_samples(self) -> list[TrainingSample]:
        """Return the samples to evaluate on.

        A small memory is asked about more than once, in other scenes: few answers are as good as a coin.
        """
        made: list[TrainingSample] = []
        for concept in self.pictured * -(-MIN_EVALUATED // max(1, len(self.pictured))):
            made += [self._present(concept), self._present(concept), self._caption(self._with_others(concept))]
            made += [self._absent(concept) for _ in range(2 if len(self.pictured) > 1 else 0)]
        for concept in self.memory:
            made += [self._fact(concept, fact, 0) for fact in _facts(concept)]
        return made

    def _present(self, concept: TrainingConcept) -> TrainingSample:
        question = self._question(IS_THERE, concept.name)
        shown = self._shows(self._alone_or_not(concept))
        place = _place_of(shown, concept)
        return TrainingSample(
            task=Task.RECOGNITION,
            prompt=self._prompt(question, shown, concept),
            answer="Yes." if ONE_WORD in question else f"Yes, {concept.name} is in this picture, {place}.",
            names=shown.names,
            expected="yes",
        )

    def _absent(self, concept: TrainingConcept) -> TrainingSample:
        """Return a sample with somebody else in the picture: one who looks alike, where there is one.

        As many are in it as where the answer is yes: how many there are may not give the answer away.
        """
        question = self._question(IS_THERE, concept.name)
        others = self._alone_or_not(self._somebody_else(concept), concept) if len(self.pictured) > 1 else []
        shown = self._shows(others)
        return TrainingSample(
            task=Task.RECOGNITION,
            prompt=self._prompt(question, shown, concept),
            answer="No." if ONE_WORD in question else f"No, {concept.name} isn't in this picture.",
            names=shown.names,
            expected="no",
        )

    def _caption(self, present: Sequence[TrainingConcept]) -> TrainingSample:
        shown = self._shows(present)
        places = [f"{concept.name} {place_in_picture(box)}" for concept, box in shown.places]
        return TrainingSample(
            task=Task.CAPTION,
            prompt=self._prompt(self._question(CAPTIONS), shown, None),
            answer=f"A picture of {_listed(places)}."
            if places
            else "A picture of nobody and nothing I was told about.",
            names=shown.names,
        )

    def _where(self, concept: TrainingConcept) -> TrainingSample:
        shown = self._shows(self._with_others(concept))
        place = _place_of(shown, concept)
        return TrainingSample(
            task=Task.GROUNDING,
            prompt=self._prompt(self._question(WHERE, concept.name), shown, concept),
            answer=f"{concept.name} is {place}.",
            names=shown.names,
            expected=place,
        )

    def _about(self, concept: TrainingConcept) -> TrainingSample:
        statements = [fact.statement.format(name=concept.name) for fact in _facts(concept)]
        return TrainingSample(
            task=Task.DESCRIPTION,
            prompt=self._prompt(self._question(ABOUT, concept.name), NO_PICTURE, concept),
            answer=" ".join(statements) or f"{concept.name}: {yours(' '.join(concept.info.split()))}.",
        )

    def _fact(self, concept: TrainingConcept, fact: Fact, number: int) -> TrainingSample:
        questions = fact.questions[-1:] if self.is_evaluation else fact.questions[:-1]
        question = questions[number % len(questions)].format(name=concept.name)
        has_picture = concept in self.pictured and self.chance.random() < 0.4
        shown = self._shows([concept]) if has_picture else NO_PICTURE
        return TrainingSample(
            task=Task.QUESTION if has_picture else Task.TEXT,
            prompt=self._prompt(question, shown, concept),
            answer=fact.statement.format(name=concept.name),
            names=shown.names,
            expected=fact.value,
        )

    def _question(self, ways: tuple[tuple[str, ...], tuple[str, ...]], name: str = "") -> str:
        return self.chance.choice(ways[1] if self.is_evaluation else ways[0]).format(name=name)

    def _alone_or_not(self, concept: TrainingConcept, without: TrainingConcept | None = None) -> list[TrainingConcept]:
        return self._with_others(concept, without) if self.chance.random() < 0.5 else [concept]

    def _with_others(self, concept: TrainingConcept, without: TrainingConcept | None = None) -> list[TrainingConcept]:
        """Return a concept among one or two others, in an order of chance; never with the one it is ``without``."""
        excluded = {concept.name} if without is None else {concept.name, without.name}
        others = [other for other in self.pictured if other.name not in excluded]
        together = [concept, *self.chance.sample(others, min(len(others), self.chance.choice((1, 1, 2))))]
        self.chance.shuffle(together)
        return together[: self.max_concepts] if concept in together[: self.max_concepts] else [concept]

    def _somebody_else(self, concept: TrainingConcept, among: Sequence[TrainingConcept] = ()) -> TrainingConcept:
        """Return another concept: mostly one of the same category, which is who is taken for it in use."""
        others = [other for other in among or self.pictured if other.name != concept.name]
        category = concept.category.casefold()
        alike = [other for other in others if category and other.category.casefold() == category]
        return self.chance.choice(alike if alike and self.chance.random() < 0.7 else others)

    def _shows(self, present: Sequence[TrainingConcept]) -> _Shown:
        cut = [self._cut(concept) if self.sees_pictures else Image.new("RGB", (80, 60)) for concept in present]
        scene = scene_of(cut, self.chance)
        return _Shown(scene.picture, tuple(zip(present, scene.boxes, strict=True)))

    def _cut(self, concept: TrainingConcept) -> Image.Image:
        view = self.chance.choice(concept.views)
        part = cut_out(view.picture, view.box, self.chance)
        return part if self.is_evaluation else varied(part, self.chance, mirrors=may_be_mirrored(concept.category))

    def _prompt(self, question: str, shown: _Shown, about: TrainingConcept | None) -> GenerationInput:
        """Return a question with what recall finds for it, right or wrong, as the bot asks it."""
        recalled = self._recall(shown, about)
        pictures: dict[str, Image.Image] = {}
        if self.sees_pictures:
            pictures = {_avatar_name(item.concept): _avatar(item.concept) for item in recalled}
            pictures.update({} if shown.picture is None else {PICTURE: shown.picture})
        request = GenerateRequest(
            question=question,
            has_picture=shown.picture is not None,
            concepts=tuple(self._prompt_concept(item) for item in recalled),
            picture=PICTURE if PICTURE in pictures else None,
        )
        return GenerationInput(request, pictures)

    def _prompt_concept(self, recalled: _Recalled) -> PromptConcept:
        return PromptConcept(
            name=recalled.concept.name,
            info=recalled.concept.info,
            category=recalled.concept.category,
            where=recalled.where,
            certainty=recalled.certainty,
            avatar=_avatar_name(recalled.concept) if self.sees_pictures else None,
        )

    def _recall(self, shown: _Shown, about: TrainingConcept | None) -> list[_Recalled]:
        """Return what recall finds: who is seen, who the question is ``about``, and sometimes who has no part in it."""
        found = self._recognised(shown)
        names = {item.concept.name for item in found}
        in_memory = {concept.name: concept for concept in self.memory}
        if about is not None and about.name not in names:
            found.append(_Recalled(in_memory[about.name]))
            names.add(about.name)
        others = [concept for concept in self.memory if concept.name not in names]
        if others and self.chance.random() < BESIDE_THE_POINT:
            found.append(_Recalled(self.chance.choice(others)))
        return found[: self.max_concepts]

    def _recognised(self, shown: _Shown) -> list[_Recalled]:
        in_memory = {concept.name: concept for concept in self.memory}
        seen = [(in_memory[concept.name], box) for concept, box in shown.places]
        probabilities = [self.chance.uniform(0.6, 1.0) for _ in seen]
        if self.sees_pictures:
            seen = self._mistaken(seen)
        return [
            _Recalled(concept, place_in_picture(box), certainty(probability))
            for (concept, box), probability in zip(seen, probabilities, strict=False)
        ]

    def _mistaken(self, seen: list[tuple[TrainingConcept, Box]]) -> list[tuple[TrainingConcept, Box]]:
        """Return what recall takes for being in the picture: mostly what is, as in use."""
        if len(seen) > 1 and self.chance.random() < SWAPPED:
            (first, at), (second, there), *rest = seen
            return [(first, there), (second, at), *rest]
        kept: list[tuple[TrainingConcept, Box]] = []
        for concept, box in seen:
            chance = self.chance.random()
            if chance < MISSED:
                continue
            if chance < MISSED + MISTAKEN and len(self.memory) > 1:
                other = self._somebody_else(concept, self.memory)
                if all(other.name != present.name for present, _ in [*kept, *seen]):
                    kept.append((other, box))
                continue
            kept.append((concept, box))
        return kept


def _facts(concept: TrainingConcept) -> list[Fact]:
    return facts_of(concept.info)


def _is_held_out(concept: TrainingConcept, fact: Fact) -> bool:
    """Whether a fact is only in the evaluation: one in five, always the same ones; of one or two facts, none."""
    digest = hashlib.sha256(f"{concept.name} {fact.statement}".encode()).digest()
    return digest[0] % HELD_OUT_FACTS == 0 and len(_facts(concept)) > 2


def _avatar(concept: TrainingConcept) -> Image.Image:
    view = concept.views[0]
    return cut_out(view.picture, view.box, random.Random(0), around=0.0)


def _avatar_name(concept: TrainingConcept) -> str:
    return f"avatar {concept.name}"


def _place_of(shown: _Shown, concept: TrainingConcept) -> str:
    return next(place_in_picture(box) for other, box in shown.places if other.name == concept.name)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
