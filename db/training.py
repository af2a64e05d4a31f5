"""Training on a memory: what may be used, whether there is something new, and how each run went.

What may be used is what people who consented put there: a concept of theirs with pictures and notes of theirs, and in
a user's own memory nobody's but the user's. A picture from a message is never used, whoever wrote it and whoever allows
it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg

from db.consent import consenting
from db.membership import contributors
from db.persons import SAID
from db.pictures import REFERENCE_COLUMNS, REFERENCES_WITH_PICTURES, reference_from
from db.pool import as_caretaker, without_viewer
from db.types import OwnerId, Reference

RUNS_KEPT = 20
LONGEST_PROBLEM = 1000

STOP_OLDER_RUNS = """
    UPDATE training_run
       SET state = 'stopped', changed_at = clock_timestamp(), finished_at = clock_timestamp()
     WHERE owner_id = $1 AND state = 'running'
"""

INSERT_RUN = "INSERT INTO training_run (owner_id, pack) VALUES ($1, $2) RETURNING run_id"

DELETE_OLD_RUNS = """
    DELETE FROM training_run
     WHERE owner_id = $1
       AND run_id IN (SELECT run_id FROM training_run WHERE owner_id = $1 ORDER BY started_at DESC OFFSET $2)
"""

NOTE_PROGRESS = """
    UPDATE training_run
       SET phase = $3, step = $4, steps = $5, changed_at = clock_timestamp()
     WHERE owner_id = $1 AND run_id = $2 AND state = 'running'
"""

# A report names what was trained on: when some of that was taken away meanwhile, it isn't kept.
FINISH_RUN = """
    UPDATE training_run
       SET state = $3, report = CASE WHEN withdrawn_at IS NULL THEN $4::jsonb END, problem = $5,
           changed_at = clock_timestamp(), finished_at = clock_timestamp()
     WHERE owner_id = $1 AND run_id = $2 AND state = 'running'
"""

LATEST_RUN = """
    SELECT run_id, pack, state, phase, step, steps, started_at, changed_at, finished_at, problem, report,
           withdrawn_at
      FROM training_run
     WHERE owner_id = $1
     ORDER BY started_at DESC
     LIMIT 1
"""

LIST_REFERENCES = f"""
    SELECT {REFERENCE_COLUMNS}
      FROM {REFERENCES_WITH_PICTURES}
     WHERE reference.owner_id = $1
       AND concept.created_by = ANY ($2::bigint[]) AND reference.created_by = ANY ($2::bigint[])
       AND reference.origin = 'upload'
     ORDER BY reference.created_at, reference.reference_id
"""  # noqa: S608 (made of constants)

LIST_NOTES = """
    SELECT concept_id, note_id, text, author
      FROM note
     WHERE owner_id = $1 AND author = ANY ($2::bigint[])
     ORDER BY place, note_id
"""

# Corrections of a shared concept are the members' own: here only a user's about their own concepts count.
LIST_CONCEPTS = f"""
    SELECT concept.concept_id, concept.name, concept.category, concept.created_by,
           count(correction.correction_id) FILTER (WHERE correction.verdict = 'right') AS "right",
           count(correction.correction_id) FILTER (WHERE correction.verdict = 'incorrect') AS incorrect
      FROM concept
      LEFT JOIN correction ON correction.owner_id = concept.owner_id
                          AND correction.concept_owner_id = concept.owner_id
                          AND correction.concept_id = concept.concept_id
     WHERE concept.owner_id = $1 AND concept.created_by = ANY ($2::bigint[]) AND {SAID}
     GROUP BY concept.owner_id, concept.concept_id
     ORDER BY concept.created_at, concept.concept_id
"""  # noqa: S608 (made of constants)

# A run that something was taken away from counts as never been: what is left has to be learned anew.
COUNT_CHANGES = f"""
    WITH last_run AS (
        SELECT coalesce(max(started_at), '-infinity') AS began
          FROM training_run
         WHERE owner_id = $1 AND state IN ('promoted', 'refused') AND withdrawn_at IS NULL
    ), usable AS (
        SELECT concept.owner_id, concept.concept_id, concept.updated_at
          FROM concept
         WHERE concept.owner_id = $1 AND concept.created_by = ANY ($2::bigint[]) AND {SAID}
           AND EXISTS (SELECT FROM reference
                        WHERE reference.owner_id = concept.owner_id
                          AND reference.concept_id = concept.concept_id
                          AND reference.created_by = ANY ($2::bigint[]) AND reference.origin = 'upload')
    )
    SELECT (SELECT count(*) FROM usable WHERE updated_at > began) AS concepts,
           (SELECT count(*)
              FROM reference
              JOIN usable ON usable.owner_id = reference.owner_id AND usable.concept_id = reference.concept_id
             WHERE reference.created_by = ANY ($2::bigint[]) AND reference.origin = 'upload'
               AND reference.created_at > began) AS "references",
           (SELECT count(*)
              FROM correction
              JOIN usable ON usable.owner_id = correction.concept_owner_id
                         AND usable.concept_id = correction.concept_id
             WHERE correction.owner_id = $1 AND correction.created_at > began) AS corrections,
           (SELECT count(*) FROM usable) AS total,
           nullif(began, '-infinity') AS last_run
      FROM last_run
"""  # noqa: S608 (made of constants)

OWNERS_TO_TRAIN = """
    SELECT owner_id FROM person WHERE may_train
    UNION ALL
    SELECT owner_id FROM server WHERE trains AND left_at IS NULL
    ORDER BY owner_id
"""


class RunState(StrEnum):
    """How a training run stands, or ended: refused is what didn't pass the gate, stopped what wasn't finished."""

    RUNNING = "running"
    PROMOTED = "promoted"
    REFUSED = "refused"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """One training of an owner's adapter.

    ``withdrawn_at`` is when something that it may have been trained on was taken away, and its report with it.
    """

    run_id: UUID
    pack: str
    state: RunState
    phase: str
    step: int
    steps: int
    started_at: datetime
    changed_at: datetime
    finished_at: datetime | None
    problem: str
    report: Mapping[str, object] | None
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialConcept:
    """One concept to train on, with the notes of people who consented; ``note_ids`` and ``authors`` are theirs.

    ``right`` and ``incorrect`` count what its owner said about recognitions of it.
    """

    concept_id: UUID
    name: str
    info: str
    category: str
    created_by: int
    references: tuple[Reference, ...]
    right: int
    incorrect: int
    note_ids: tuple[UUID, ...]
    authors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """All that an owner's adapter may be trained on, and whose it is."""

    concepts: tuple[MaterialConcept, ...]
    saw_users: tuple[int, ...]

    @property
    def saw(self) -> tuple[UUID, ...]:
        """The ids of the concepts, and of their notes and references."""
        return tuple(
            known_id
            for concept in self.concepts
            for known_id in (
                concept.concept_id,
                *concept.note_ids,
                *(reference.reference_id for reference in concept.references),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is new since the last run that came to an end, of what may be trained on; ``total`` counts all concepts.

    ``last_run`` is when that run began; None, and everything is new, when there was none.
    """

    concepts: int
    references: int
    corrections: int
    total: int
    last_run: datetime | None


async def start_run(connection: asyncpg.Connection, owner: OwnerId, pack: str) -> UUID:
    """Note that a run begins; returns its id. One that still says it's running is stopped: its process is gone."""
    async with connection.transaction():
        await connection.execute(STOP_OLDER_RUNS, owner)
        run_id: UUID = await connection.fetchval(INSERT_RUN, owner, pack)
        await connection.execute(DELETE_OLD_RUNS, owner, RUNS_KEPT)
    return run_id


async def note_progress(
    connection: asyncpg.Connection, owner: OwnerId, run_id: UUID, phase: str, step: int, steps: int
) -> bool:
    """Note how far a run is (``steps`` 0: nobody knows of how many); False when it was stopped or deleted meanwhile."""
    return bool(await connection.execute(NOTE_PROGRESS, owner, run_id, phase, step, steps) != "UPDATE 0")


async def finish_run(
    connection: asyncpg.Connection,
    owner: OwnerId,
    run_id: UUID,
    state: RunState,
    report: Mapping[str, object] | None = None,
    problem: str = "",
) -> None:
    """Note how a run ended; of one that was stopped or deleted meanwhile, nothing. Raises ValueError on a NaN."""
    written = None if report is None else json.dumps(report, allow_nan=False)
    storable = problem.encode("utf-8", "ignore").decode().replace("\x00", "")[:LONGEST_PROBLEM]
    await connection.execute(FINISH_RUN, owner, run_id, state.value, written, storable)


async def latest_run(connection: asyncpg.Connection, owner: OwnerId) -> TrainingRun | None:
    """Return the run that began last, None when there was none."""
    row = await connection.fetchrow(LATEST_RUN, owner)
    if row is None:
        return None
    columns = dict(row)
    columns["state"] = RunState(row["state"])
    columns["report"] = None if row["report"] is None else json.loads(row["report"])
    return TrainingRun(**columns)


async def material_of(connection: asyncpg.Connection, owner: OwnerId) -> Material:
    """Return what an owner's adapter may be trained on: what people who consent put there, the oldest first."""
    users = await _usable_contributors(connection, owner)
    pictures: dict[UUID, list[Reference]] = {}
    for row in await connection.fetch(LIST_REFERENCES, owner, users):
        pictures.setdefault(row["concept_id"], []).append(reference_from(row))
    said: dict[UUID, list[asyncpg.Record]] = {}
    for row in await connection.fetch(LIST_NOTES, owner, users):
        said.setdefault(row["concept_id"], []).append(row)
    rows = await connection.fetch(LIST_CONCEPTS, owner, users)
    found = tuple(
        _concept_from(row, pictures[row["concept_id"]], said.get(row["concept_id"], []))
        for row in rows
        if row["concept_id"] in pictures
    )
    whose = {concept.created_by for concept in found}
    whose |= {author for concept in found for author in concept.authors}
    whose |= {reference.created_by for concept in found for reference in concept.references}
    return Material(found, tuple(sorted(whose)))


async def changes_since_last_run(connection: asyncpg.Connection, owner: OwnerId) -> Changes:
    """Return what is new since the last run that was promoted or refused, of what may be trained on."""
    users = await _usable_contributors(connection, owner)
    return Changes(**dict(await connection.fetchrow(COUNT_CHANGES, owner, users)))


async def consenting_owners(pool: asyncpg.Pool) -> list[OwnerId]:
    """Return the users who consent, and the servers that train, without any of what is theirs.

    Raises DatabaseUnavailableError.
    """
    async with without_viewer(pool) as connection, as_caretaker(connection):
        rows = await connection.fetch(OWNERS_TO_TRAIN)
    return [OwnerId(row["owner_id"]) for row in rows]


async def _usable_contributors(connection: asyncpg.Connection, owner: OwnerId) -> list[int]:
    """Return whose data may be used of those who put something into a memory."""
    kind, _, number = owner.partition(":")
    there = [int(number)] if kind == "user" else await contributors(connection, owner)
    return sorted(await consenting(connection, there))


def _concept_from(
    row: asyncpg.Record, references: Sequence[Reference], said: Sequence[asyncpg.Record]
) -> MaterialConcept:
    return MaterialConcept(
        concept_id=row["concept_id"],
        name=row["name"],
        info="\n".join(note["text"] for note in said),
        category=row["category"],
        created_by=row["created_by"],
        references=tuple(references),
        right=row["right"],
        incorrect=row["incorrect"],
        note_ids=tuple(note["note_id"] for note in said),
        authors=tuple(note["author"] for note in said),
    )
