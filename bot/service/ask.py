"""Ask: remember, retrieve, generate. What Keepsake does with a question, without a word about Discord or models.

Three transactions, and none of them is open while a model works.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from bot.service.app import Actor, App
from bot.service.audience import Audience, Heard, adapters_for, heard_by, says_all
from bot.service.permissions import ASKS, limits_of
from bot.service.retrieval import Detections, Retrieved, in_prompt, retrieve
from db import questions
from db.adapters import AdapterInUse, weights_of
from db.errors import DatabaseUnavailableError
from db.geometry import area, share_of_smaller
from db.notes import Note, joined
from db.pool import viewing
from db.questions import QuestionPlan
from db.types import Concept, Match, Region, RetrievalResult, Sighting, Source
from model_worker.api.certainty import certainty, place_in_picture
from model_worker.api.protocol import GenerateRequest, PromptConcept, Told, Turn

NamesOf = Callable[[Sequence[int]], Awaitable[Mapping[int, str]]]
"""Returns what users are called where a question is asked, as far as that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, what was said before (oldest first), the picture as it was sent, and who will read the answer.

    ``source`` is the message that the picture is from; None: it was uploaded with the question. ``names_of`` says who
    told what others told.
    """

    text: str
    picture: bytes | None = None
    history: tuple[Turn, ...] = ()
    source: Source | None = None
    audience: Audience = Audience.ASKER
    names_of: NamesOf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerContext:
    """What `ask` found before it begins to speak.

    ``recalled`` is what its audience may hear, ``withheld`` the private concepts of which it is not all, and ``more``
    whether who asked is offered the rest. ``picture`` is what boxes are drawn on (JPEG), ``answer_id`` what the
    buttons refer to, if it was kept, and ``unknown_region`` what could be remembered.
    """

    recalled: RetrievalResult
    withheld: tuple[Concept, ...] = ()
    more: bool = False
    picture: bytes | None = None
    answer_id: UUID | None = None
    unknown_region: int | None = None

    @property
    def about(self) -> tuple[UUID, ...]:
        """The shared concepts that the answer may speak of."""
        named = [*self.recalled.mentioned, *(match.concept for match in self.recalled.recognised)]
        return tuple(dict.fromkeys(concept.concept_id for concept in named if concept.is_shared))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on its way: what was recalled, and the words as they come."""

    context: AnswerContext
    words: AsyncIterator[str]


async def ask(app: App, actor: Actor, question: Question) -> Reply:
    """Answer a question from the actor's memory and the server's. Raises RateLimitedError."""
    plan = await questions.plan_question(app.pool, actor.viewer, limits_of(actor, ASKS))
    all_said = says_all(question.audience, plan.in_public)
    found = await retrieve(app, actor, plan, question.picture, question.text, question.history, says_all=all_said)
    heard = heard_by(question.audience, plan.in_public, found.result)
    context = await keep(app, actor, plan, found, heard, question.source)
    return Reply(context, await generate(app, actor, plan, question, found, heard))


async def keep(
    app: App, actor: Actor, plan: QuestionPlan, found: Retrieved, heard: Heard, source: Source | None = None
) -> AnswerContext:
    """Keep the picture and what was seen in it, for the answer's buttons; of a text there is nothing to keep."""
    detections = found.detections
    if detections is None:
        return AnswerContext(recalled=heard.result, withheld=heard.withheld, more=heard.more)
    unknown = _unknown_region(detections.regions, heard.result.recognised)
    answer_id = await questions.keep_answer(
        app.pool,
        actor.viewer,
        detections.picture,
        detections.width,
        detections.height,
        _sightings(detections, found.result.recognised, unknown),
        plan.keep_for,
        source,
    )
    return AnswerContext(
        recalled=heard.result,
        withheld=heard.withheld,
        more=heard.more,
        picture=detections.picture,
        answer_id=answer_id,
        unknown_region=None if answer_id is None else unknown,
    )


async def generate(
    app: App, actor: Actor, plan: QuestionPlan, question: Question, found: Retrieved, heard: Heard
) -> AsyncIterator[str]:
    """Begin to answer, with the adapter that was trained for these memories, if there is one for the worker's model."""
    detections, base = found.detections, await app.worker.base()
    adapters = adapters_for(question.audience, plan.in_public, plan.adapters, actor.personal_memory)
    adapter = next((adapter for adapter in adapters if adapter.base == base), None)
    withheld = {concept.concept_id for concept in heard.withheld}
    avatars = {concept_id: avatar for concept_id, avatar in found.avatars.items() if concept_id not in withheld}
    told = {concept_id: notes for concept_id, notes in found.notes.items() if concept_id not in withheld}
    others = {note.author for concept, _ in in_prompt(heard.result) for note in told.get(concept.concept_id, ())}
    others.discard(actor.user_id)
    names = await question.names_of(sorted(others)) if others and question.names_of is not None else {}
    looks = detections is not None and await app.worker.sees_pictures()
    request = GenerateRequest(
        question=question.text,
        has_picture=detections is not None,
        tags=() if detections is None else detections.tags,
        concepts=_prompt_concepts(actor, heard, told, names, avatars),
        history=question.history,
        picture=detections.picture_sha256 if detections is not None and looks else None,
        adapter=None if adapter is None else adapter.adapter_id,
    )
    pictures = {_sha256(avatar): avatar for avatar in avatars.values()}
    if detections is not None:
        pictures[detections.picture_sha256] = detections.picture
    needed = {sha256: pictures[sha256] for sha256 in request.pictures}
    return app.worker.generate(request, needed, partial(_weights_of, app, actor, adapter))


async def _weights_of(app: App, actor: Actor, adapter: AdapterInUse | None) -> bytes | None:
    """Return an adapter's file, None when it can't be had: then the base model answers."""
    if adapter is None:
        return None
    try:
        async with viewing(app.pool, actor.viewer) as connection:
            return await weights_of(connection, adapter.owner_id, adapter.adapter_id)
    except DatabaseUnavailableError:
        return None


def _prompt_concepts(
    actor: Actor,
    heard: Heard,
    told: Mapping[UUID, Sequence[Note]],
    names: Mapping[int, str],
    avatars: Mapping[UUID, bytes],
) -> tuple[PromptConcept, ...]:
    """Return what the generator is told: who is in the picture, and who was only named; of each what was told."""
    withheld = {concept.concept_id for concept in heard.withheld}
    return tuple(
        PromptConcept(
            name=concept.name,
            info=joined([note for note in told.get(concept.concept_id, ()) if note.author == actor.user_id]),
            others=tuple(
                Told(text=note.text, who=names.get(note.author))
                for note in told.get(concept.concept_id, ())
                if note.author != actor.user_id
            ),
            shared=concept.is_shared,
            category=concept.category,
            where=None if match is None else place_in_picture(match.box),
            certainty=None if match is None else certainty(match.probability),
            avatar=_sha256(avatars[concept.concept_id]) if concept.concept_id in avatars else None,
            withheld=concept.concept_id in withheld,
        )
        for concept, match in in_prompt(heard.result)
    )


def _sightings(detections: Detections, recognised: Sequence[Match], unknown: int | None) -> list[Sighting]:
    """Return what buttons may refer to: the regions of who was recognised, and the one to offer for remembering."""
    matches: dict[int, Match | None] = {} if unknown is None else {unknown: None}
    matches |= {match.region: match for match in recognised}
    return [_sighting(detections, region, match) for region, match in sorted(matches.items(), key=lambda item: item[0])]


def _sighting(detections: Detections, region: int, match: Match | None) -> Sighting:
    made = detections.embedding_of(region)
    return Sighting(
        region=region,
        box=detections.regions[region].box,
        embedding_id=made.embedding_id,
        embedding=made.vector,
        concept=None if match is None else match.concept,
        probability=None if match is None else match.probability,
    )


def _unknown_region(regions: Sequence[Region], recognised: Sequence[Match]) -> int | None:
    """Return the region to offer for remembering: the largest clear one that nobody was recognised in."""
    clear = [
        index
        for index, region in enumerate(regions)
        if region.objectness >= 1 and all(share_of_smaller(region.box, match.box) < 0.1 for match in recognised)
    ]
    parts = [index for index in clear if area(regions[index].box) < 1]
    return max(parts or clear, key=lambda index: area(regions[index].box), default=None)


def _sha256(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()
