"""How the admins of a server govern its memory. Whoever may use the command may do this: Discord decides who."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from bot.errors import InvalidNumberError, NoServerError, NumberField
from bot.service import learning
from bot.service.permissions import Actor
from bot.service.reports import Learning, StopReason
from db import concepts, servers, trash
from db.pool import viewing
from db.types import AuditEntry, Concept, OwnerId, ServerSettings, SetAside, Viewer

LONGEST_EXPORT = 100_000
"""Lines of an audit log."""


@dataclass(frozen=True, slots=True)
class ServerCard:
    """A server's memory at a glance."""

    settings: ServerSettings
    concepts: int
    proposals: tuple[SetAside, ...]
    learning: Learning


async def overview(pool: asyncpg.Pool, who: Actor) -> ServerCard:
    """Return how the server's memory is governed."""
    owner = owner_of(who)
    async with viewing(pool, who.viewer) as connection:
        return ServerCard(
            await servers.settings_of(connection, owner),
            await concepts.count(connection, owner),
            tuple(await trash.proposals(connection, owner)),
            await learning.learning_of(connection, owner),
        )


async def settings_of(pool: asyncpg.Pool, who: Actor) -> ServerSettings:
    """Return the settings of the server that the person is on; the defaults elsewhere."""
    if who.viewer.server_memory is None:
        return ServerSettings()
    async with viewing(pool, who.viewer) as connection:
        return await servers.settings_of(connection, who.viewer.server_memory)


async def change(pool: asyncpg.Pool, who: Actor, action: str, **changes: object) -> ServerSettings:
    """Change some settings; ``action`` is what the audit log says about it."""
    owner = owner_of(who)
    async with viewing(pool, who.viewer) as connection:
        settings = replace(await servers.settings_of(connection, owner), **changes)  # type: ignore[arg-type]
        await servers.change_settings(connection, owner, who.user_id, settings, action)
    return settings


async def change_numbers(pool: asyncpg.Pool, who: Actor, member: str, server: str, days: str) -> ServerSettings:
    """Change the limits and the retention, as they were typed. Raises InvalidNumberError."""
    numbers = {
        "max_per_member": _number(member, NumberField.MEMBER_LIMIT, 1000),
        "max_per_server": _number(server, NumberField.SERVER_LIMIT, 10_000),
        "retention_days": _number(days, NumberField.RETENTION_DAYS, 365),
    }
    words = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in numbers.items())
    return await change(pool, who, f"set {words}", **numbers)


async def change_quiet_hours(pool: asyncpg.Pool, who: Actor, begin: str, end: str) -> ServerSettings:
    """Change between which hours (UTC) the bot learns by itself, as they were typed. Raises InvalidNumberError."""
    quiet_from, quiet_to = _number(begin, NumberField.QUIET_FROM, 23), _number(end, NumberField.QUIET_TO, 23)
    action = f"set quiet hours from {quiet_from} to {quiet_to}"
    return await change(pool, who, action, quiet_from=quiet_from, quiet_to=quiet_to)


async def pause_learning(pool: asyncpg.Pool, who: Actor) -> None:
    """Learn no more from the server's memory till somebody resumes it; what goes on is stopped."""
    await change(pool, who, "paused learning", trains=False)
    async with viewing(pool, who.viewer) as connection:
        await learning.stop(connection, owner_of(who), StopReason.PAUSED)


async def resume_learning(pool: asyncpg.Pool, who: Actor) -> None:
    """Learn from the server's memory again."""
    await change(pool, who, "resumed learning", trains=True)


async def approve(pool: asyncpg.Pool, who: Actor, set_aside_id: UUID) -> Concept:
    """Take a proposal into the server's memory. Raises NotRememberedError, NameTakenError, ObjectedError."""
    async with viewing(pool, who.viewer) as connection:
        return await trash.approve(connection, owner_of(who), set_aside_id)


async def decline(pool: asyncpg.Pool, who: Actor, set_aside_id: UUID) -> str:
    """Delete a proposal; returns its name. Raises NotRememberedError."""
    owner = owner_of(who)
    async with viewing(pool, who.viewer) as connection:
        name = await trash.decline(connection, owner, set_aside_id)
        await servers.note(connection, owner, who.user_id, "declined a proposal")
        return name


async def purge_member(pool: asyncpg.Pool, who: Actor, user_id: int) -> int:
    """Delete what a member shared; returns how many concepts."""
    return await _purge(pool, who, "purged what one member shared", member=user_id)


async def purge_older(pool: asyncpg.Pool, who: Actor, days: str) -> int:
    """Delete what nobody changed or met for so many days; returns how many concepts. Raises InvalidNumberError."""
    number = _number(days, NumberField.AGE_DAYS, 36_500)
    before = datetime.now(UTC) - timedelta(days=number)
    return await _purge(pool, who, f"purged what is older than {number} days", before=before)


async def purge_all(pool: asyncpg.Pool, who: Actor) -> int:
    """Delete the whole memory of the server; returns how many concepts."""
    return await _purge(pool, who, "purged everything")


async def audit_page(pool: asyncpg.Pool, who: Actor, page: int, size: int) -> list[AuditEntry]:
    """Return a page of the audit log, the latest first."""
    async with viewing(pool, who.viewer) as connection:
        return await servers.audit_log(connection, owner_of(who), limit=size, offset=page * size)


async def audit_csv(pool: asyncpg.Pool, who: Actor) -> bytes:
    """Return the audit log as CSV (RFC 4180), the latest first."""
    async with viewing(pool, who.viewer) as connection:
        entries = await servers.audit_log(connection, owner_of(who), limit=LONGEST_EXPORT)
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["at", "actor", "action", "subject"])
    writer.writerows([entry.at.isoformat(), entry.actor, entry.action, _harmless(entry.subject)] for entry in entries)
    return file.getvalue().encode("utf-8-sig")


def owner_of(who: Actor) -> OwnerId:
    """Return the memory of the server that a person is on. Raises NotAllowedError elsewhere."""
    if who.viewer.server_memory is None:
        raise NoServerError
    return who.viewer.server_memory


def nobody_on(server_id: int) -> Viewer:
    """Return the viewer of a server's memory alone: for what the bot does there by itself."""
    return Viewer(0, server_id)


async def _purge(
    pool: asyncpg.Pool, who: Actor, action: str, *, member: int | None = None, before: datetime | None = None
) -> int:
    owner = owner_of(who)
    async with viewing(pool, who.viewer) as connection:
        gone = await servers.purge(connection, owner, member=member, before=before)
        await servers.note(connection, owner, who.user_id, action)
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
