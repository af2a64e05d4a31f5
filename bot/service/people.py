"""People: sharing one asks who it is, or the admins; and what somebody can do about what is linked to them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from bot.service import permissions
from bot.service.app import Actor, App
from db import concepts, pictures, proposals, sharing
from db.pool import deciding
from db.types import Concept, Proposal, Reference


@dataclass(frozen=True, slots=True)
class Request:
    """A proposal that waits for the person it is about, with its pictures; ``is_new``: they weren't asked before."""

    proposal: Proposal
    references: tuple[Reference, ...]
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Sharing:
    """What sharing came to: the shared concept, or the request to who it is; with neither it waits for the admins."""

    concept: Concept | None = None
    request: Request | None = None


async def share(connection: asyncpg.Connection, actor: Actor, concept: Concept) -> Sharing:
    """Share a concept with the server that the actor is on, or ask whoever has to agree first.

    Raises NotAllowedError, LimitReachedError, NameTakenError, NotRememberedError, ObjectedError, PersonDeclinedError,
    RateLimitedError.
    """
    server = permissions.server_memory_of(actor)
    shared = await sharing.share(connection, concept, server)
    asked = None if shared else await proposals.request_about(connection, concept, server)
    if asked is None:
        return Sharing(shared)
    proposal, is_new = asked
    if is_new:
        await permissions.count_use(connection, actor, permissions.ASKS_PEOPLE)
    references = await pictures.references(connection, proposal.concept)
    return Sharing(request=Request(proposal, tuple(references), is_new))


async def requests(connection: asyncpg.Connection, actor: Actor) -> tuple[Request, ...]:
    """Return what others want to share that is linked to the actor, who hasn't answered yet."""
    async with deciding(connection):
        found = [
            Request(proposal, tuple(await pictures.references(connection, proposal.concept)))
            for proposal in await proposals.requests_to(connection, actor.viewer)
        ]
    return tuple(found)


async def answer(app: App, actor: Actor, proposal_id: UUID, seen: str, *, agrees: bool) -> Proposal:
    """Store whether the actor agrees to what is linked to them, as they have ``seen`` it; returns the proposal.

    Raises ProposalGoneError, ProposalChangedError.
    """
    async with permissions.changing(app, actor) as connection:
        return await proposals.answer(connection, actor.viewer, proposal_id, seen, agrees=agrees)


async def share_agreed(app: App, asker: Actor, concept: Concept) -> Sharing:
    """Share what its person agreed to, as who asked them may share by now. Raises as `share`."""
    async with permissions.changing(app, asker) as connection:
        now = await concepts.get(connection, concept.owner_id, concept.concept_id)
        return await share(connection, asker, now)
