"""What the leak test knows: whose memory has what, how a secret is marked, and how to act as somebody."""

from __future__ import annotations

import asyncio
import copy
import functools
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import asyncpg
import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine
from psycopg import sql

from db import concepts
from db.errors import UserFacingError
from db.names import name_key
from db.pool import open_pool, viewing
from db.roles import app_url
from db.types import Calibration, Concept, OwnerId, Vector, Viewer, server_owner, user_owner
from tests.support.memory import PACK
from tests.support.tables import OWNED_TABLES

# As long as real ones: nothing random (a hash, an id) has such a number in it.
USERS = (900000000009001, 900000000009002, 900000000009003, 900000000009004)
SERVERS = (700000000007001, 700000000007002, 700000000007003)
EVERYBODY = (*(user_owner(number) for number in USERS), *(server_owner(number) for number in SERVERS))
CALIBRATION = Calibration(embedding_id=PACK, slope=20.0, offset=-10.0, threshold=0.5)
MARKER = re.compile(r"secret-of-([a-z]+)-(\d+)")

TABLES = f"""
    SELECT attrelid::regclass::text, array_agg(attname::text ORDER BY attnum)
      FROM pg_attribute
     WHERE attrelid::regclass::text IN ({OWNED_TABLES}) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
     GROUP BY attrelid
"""
"""Every table that isn't about the schema, and its columns that aren't computed."""

PROTECTED_TABLES = """
    SELECT relname, EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'owner_id')
      FROM pg_class
     WHERE relrowsecurity AND relnamespace = 'public'::regnamespace
     ORDER BY relname
"""
"""Every table with row-level security, and whether its rows have an owner."""

viewers = st.builds(Viewer, st.sampled_from(USERS), st.sampled_from((None, *SERVERS)))
Result = TypeVar("Result")
Drawn = ParamSpec("Drawn")
Act = Callable[[asyncpg.Connection], Coroutine[Any, Any, Result]]


WHOSE = {"proposal": "ARRAY[owner_id::text, concept_owner_id::text]"}
"""Whose a row is, where it isn't one owner's: a proposal is the server's, and that of who made it."""


def whose(table: str) -> str:
    """Return whose the rows of a table are, in SQL."""
    return WHOSE.get(table, "ARRAY[owner_id::text]")


class Leak(AssertionError):  # noqa: N818 (it is what the test is named after)
    """Somebody got, or changed, what isn't theirs. Only the checks for that raise it, nothing else does."""


def secret(owner: OwnerId) -> str:
    """Return the marker of whatever belongs to an owner."""
    return f"secret-of-{owner.replace(':', '-')}"


def secret_of_proposal(number: int) -> str:
    """Return the marker of what is proposed: who made it may read it, and who is on that server and governs."""
    return f"secret-of-proposal-{number}"


def hold(is_kept: bool, what: str) -> None:
    """Raise Leak, saying what came to light, unless the secret is kept."""
    if not is_kept:
        raise Leak(what)


def counted(act: Callable[Concatenate[Any, Drawn], None]) -> Callable[Concatenate[Any, Drawn], None]:
    """Count a rule by its name whenever it did something: a rule that always returns at once tests nothing."""

    @functools.wraps(act)
    def counting(machine: Any, *given: Drawn.args, **drawn: Drawn.kwargs) -> None:
        before = machine.operations
        act(machine, *given, **drawn)
        machine.counts[act.__name__] += machine.operations > before

    return counting


@dataclass(slots=True, kw_only=True)
class Known:
    """A concept as the model knows it."""

    concept_id: UUID
    name: str
    info: str
    category: str
    created_by: int
    vectors: list[Vector]
    linked_user: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What was forgotten and can be undone; ``by`` is who forgot it."""

    owner: OwnerId
    by: int
    known: Known

    def names(self, user_id: int) -> bool:
        """Whether it is of that user in any way."""
        return user_id in {self.by, self.known.created_by, self.known.linked_user}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """What a user proposed to a server, and the number of the marker that it has from then on."""

    server: OwnerId
    proposal_id: UUID
    by: int
    known: Known
    number: int


@dataclass(slots=True)
class World:
    """The model: whose memory has what, and every id that a thief could have got hold of."""

    memories: dict[OwnerId, dict[UUID, Known]] = field(default_factory=dict)
    objecting: set[int] = field(default_factory=set)
    undoable: list[Aside] = field(default_factory=list)
    proposed: list[Proposed] = field(default_factory=list)
    proposals: dict[int, tuple[int, set[OwnerId]]] = field(default_factory=dict)
    """By their number who proposed each concept, and the servers that know of it by that."""
    embeddings: list[Vector] = field(default_factory=list)
    loot: dict[tuple[str, OwnerId], Any] = field(default_factory=dict)
    edits: int = 0

    def of(self, owner: OwnerId) -> dict[UUID, Known]:
        return self.memories.setdefault(owner, {})

    def seen_by(self, viewer: Viewer) -> list[Known]:
        return [known for owner in concepts.owners(viewer) for known in self.of(owner).values()]

    def taken(self, owner: OwnerId, name: str) -> bool:
        return any(name_key(known.name) == name_key(name) for known in self.of(owner).values())

    def shared(self) -> list[Known]:
        """Return what is in the servers' memories."""
        return [known for owner, memory in self.memories.items() if is_server(owner) for known in memory.values()]

    def forget_shared(self, servers: list[OwnerId], is_gone: Callable[[Known], bool]) -> None:
        for owner in servers:
            for known in list(self.of(owner).values()):
                if is_gone(known):
                    del self.of(owner)[known.concept_id]

    def drop_aside(self, is_gone: Callable[[Aside], bool]) -> None:
        self.undoable = [aside for aside in self.undoable if not is_gone(aside)]

    def waiting(self) -> list[Proposed]:
        """Return what is proposed and undecided: what isn't where it was any more is no longer proposed."""
        self.proposed = [item for item in self.proposed if item.known.concept_id in self.of(user_owner(item.by))]
        return self.proposed

    def drop_proposed(self, is_gone: Callable[[Proposed], bool]) -> None:
        self.proposed = [item for item in self.proposed if not is_gone(item)]


def is_server(owner: OwnerId) -> bool:
    return owner.startswith("server:")


@dataclass(slots=True, kw_only=True, repr=False)
class Access:
    """Both ways into one database: the app's pool with the loop it lives in, and the administrator's connection."""

    runner: asyncio.Runner
    pool: asyncpg.Pool
    administrator: psycopg.Connection
    tables: Mapping[str, Sequence[str]]
    """All tables, and the columns of each that are written."""
    protected: Mapping[str, bool]
    """The tables with row-level security, and whether their rows have an owner."""
    start: World | None = None
    """What the model knew when the database was put by, to begin from again."""

    @property
    def owned_tables(self) -> list[str]:
        return [table for table, has_owner in self.protected.items() if has_owner]

    def put_by(self, world: World) -> None:
        """Keep all rows, and the model of them, as where to begin from: making them anew takes a second each time."""
        for table in self.tables:
            kept, source = sql.Identifier(f"kept_{table}"), sql.Identifier(table)
            self.administrator.execute(sql.SQL("CREATE TEMPORARY TABLE {} AS TABLE {}").format(kept, source))
        self.start = copy.deepcopy(world)

    def begin_again(self) -> World:
        """Empty the database, and fill it with what was put by, if anything was; returns the model of that."""
        with self.administrator.transaction():
            self.administrator.execute("SET LOCAL session_replication_role = replica")  # no triggers, in any order
            for table in self.tables:
                self.administrator.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            if self.start is not None:
                self._fill()
        return World() if self.start is None else copy.deepcopy(self.start)

    def _fill(self) -> None:
        fill = sql.SQL("INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {kept}")
        for table, names in self.tables.items():
            columns = sql.SQL(", ").join(map(sql.Identifier, names))
            kept = sql.Identifier(f"kept_{table}")
            self.administrator.execute(fill.format(table=sql.Identifier(table), columns=columns, kept=kept))


@contextmanager
def access_to(database_url: str) -> Iterator[Access]:
    """Open both ways into a migrated database."""
    with asyncio.Runner() as runner, psycopg.connect(database_url, autocommit=True) as administrator:
        pool = runner.run(open_pool(app_url(database_url), largest=2))
        try:
            yield Access(
                runner=runner,
                pool=pool,
                administrator=administrator,
                tables=dict(administrator.execute(TABLES.encode()).fetchall()),
                protected=dict(administrator.execute(PROTECTED_TABLES.encode()).fetchall()),
            )
        finally:
            pool.terminate()


class Watched(RuleBasedStateMachine):
    """A memory in which every act has a viewer, is counted, and is watched for what isn't that viewer's."""

    access: Access
    counts: Counter[str] = Counter()
    operations_in_all = 0

    def __init__(self) -> None:
        super().__init__()
        self.world = self.access.begin_again()
        self.operations = 0

    def teardown(self) -> None:
        type(self).operations_in_all += self.operations

    def as_viewer(self, viewer: Viewer, act: Act[Result]) -> Result:
        """Let somebody do something; no marker of others may be in what comes of it."""
        return self._acting(viewer, act, lambda result: None)

    def gets(self, expected: Result, thief: Viewer, act: Act[Result]) -> None:
        """Raise Leak when a thief gets anything else than what tells nothing."""
        try:
            self._acting(thief, act, lambda got: hold(got == expected, f"{thief} got {got!r}"))
        except asyncpg.PostgresError as problem:
            raise Leak(f"{thief} got as far as {problem!r}") from problem

    def refused(self, error: type[Exception], thief: Viewer, act: Act[object]) -> None:
        """Raise Leak when what a thief tries isn't refused, or only because something else gets in its way."""
        try:
            self._acting(thief, act, lambda got: hold(False, f"{thief} may do that, and got {got!r}"))
        except error:
            return
        except (asyncpg.PostgresError, UserFacingError) as problem:
            raise Leak(f"{thief} got as far as {problem!r}") from problem

    def _acting(self, viewer: Viewer, act: Act[Result], judge: Callable[[Result], None]) -> Result:
        """Act in one transaction, of which nothing stays when the result is judged to be a leak.

        Everybody governs the server they are on: who may do more may leak more.
        """

        async def acting() -> Result:
            async with viewing(self.access.pool, replace(viewer, is_admin=True)) as connection:
                result = await act(connection)
                self.check(viewer, result)
                judge(result)
                return result

        self.operations += 1
        return self.access.runner.run(acting())

    def check(self, viewer: Viewer, result: object) -> None:
        """Raise Leak on a marker of an owner that the viewer doesn't recall from."""
        mine = {secret(owner) for owner in concepts.owners(viewer)}
        mine |= {
            secret_of_proposal(number)
            for number, (by, servers) in self.world.proposals.items()
            if by == viewer.user_id or viewer.server_memory in servers
        }
        for kind, number in MARKER.findall(repr(result)):
            hold(f"secret-of-{kind}-{number}" in mine, f"{viewer} got something of {kind} {number}: {result!r}")

    @contextmanager
    def untouched(self, viewer: Viewer) -> Iterator[None]:
        """Raise Leak when a row that isn't the viewer's is another one afterwards, or gone, or new."""
        before = self._rows_of_others(viewer)
        try:
            yield
        except asyncpg.PostgresError as problem:
            raise Leak(f"{viewer} got as far as {problem!r}") from problem
        changed = [table for table, rows in self._rows_of_others(viewer).items() if rows != before[table]]
        hold(not changed, f"{viewer} changed others' {changed}")

    def _rows_of_others(self, viewer: Viewer) -> dict[str, str]:
        """Return, for each table, a digest of what is in it of others."""
        mine = sql.Literal(concepts.owners(viewer))
        questions = [
            sql.SQL(
                "SELECT {name}, md5(coalesce(string_agg(row::text, '' ORDER BY row::text), '')) FROM {table} AS row"
                " WHERE {others}"
            ).format(
                name=sql.Literal(table),
                table=sql.Identifier(table),
                others=sql.SQL("NOT {} && {}::text[]").format(sql.SQL(whose(table)), mine)
                if has_owner
                else sql.SQL("user_id <> {}").format(sql.Literal(viewer.user_id)),
            )
            for table, has_owner in self.access.protected.items()
        ]
        return dict(self.access.administrator.execute(sql.SQL(" UNION ALL ").join(questions)).fetchall())

    def concept(self, viewer: Viewer, owner: OwnerId, known: Known) -> Concept:
        """Return a concept that the viewer may see, which has to be as the model knows it."""
        found = self.as_viewer(viewer, lambda c: concepts.get(c, owner, known.concept_id))
        assert (found.name, found.info, found.category) == (known.name, known.info, known.category)
        return found

    def pick(self, data: st.DataObject, owner: OwnerId) -> Known | None:
        known = list(self.world.of(owner).values())
        return data.draw(st.sampled_from(known)) if known else None
