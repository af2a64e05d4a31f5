"""Import: what an archive would bring into the actor's own memory, and bringing it in, all of it or nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from bot.archive.schema import (
    MAX_PROBLEMS,
    Archive,
    ArchivedConcept,
    ArchivedNote,
    ArchivedReference,
    ArchiveError,
    ArchiveProblem,
    ProblemKind,
)
from bot.service import permissions
from bot.service.app import Actor, App
from bot.service.references import ReadyReference, make_ready
from db import admission, archives, concepts, persons
from db.archives import Arriving
from db.errors import PicturesFullError
from db.names import check_category, check_info, name_key
from db.notes import Note, new_note
from db.pool import viewing
from db.types import NewConcept
from model_worker.api.errors import ImageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What an import would do: the names that are new, and those that are left as they are because they are there.

    The concepts themselves are held by the app, under ``key``, for a while; ``pictures`` is how many they have.
    ``people`` are the new names of people, where the actor has yet to give their word that those agree.
    """

    key: UUID
    new: tuple[str, ...]
    known: tuple[str, ...]
    pictures: int
    people: tuple[str, ...] = ()


async def plan_import(app: App, actor: Actor, fetch: Callable[[], Awaitable[bytes]]) -> ImportPlan:
    """Return what importing a file would do, without doing it; ``fetch`` gets it, once that is known to be allowed.

    What it says of corrections is not among that: recall goes by them, and their vectors could be anybody's invention.

    Raises ArchiveError when something in it can't be used, ArchiveBusyError, LimitReachedError, RateLimitedError,
    PeopleOffError when there are people in it and the host wants none, and a WorkerError when the worker can't look at
    its pictures.
    """
    async with viewing(app.pool, actor.viewer) as connection:
        await permissions.count_use(connection, actor, permissions.IMPORTS)
    async with app.archives.import_of(actor.user_id):
        return await _planned(app, actor, await app.archives.read(await fetch()))


async def _planned(app: App, actor: Actor, archive: Archive) -> ImportPlan:
    async with viewing(app.pool, actor.viewer) as connection:
        mine = await concepts.list_concepts(connection, actor.personal_memory, limit=admission.MAX_CONCEPTS)
        keys = {name_key(concept.name) for concept in mine}
        new = tuple(concept for concept in archive.concepts if name_key(concept.name) not in keys)
        await admission.check_may_put(connection, actor.personal_memory, len(new))
        people = await persons.people_among(
            connection, [(concept.linked_user, check_category(concept.category)) for concept in new]
        )
        if people:
            await persons.check_people_are_on(connection)
        has_word = await persons.vouched_at(connection, actor.viewer) is not None
    if any(len(concept.references) > admission.MAX_REFERENCES for concept in new):
        raise PicturesFullError(admission.MAX_REFERENCES)
    problems = await _unreadable_pictures(app, new)
    if problems:
        raise ArchiveError(problems)
    return ImportPlan(
        key=app.archives.hold(new),
        new=tuple(concept.name for concept in new),
        known=tuple(concept.name for concept in archive.concepts if name_key(concept.name) in keys),
        pictures=sum(len(concept.references) for concept in new),
        people=() if has_word else tuple(new[place].name for place in people),
    )


async def carry_out(app: App, actor: Actor, plan: ImportPlan) -> int:
    """Import what was planned: all of it or nothing; returns how many concepts.

    If there are ``plan.people``, the actor gives their word with it.

    Embeddings are made anew from the pictures: those in a file could be anybody's invention.

    Raises ImportExpiredError, NameTakenError when the memory changed meanwhile, LimitReachedError,
    WorkerUnavailableError, WorkerBusyError, WorkerRefusedError, ArchiveBusyError; ArchiveError when it takes too long.
    """
    async with app.archives.import_of(actor.user_id):
        arriving = [await _arriving(app, actor, concept) for concept in app.archives.take(plan.key)]
    async with viewing(app.pool, actor.viewer) as connection:
        if plan.people:
            await persons.vouch(connection, actor.viewer)
        await archives.bring_in(connection, arriving)
    return len(arriving)


async def _unreadable_pictures(app: App, found: Sequence[ArchivedConcept]) -> tuple[ArchiveProblem, ...]:
    """Return which pictures the worker can't read; each distinct one is sent to it once."""
    problems: list[ArchiveProblem] = []
    looked_at: set[str] = set()
    for concept in found:
        for reference in concept.references:
            if reference.sha256 in looked_at:
                continue
            looked_at.add(reference.sha256)
            try:
                await app.worker.check_picture(reference.content)
            except ImageError as error:
                kind = ProblemKind.PICTURE_UNREADABLE
                problems.append(ArchiveProblem(kind=kind, concept=concept.name, cause=error))
                if len(problems) == MAX_PROBLEMS:
                    return tuple(problems)
    return tuple(problems)


async def _ready(app: App, actor: Actor, reference: ArchivedReference) -> ReadyReference:
    return await make_ready(
        app, actor, actor.personal_memory, reference.content, reference.box, exact=True, source=reference.source
    )


def _said_by(actor: Actor, concept: ArchivedConcept) -> tuple[Note, ...]:
    """Return the notes of a concept as they are imported: whoever said them once, who imports them says them now."""
    info = check_info(concept.info)
    found = [note for note in concept.notes if note.text]
    if "\n".join(note.text for note in found) != info:
        found = [ArchivedNote(text=info, said_at=concept.created_at, said=concept.learned)] if info else []
    return tuple(
        replace(new_note(note.text, actor.user_id, note.said, note.said_at), meant_at=note.meant_at) for note in found
    )


async def _arriving(app: App, actor: Actor, concept: ArchivedConcept) -> Arriving:
    ordered = sorted(concept.references, key=lambda reference: not reference.is_avatar)
    references = [
        replace(
            (await _ready(app, actor, reference)).reference,
            created_at=reference.created_at,
        )
        for reference in ordered
    ]
    new = NewConcept(
        owner_id=actor.personal_memory,
        name=concept.name,
        info=concept.info,
        category=concept.category,
        created_by=actor.user_id,
        reference=references[0],
        learned=concept.learned,
        linked_user=concept.linked_user,
    )
    return Arriving(
        new=new,
        more=tuple(references[1:]),
        notes=_said_by(actor, concept),
        created_at=concept.created_at,
        times_recognised=concept.times_recognised,
        last_seen=concept.last_seen,
    )
