"""Remember, retrieve, generate: what Keepsake does, without a word about Discord or about models.

Whoever wants to understand the product reads this file. Every function is about one viewer, and the database
shows it nothing but what that viewer may see.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import asyncpg

from bot.certainty import certainty, place_in_picture
from bot.worker_client import WorkerClient
from db import concepts, corrections, sightings
from db.errors import NameTaken, NotRemembered
from db.models import (
    Answer,
    Box,
    Concept,
    NewConcept,
    OwnerId,
    Recalled,
    Recognition,
    Reference,
    Sighting,
    Verdict,
    Viewer,
)
from db.names import check_name
from db.pool import viewing
from db.recall import mentioned_in, recall
from model_worker.pictures import decode_picture, encode_jpeg
from model_worker.wire import GenerateRequest, Perception, PromptConcept, ReferenceView, Turn

MOST_CONCEPTS_IN_PROMPT = 6
ANSWER_PICTURE_SIDE = 1280


class NotAllowed(Exception):  # noqa: N818 (it says what is the matter)
    """The viewer may see this concept but not change it; the text says who may."""


class TooMany(Exception):  # noqa: N818 (it says what is the matter)
    """The memory is full."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a viewer asks, what was said before (oldest first), and the picture it is about (as it was sent)."""

    viewer: Viewer
    text: str
    picture: bytes | None = None
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What `Assistant.ask` found before it begins to speak. ``picture`` is what boxes are drawn on (JPEG)."""

    recalled: Recalled
    picture: bytes | None = None
    answer_id: UUID | None = None
    unknown_region: int | None = None


@dataclass(slots=True)
class Reply:
    """An answer on its way: what was recalled, and the words as they come."""

    told: Told
    words: AsyncIterator[str]


@dataclass(frozen=True, slots=True)
class Assistant:
    """What the product can do, given a memory and a worker.

    All raise MemoryAway, WorkerAway, WorkerBusy and WorkerRefused.
    """

    pool: asyncpg.Pool
    worker: WorkerClient
    most_concepts: int = field(default=1000)

    async def remember(
        self, viewer: Viewer, owner: OwnerId, name: str, picture: bytes, info: str = "", category: str = ""
    ) -> Concept:
        """Remember a concept from one picture and a few words.

        Raises NameProblem, NameTaken and TooMany; nothing is kept then.
        """
        name = check_name(name)
        async with viewing(self.pool, viewer) as connection:  # before the picture is looked at: that takes longer
            await self._check_room(connection, owner)
            if any(one.owner_id == owner for one in await concepts.find(connection, viewer, name)):
                raise NameTaken(name)
        reference = _reference_from(await self.worker.refer(picture))
        async with viewing(self.pool, viewer) as connection:
            new = NewConcept(owner, name, info, category, viewer.user_id, reference)
            return await concepts.remember(connection, new)

    async def ask(self, question: Question) -> Reply:
        """Retrieve what is in the picture and in the text from the viewer's memory, and begin to answer."""
        perception = None if question.picture is None else await self.worker.perceive(question.picture)
        recalled = await self._recall(question, perception)
        told = Told(recalled)
        if perception is not None and question.picture is not None:
            told = await self._keep_answer(question.viewer, question.picture, perception, recalled)
        request = GenerateRequest(
            question=question.text,
            has_picture=perception is not None,
            tags=() if perception is None else perception.tags,
            concepts=_for_prompt(recalled),
            history=question.history,
        )
        return Reply(told, self.worker.generate(request))

    async def find(self, viewer: Viewer, name: str) -> Concept:
        """Return the viewer's concept of that name, their own before a shared one.

        Raises NotRemembered, with names that look alike.
        """
        async with viewing(self.pool, viewer) as connection:
            found = await concepts.find(connection, viewer, name)
            if found:
                return found[0]
            alike = await concepts.did_you_mean(connection, viewer, name)
        hint = f" Did you mean {' or '.join(f'“{one}”' for one in alike)}?" if alike else ""
        raise NotRemembered(f"I don't remember anyone or anything called “{name[:64]}”.{hint}")

    async def edit(
        self,
        viewer: Viewer,
        concept: Concept,
        *,
        may_govern: bool,
        name: str | None = None,
        info: str | None = None,
        category: str | None = None,
    ) -> Concept:
        """Change what is given of a concept. ``may_govern``: whether the viewer governs the server's memory.

        Raises NotAllowed, NameProblem, NameTaken, NotRemembered.
        """
        _check_allowed(viewer, concept, may_govern=may_govern)
        async with viewing(self.pool, viewer) as connection:
            return await concepts.edit(connection, concept, name=name, info=info, category=category)

    async def forget(self, viewer: Viewer, concept: Concept, *, may_govern: bool) -> str:
        """Forget a concept with all that belongs to it; returns its name. Raises NotAllowed, NotRemembered."""
        _check_allowed(viewer, concept, may_govern=may_govern)
        async with viewing(self.pool, viewer) as connection:
            return await concepts.forget(connection, concept.owner_id, concept.concept_id)

    async def suggest_names(self, viewer: Viewer, typed: str) -> list[str]:
        """Return names for autocomplete."""
        async with viewing(self.pool, viewer) as connection:
            return await concepts.suggest_names(connection, viewer, typed)

    async def answer_of(self, viewer: Viewer, answer_id: UUID) -> Answer:
        """Return an earlier answer of this viewer. Raises NotRemembered when it is too old or another's."""
        async with viewing(self.pool, viewer) as connection:
            answer = await sightings.load_answer(connection, viewer, answer_id)
        if answer is None:
            raise NotRemembered("Only who asked can answer that, and within thirty days.")
        return answer

    async def judge(self, viewer: Viewer, answer: Answer, region: int, verdict: Verdict) -> Concept:
        """Store what the viewer said about a recognition: it counts from the next picture on.

        Raises NotRemembered when nobody was recognised there, or was forgotten since.
        """
        sighting = _sighting_of(answer, region)
        if sighting.concept is None:
            raise NotRemembered("Nobody is recognised there (any more).")
        async with viewing(self.pool, viewer) as connection:
            await corrections.store(connection, viewer, sighting, verdict)
        return sighting.concept

    async def remember_region(
        self, viewer: Viewer, owner: OwnerId, answer: Answer, region: int, name: str, info: str = ""
    ) -> Concept:
        """Remember what is in a region of an earlier answer's picture.

        A name that this owner has already gets one more reference; a new one becomes a concept.

        Raises NameProblem, NotRemembered, TooMany.
        """
        name = check_name(name)
        sighting = _sighting_of(answer, region)
        reference = _reference_from(await self.worker.refer(answer.picture, sighting.box))
        async with viewing(self.pool, viewer) as connection:
            known = [one for one in await concepts.find(connection, viewer, name) if one.owner_id == owner]
            if known:
                concept = await concepts.add_reference(connection, known[0], reference, viewer.user_id)
            else:
                await self._check_room(connection, owner)
                new = NewConcept(owner, name, info, "", viewer.user_id, reference)
                concept = await concepts.remember(connection, new)
            named = replace(sighting, concept=concept, probability=1.0)
            await sightings.rename_sighting(connection, viewer, answer.answer_id, named)
            return concept

    async def _check_room(self, connection: asyncpg.Connection, owner: OwnerId) -> None:
        if await concepts.count(connection, owner) >= self.most_concepts:
            raise TooMany(f"This memory is full ({self.most_concepts:,} concepts). Forget some first.")

    async def _recall(self, question: Question, perception: Perception | None) -> Recalled:
        async with viewing(self.pool, question.viewer) as connection:
            if perception is None:
                recalled = await _recall_text(connection, question)
            else:
                recalled = await recall(
                    connection, question.viewer, perception.regions, perception.calibration, question.text
                )
            if recalled.recognised:
                await concepts.mark_recognised(connection, [one.concept for one in recalled.recognised])
        return recalled

    async def _keep_answer(self, viewer: Viewer, picture: bytes, perception: Perception, recalled: Recalled) -> Told:
        """Keep the picture and what was seen in it, for the answer's buttons."""
        recognised = {one.region: one for one in recalled.recognised}
        unknown = _unknown_region(perception, recalled.recognised)
        regions = sorted({*recognised, *([] if unknown is None else [unknown])})
        seen = [
            Sighting(
                region=index,
                box=perception.regions[index].box,
                embedding_id=perception.calibration.embedding_id,
                embedding=perception.regions[index].embedding,
                concept=recognised[index].concept if index in recognised else None,
                probability=recognised[index].probability if index in recognised else None,
            )
            for index in regions
        ]
        jpeg = await asyncio.to_thread(_upright, picture)
        async with viewing(self.pool, viewer) as connection:
            answer_id = await sightings.store_answer(
                connection, viewer, jpeg, perception.width, perception.height, seen
            )
        return Told(recalled, jpeg, answer_id, unknown)


async def _recall_text(connection: asyncpg.Connection, question: Question) -> Recalled:
    """Recall who a text names; when it names nobody, who was spoken of last."""
    for text in (question.text, *(turn.text for turn in reversed(question.history))):
        mentioned = await mentioned_in(connection, question.viewer, text)
        if mentioned:
            return Recalled(mentioned, ())
    return Recalled((), ())


def _for_prompt(recalled: Recalled) -> tuple[PromptConcept, ...]:
    """Return what the generator is told: who is in the picture, and who was only named."""
    seen = [_prompt_concept(one.concept, one) for one in recalled.recognised]
    present = {one.concept.concept_id for one in recalled.recognised}
    named = [_prompt_concept(one) for one in recalled.mentioned if one.concept_id not in present]
    return tuple([*seen, *named][:MOST_CONCEPTS_IN_PROMPT])


def _prompt_concept(concept: Concept, recognition: Recognition | None = None) -> PromptConcept:
    return PromptConcept(
        name=concept.name,
        info=concept.info,
        category=concept.category,
        where=None if recognition is None else place_in_picture(recognition.box),
        certainty=None if recognition is None else certainty(recognition.probability),
    )


def _unknown_region(perception: Perception, recognised: Sequence[Recognition]) -> int | None:
    """Return the region to offer for remembering: the largest clear one that nobody was recognised in."""
    clear = [
        index
        for index, region in enumerate(perception.regions)
        if region.objectness >= 1 and all(_apart(region.box, one.box) for one in recognised)
    ]
    parts = [index for index in clear if _area(perception.regions[index].box) < 1]
    return max(parts or clear, key=lambda index: _area(perception.regions[index].box), default=None)


def _apart(one: Box, other: Box) -> bool:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0.0, width) * max(0.0, height) < 0.1 * min(_area(one), _area(other))


def _area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def _check_allowed(viewer: Viewer, concept: Concept, *, may_govern: bool) -> None:
    if concept.is_shared and not may_govern and concept.created_by != viewer.user_id:
        raise NotAllowed(
            f"“{concept.name}” is in the server's memory: only who shared it, or who may manage the server, changes it."
        )


def _sighting_of(answer: Answer, region: int) -> Sighting:
    sighting = answer.sighting(region)
    if sighting is None:
        raise NotRemembered("That part of the picture isn't known (any more).")
    return sighting


def _upright(picture: bytes) -> bytes:
    """Return a picture as the worker saw it (and found harmless): upright, a JPEG without metadata."""
    return encode_jpeg(decode_picture(picture), ANSWER_PICTURE_SIDE)


def _reference_from(view: ReferenceView) -> Reference:
    return Reference(
        picture=view.jpeg,
        picture_sha256=view.picture_sha256,
        width=view.width,
        height=view.height,
        box=view.region.box,
        embedding_id=view.embedding_id,
        embedding=view.region.embedding,
    )
