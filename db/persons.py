"""People: what is a person (`keepsake_is_person` in the database says), and whether who acts may keep one."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import asyncpg

from db.errors import PeopleOffError, WordMissingError
from db.types import Viewer

SAID = "NOT (concept.is_person AND coalesce(current_setting('keepsake.people', true), '') = 'off')"
"""For a WHERE with a table ``concept``: who may be recalled. Where a host switched people off, they aren't."""

ARE_PEOPLE = """
    SELECT given.place - 1 AS place
      FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS given (linked_user, category, place)
     WHERE keepsake_is_person(given.linked_user, given.category)
     ORDER BY given.place
"""

ARE_OFF = "SELECT coalesce(current_setting('keepsake.people', true), '') = 'off'"

VOUCHED_AT = "SELECT vouched_at FROM person WHERE owner_id = $1"

VOUCH = """
    INSERT INTO person (owner_id, vouched_at) VALUES ($1, now())
    ON CONFLICT (owner_id) DO UPDATE SET vouched_at = coalesce(person.vouched_at, now()), changed_at = now()
"""


async def vouched_at(connection: asyncpg.Connection, viewer: Viewer) -> datetime | None:
    """Return when the viewer gave their word that the people they remember agree; None when they didn't."""
    given: datetime | None = await connection.fetchval(VOUCHED_AT, viewer.personal)
    return given


async def vouch(connection: asyncpg.Connection, viewer: Viewer) -> None:
    """Store that the viewer gave their word that the people they remember agree; the first time counts."""
    await connection.execute(VOUCH, viewer.personal)


async def people_among(
    connection: asyncpg.Connection, described: Collection[tuple[int | None, str]]
) -> tuple[int, ...]:
    """Return which of these are people, by their places; each is a linked account, if there is one, and a category."""
    linked = [linked_user for linked_user, _ in described]
    categories = [category for _, category in described]
    return tuple(row["place"] for row in await connection.fetch(ARE_PEOPLE, linked, categories))


async def check_may_keep(
    connection: asyncpg.Connection, viewer: Viewer, category: str, linked_user: int | None = None
) -> bool:
    """Check early what the table checks at the write; returns whether a concept is a person.

    Raises PeopleOffError where the host doesn't want people, WordMissingError before the viewer gave their word.
    """
    if not await people_among(connection, [(linked_user, category)]):
        return False
    await check_people_are_on(connection)
    if await vouched_at(connection, viewer) is None:
        raise WordMissingError
    return True


async def are_off(connection: asyncpg.Connection) -> bool:
    """Whether the host switched people off."""
    return bool(await connection.fetchval(ARE_OFF))


async def check_people_are_on(connection: asyncpg.Connection) -> None:
    """Check that the host lets people be remembered. Raises PeopleOffError."""
    if await are_off(connection):
        raise PeopleOffError
