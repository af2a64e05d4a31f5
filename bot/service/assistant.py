"""Remember, retrieve, generate: what Keepsake does, without a word about Discord or about models.

Whoever wants to understand the product reads this file. Every function is about one viewer, and the database
shows it nothing but what that viewer may see.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg

from bot.errors import AnswerGoneError, RegionGoneError, UnknownNameError
from bot.service import permissions
from bot.service.permissions import Actor
from bot.service.retrieval import Detections, make_ready, see
from bot.service.thumbnails import LARGE, thumbnail
from bot.service.worker_client import WorkerClient
from db import adapters, concepts, corrections, reindexing, search, servers, sightings, trash
from db.adapters import AdapterInUse
from db.errors import DatabaseUnavailableError, NameTakenError, NothingRecognisedError
from db.geometry import Box, area, share_of_smaller
from db.names import check_category, check_info, check_name
from db.pool import viewing
from db.recall import mentioned_in, recognised_in
from db.types import (
    Answer,
    Concept,
    Match,
    NewConcept,
    OwnerId,
    Region,
    RetrievalResult,
    SetAside,
    Sighting,
    Verdict,
    Viewer,
)
from model_worker.api.certainty import certainty, place_in_picture
from model_worker.api.images import decode_picture, encode_jpeg
from model_worker.api.protocol import GenerateRequest, PromptConcept, ReferenceView, Turn

MAX_CONCEPTS_IN_PROMPT = 6
ANSWER_PICTURE_SIDE = 1280


@dataclass(frozen=True, slots=True)
class Question:
    """What a viewer asks, what was said before (oldest first), and the picture it is about (as it was sent)."""

    viewer: Viewer
    text: str
    picture: bytes | None = None
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """What `Assistant.ask` found before it begins to speak. ``picture`` is what boxes are drawn on (JPEG)."""

    recalled: RetrievalResult
    picture: bytes | None = None
    answer_id: UUID | None = None
    unknown_region: int | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What `Assistant.remember` did: the concept, whether a copy waits for the server's admins, what it looks like."""

    concept: Concept
    waits: bool = False
    alike: Concept | None = None


@dataclass(slots=True)
class Reply:
    """An answer on its way: what was recalled, and the words as they come."""

    told: AnswerContext
    words: AsyncIterator[str]


@dataclass(frozen=True, slots=True)
class Assistant:
    """What the product can do, given a memory and a worker.

    All raise DatabaseUnavailableError, WorkerUnavailableError, WorkerBusyError and WorkerRefusedError.
    """

    pool: asyncpg.Pool
    worker: WorkerClient
    max_concepts: int = field(default=permissions.MAX_PERSONAL)

    async def remember(
        self,
        who: Actor,
        name: str,
        picture: bytes,
        info: str = "",
        category: str = "",
        *,
        share: bool = False,
        linked_user: int | None = None,
    ) -> Remembered:
        """Remember a concept from one picture and a few words, for oneself or to share with the server.

        Raises InvalidTextError, NameTakenError, NotAllowedError, ObjectedError, LimitReachedError and
        RateLimitedError; nothing is kept then.
        """
        name, info, category = check_name(name), check_info(info), check_category(category)
        viewer = who.viewer
        async with viewing(self.pool, viewer) as connection:  # before the picture is looked at: that takes longer
            owner = await self._owner_of_new(connection, who, share=share)
            if any(item.owner_id == owner for item in await concepts.find(connection, viewer, name)):
                raise NameTakenError(name)
            await permissions.count_use(connection, viewer, permissions.REMEMBERS)
        ready = await make_ready(self.pool, self.worker, viewer, owner, picture)
        async with viewing(self.pool, viewer) as connection:
            alike = await _look_alike(connection, viewer, owner, ready.in_use)
            new = NewConcept(
                owner_id=owner,
                name=name,
                info=info,
                category=category,
                created_by=viewer.user_id,
                reference=ready.reference,
                learned=who.place,
                linked_user=linked_user,
            )
            concept = await concepts.remember(connection, new)
            waits = share and not concept.is_shared and viewer.server_memory is not None
            if waits and viewer.server_memory is not None:
                await trash.propose(connection, concept, viewer.server_memory, viewer.user_id)
        return Remembered(concept, waits, alike)

    async def ask(self, question: Question) -> Reply:
        """Retrieve what is in the picture and in the text from the viewer's memory, and begin to answer.

        Raises RateLimitedError.
        """
        async with viewing(self.pool, question.viewer) as connection:
            await permissions.count_use(connection, question.viewer, permissions.ASKS)
        seen = None
        if question.picture is not None:
            seen = await see(self.pool, self.worker, question.viewer, question.picture, question.text)
        recalled = await self._recall_text(question) if seen is None else seen.recalled
        told = AnswerContext(recalled)
        if seen is not None and question.picture is not None:
            told = await self._keep_answer(question.viewer, question.picture, seen)
        shown = await self._avatars(question.viewer, recalled)
        pictures = {_sha256(avatar): avatar for avatar in shown.values()}
        sees_it = told.picture is not None and await self.worker.sees_pictures()
        if told.picture is not None and sees_it:
            pictures[_sha256(told.picture)] = told.picture
        adapter = await self._adapter_for(question.viewer)
        request = GenerateRequest(
            question=question.text,
            has_picture=seen is not None,
            tags=() if seen is None else seen.tags,
            concepts=_for_prompt(recalled, shown),
            history=question.history,
            picture=_sha256(told.picture) if told.picture is not None and sees_it else None,
            adapter=None if adapter is None else adapter.adapter_id,
        )
        return Reply(told, self.worker.generate(request, pictures, partial(self._weights_of, question.viewer, adapter)))

    async def find(self, viewer: Viewer, name: str) -> Concept:
        """Return the viewer's concept of that name, their own before a shared one.

        Raises NotRememberedError, with names that look alike.
        """
        async with viewing(self.pool, viewer) as connection:
            found = await concepts.find(connection, viewer, name)
            if found:
                return found[0]
            alike = await concepts.did_you_mean(connection, viewer, name)
        raise UnknownNameError(name, tuple(alike))

    async def edit(
        self,
        who: Actor,
        concept: Concept,
        *,
        name: str | None = None,
        info: str | None = None,
        category: str | None = None,
        linked_user: int | None = None,
    ) -> Concept:
        """Change what is given of a concept.

        Raises NotAllowedError, InvalidTextError, NameTakenError, NotRememberedError, ObjectedError.
        """
        async with viewing(self.pool, who.viewer) as connection:
            await permissions.check_may_change(connection, who, concept)
            return await concepts.edit(
                connection, concept, name=name, info=info, category=category, linked_user=linked_user
            )

    async def forget(self, who: Actor, concept: Concept) -> SetAside:
        """Forget a concept with all that belongs to it; for ten minutes it can be undone.

        Raises NotAllowedError, NotRememberedError.
        """
        async with viewing(self.pool, who.viewer) as connection:
            await permissions.check_may_change(connection, who, concept)
            return await trash.forget_for_now(connection, concept, who.user_id)

    async def undo(self, who: Actor, owner: OwnerId, set_aside_id: UUID) -> Concept:
        """Remember again what was forgotten.

        Raises NotRememberedError when it is too late, NameTakenError, ObjectedError.
        """
        async with viewing(self.pool, who.viewer) as connection:
            return await trash.undo(connection, owner, set_aside_id)

    async def suggest_names(self, viewer: Viewer, typed: str) -> list[str]:
        """Return names for autocomplete."""
        async with viewing(self.pool, viewer) as connection:
            return await concepts.suggest_names(connection, viewer, typed)

    async def answer_of(self, viewer: Viewer, answer_id: UUID) -> Answer:
        """Return an earlier answer of this viewer. Raises NotRememberedError when it is too old or another's."""
        async with viewing(self.pool, viewer) as connection:
            answer = await sightings.load_answer(connection, viewer, answer_id)
        if answer is None:
            raise AnswerGoneError
        return answer

    async def judge(self, viewer: Viewer, answer: Answer, region: int, verdict: Verdict) -> Concept:
        """Store what the viewer said about a recognition: it counts from the next picture on.

        Raises NotRememberedError when nobody was recognised there, or was forgotten since.
        """
        sighting = _sighting_of(answer, region)
        concept = sighting.concept
        if concept is None:
            raise NothingRecognisedError
        sighting = await self._as_in_use(viewer, answer, sighting, concept.owner_id)
        async with viewing(self.pool, viewer) as connection:
            await corrections.store(connection, viewer, sighting, verdict)
        return concept

    async def _as_in_use(self, viewer: Viewer, answer: Answer, sighting: Sighting, owner: OwnerId) -> Sighting:
        """Return a sighting with the embedding that the owner's recall goes by now; packs may be changed."""
        async with viewing(self.pool, viewer) as connection:
            used = await reindexing.in_use(connection, [owner])
        if sighting.embedding_id in used or not used:
            return sighting
        view = await self.worker.refer(answer.picture, sighting.box, exact=True, embedding_id=used[0])
        return replace(sighting, embedding_id=used[0], embedding=view.region.embedding)

    async def remember_region(
        self, who: Actor, answer: Answer, region: int, name: str, info: str = "", category: str = ""
    ) -> Concept:
        """Remember what is in a region of an earlier answer's picture, for the viewer alone.

        Raises as `remember_part` and NotRememberedError when the region isn't known any more.
        """
        sighting = _sighting_of(answer, region)
        concept = await self.remember_part(who, answer.picture, sighting.box, name, info, category)
        named = replace(sighting, concept=concept, probability=1.0)
        async with viewing(self.pool, who.viewer) as connection:
            await sightings.rename_sighting(connection, who.viewer, answer.answer_id, named)
        return concept

    async def remember_part(
        self, who: Actor, picture: bytes, box: Box, name: str, info: str = "", category: str = ""
    ) -> Concept:
        """Remember what is in a part of a picture, for the viewer alone.

        A name that the viewer has already gets one more reference; a new one becomes a concept.

        Raises InvalidTextError, LimitReachedError, RateLimitedError.
        """
        name, info, category = check_name(name), check_info(info), check_category(category)
        viewer = who.viewer
        async with viewing(self.pool, viewer) as connection:
            await permissions.count_use(connection, viewer, permissions.REMEMBERS)
        ready = await make_ready(self.pool, self.worker, viewer, viewer.personal, picture, box)
        async with viewing(self.pool, viewer) as connection:
            known = [concept for concept in await concepts.find(connection, viewer, name) if not concept.is_shared]
            if known:
                permissions.check_pictures(known[0].references + 1)
                return await concepts.add_reference(connection, known[0], ready.reference, viewer.user_id)
            await permissions.check_room(connection, viewer, self.max_concepts)
            new = NewConcept(
                owner_id=viewer.personal,
                name=name,
                info=info,
                category=category,
                created_by=viewer.user_id,
                reference=ready.reference,
                learned=who.place,
            )
            return await concepts.remember(connection, new)

    async def _owner_of_new(self, connection: asyncpg.Connection, who: Actor, *, share: bool) -> OwnerId:
        """Return whose memory a new concept goes into; what waits for approval is the viewer's own till then."""
        if share:
            shared = await permissions.check_may_share(connection, who)
            if not await permissions.needs_approval(connection, who):
                return shared
        await permissions.check_room(connection, who.viewer, self.max_concepts)
        return who.viewer.personal

    async def _recall_text(self, question: Question) -> RetrievalResult:
        """Recall who a text names, or else what its words are about; when neither, who was spoken of last."""
        async with viewing(self.pool, question.viewer) as connection:
            mentioned = await mentioned_in(connection, question.viewer, question.text)
            mentioned = mentioned or await search.about(connection, concepts.owners(question.viewer), question.text)
            for turn in reversed(question.history):
                mentioned = mentioned or await mentioned_in(connection, question.viewer, turn.text)
        return RetrievalResult(tuple(mentioned), ())

    async def _avatars(self, viewer: Viewer, recalled: RetrievalResult) -> dict[UUID, bytes]:
        """Return small pictures of what was recalled, for a writer that looks at them itself; none for others."""
        found = _for_prompt_in_order(recalled)
        if not found or not await self.worker.sees_pictures():
            return {}
        async with viewing(self.pool, viewer) as connection:
            avatars = [(concept.concept_id, await concepts.avatar(connection, concept)) for concept, _ in found]
        return {
            concept_id: await asyncio.to_thread(thumbnail, avatar, LARGE)
            for concept_id, avatar in avatars
            if avatar is not None
        }

    async def _adapter_for(self, viewer: Viewer) -> AdapterInUse | None:
        """Return what was learned from the viewer's own memory, or else from the server's, for the worker's model."""
        base = await self.worker.base()
        if base is None:
            return None
        async with viewing(self.pool, viewer) as connection:
            learned = await adapters.in_use(connection, concepts.owners(viewer))
        return next((adapter for adapter in learned if adapter.base == base), None)

    async def _weights_of(self, viewer: Viewer, adapter: AdapterInUse | None) -> bytes | None:
        """Return an adapter's file, None when it can't be had: then the base model answers."""
        if adapter is None:
            return None
        try:
            async with viewing(self.pool, viewer) as connection:
                return await adapters.weights_of(connection, adapter.owner_id, adapter.adapter_id)
        except DatabaseUnavailableError:
            return None

    async def _keep_answer(self, viewer: Viewer, picture: bytes, seen: Detections) -> AnswerContext:
        """Keep the picture and what was seen in it, for the answer's buttons."""
        recognised = {match.region: match for match in seen.recalled.recognised}
        unknown = _unknown_region(seen.regions, seen.recalled.recognised)
        regions = sorted({*recognised, *([] if unknown is None else [unknown])})
        sighted = [_sighting(seen, index, recognised.get(index)) for index in regions]
        jpeg = await asyncio.to_thread(upright, picture)
        async with viewing(self.pool, viewer) as connection:
            await concepts.mark_recognised(connection, [match.concept for match in seen.recalled.recognised])
            keep_for = await _retention(connection, viewer)
            if not keep_for:
                return AnswerContext(seen.recalled, jpeg)
            answer_id = await sightings.store_answer(
                connection, viewer, jpeg, seen.width, seen.height, sighted, keep_for
            )
        return AnswerContext(seen.recalled, jpeg, answer_id, unknown)


async def _retention(connection: asyncpg.Connection, viewer: Viewer) -> timedelta:
    """Return how long answers are kept where the viewer is."""
    if viewer.server_memory is None:
        return sightings.KEPT_FOR
    return timedelta(days=(await servers.settings_of(connection, viewer.server_memory)).retention_days)


async def _look_alike(
    connection: asyncpg.Connection, viewer: Viewer, owner: OwnerId, view: ReferenceView
) -> Concept | None:
    """Return what of the same memory a new reference looks like."""
    recognised = await recognised_in(connection, viewer, [view.region], view.calibration)
    return next((match.concept for match in recognised if match.concept.owner_id == owner), None)


def _sighting(seen: Detections, region: int, recognition: Match | None) -> Sighting:
    made = seen.embedding_of(region)
    return Sighting(
        region=region,
        box=seen.regions[region].box,
        embedding_id=made.embedding_id,
        embedding=made.vector,
        concept=None if recognition is None else recognition.concept,
        probability=None if recognition is None else recognition.probability,
    )


def _for_prompt(recalled: RetrievalResult, shown: Mapping[UUID, bytes]) -> tuple[PromptConcept, ...]:
    """Return what the generator is told: who is in the picture, and who was only named."""
    return tuple(
        PromptConcept(
            name=concept.name,
            info=concept.info,
            category=concept.category,
            where=None if recognition is None else place_in_picture(recognition.box),
            certainty=None if recognition is None else certainty(recognition.probability),
            avatar=_sha256(shown[concept.concept_id]) if concept.concept_id in shown else None,
        )
        for concept, recognition in _for_prompt_in_order(recalled)
    )


def _for_prompt_in_order(recalled: RetrievalResult) -> list[tuple[Concept, Match | None]]:
    """Return the concepts that a prompt has room for: those in the picture, then those only named."""
    present = {match.concept.concept_id for match in recalled.recognised}
    seen: list[tuple[Concept, Match | None]] = [(match.concept, match) for match in recalled.recognised]
    named = [(concept, None) for concept in recalled.mentioned if concept.concept_id not in present]
    return [*seen, *named][:MAX_CONCEPTS_IN_PROMPT]


def _sha256(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()


def _unknown_region(regions: Sequence[Region], recognised: Sequence[Match]) -> int | None:
    """Return the region to offer for remembering: the largest clear one that nobody was recognised in."""
    clear = [
        index
        for index, region in enumerate(regions)
        if region.objectness >= 1 and all(_apart(region.box, match.box) for match in recognised)
    ]
    parts = [index for index in clear if area(regions[index].box) < 1]
    return max(parts or clear, key=lambda index: area(regions[index].box), default=None)


def _apart(box: Box, other: Box) -> bool:
    return share_of_smaller(box, other) < 0.1


def _sighting_of(answer: Answer, region: int) -> Sighting:
    sighting = answer.sighting(region)
    if sighting is None:
        raise RegionGoneError
    return sighting


def upright(picture: bytes) -> bytes:
    """Return a picture as the worker saw it (and found harmless): upright, a JPEG without metadata."""
    return encode_jpeg(decode_picture(picture), ANSWER_PICTURE_SIDE)
