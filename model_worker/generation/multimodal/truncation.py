"""A question cut down to what a model's context holds, an answer included: what is missed least goes first.

Earlier turns, the oldest first; then pixels of the references; then those of the picture asked about. To some models
every picture is as long as any other: what makes nothing shorter is left as it was. Then the last concepts go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from model_worker.generation.multimodal.messages import PICTURE_SIDE, REFERENCE_SIDE, scaled
from model_worker.generation.types import GenerationInput

LEAST_ANSWER = 128
"""Tokens that an answer is left before a concept is dropped for it."""


def fit(
    asked: GenerationInput, context: int, longest_answer: int, length_of: Callable[[GenerationInput], int]
) -> GenerationInput | None:
    """Return a question that fits with its answer, cut down as little as that takes; None where nothing helps.

    ``length_of`` is how many tokens a question takes; ``context`` and ``longest_answer`` are tokens, too.
    """
    length = length_of(asked)
    least_answer = min(longest_answer, LEAST_ANSWER)
    for cuts, answer in ((CUTS, longest_answer), (LAST_CUTS, least_answer)):
        for cut in cuts:
            if length + answer <= context:
                return asked
            smaller = cut(asked)
            shorter = length_of(smaller)
            if shorter < length:
                asked, length = smaller, shorter
    return asked if length + least_answer <= context else None


def _with_turns(most: int, asked: GenerationInput) -> GenerationInput:
    return replace(
        asked, request=asked.request.model_copy(update={"history": asked.request.history[-most:] if most else ()})
    )


def _with_references(side: int, asked: GenerationInput) -> GenerationInput:
    references = {concept.avatar for concept in asked.request.concepts} - {asked.request.picture}
    return _scaled(asked, references, side)


def _with_picture(side: int, asked: GenerationInput) -> GenerationInput:
    return _scaled(asked, {asked.request.picture}, side)


def _with_concepts(most: int, asked: GenerationInput) -> GenerationInput:
    return replace(asked, request=asked.request.model_copy(update={"concepts": asked.request.concepts[:most]}))


def _scaled(asked: GenerationInput, names: set[str | None], side: int) -> GenerationInput:
    pictures = {name: scaled(picture, side) if name in names else picture for name, picture in asked.pictures.items()}
    return replace(asked, pictures=pictures)


CUTS: tuple[Callable[[GenerationInput], GenerationInput], ...] = (
    *(partial(_with_turns, most) for most in (4, 2, 1, 0)),
    *(partial(_with_references, side) for side in (REFERENCE_SIDE // 2, REFERENCE_SIDE // 4)),
    *(partial(_with_picture, side) for side in (PICTURE_SIDE // 2, PICTURE_SIDE // 4)),
)
LAST_CUTS: tuple[Callable[[GenerationInput], GenerationInput], ...] = tuple(
    partial(_with_concepts, most) for most in (4, 2, 1)
)
