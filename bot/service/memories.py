"""Looking after what is remembered: pages, cards, pictures, sharing, merging. Nothing here knows Discord."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from bot.errors import NoServerError, UnknownNameError
from bot.service import people, permissions
from bot.service.app import Actor, App
from bot.service.people import Sharing
from db import admission, concepts, merging, pictures, search, sharing, trash
from db.errors import NotAllowedError, RateLimitedError
from db.types import Concept, Forgotten, OwnerId, Reference

PAGE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person wants to look through: their own memory or the server's, which page, found by what."""

    shared: bool = False
    search: str = ""
    category: str = ""
    page: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a memory, with the pictures that are shown, and the categories there are to choose from."""

    wanted: Wanted
    entries: tuple[tuple[Concept, Reference | None], ...]
    total: int
    has_more: bool
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """All about one concept, and what the person may do with it."""

    concept: Concept
    references: tuple[Reference, ...]
    may_change: bool
    may_share: bool
    may_unshare: bool


async def browse(app: App, actor: Actor, wanted: Wanted) -> Page:
    """Return a page of a memory. Raises NotAllowedError when there is no server here."""
    owner = _owner(actor, shared=wanted.shared)
    async with permissions.looking(app, actor) as connection:
        found = await search.browse(
            connection,
            [owner],
            search=wanted.search,
            category=wanted.category,
            limit=PAGE + 1,
            offset=PAGE * wanted.page,
        )
        avatars = await pictures.avatars(connection, found[:PAGE])
        entries = [(concept, avatars.get(concept.concept_id)) for concept in found[:PAGE]]
        return Page(
            wanted=wanted,
            entries=tuple(entries),
            total=await concepts.count(connection, owner),
            has_more=len(found) > PAGE,
            categories=tuple(await search.categories(connection, [owner])),
        )


async def card(app: App, actor: Actor, owner: OwnerId, concept_id: UUID) -> Card:
    """Return a concept's card. Raises NotRememberedError when it isn't there (any more)."""
    async with permissions.looking(app, actor) as connection:
        concept = await concepts.get(connection, owner, concept_id)
        try:
            await admission.check_may_change(connection, concept)
            may_change = True
        except NotAllowedError:
            may_change = False
        references = tuple(await pictures.references(connection, concept))
    return Card(
        concept=concept,
        references=references,
        may_change=may_change,
        may_share=actor.server_memory is not None and not concept.is_shared,
        may_unshare=concept.is_shared and concept.created_by == actor.user_id,
    )


async def find(app: App, actor: Actor, name: str) -> Concept:
    """Return the actor's concept of that name, their own before a shared one.

    Raises NotRememberedError, with names that look alike.
    """
    async with permissions.looking(app, actor) as connection:
        found = await concepts.find(connection, actor.viewer, name)
        if found:
            return found[0]
        alike = await concepts.did_you_mean(connection, actor.viewer, name)
    raise UnknownNameError(name, tuple(alike))


async def namesake_here(app: App, actor: Actor, name: str) -> tuple[Concept, bool] | None:
    """Return what the server's memory has by that name, and whether the actor may change it; None without any."""
    async with permissions.looking(app, actor) as connection:
        found = [concept for concept in await concepts.find(connection, actor.viewer, name) if concept.is_shared]
        if not found:
            return None
        try:
            await admission.check_may_change(connection, found[0])
        except NotAllowedError:
            return found[0], False
        return found[0], True


async def suggest_names(app: App, actor: Actor, typed: str) -> list[str]:
    """Return names for autocomplete; none while they are asked for too often."""
    try:
        return await _suggested(app, actor, typed)
    except RateLimitedError:
        return []


async def _suggested(app: App, actor: Actor, typed: str) -> list[str]:
    async with permissions.looking(app, actor, permissions.SUGGESTS) as connection:
        return await concepts.suggest_names(connection, actor.viewer, typed)


async def edit(
    app: App,
    actor: Actor,
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
    async with permissions.changing(app, actor) as connection:
        return await concepts.edit(
            connection, concept, name=name, info=info, category=category, linked_user=linked_user
        )


async def forget(app: App, actor: Actor, concept: Concept) -> Forgotten:
    """Forget a concept with all that belongs to it; for ten minutes it can be undone.

    Raises NotAllowedError, NotRememberedError.
    """
    async with permissions.changing(app, actor) as connection:
        return await trash.forget_for_now(connection, concept, actor.user_id)


async def undo(app: App, actor: Actor, owner: OwnerId, concept_id: UUID) -> Concept:
    """Remember again what was forgotten.

    Raises NotRememberedError when it is too late, NameTakenError, ObjectedError.
    """
    async with permissions.changing(app, actor) as connection:
        return await trash.undo(connection, owner, concept_id)


async def choose_avatar(app: App, actor: Actor, concept: Concept, reference_id: UUID) -> None:
    """Choose the picture that is shown. Raises NotAllowedError, NotRememberedError."""
    async with permissions.changing(app, actor) as connection:
        await admission.check_may_change(connection, concept)
        await pictures.choose_avatar(connection, concept, reference_id)


async def remove_picture(app: App, actor: Actor, concept: Concept, reference_id: UUID) -> None:
    """Remove one picture of several. Raises NotAllowedError, NotRememberedError."""
    async with permissions.changing(app, actor) as connection:
        await concepts.remove_reference(connection, concept, reference_id)


async def share(app: App, actor: Actor, concept: Concept) -> Sharing:
    """Move a concept into the server's memory, or ask whoever has to agree first. Raises as `people.share`."""
    async with permissions.changing(app, actor) as connection:
        return await people.share(connection, actor, concept)


async def unshare(app: App, actor: Actor, concept: Concept) -> None:
    """Take a concept back out of the server's memory, into the person's own.

    Raises NotAllowedError when somebody else shared it, NotRememberedError, NameTakenError.
    """
    async with permissions.changing(app, actor) as connection:
        await sharing.unshare(connection, concept, actor.personal_memory)


async def merge(app: App, actor: Actor, kept: Concept, other: Concept) -> Concept:
    """Make one concept of two.

    Raises NotAllowedError, NotRememberedError, InvalidTextError when both infos are too long together.
    """
    async with permissions.changing(app, actor) as connection:
        return await merging.merge(connection, actor.viewer, kept, other)


async def other_of_name(app: App, actor: Actor, concept: Concept, name: str) -> Concept:
    """Return the concept of that name in the same memory as another one. Raises NotRememberedError, with a hint."""
    async with permissions.looking(app, actor) as connection:
        for item in await concepts.find(connection, actor.viewer, name):
            if item.owner_id == concept.owner_id and item.concept_id != concept.concept_id:
                return item
        alike = await concepts.did_you_mean(connection, actor.viewer, name)
    raise UnknownNameError(name, tuple(text for text in alike if text != concept.name))


def _owner(actor: Actor, *, shared: bool) -> OwnerId:
    if not shared:
        return actor.personal_memory
    if actor.server_memory is None:
        raise NoServerError
    return actor.server_memory
