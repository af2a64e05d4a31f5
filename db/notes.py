"""Notes: what is known of a concept, who said it, and when.

A concept's info is its notes, one below the other. Who changes the info changes their own notes: a line that stays
belongs to whoever said it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import SequenceMatcher
from itertools import groupby
from uuid import UUID, uuid4

import asyncpg

from db.types import NO_CHANNEL, Channel, Concept, OwnerId

LIST_NOTES = """
    SELECT note_id, text, author, said_at, meant_at, said_server, said_channel
      FROM note
     WHERE owner_id = $1 AND concept_id = $2
     ORDER BY place, note_id
"""

LIST_NOTES_OF_SEVERAL = """
    SELECT concept_id, note_id, text, author, said_at, meant_at, said_server, said_channel
      FROM note
      JOIN unnest($1::text[], $2::uuid[]) AS wanted (owner_id, concept_id) USING (owner_id, concept_id)
     ORDER BY place, note_id
"""

# One statement, so that the concept's info changes once.
STORE_NOTES = """
    WITH gone AS (
        DELETE FROM note WHERE owner_id = $1 AND concept_id = $2 AND note_id <> ALL ($3::uuid[])
    )
    INSERT INTO note (owner_id, concept_id, note_id, place, text, author, said_at, meant_at, said_server, said_channel)
    SELECT $1, $2, given.*
      FROM unnest($3::uuid[], $4::integer[], $5::text[], $6::bigint[], $7::timestamptz[], $8::timestamptz[],
                  $9::bigint[], $10::bigint[]) AS given
    ON CONFLICT (owner_id, note_id) DO UPDATE
       SET place = excluded.place, text = excluded.text, said_at = excluded.said_at
     WHERE (note.place, note.text) IS DISTINCT FROM (excluded.place, excluded.text)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that is known of a concept: who said it, when and where.

    ``meant_at`` is when it is about, where that is another time.
    """

    note_id: UUID
    text: str
    author: int
    said_at: datetime
    meant_at: datetime | None = None
    said: Channel = NO_CHANNEL


def new_note(text: str, author: int, said: Channel = NO_CHANNEL, said_at: datetime | None = None) -> Note:
    """Return a note that is said now, or was at some time."""
    return Note(note_id=uuid4(), text=text, author=author, said_at=said_at or datetime.now(UTC), said=said)


def joined(notes: Sequence[Note]) -> str:
    """Return what all notes say: a concept's info."""
    return "\n".join(note.text for note in notes)


def revised(notes: Sequence[Note], info: str, editor: Note, *, may_remove: bool) -> list[Note]:
    """Return the notes as they are when somebody makes ``info`` of them: what is new is theirs.

    ``editor`` is an empty note of theirs. Lines that stay are still said by whoever said them. Lines of others that
    are missing go only if the editor ``may_remove`` them.
    """
    old = [(number, line) for number, note in enumerate(notes) for line in note.text.split("\n")]
    kept = {number for number, note in enumerate(notes) if not may_remove and note.author != editor.author}
    lines = list(_compared(old, info.split("\n"), kept))
    made: list[Note] = []
    used: set[int] = set()
    for number, group in groupby(lines, key=lambda line: line[0]):
        text = "\n".join(line for _, line in group)
        if not text.strip():
            continue
        note = editor if number is None else notes[number]
        is_first = number is not None and number not in used
        made.append(replace(note, note_id=note.note_id if is_first else uuid4(), text=text))
        used |= set() if number is None else {number}
    return _with_former_ids(made, [note for number, note in enumerate(notes) if number not in used], editor)


def _compared(old: Sequence[tuple[int, str]], new: Sequence[str], kept: set[int]) -> Iterator[tuple[int | None, str]]:
    """Yield the lines as they are to be, each with the number of the note that it is from; None is a new one."""
    before = [line for _, line in old]
    for kind, start, end, new_start, new_end in SequenceMatcher(None, before, new, autojunk=False).get_opcodes():
        for number, line in old[start:end]:
            if kind == "equal" or number in kept:
                yield number, line
        if kind != "equal":
            for line in new[new_start:new_end]:
                yield None, line


def _with_former_ids(made: Sequence[Note], gone: Sequence[Note], editor: Note) -> list[Note]:
    """Return the notes, those that the editor said anew in place of their own under the ids of these."""
    former = [note.note_id for note in gone if note.author == editor.author]
    return [
        replace(note, note_id=former.pop(0)) if former and note.said_at is editor.said_at else note for note in made
    ]


async def notes_of(connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID) -> list[Note]:
    """Return a concept's notes in their order."""
    return [_note_from(row) for row in await connection.fetch(LIST_NOTES, owner_id, concept_id)]


async def notes_of_several(connection: asyncpg.Connection, concepts: Sequence[Concept]) -> dict[UUID, list[Note]]:
    """Return the notes of concepts, by the concept, in their order; of two with one id, those of the first."""
    if not concepts:
        return {}
    by_id = {concept.concept_id: concept for concept in reversed(concepts)}
    rows = await connection.fetch(LIST_NOTES_OF_SEVERAL, [item.owner_id for item in by_id.values()], list(by_id))
    return {concept_id: [_note_from(row) for row in rows if row["concept_id"] == concept_id] for concept_id in by_id}


async def store(connection: asyncpg.Connection, owner_id: OwnerId, concept_id: UUID, notes: Sequence[Note]) -> None:
    """Make these a concept's notes; its others go. The caller holds the lock of the owner's memory."""
    await connection.execute(
        STORE_NOTES,
        owner_id,
        concept_id,
        [note.note_id for note in notes],
        list(range(len(notes))),
        [note.text for note in notes],
        [note.author for note in notes],
        [note.said_at for note in notes],
        [note.meant_at for note in notes],
        [note.said.server_id for note in notes],
        [note.said.channel_id for note in notes],
    )


def _note_from(row: asyncpg.Record) -> Note:
    return Note(
        note_id=row["note_id"],
        text=row["text"],
        author=row["author"],
        said_at=row["said_at"],
        meant_at=row["meant_at"],
        said=Channel(row["said_server"], row["said_channel"]),
    )
