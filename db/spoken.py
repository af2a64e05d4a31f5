"""Which of the bot's messages answers whom: ids of messages, never what was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from db.pool import as_caretaker, entering
from db.types import OwnerId, Viewer

KEPT_FOR = timedelta(days=30)

NOTE = """
    INSERT INTO spoken (owner_id, message_id, first_id, channel_id, question_id, answer_id, concept_ids, about,
                        server_owner_id, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + $10)
    ON CONFLICT (owner_id, message_id) DO UPDATE
       SET answer_id = excluded.answer_id, concept_ids = excluded.concept_ids, about = excluded.about
"""

FIND = """
    SELECT owner_id, message_id, first_id, channel_id, question_id, answer_id, concept_ids, about
      FROM spoken
     WHERE owner_id = $1 AND message_id = $2 AND expires_at > now()
"""

LINK = """
    UPDATE spoken SET answer_id = $3, concept_ids = $4, about = $5 WHERE owner_id = $1 AND first_id = $2
    RETURNING message_id
"""

PARTS = """
    SELECT owner_id, message_id, first_id, channel_id, question_id, answer_id, concept_ids, about
      FROM spoken
     WHERE owner_id = $1 AND ($2::bigint IS NULL OR first_id = $2)
     ORDER BY message_id
"""

ANSWERING = """
    SELECT owner_id, message_id, first_id, channel_id, question_id, answer_id, concept_ids, about
      FROM spoken
     WHERE question_id = ANY ($1::bigint[])
     ORDER BY message_id
"""

DELETE = "DELETE FROM spoken WHERE owner_id = $1 AND message_id = ANY ($2::bigint[])"

WITHDRAW_ABOUT = """
    DELETE FROM spoken
     WHERE server_owner_id = $1
       AND about && (SELECT array_agg(concept_id) FROM concept
                      WHERE owner_id = $1 AND $2 IN (created_by, linked_user))
    RETURNING owner_id, message_id, first_id, channel_id, question_id, answer_id, concept_ids, about
"""

DELETE_ANSWERS = "DELETE FROM answer WHERE owner_id = $1 AND answer_id = ANY ($2::uuid[])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One message of the bot's: to whom, where, what it answers, and what is kept for it.

    ``first_id`` is the first message of the same answer; ``concept_ids`` are private concepts of the owner's that it
    was about, of which they alone may be told more, ``about`` the shared ones.
    """

    owner_id: OwnerId
    message_id: int
    first_id: int
    channel_id: int
    question_id: int | None = None
    answer_id: UUID | None = None
    concept_ids: tuple[UUID, ...] = ()
    about: tuple[UUID, ...] = ()


async def note(connection: asyncpg.Connection, viewer: Viewer, messages: Sequence[Spoken]) -> None:
    """Note messages that answer the viewer; noting one again says what is kept for it."""
    for spoken in messages:
        await connection.execute(
            NOTE,
            viewer.personal,
            spoken.message_id,
            spoken.first_id,
            spoken.channel_id,
            spoken.question_id,
            spoken.answer_id,
            list(spoken.concept_ids),
            list(spoken.about),
            viewer.server_memory,
            KEPT_FOR,
        )


async def link(
    connection: asyncpg.Connection,
    viewer: Viewer,
    first_id: int,
    *,
    answer_id: UUID | None,
    concept_ids: Sequence[UUID],
    about: Sequence[UUID],
) -> bool:
    """Note what an answer to the viewer is about, once that is known; False if its first message was taken back."""
    rows = await connection.fetch(LINK, viewer.personal, first_id, answer_id, list(concept_ids), list(about))
    return first_id in {row["message_id"] for row in rows}


async def find(connection: asyncpg.Connection, viewer: Viewer, message_id: int) -> Spoken | None:
    """Return a message of the bot's that answers the viewer; None when it answers somebody else, or is too old."""
    row = await connection.fetchrow(FIND, viewer.personal, message_id)
    return None if row is None else _spoken_from(row)


async def parts(connection: asyncpg.Connection, viewer: Viewer, first_id: int | None = None) -> list[Spoken]:
    """Return all messages of one answer to the viewer, or all that answer them."""
    return [_spoken_from(row) for row in await connection.fetch(PARTS, viewer.personal, first_id)]


async def answering(connection: asyncpg.Connection, question_ids: Sequence[int]) -> list[Spoken]:
    """Return the messages that answer these, whoever asked: Discord doesn't say whose a deleted message was."""
    async with as_caretaker(connection):
        return [_spoken_from(row) for row in await connection.fetch(ANSWERING, list(question_ids))]


async def withdraw_about(connection: asyncpg.Connection, server: OwnerId, user_id: int) -> list[Spoken]:
    """Forget which messages told anybody on a server about what a user shared there, or is; returns them."""
    async with entering(connection, server), as_caretaker(connection):
        return [_spoken_from(row) for row in await connection.fetch(WITHDRAW_ABOUT, server, user_id)]


async def forget(connection: asyncpg.Connection, viewer: Viewer, messages: Sequence[Spoken]) -> None:
    """Forget messages that answered the viewer, with the answers' pictures that are kept."""
    await connection.execute(DELETE, viewer.personal, [spoken.message_id for spoken in messages])
    await forget_answers(connection, viewer, [spoken.answer_id for spoken in messages if spoken.answer_id is not None])


async def forget_answers(connection: asyncpg.Connection, viewer: Viewer, answer_ids: Sequence[UUID]) -> None:
    """Forget pictures that are kept for answers to the viewer."""
    await connection.execute(DELETE_ANSWERS, viewer.personal, list(answer_ids))


def _spoken_from(row: asyncpg.Record) -> Spoken:
    return Spoken(
        owner_id=OwnerId(row["owner_id"]),
        message_id=row["message_id"],
        first_id=row["first_id"],
        channel_id=row["channel_id"],
        question_id=row["question_id"],
        answer_id=row["answer_id"],
        concept_ids=tuple(row["concept_ids"]),
        about=tuple(row["about"]),
    )
