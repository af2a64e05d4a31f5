"""What thieves try: every kind of thing that a person can open, with another's name and ids; and plain SQL.

A thief's transaction is the thief's own; all that they tell our functions is the victim's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import rule

from db import (
    adapters,
    archives,
    concepts,
    consent,
    corrections,
    footprint,
    membership,
    merging,
    notes,
    persons,
    pictures,
    proposals,
    purging,
    rate_limits,
    recall,
    reindexing,
    search,
    servers,
    sharing,
    sightings,
    spoken,
    training,
    trash,
    unlearning,
)
from db.adapters import Adapter
from db.errors import (
    DataWithdrawnError,
    NotAdminError,
    NothingToRollBackError,
    NotRememberedError,
    ProposalGoneError,
)
from db.pool import deciding
from db.training import Material, RunState
from db.types import Concept, Embedded, OwnerId, ServerSettings, Verdict, Viewer, server_owner
from tests.support.leaks.people import LIMIT, People, a_sighting
from tests.support.leaks.world import EVERYBODY, SERVERS, Aside, counted, hold, is_server, viewers, whose
from tests.support.memory import a_concept, a_jpeg, a_reference

DENIED = asyncpg.InsufficientPrivilegeError

READ = "SELECT row::text AS content, {whose} AS owners FROM {table} AS row"

CHANGE = "UPDATE {table} SET owner_id = owner_id WHERE NOT {whose} && $1::text[]"

EMPTY = "DELETE FROM {table} WHERE NOT {whose} && $1::text[]"

PLANT = "UPDATE {table} SET owner_id = $1"

OBJECT = "INSERT INTO objection (user_id) VALUES ($1)"


@dataclass(frozen=True, slots=True)
class Theft:
    """Who tries to get at whose."""

    thief: Viewer
    victim: Viewer

    @property
    def server(self) -> OwnerId:
        """The victim's server, or any other where the thief isn't now."""
        where = [self.victim.server_id, *SERVERS]
        return next(server_owner(number) for number in where if number not in {None, self.thief.server_id})

    @property
    def memories(self) -> tuple[OwnerId, OwnerId]:
        """The memories that the thief has no business in."""
        return self.victim.personal, self.server


thefts = st.builds(Theft, viewers, viewers).filter(lambda theft: theft.thief.user_id != theft.victim.user_id)


class Thieves(People):
    """The machine: people, and thieves among them."""

    def _stolen(self, kind: str, owner: OwnerId) -> Any:
        """Return the id of the latest thing of that kind in a memory: the start gave everybody one of each."""
        return self.world.loot[kind, owner]

    def _stolen_concept(self, owner: OwnerId) -> Concept:
        return Concept(
            owner_id=owner,
            concept_id=self._stolen("concept", owner),
            name="x",
            info="",
            category="",
            created_by=1,
            created_at=datetime.now(UTC),
            references=1,
        )

    # Through our own functions.

    @rule(theft=thefts)
    @counted
    def pry_into_cards(self, theft: Theft) -> None:
        thief, victim = theft.thief, theft.victim
        self.as_viewer(thief, lambda c: search.browse(c, EVERYBODY, limit=1000))
        self.as_viewer(thief, lambda c: search.browse(c, EVERYBODY, search="secret number", limit=1000))
        self.as_viewer(thief, lambda c: search.about(c, EVERYBODY, "secret of user", limit=1000))
        self.as_viewer(thief, lambda c: search.categories(c, EVERYBODY, limit=1000))
        self.as_viewer(thief, lambda c: concepts.suggest_names(c, victim, "", 1000))
        for known in list(self.world.of(victim.personal).values())[-2:]:
            self.as_viewer(thief, lambda c: concepts.did_you_mean(c, victim, known.name))  # noqa: B023 (at once)
            self.as_viewer(thief, lambda c: concepts.find(c, victim, known.name))  # noqa: B023
            self.as_viewer(thief, lambda c: recall.mentioned_in(c, victim, f"{known.name}?"))  # noqa: B023
        for owner in theft.memories:
            self._pry_into_a_card(thief, self._stolen_concept(owner))

    def _pry_into_a_card(self, thief: Viewer, loot: Concept) -> None:
        self.gets([], thief, lambda c: concepts.list_concepts(c, loot.owner_id))
        self.gets(0, thief, lambda c: concepts.count(c, loot.owner_id))
        self.refused(NotRememberedError, thief, lambda c: concepts.get(c, loot.owner_id, loot.concept_id))
        self.refused(NotRememberedError, thief, lambda c: concepts.edit(c, loot, info="spoilt"))
        self.refused(NotRememberedError, thief, lambda c: concepts.forget(c, loot.owner_id, loot.concept_id))
        self.refused(NotRememberedError, thief, lambda c: trash.forget_for_now(c, loot, thief.user_id))
        self.refused(DENIED, thief, lambda c: concepts.remember(c, a_concept(loot.owner_id, "planted")))
        with self.untouched(thief):
            self.as_viewer(thief, lambda c: concepts.mark_recognised(c, [loot]))

    @rule(theft=thefts)
    @counted
    def pry_into_pictures(self, theft: Theft) -> None:
        thief = theft.thief
        for owner in theft.memories:
            loot, picture = self._stolen_concept(owner), self._stolen("reference", owner)
            self._pry_into_a_picture(thief, loot, picture)
        self.gets([], thief, lambda c: membership.contributors(c, theft.server))

    def _pry_into_a_picture(self, thief: Viewer, loot: Concept, picture: Any) -> None:
        self.gets([], thief, lambda c: pictures.references(c, loot))
        self.gets(None, thief, lambda c: pictures.avatar(c, loot))
        self.gets([], thief, lambda c: reindexing.references_without(c, loot.owner_id, "another", 1000))
        self.refused(NotRememberedError, thief, lambda c: pictures.choose_avatar(c, loot, picture))
        self.refused(NotRememberedError, thief, lambda c: concepts.remove_reference(c, loot, picture))
        self.refused(NotRememberedError, thief, lambda c: concepts.add_reference(c, loot, a_reference(), 1))

    @rule(theft=thefts)
    @counted
    def pry_into_answers(self, theft: Theft) -> None:
        thief, victim = theft.thief, theft.victim
        answer_id = self._stolen("answer", victim.personal)
        self.gets(None, thief, lambda c: sightings.load_answer(c, victim, answer_id))
        self.gets(None, thief, lambda c: sightings.load_answer(c, thief, answer_id))
        self.gets([], thief, lambda c: archives.answers_of(c, victim))
        self.refused(DENIED, thief, lambda c: sightings.store_answer(c, victim, a_jpeg(), 16, 12, []))

    @rule(theft=thefts)
    @counted
    def pry_into_notes(self, theft: Theft) -> None:
        thief = theft.thief
        for owner in theft.memories:
            concept_id = self._stolen("concept", owner)
            self.gets([], thief, lambda c: notes.notes_of(c, owner, concept_id))  # noqa: B023 (at once)
            planted = [notes.new_note("planted", thief.user_id)]
            self.refused(DENIED, thief, lambda c: notes.store(c, owner, concept_id, planted))  # noqa: B023

    @rule(theft=thefts)
    @counted
    def pry_into_conversations(self, theft: Theft) -> None:
        thief, victim = theft.thief, theft.victim
        said = self._stolen("spoken", victim.personal)
        self.gets(None, thief, lambda c: spoken.find(c, victim, said.message_id))
        self.gets(None, thief, lambda c: spoken.find(c, thief, said.message_id))
        self.gets([], thief, lambda c: spoken.parts(c, victim))
        self.refused(DENIED, thief, lambda c: spoken.note(c, victim, [replace(said, message_id=1)]))
        with self.untouched(thief):
            self.as_viewer(thief, lambda c: spoken.forget(c, victim, [said]))

    @rule(theft=thefts)
    @counted
    def rename_what_another_was_shown(self, theft: Theft) -> None:
        thief, victim = theft.thief, theft.victim
        answer_id, nobody = self._stolen("answer", victim.personal), a_sighting(victim, None, 0)
        with self.untouched(thief):
            self.as_viewer(thief, lambda c: sightings.rename_sighting(c, victim, answer_id, nobody))

    @rule(theft=thefts)
    @counted
    def pry_into_corrections(self, theft: Theft) -> None:
        thief, victim = theft.thief, theft.victim
        self.gets([], thief, lambda c: archives.corrections_of(c, victim.personal))
        loot = a_sighting(victim, self._stolen_concept(victim.personal), 0)
        self.refused(DENIED, thief, lambda c: corrections.store(c, victim, loot, Verdict.RIGHT))

    @rule(theft=thefts)
    @counted
    def pry_into_the_audit_log(self, theft: Theft) -> None:
        self.gets([], theft.thief, lambda c: servers.audit_log(c, theft.server))
        self.refused(DENIED, theft.thief, lambda c: servers.note(c, theft.server, 0, "planted"))

    @rule(theft=thefts)
    @counted
    def pry_into_proposals(self, theft: Theft) -> None:
        thief, shared = theft.thief, theft.server
        stolen = self._stolen("proposed", shared)
        self.refused(NotAdminError, thief, lambda c: proposals.proposals_to(c, shared))
        self.refused(NotAdminError, thief, lambda c: sharing.approve(c, shared, stolen, ""))
        self.refused(NotAdminError, thief, lambda c: sharing.decline(c, shared, stolen, ""))
        if not any(item.proposal_id == stolen and item.by == thief.user_id for item in self.world.waiting()):
            self.refused(ProposalGoneError, thief, lambda c: proposals.withdraw(c, shared, stolen))
        self.refused(ProposalGoneError, thief, lambda c: proposals.answer(c, theft.victim, stolen, "", agrees=True))

    @rule(theft=thefts)
    @counted
    def pretend_to_decide(self, theft: Theft) -> None:
        """Who says that they decide sees what is proposed to their server, and nothing else."""

        async def read(connection: asyncpg.Connection) -> None:
            async with deciding(connection):
                for table in ("concept", "note", "reference", "embedding", "picture"):
                    self.check(theft.thief, await connection.fetch(READ.format(table=table, whose=whose(table))))

        self.as_viewer(theft.thief, read)

    @rule(theft=thefts)
    @counted
    def propose_where_one_is_not(self, theft: Theft) -> None:
        mine = list(self.world.of(theft.thief.personal).values())
        if mine:
            own = self.concept(theft.thief, theft.thief.personal, mine[0])
            self.refused(DENIED, theft.thief, lambda c: proposals.propose(c, own, theft.server))

    @rule(theft=thefts)
    @counted
    def pry_into_what_was_forgotten(self, theft: Theft) -> None:
        for owner in theft.memories:
            stolen = self._stolen("forgotten", owner)
            self.refused(NotRememberedError, theft.thief, lambda c: trash.undo(c, owner, stolen))  # noqa: B023
        on_servers = [aside for aside in self.world.undoable if is_server(aside.owner)]
        for aside in on_servers[-3:]:
            self._undo_what_another_forgot(theft, aside)

    def _undo_what_another_forgot(self, theft: Theft, aside: Aside) -> None:
        """On a server everybody sees what there is, but only who forgot something undoes that."""
        other = next(viewer for viewer in (theft.thief, theft.victim) if viewer.user_id != aside.by)
        there = Viewer(other.user_id, int(aside.owner.removeprefix("server:")))
        self.refused(NotRememberedError, there, lambda c: trash.undo(c, aside.owner, aside.known.concept_id))

    @rule(theft=thefts)
    @counted
    def pry_into_adapters(self, theft: Theft) -> None:
        found = self.as_viewer(theft.thief, lambda c: adapters.in_use(c, EVERYBODY))
        hold({adapter.owner_id for adapter in found} <= set(concepts.owners(theft.thief)), f"adapters: {found}")
        for owner in theft.memories:
            self._pry_into_an_adapter(theft.thief, owner, self._stolen("adapter", owner))

    def _pry_into_an_adapter(self, thief: Viewer, owner: OwnerId, adapter_id: str) -> None:
        self.gets(None, thief, lambda c: adapters.weights_of(c, owner, adapter_id))
        self.gets([], thief, lambda c: adapters.history(c, owner, 1000))
        self.gets(0, thief, lambda c: unlearning.count_adapters(c, owner))
        self.refused(NothingToRollBackError, thief, lambda c: adapters.roll_back(c, owner, thief.user_id))
        with self.untouched(thief):
            self.as_viewer(thief, lambda c: adapters.disable(c, owner, thief.user_id))
            self.as_viewer(thief, lambda c: unlearning.unlearn_member(c, owner, int(owner.partition(":")[2])))
        planted = Adapter(
            adapter_id=adapter_id,
            base="planted",
            manifest={},
            weights=b"planted",
            saw=(self._stolen("concept", owner),),
            saw_users=(thief.user_id,),
            run_id=None,
        )
        self.refused(DataWithdrawnError, thief, lambda c: adapters.store_and_promote(c, planted, owner, "planted"))

    @rule(theft=thefts)
    @counted
    def pry_into_training(self, theft: Theft) -> None:
        """Its runs, their reports, and what it may use."""
        for owner in theft.memories:
            self._pry_into_a_run(theft.thief, owner, self._stolen("run", owner))

    def _pry_into_a_run(self, thief: Viewer, owner: OwnerId, run_id: Any) -> None:
        self.gets(None, thief, lambda c: training.latest_run(c, owner))
        self.gets(Material((), ()), thief, lambda c: training.material_of(c, owner))
        self.gets(False, thief, lambda c: training.note_progress(c, owner, run_id, "planted", 0, 0))
        changes = self.as_viewer(thief, lambda c: training.changes_since_last_run(c, owner))
        hold((changes.total, changes.last_run) == (0, None), f"{thief} knows of {owner}: {changes}")
        self.refused(DENIED, thief, lambda c: training.start_run(c, owner, "planted"))
        with self.untouched(thief):
            self.as_viewer(thief, lambda c: training.finish_run(c, owner, run_id, RunState.FAILED))

    @rule(theft=thefts)
    @counted
    def pry_into_settings(self, theft: Theft) -> None:
        thief, shared = theft.thief, theft.server
        self.gets(ServerSettings(), thief, lambda c: servers.settings_of(c, shared))
        self.refused(NotAdminError, thief, lambda c: servers.change_settings(c, shared, 0, ServerSettings(), "planted"))
        self.refused(DENIED, thief, lambda c: membership.mark_left(c, shared))
        with self.untouched(thief):
            self.as_viewer(thief, lambda c: membership.mark_back(c, shared))

    @rule(theft=thefts)
    @counted
    def purge_where_one_is_not(self, theft: Theft) -> None:
        thief, shared = theft.thief, theft.server
        self.refused(NotAdminError, thief, lambda c: purging.purge(c, shared))
        with self.untouched(thief):
            self.as_viewer(thief, lambda c: purging.forget_member(c, shared, theft.victim.user_id))
            self.as_viewer(thief, lambda c: purging.forget_person(c, shared, theft.victim.user_id))
            self.as_viewer(thief, lambda c: purging.forget_server(c, shared))
        self.world.drop_proposed(lambda item: item.server == shared and item.by == thief.user_id)  # theirs to delete

    @rule(theft=thefts)
    @counted
    def use_up_anothers_limit(self, theft: Theft) -> None:
        for owner in theft.memories:
            self.refused(DENIED, theft.thief, lambda c: rate_limits.use(c, owner, LIMIT))  # noqa: B023

    @rule(theft=thefts)
    @counted
    def pry_into_departures(self, theft: Theft) -> None:
        thief, shared, member = theft.thief, theft.server, theft.victim.user_id
        self.gets([], thief, lambda c: membership.departed_for(c, shared, timedelta(0)))
        self.refused(DENIED, thief, lambda c: membership.mark_departed(c, shared, member))
        with self.untouched(thief):
            self.as_viewer(thief, lambda c: membership.mark_returned(c, shared, member))

    @rule(theft=thefts)
    @counted
    def pry_into_consent(self, theft: Theft) -> None:
        thief, victim = theft.thief, theft.victim
        self.gets(False, thief, lambda c: consent.may_train(c, victim))
        self.gets(None, thief, lambda c: persons.vouched_at(c, victim))
        self.refused(DENIED, thief, lambda c: persons.vouch(c, victim))
        for may in (True, False):
            self.refused(DENIED, thief, lambda c: consent.set_may_train(c, victim, may=may))  # noqa: B023
        stored = self.as_viewer(thief, lambda c: footprint.stored(c, victim))
        private = (stored.concepts, stored.references, stored.pictures, stored.answers, stored.corrections)
        hold(private == (0,) * 5 and stored.forgotten == 0, f"{thief} knows of {victim}: {stored}")

    @rule(theft=thefts)
    @counted
    def object_for_another(self, theft: Theft) -> None:
        """Who objects is known to all; objecting, and withdrawing that, is for oneself."""
        thief, victim = theft.thief, theft.victim
        self.refused(DENIED, thief, lambda c: consent.object_to_sharing(c, victim))
        with self.untouched(thief):
            self.as_viewer(thief, lambda c: consent.withdraw_objection(c, victim))

    @rule(theft=thefts)
    @counted
    def pry_into_reindexing(self, theft: Theft) -> None:
        thief = theft.thief
        for owner in theft.memories:
            self._pry_into_embeddings(thief, owner, self._stolen("reference", owner))

    def _pry_into_embeddings(self, thief: Viewer, owner: OwnerId, picture: Any) -> None:
        made = Embedded("planted", a_reference().embedding)
        self.gets((), thief, lambda c: reindexing.in_use(c, [owner]))
        self.gets(False, thief, lambda c: reindexing.switch(c, owner, "planted"))
        with self.untouched(thief):
            self.gets(0, thief, lambda c: reindexing.count_missing(c, owner, "planted"))
            self.as_viewer(thief, lambda c: reindexing.store(c, owner, picture, made))

    @rule(theft=thefts)
    @counted
    def pry_by_export_and_merge(self, theft: Theft) -> None:
        thief = theft.thief
        for owner in theft.memories:
            loot = self._stolen_concept(owner)
            self._pry_into_a_whole_concept(thief, loot, replace(loot, concept_id=self._stolen("reference", owner)))

    def _pry_into_a_whole_concept(self, thief: Viewer, loot: Concept, other: Concept) -> None:
        self.gets([], thief, lambda c: archives.whole_concepts(c, loot.owner_id))
        self.refused(NotRememberedError, thief, lambda c: sharing.copy(c, loot, thief.personal))
        self.refused(NotRememberedError, thief, lambda c: merging.merge(c, thief, loot, other))

    # Through plain SQL without any filter, on every table that is protected.

    def _tables_that_change(self) -> list[str]:
        """Return the tables with owners that the app changes and deletes from at all: it only adds to the audit log."""
        return [table for table in self.access.owned_tables if table != "audit"]

    @rule(thief=viewers)
    @counted
    def read_every_table(self, thief: Viewer) -> None:
        async def read(connection: asyncpg.Connection) -> None:
            for table in self.access.owned_tables:
                rows = await connection.fetch(READ.format(table=table, whose=whose(table)))
                self.check(thief, rows)
                mine = set(concepts.owners(thief))
                others = [row["owners"] for row in rows if not mine & set(row["owners"])]
                hold(not others, f"{thief} reads {table} of {others}")

        self.gets(None, thief, read)

    @rule(thief=viewers)
    @counted
    def spoil_every_table(self, thief: Viewer) -> None:
        async def change(connection: asyncpg.Connection) -> None:
            for table in self._tables_that_change():
                done = await connection.execute(CHANGE.format(table=table, whose=whose(table)), concepts.owners(thief))
                hold(done == "UPDATE 0", f"{thief} may {done} of others in {table}")

        self.gets(None, thief, change)

    @rule(thief=viewers)
    @counted
    def empty_every_table(self, thief: Viewer) -> None:
        async def empty(connection: asyncpg.Connection) -> None:
            for table in self._tables_that_change():
                done = await connection.execute(EMPTY.format(table=table, whose=whose(table)), concepts.owners(thief))
                hold(done == "DELETE 0", f"{thief} may {done} of others in {table}")
            done = await connection.execute("DELETE FROM objection WHERE user_id <> $1", thief.user_id)
            hold(done == "DELETE 0", f"{thief} may {done} of others' objections")

        self.gets(None, thief, empty)

    @rule(theft=thefts)
    @counted
    def plant_in_every_table(self, theft: Theft) -> None:
        """Make what there is another's: where there is anything, that is denied."""

        async def plant(connection: asyncpg.Connection) -> None:
            for table in self.access.owned_tables:
                for owner in theft.memories:
                    done = await denied_or_done(connection, PLANT.format(table=table), owner)
                    hold(done in {None, "UPDATE 0"}, f"{theft.thief} may {done} to {owner} in {table}")
            done = await denied_or_done(connection, OBJECT, theft.victim.user_id)
            hold(done is None, f"{theft.thief} objected for {theft.victim}")

        self.gets(None, theft.thief, plant)


async def denied_or_done(connection: asyncpg.Connection, statement: str, value: object) -> str | None:
    """Return what Postgres says that a statement did, None when it was denied."""
    try:
        async with connection.transaction():
            return str(await connection.execute(statement, value))
    except DENIED:
        return None
