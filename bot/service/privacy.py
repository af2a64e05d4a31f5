"""What is stored about a person, and their power over it: take it away, bring it back, delete it, say no."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from bot.archive.schema import (
    Archive,
    ArchivedAnswer,
    ArchivedConcept,
    ArchivedCorrection,
    ArchivedEmbedding,
    ArchivedNote,
    ArchivedReference,
)
from bot.archive.writer import write_archives
from bot.service import learning, people, permissions
from bot.service.app import Actor, App
from bot.service.people import Request
from bot.service.reports import Learning
from db import archives, consent, erasure, footprint, persons, proposals, purging, spoken
from db.archives import WholeConcept
from db.errors import AuthorObjectedError
from db.notes import Note, joined
from db.pool import viewing
from db.spoken import Spoken
from db.types import NO_CHANNEL, Erased, InPublic, Linked, OwnerId, Proposal, Stored, Viewer


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is stored about an actor, what they said about it, and how learning from it stands."""

    stored: Stored
    may_train: bool
    objects: bool
    vouched_at: datetime | None
    in_public: InPublic
    proposals: tuple[Proposal, ...]
    requests: tuple[Request, ...]
    linked: tuple[Linked, ...]
    learning: Learning


@dataclass(frozen=True, slots=True)
class Export:
    """One file of an export."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What was deleted, and when; nothing of it is stored. ``objects`` is whether an objection to sharing stays.

    ``spoken`` are the bot's messages that answered them where others read, or others about them: to be deleted, too.
    """

    number: str
    at: datetime
    erased: Erased
    objects: bool
    spoken: tuple[Spoken, ...]


async def report(app: App, actor: Actor) -> Report:
    """Return what is stored about the actor."""
    async with permissions.looking(app, actor) as connection:
        return Report(
            stored=await footprint.stored(connection, actor.viewer),
            may_train=await consent.may_train(connection, actor.viewer),
            objects=await consent.objects(connection, actor.user_id),
            vouched_at=await persons.vouched_at(connection, actor.viewer),
            in_public=await consent.in_public(connection, actor.viewer),
            proposals=tuple(await proposals.proposals_of(connection, actor.viewer)),
            requests=await people.requests(connection, actor),
            linked=tuple(await footprint.linked_to(connection, actor.viewer)),
            learning=await learning.learning_of(app, connection, actor.personal_memory),
        )


async def export(app: App, actor: Actor, largest: int) -> list[Export]:
    """Return everything stored about the actor as zip files of at most ``largest`` bytes.

    Besides their own memory: what they shared, a file for each server.

    Raises RateLimitedError.
    """
    async with viewing(app.pool, actor.viewer) as connection:
        await permissions.count_use(connection, actor, permissions.EXPORTS)
    files = _named("keepsake", await asyncio.to_thread(write_archives, await _own_archive(app, actor), largest))
    async with viewing(app.pool, actor.viewer) as connection:
        servers = await footprint.servers_with_mine(connection, actor.viewer)
    for owner in servers:
        archive = await _shared_archive(app, actor, owner)
        if archive.concepts or archive.said_elsewhere:
            name = f"keepsake-shared-{owner.removeprefix('server:')}"
            files += _named(name, await asyncio.to_thread(write_archives, archive, largest))
    return files


async def set_may_train(app: App, actor: Actor, *, may: bool) -> None:
    """Store the actor's consent to training, or that it is withdrawn: servers that learned from them learn again."""
    async with permissions.changing(app, actor) as connection:
        await consent.set_may_train(connection, actor.viewer, may=may)


async def vouch(app: App, actor: Actor) -> None:
    """Store that the actor gave their word that the people they remember agree."""
    async with permissions.changing(app, actor) as connection:
        await persons.vouch(connection, actor.viewer)


async def set_in_public(app: App, actor: Actor, choice: InPublic) -> None:
    """Store what may be said of the actor's own memory where others can read."""
    async with viewing(app.pool, actor.viewer) as connection:
        await consent.set_in_public(connection, actor.viewer, choice)


async def set_objects(app: App, actor: Actor, *, objects: bool) -> int:
    """Store whether the actor objects to being in shared memories; returns how many concepts that deleted."""
    async with permissions.changing(app, actor) as connection:
        if objects:
            return await consent.object_to_sharing(connection, actor.viewer)
        await consent.withdraw_objection(connection, actor.viewer)
        return 0


async def erase(app: App, actor: Actor) -> Receipt:
    """Delete everything stored about the actor, at once."""
    async with viewing(app.pool, actor.viewer) as connection:
        objects = await consent.objects(connection, actor.user_id)
        answers = await spoken.parts(connection, actor.viewer)
        for server in await footprint.servers_with_mine(connection, actor.viewer):
            answers += await spoken.withdraw_about(connection, server, actor.user_id)
        erased = await erasure.erase(connection, actor.viewer)
    return Receipt(
        number=secrets.token_hex(4), at=datetime.now(UTC), erased=erased, objects=objects, spoken=tuple(answers)
    )


async def delete_copies(app: App, actor: Actor) -> int:
    """Delete the pictures of the actor's messages that others keep; returns how many."""
    async with viewing(app.pool, actor.viewer) as connection:
        return await purging.delete_copies(connection, actor.viewer)


async def withdraw_proposal(app: App, actor: Actor, proposal: Proposal) -> None:
    """Don't propose something any more. Raises ProposalGoneError."""
    async with permissions.changing(app, actor) as connection:
        await proposals.withdraw(connection, proposal.owner_id, proposal.proposal_id)


async def take_out(app: App, actor: Actor, linked: Linked) -> None:
    """Take what is linked to the actor's account out of the memory where it is."""
    async with permissions.changing(app, actor) as connection:
        await purging.take_out(connection, actor.viewer, linked)


async def check_author(app: App, actor: Actor, author: int) -> None:
    """Check that pictures of somebody's messages may be used. Raises AuthorObjectedError."""
    async with viewing(app.pool, actor.viewer) as connection:
        if author != actor.user_id and await consent.objects(connection, author):
            raise AuthorObjectedError


async def _own_archive(app: App, actor: Actor) -> Archive:
    async with viewing(app.pool, actor.viewer) as connection:
        return Archive(
            concepts=_archived(await archives.whole_concepts(connection, actor.personal_memory)),
            corrections=tuple(
                ArchivedCorrection(**asdict(said))
                for said in await archives.corrections_of(connection, actor.personal_memory)
            ),
            answers=tuple(
                ArchivedAnswer(
                    content=answer.picture,
                    created_at=answer.created_at,
                    seen=tuple(seen.concept.name for seen in answer.sightings if seen.concept),
                )
                for answer in await archives.answers_of(connection, actor.viewer)
            ),
            may_train=await consent.may_train(connection, actor.viewer),
            objects=await consent.objects(connection, actor.user_id),
            vouched_at=await persons.vouched_at(connection, actor.viewer),
        )


async def _shared_archive(app: App, actor: Actor, owner: OwnerId) -> Archive:
    """Return what the actor shared on one server; what others shared there is not theirs to take."""
    there = Viewer(actor.user_id, int(owner.removeprefix("server:")))
    async with viewing(app.pool, there) as connection:
        found = await archives.whole_concepts(connection, owner)
    mine = [
        replace(
            concept,
            references=tuple(ref for ref in concept.references if ref.created_by == actor.user_id),
            notes=tuple(note for note in concept.notes if note.author == actor.user_id),
        )
        for concept in found
    ]
    return Archive(
        concepts=_archived([_in_own_words(concept, actor) for concept in mine if concept.references]),
        said_elsewhere=tuple(
            note for concept in mine if not concept.references for note in map(_archived_note, concept.notes)
        ),
    )


def _in_own_words(concept: WholeConcept, actor: Actor) -> WholeConcept:
    """Return a concept of which only the actor's pictures and notes are left, with no more of what others made it."""
    now = replace(concept.concept, info=joined(concept.notes))
    if now.created_by != actor.user_id:
        now = replace(now, category="", times_recognised=0, last_seen=None, learned=NO_CHANNEL, linked_user=None)
    return replace(concept, concept=now)


def _archived_note(note: Note) -> ArchivedNote:
    return ArchivedNote(text=note.text, said_at=note.said_at, meant_at=note.meant_at, said=note.said)


def _archived(found: Sequence[WholeConcept]) -> tuple[ArchivedConcept, ...]:
    return tuple(
        ArchivedConcept(
            name=concept.concept.name,
            info=concept.concept.info,
            category=concept.concept.category,
            created_at=concept.concept.created_at,
            times_recognised=concept.concept.times_recognised,
            last_seen=concept.concept.last_seen,
            learned=concept.concept.learned,
            linked_user=concept.concept.linked_user,
            notes=tuple(_archived_note(note) for note in concept.notes),
            references=tuple(
                ArchivedReference(
                    sha256=reference.picture_sha256,
                    content=reference.picture,
                    box=reference.box,
                    created_at=reference.created_at,
                    is_avatar=reference.is_avatar,
                    source=reference.source,
                    embeddings=tuple(
                        ArchivedEmbedding(embedding_id=embedding.embedding_id, vector=embedding.vector)
                        for embedding in concept.embeddings
                        if embedding.reference_id == reference.reference_id
                    ),
                )
                for reference in concept.references
            ),
        )
        for concept in found
    )


def _named(name: str, parts: Sequence[bytes]) -> list[Export]:
    if len(parts) == 1:
        return [Export(f"{name}.zip", parts[0])]
    return [Export(f"{name}-{number}-of-{len(parts)}.zip", part) for number, part in enumerate(parts, start=1)]
