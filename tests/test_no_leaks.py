"""Nobody's memory leaks into another's: random operations of several users and servers, and thieves among them.

The real database, through the app role. Every word of a user's or a server's memory carries a marker of its owner,
and no viewer may ever get a result with the marker of an owner they don't recall from. (The machine itself is in
`tests.support.leaks`: what people do, and what thieves try.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from psycopg import sql

from db import (
    adapters,
    archives,
    concepts,
    consent,
    corrections,
    erasure,
    footprint,
    membership,
    merging,
    pictures,
    proposals,
    purging,
    recall,
    search,
    servers,
    sightings,
    training,
    trash,
    unlearning,
)
from db.geometry import WHOLE
from db.pool import viewing
from db.types import Region, Sighting, Verdict, Viewer, server_owner
from tests.support.leaks.people import learn
from tests.support.leaks.thieves import Theft, Thieves
from tests.support.leaks.world import CALIBRATION, SERVERS, USERS, Access, Leak, access_to
from tests.support.members import governing
from tests.support.memory import PACK, ASight, a_concept, a_jpeg, a_reference

pytestmark = pytest.mark.slow

SEEDS = (1, 2, 3, 4)
EXAMPLES, STEPS = 18, 30
LEAST_OPERATIONS = 5000
LEAST_OF_A_RULE = 5

NOTICED_BY = {
    "adapter": Thieves.pry_into_adapters,
    "answer": Thieves.pry_into_answers,
    "audit": Thieves.pry_into_the_audit_log,
    "concept": Thieves.pry_into_cards,
    "correction": Thieves.pry_into_corrections,
    "departure": Thieves.pry_into_departures,
    "embedding_use": Thieves.pry_into_reindexing,
    "note": Thieves.pry_into_notes,
    "objection": Thieves.object_for_another,
    "person": Thieves.pry_into_consent,
    "picture": Thieves.purge_where_one_is_not,
    "promotion": Thieves.pry_into_adapters,
    "proposal": Thieves.pry_into_proposals,
    "rate": Thieves.use_up_anothers_limit,
    "reference": Thieves.pry_into_pictures,
    "server": Thieves.pry_into_settings,
    "sighting": Thieves.rename_what_another_was_shown,
    "spoken": Thieves.pry_into_conversations,
    "training_run": Thieves.pry_into_training,
}
"""Which rule would notice a table without row-level security through our own functions.

Of embeddings there is none: each statement that reads or writes them goes through a concept or a reference.
"""


@pytest.fixture
def access(database_url: str) -> Iterator[Access]:
    with access_to(database_url) as opened:
        Thieves.access, Thieves.counts, Thieves.operations_in_all = opened, Counter(), 0
        yield opened


def run(seed_of_it: int, *, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        seed(seed_of_it)(Thieves),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # shrinking takes minutes, and what it prints is no shorter
        ),
    )


@contextmanager
def without_row_level_security(access: Access, table: str) -> Iterator[None]:
    name = sql.Identifier(table)
    access.administrator.execute(sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(name))
    try:
        yield
    finally:
        access.administrator.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(name))


def notices(table: str, access: Access, act: Callable[[], None]) -> bool:
    """Whether the machine says that there is a leak (that, and nothing else) when this table isn't protected."""
    with without_row_level_security(access, table):
        try:
            act()
        except Leak:
            return True
    return False


def test_thousands_of_random_operations_leak_nothing(access: Access) -> None:
    for number in SEEDS:
        run(number, examples=EXAMPLES, steps=STEPS)
    rules = {rule.function.__name__ for rule in Thieves().rules}
    assert {name: Thieves.counts[name] for name in rules if Thieves.counts[name] < LEAST_OF_A_RULE} == {}
    assert Thieves.operations_in_all >= LEAST_OPERATIONS


def test_random_operations_notice_any_table_without_row_level_security(access: Access) -> None:
    unnoticed = [
        table for table in access.protected if not notices(table, access, lambda: run(SEEDS[0], examples=20, steps=12))
    ]
    assert unnoticed == []


def test_each_way_of_prying_notices_a_table_without_row_level_security(access: Access) -> None:
    """By plain SQL, in each of its ways; by our own functions, those that have to do with the table."""
    machine = Thieves()
    machine.settle()
    thief, victim = Viewer(USERS[3], SERVERS[2]), Viewer(USERS[1], SERVERS[1])
    theft = Theft(thief, victim)
    ways = {
        "reading": lambda: machine.read_every_table(thief),
        "spoiling": lambda: machine.spoil_every_table(thief),
        "emptying": lambda: machine.empty_every_table(thief),
        "planting": lambda: machine.plant_in_every_table(theft),
    }
    possible = {"objection": {"emptying", "planting"}, "audit": {"reading"}}
    """Everybody may read who objects, and nobody changes a log."""

    unnoticed = [
        (table, way)
        for table in access.protected
        for way, pry in ways.items()
        if not notices(table, access, pry) and way in possible.get(table, ways)
    ]
    unnoticed += [
        (table, pry.__name__)
        for table, pry in NOTICED_BY.items()
        if not notices(table, access, lambda: pry(machine, theft))  # noqa: B023 (called at once)
    ]

    assert unnoticed == []
    assert {*NOTICED_BY, "embedding"} == set(access.protected)


ANNA, BO = Viewer(900000000009001, 700000000007001), Viewer(900000000009002, 700000000007002)
FILTER = re.compile(r"\b((?:\w+\.)?\w*owner_id) = (ANY \(\$1::text\[\]\)|\$[14])")


@pytest.fixture
async def pried_open(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> asyncpg.Pool:
    """A memory of two users and two servers, and every statement of ours without its filter by owner."""
    for viewer in (ANNA, BO):
        for owner in concepts.owners(viewer):
            seed = int(owner[-4:])
            info = f"secret-of-{owner.replace(':', '-')}"
            new = replace(a_concept(owner, f"Mochi {owner}", seed), info=info, created_by=viewer.user_id)
            async with viewing(pool, viewer) as connection:
                made = await concepts.remember(connection, new)
                sighting = Sighting(
                    region=0,
                    box=WHOLE,
                    embedding_id=PACK,
                    embedding=a_reference(seed).embedding,
                    concept=made,
                    probability=0.9,
                )
                await sightings.store_answer(connection, viewer, a_jpeg(), 16, 12, [sighting])
                await corrections.store(connection, viewer, sighting, Verdict.RIGHT)
                await consent.set_may_train(connection, viewer, may=True)
                await learn(connection, owner)
    of_people = (consent, erasure, footprint, unlearning)
    of_servers = (membership, purging, servers)
    memory = (archives, search, concepts, pictures, corrections, merging, proposals, recall, sightings, trash)
    for module in (*memory, *of_people, *of_servers, adapters, training):
        for name, value in list(vars(module).items()):
            if name.isupper() and isinstance(value, str) and FILTER.search(value):
                monkeypatch.setattr(module, name, FILTER.sub(r"(\1 = \2 OR true)", value))
    return pool


def test_there_are_filters_to_take_away() -> None:
    for statement in (
        concepts.LIST_CONCEPTS,
        recall.RECOGNISED_IN,
        search.SCORED,
        trash.FIND_FORGOTTEN,
        adapters.IN_USE,
    ):
        assert FILTER.search(statement)


async def test_row_level_security_alone_holds_the_line(pried_open: asyncpg.Pool) -> None:
    all_owners = [*concepts.owners(ANNA), *concepts.owners(BO)]
    whose = re.compile(r"secret-of-(?:user-900000000009001|server-700000000007001)")
    async with viewing(pried_open, ANNA) as connection:
        of_anna = [adapter.adapter_id for adapter in await adapters.in_use(connection, all_owners)]
    async with viewing(pried_open, BO) as connection:
        mine = await concepts.list_concepts(connection, BO.personal)
        regions = [Region(WHOLE, a_reference(int(owner[-4:])).embedding, 1.0) for owner in all_owners]
        seen = [
            mine,
            await search.browse(connection, all_owners),
            await search.about(connection, all_owners, "secret of user"),
            await search.categories(connection, all_owners),
            await concepts.suggest_names(connection, BO, "mochi"),
            await concepts.did_you_mean(connection, BO, "mochi"),
            await concepts.find(connection, BO, "Mochi user:900000000009001"),
            await recall.mentioned_in(connection, BO, "Mochi user:900000000009001 and Mochi server:700000000007001"),
            await recall.recall(connection, BO, [ASight(regions, CALIBRATION)]),
            await archives.whole_concepts(connection, BO.personal),
            await archives.corrections_of(connection, BO.personal),
            await archives.answers_of(connection, BO),
            await servers.audit_log(connection, server_owner(700000000007002)),
            await proposals.proposals_of(connection, BO),
            await adapters.in_use(connection, all_owners),
            [await adapters.weights_of(connection, BO.personal, adapter_id) for adapter_id in of_anna],
            await adapters.history(connection, BO.personal, 100),
            await training.latest_run(connection, BO.personal),
            await training.material_of(connection, BO.personal),
        ]
        changes = await training.changes_since_last_run(connection, BO.personal)
        counted = await footprint.stored(connection, BO)
    assert len(mine) == 2  # the filter is gone: without row-level security there would be four
    assert not whose.search(repr(seen))
    assert "900000000009001" not in repr(seen)
    assert "700000000007001" not in repr(seen)
    assert counted.answers == 2
    assert (len(of_anna), changes.total) == (2, 2)


async def test_without_filters_nobody_deletes_what_is_anothers(pried_open: asyncpg.Pool) -> None:
    async with viewing(pried_open, governing(BO)) as connection:
        mine = await concepts.list_concepts(connection, BO.personal)
        await concepts.edit(connection, mine[0], info="spoilt")
        await purging.purge(connection, server_owner(700000000007002))
        await erasure.erase(connection, BO)
    async with viewing(pried_open, ANNA) as connection:
        infos = {concept.info for concept in await concepts.list_concepts(connection, ANNA.personal)}
        answers = await archives.answers_of(connection, ANNA)
        learned = await adapters.in_use(connection, concepts.owners(ANNA))
    assert infos == {"secret-of-user-900000000009001", "secret-of-server-700000000007001"}
    assert len(answers) == 2
    assert {adapter.owner_id for adapter in learned} == set(concepts.owners(ANNA))
