"""How the admins of a server govern its memory: each use case looks at who acts, anew (`permissions.governed_by`)."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bot.errors import InvalidNumberError, NumberField
from bot.service import learning, permissions
from bot.service.app import Actor, App
from bot.service.permissions import governed_by
from bot.service.reports import Learning, StopReason
from db import concepts, membership, pictures, proposals, purging, servers, sharing
from db.pool import deciding, viewing
from db.types import AuditEntry, Concept, Proposal, Reference, ServerSettings, Viewer, server_owner

LONGEST_EXPORT = 100_000
"""Lines of an audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCard:
    """A server's memory at a glance."""

    settings: ServerSettings
    concepts: int
    proposals: tuple[Proposal, ...]
    learning: Learning


@dataclass(frozen=True, slots=True)
class Waiting:
    """What somebody wants to share, as whoever decides about it sees it: with all pictures."""

    proposal: Proposal
    references: tuple[Reference, ...]


async def overview(app: App, actor: Actor) -> ServerCard:
    """Return how the server's memory is governed."""
    owner = governed_by(actor)
    async with permissions.looking(app, actor) as connection:
        return ServerCard(
            settings=await servers.settings_of(connection, owner),
            concepts=await concepts.count(connection, owner),
            proposals=tuple(await proposals.proposals_to(connection, owner)),
            learning=await learning.learning_of(app, connection, owner),
        )


async def settings_of(app: App, actor: Actor) -> ServerSettings:
    """Return the settings of the server that the person is on; the defaults elsewhere."""
    if actor.server_memory is None:
        return ServerSettings()
    async with viewing(app.pool, actor.viewer) as connection:
        return await servers.settings_of(connection, actor.server_memory)


async def change(app: App, actor: Actor, action: str, **changes: object) -> ServerSettings:
    """Change some settings; ``action`` is what the audit log says about it."""
    owner = governed_by(actor)
    async with permissions.changing(app, actor) as connection:
        settings = replace(await servers.settings_of(connection, owner), **changes)  # type: ignore[arg-type]
        await servers.change_settings(connection, owner, actor.user_id, settings, action)
    return settings


async def change_numbers(app: App, actor: Actor, member: str, server: str, days: str) -> ServerSettings:
    """Change the limits and the retention, as they were typed. Raises InvalidNumberError."""
    numbers = {
        "max_per_member": _number(member, NumberField.MEMBER_LIMIT, 1000),
        "max_per_server": _number(server, NumberField.SERVER_LIMIT, 10_000),
        "retention_days": _number(days, NumberField.RETENTION_DAYS, 365),
    }
    words = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in numbers.items())
    return await change(app, actor, f"set {words}", **numbers)


async def change_quiet_hours(app: App, actor: Actor, begin: str, end: str) -> ServerSettings:
    """Change between which hours (UTC) the bot learns by itself, as they were typed. Raises InvalidNumberError."""
    quiet_from, quiet_to = _number(begin, NumberField.QUIET_FROM, 23), _number(end, NumberField.QUIET_TO, 23)
    action = f"set quiet hours from {quiet_from} to {quiet_to}"
    return await change(app, actor, action, quiet_from=quiet_from, quiet_to=quiet_to)


async def pause_learning(app: App, actor: Actor) -> None:
    """Learn no more from the server's memory till somebody resumes it; what goes on is stopped."""
    await change(app, actor, "paused learning", trains=False)
    async with viewing(app.pool, actor.viewer) as connection:
        await learning.stop(connection, governed_by(actor), StopReason.PAUSED)


async def resume_learning(app: App, actor: Actor) -> None:
    """Learn from the server's memory again."""
    await change(app, actor, "resumed learning", trains=True)


async def waiting(app: App, actor: Actor, limit: int) -> list[Waiting]:
    """Return what waits for an admin, the oldest first; that they look at it is in the audit log."""
    owner = governed_by(actor)
    async with permissions.looking(app, actor) as connection, deciding(connection):
        await servers.note(connection, owner, actor.user_id, "looked at what waits for approval")
        return [
            Waiting(proposal, tuple(await pictures.references(connection, proposal.concept)))
            for proposal in (await proposals.proposals_to(connection, owner))[:limit]
        ]


async def approve(app: App, actor: Actor, proposal: Proposal) -> None:
    """Take a proposal into the server's memory, as it was seen.

    Raises ProposalGoneError, ProposalChangedError, NameTakenError, ObjectedError.
    """
    owner = governed_by(actor)
    async with permissions.changing(app, actor) as connection:
        await sharing.approve(connection, owner, proposal.proposal_id, proposal.seen)
        await servers.note(connection, owner, actor.user_id, "approved a proposal", proposal.concept.concept_id)


async def decline(app: App, actor: Actor, proposal: Proposal) -> None:
    """Delete a proposal, as it was seen. Raises ProposalGoneError, ProposalChangedError."""
    owner = governed_by(actor)
    async with permissions.changing(app, actor) as connection:
        await sharing.decline(connection, owner, proposal.proposal_id, proposal.seen)
        await servers.note(connection, owner, actor.user_id, "declined a proposal")


async def purge_member(app: App, actor: Actor, user_id: int) -> int:
    """Delete what a member shared; returns how many concepts."""
    return await _purge(app, actor, "purged what one member shared", member=user_id)


async def purge_older(app: App, actor: Actor, days: str) -> int:
    """Delete what nobody changed or met for so many days; returns how many concepts. Raises InvalidNumberError."""
    number = _number(days, NumberField.AGE_DAYS, 36_500)
    before = datetime.now(UTC) - timedelta(days=number)
    return await _purge(app, actor, f"purged what is older than {number} days", before=before)


async def purge_all(app: App, actor: Actor) -> int:
    """Delete the whole memory of the server; returns how many concepts."""
    return await _purge(app, actor, "purged everything")


async def note_reading(app: App, actor: Actor, concept: Concept | None = None) -> None:
    """Write into the audit log that an admin reads what members shared: the memory, or one concept of others'."""
    if concept is not None and concept.created_by == actor.user_id:
        return
    action = "looked through the memory" if concept is None else "looked at"
    async with permissions.looking(app, actor) as connection:
        await servers.note(
            connection, governed_by(actor), actor.user_id, action, None if concept is None else concept.concept_id
        )


async def audit_page(app: App, actor: Actor, page: int, size: int) -> list[AuditEntry]:
    """Return a page of the audit log, the latest first."""
    async with permissions.looking(app, actor) as connection:
        return await servers.audit_log(connection, governed_by(actor), limit=size, offset=page * size)


async def audit_csv(app: App, actor: Actor) -> bytes:
    """Return the audit log as CSV (RFC 4180), the latest first."""
    owner = governed_by(actor)
    async with permissions.looking(app, actor) as connection:
        entries = await servers.audit_log(connection, owner, limit=LONGEST_EXPORT)
        await servers.note(connection, owner, actor.user_id, "exported this log")
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["at", "actor", "action", "subject"])
    writer.writerows(
        [entry.at.isoformat(), entry.pseudonym or entry.actor, entry.action, _harmless(entry.subject)]
        for entry in entries
    )
    return file.getvalue().encode("utf-8-sig")


async def note_departure(app: App, server_id: int) -> None:
    """Note that the bot was removed from a server: after a time of grace its memory goes."""
    async with viewing(app.pool, nobody_on(server_id)) as connection:
        await membership.mark_left(connection, server_owner(server_id))


async def note_return(app: App, server_id: int) -> None:
    """Note that the bot is back on a server: its memory stays."""
    async with viewing(app.pool, nobody_on(server_id)) as connection:
        await membership.mark_back(connection, server_owner(server_id))


def nobody_on(server_id: int) -> Viewer:
    """Return the viewer of a server's memory alone: for what the bot does there by itself."""
    return Viewer(0, server_id)


async def _purge(
    app: App, actor: Actor, action: str, *, member: int | None = None, before: datetime | None = None
) -> int:
    owner = governed_by(actor)
    async with permissions.changing(app, actor) as connection:
        gone = await purging.purge(connection, owner, member=member, before=before)
        await servers.note(connection, owner, actor.user_id, action)
    return gone


def _number(typed: str, field: NumberField, maximum: int) -> int:
    try:
        number = int(typed.strip())
    except ValueError:
        number = -1
    if not 0 <= number <= maximum:
        raise InvalidNumberError(field, maximum)
    return number


def _harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t"} else text
