"""Retrieve: what is in a picture, which the worker says, and what of the actor's memories that is, or a text is about.

A picture is looked at with every embedder that these memories go by, which is one but while packs change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from uuid import UUID

from bot.service import verification
from bot.service.app import Actor, App
from bot.service.thumbnails import LARGE, thumbnail
from db import questions
from db.notes import Note
from db.questions import QuestionPlan, Recalled
from db.types import Calibration, Concept, Embedded, Match, Reference, Region, RetrievalResult
from model_worker.api.errors import UnknownEmbedderError
from model_worker.api.packs import Verification
from model_worker.api.protocol import Perception, Tag, Turn

log = logging.getLogger("keepsake.retrieval")

MAX_TRIES = 3
MAX_CONCEPTS_IN_PROMPT = 6


@dataclass(frozen=True, slots=True)
class Detections:
    """What the embedders found in a picture; ``picture`` is it as it is stored (JPEG) and goes by its hash.

    Regions are counted through all perceptions.
    """

    picture: bytes
    perceptions: tuple[Perception, ...]

    @property
    def picture_sha256(self) -> str:
        """By what the worker knows the picture."""
        return self.perceptions[0].picture_sha256

    @property
    def width(self) -> int:
        """The picture's, in pixels."""
        return self.perceptions[0].width

    @property
    def height(self) -> int:
        """The picture's, in pixels."""
        return self.perceptions[0].height

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions of all perceptions."""
        return tuple(chain.from_iterable(perception.regions for perception in self.perceptions))

    @property
    def tags(self) -> tuple[Tag, ...]:
        """Words for the scene; any embedder's do."""
        return next((perception.tags for perception in self.perceptions if perception.tags), ())

    def embedding_of(self, region: int) -> Embedded:
        """Return the embedding of a region, with its kind."""
        return Embedded(self.calibration_of(region).embedding_id, self.regions[region].embedding)

    def calibration_of(self, region: int) -> Calibration:
        """Return the calibration of the pack that saw a region."""
        each = chain.from_iterable(
            [perception.calibration] * len(perception.regions) for perception in self.perceptions
        )
        return list(each)[region]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """What was found for a question: in its picture (None without one), and in the actor's memories.

    ``notes`` are what was told of each concept, by whom. ``avatars`` are small pictures (JPEG), by concept, for a
    writer that looks at them; none for others.
    """

    detections: Detections | None
    result: RetrievalResult
    notes: Mapping[UUID, Sequence[Note]]
    avatars: Mapping[UUID, bytes]


async def retrieve(
    app: App,
    actor: Actor,
    plan: QuestionPlan,
    picture: bytes | None,
    text: str = "",
    history: Sequence[Turn] = (),
    *,
    says_all: bool = True,
) -> Retrieved:
    """Perceive, recall, and verify what recall isn't sure of.

    A memory that moves to another embedder in just this moment is looked at again.
    """
    if picture is None:
        recalled = await recall(app, actor, text, history=history, says_all=says_all)
        return await _retrieved(None, recalled)
    embedding_ids = plan.embedding_ids
    for _ in range(MAX_TRIES):
        detections = await perceive(app, picture, embedding_ids, plan.categories)
        recalled = await recall(app, actor, text, detections=detections)
        if recalled.embedding_ids == embedding_ids:
            break
        embedding_ids = recalled.embedding_ids
    return await _verified(app, picture, detections, await _retrieved(detections, recalled))


async def perceive(app: App, picture: bytes, embedding_ids: Sequence[str], categories: Sequence[str]) -> Detections:
    """Ask the worker what is in a picture, with these embedders, or with the pack's own where it has none of them."""
    perceptions = []
    for embedding_id in embedding_ids:
        try:
            perceptions.append(await app.worker.perceive(picture, embedding_id, categories))
        except UnknownEmbedderError as lacking:  # what is remembered by it comes back when it has been moved
            log.warning("%s", lacking)
    if not perceptions:
        perceptions = [await app.worker.perceive(picture, None, categories)]
    return Detections(await app.worker.fetch_picture(perceptions[0].picture_sha256), tuple(perceptions))


async def recall(
    app: App,
    actor: Actor,
    text: str,
    *,
    detections: Detections | None = None,
    history: Sequence[Turn] = (),
    says_all: bool = True,
) -> Recalled:
    """Recall who is in a picture and who a text names, or, without a picture, what was spoken of."""
    by = await app.worker.verification()
    perceptions = () if detections is None else detections.perceptions
    return await questions.recall_for_question(
        app.pool,
        actor.viewer,
        text,
        earlier=[turn.text for turn in history],
        says_all=says_all,
        seen=[verification.with_unsure(perception, by) for perception in perceptions],
        wants_avatars_of=partial(_to_be_shown, by=by, sees_pictures=await app.worker.sees_pictures()),
    )


def in_prompt(result: RetrievalResult, limit: int = MAX_CONCEPTS_IN_PROMPT) -> list[tuple[Concept, Match | None]]:
    """Return the concepts that a prompt has room for: those in the picture, then those only named."""
    present = {match.concept.concept_id for match in result.recognised}
    seen: list[tuple[Concept, Match | None]] = [(match.concept, match) for match in result.recognised]
    named = [(concept, None) for concept in result.mentioned if concept.concept_id not in present]
    return [*seen, *named][:limit]


def _to_be_shown(result: RetrievalResult, by: Verification | None, *, sees_pictures: bool) -> list[Concept]:
    """Return the concepts whose avatars a writer will look at, to verify or to answer."""
    unsure = [] if by is None else [match.concept for match in verification.unsure(result.recognised, by)]
    if not sees_pictures:
        return unsure
    # Those that aren't confirmed make room for as many others.
    return [*unsure, *(concept for concept, _ in in_prompt(result, MAX_CONCEPTS_IN_PROMPT + len(unsure)))]


async def _retrieved(detections: Detections | None, recalled: Recalled) -> Retrieved:
    return Retrieved(
        detections=detections,
        result=recalled.result,
        notes=recalled.notes,
        avatars=await _thumbnails(recalled.avatars),
    )


async def _thumbnails(avatars: Mapping[UUID, Reference]) -> dict[UUID, bytes]:
    return {concept_id: await asyncio.to_thread(thumbnail, avatar, LARGE) for concept_id, avatar in avatars.items()}


async def _verified(app: App, picture: bytes, detections: Detections, found: Retrieved) -> Retrieved:
    """Leave out what the writer, where the pack asks it, doesn't confirm."""
    by = await app.worker.verification()
    if by is None:
        return found
    recognised = found.result.recognised
    thresholds = [detections.calibration_of(match.region).threshold for match in recognised]
    held = await verification.verified(app, picture, recognised, thresholds, by, found.avatars)
    return replace(found, result=replace(found.result, recognised=held))
