"""What people do with what is theirs. Every word of it carries its owner's marker, in one field or another."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import replace
from datetime import timedelta
from itertools import count
from uuid import UUID

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from psycopg import sql

from db import (
    adapters,
    concepts,
    consent,
    corrections,
    erasure,
    footprint,
    membership,
    merging,
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
)
from db.adapters import Adapter
from db.admission import MAX_REFERENCES
from db.errors import (
    NameTakenError,
    NotAdminError,
    NothingToRollBackError,
    NotRememberedError,
    ObjectedError,
    PicturesFullError,
    RateLimitedError,
)
from db.geometry import WHOLE
from db.names import name_key
from db.spoken import Spoken
from db.training import RunState
from db.types import Concept, OwnerId, Region, ServerSettings, Sighting, Verdict, Viewer, server_owner
from tests.support.leaks.world import (
    CALIBRATION,
    SERVERS,
    USERS,
    Aside,
    Known,
    Proposed,
    Watched,
    counted,
    hold,
    is_server,
    secret,
    secret_of_proposal,
    viewers,
)
from tests.support.memory import PACK, ASight, a_concept, a_jpeg, a_reference

NAMES = ("Mochi", "MOCHI", "Rex", "The cup", "もち", "Ⓜochi")
ALL_SERVERS = [server_owner(number) for number in SERVERS]
LIMIT = rate_limits.Limit("a limit of the test", 3, timedelta(hours=1))
seeds = st.integers(0, 10**6)

OUTLIVING = """
    SELECT count(*) FROM adapter
     WHERE EXISTS (SELECT FROM unnest(saw) AS seen (id)
                    WHERE NOT EXISTS (SELECT FROM concept
                                       WHERE concept.owner_id = adapter.owner_id AND concept_id = seen.id
                                         AND forgotten_at IS NULL)
                      AND NOT EXISTS (SELECT FROM reference
                                       WHERE reference.owner_id = adapter.owner_id AND reference_id = seen.id)
                      AND NOT EXISTS (SELECT FROM note
                                       WHERE note.owner_id = adapter.owner_id AND note_id = seen.id))
        OR EXISTS (SELECT FROM unnest(saw_users) AS seen (id)
                    WHERE NOT EXISTS (SELECT FROM person WHERE person.owner_id = 'user:' || seen.id AND may_train))
"""
"""Adapters that were trained on what isn't there any more, or of people who don't consent any more."""


async def learn(connection: asyncpg.Connection, owner: OwnerId) -> tuple[UUID, str] | None:
    """Learn what may be learned from a memory; returns the ids of the run and of the adapter."""
    material = await training.material_of(connection, owner)
    if not material.concepts:
        return None
    run_id = await training.start_run(connection, owner, f"pack {secret(owner)}")
    await training.note_progress(connection, owner, run_id, f"phase {secret(owner)}", 0, 1)
    info = f"{secret(owner)} learned in {run_id}"
    weights = info.encode()
    adapter = Adapter(
        adapter_id=hashlib.sha256(weights).hexdigest(),
        base=f"base {secret(owner)}",
        manifest={"info": info},
        weights=weights,
        saw=material.saw,
        saw_users=material.saw_users,
        run_id=run_id,
    )
    await adapters.store_and_promote(connection, adapter, owner, info)
    await training.finish_run(connection, owner, run_id, RunState.PROMOTED, {"info": info}, info)
    return run_id, adapter.adapter_id


def a_sighting(viewer: Viewer, concept: Concept | None, seed: int) -> Sighting:
    """Return what somebody was shown, by embeddings that recall doesn't go by; their id carries the marker."""
    return Sighting(
        region=0,
        box=WHOLE,
        embedding_id=f"another-pack {secret(viewer.personal)}",
        embedding=a_reference(seed).embedding,
        concept=concept,
        probability=None if concept is None else 0.9,
    )


MESSAGE_IDS = count(10**15)
"""No two messages on Discord have the same."""


class People(Watched):
    """Users who remember, share, propose, forget, learn and govern."""

    @initialize()
    def settle(self) -> None:
        """Begin with something of every kind of everybody, so that no rule waits for it; not counted."""
        if self.access.start is not None:
            return
        for place, user in enumerate(USERS):
            self._settle(Viewer(user, SERVERS[place % len(SERVERS)]), place)
        for user in USERS[:2]:
            self._object(Viewer(user))
        self.operations = 0
        self.access.put_by(self.world)

    @rule(viewer=viewers, seed=seeds)
    @counted
    def settle_again(self, viewer: Viewer, seed: int) -> None:
        self._settle(viewer, seed)

    def _settle(self, viewer: Viewer, seed: int) -> None:
        for owner in concepts.owners(viewer):
            kept = self._remember(viewer, owner, f"kept {seed} {secret(owner)}", seed, None)
            lost = self._remember(viewer, owner, f"lost {seed} {secret(owner)}", seed + 1, None)
            if kept and lost:
                self._ask(viewer, owner, kept, Verdict.RIGHT)
                self._forget(viewer, owner, lost)
            self._learn(viewer, owner)
            self._use(viewer, owner)
        if viewer.server_memory:
            own = self._remember(viewer, viewer.personal, f"proposed {seed}", seed + 2, None)
            if own:
                self._propose(viewer, viewer.server_memory, own)
            self._govern(viewer, viewer.server_memory, 3)
            self._depart(viewer, viewer.server_memory, viewer.user_id)

    def _place(self, viewer: Viewer, shared: bool) -> OwnerId:
        return viewer.server_memory if shared and viewer.server_memory else viewer.personal

    # Remembering.

    @rule(viewer=viewers, name=st.sampled_from(NAMES), is_marked=st.booleans(), seed=seeds, shared=st.booleans())
    @counted
    def remember(self, viewer: Viewer, name: str, is_marked: bool, seed: int, shared: bool) -> None:
        owner = self._place(viewer, shared)
        self._remember(viewer, owner, f"{name} {secret(owner)}" if is_marked else name, seed, None)

    @rule(viewer=viewers, seed=seeds, person=st.sampled_from(USERS))
    @counted
    def share_a_person(self, viewer: Viewer, seed: int, person: int) -> None:
        """Ask somebody whether a memory of them may be shared, and share it once they agree."""
        shared, name = viewer.server_memory, f"person {seed}"
        if shared is None or self.world.taken(shared, name):
            return
        known = self._remember(viewer, viewer.personal, name, seed, person)
        if known is None:
            return
        if person in self.world.objecting:
            found = self.concept(viewer, viewer.personal, known)
            self.refused(ObjectedError, viewer, lambda c: proposals.propose(c, found, shared))
            self.as_viewer(viewer, lambda c: concepts.forget(c, viewer.personal, found.concept_id))
            del self.world.of(viewer.personal)[known.concept_id]
            return
        self._propose(viewer, shared, known)
        asked = Viewer(person, viewer.server_id)
        for item in self.as_viewer(asked, lambda c: proposals.requests_to(c, asked)):
            self.as_viewer(asked, lambda c: proposals.answer(c, asked, item.proposal_id, item.seen, agrees=True))  # noqa: B023
        found = self.concept(viewer, viewer.personal, known)
        assert self.as_viewer(viewer, lambda c: sharing.share(c, found, shared))
        self.world.of(shared)[known.concept_id] = self.world.of(viewer.personal).pop(known.concept_id)
        self.world.loot["concept", shared] = known.concept_id

    def _remember(self, viewer: Viewer, owner: OwnerId, name: str, seed: int, person: int | None) -> Known | None:
        reference = a_reference(seed)
        new = replace(
            a_concept(owner, name, reference=reference),
            info=f"{secret(owner)} number {seed}",
            category=f"cat {secret(owner)}",
            created_by=viewer.user_id,
            linked_user=person,
        )
        expected = self._refusal(owner, name, person)
        if person is not None:
            self.as_viewer(viewer, lambda c: persons.vouch(c, viewer))
        try:
            made = self.as_viewer(viewer, lambda c: concepts.remember(c, new))
        except (NameTakenError, ObjectedError) as problem:
            assert type(problem) is expected
            return None
        assert expected is None
        known = Known(
            concept_id=made.concept_id,
            name=name,
            info=new.info,
            category=new.category,
            created_by=viewer.user_id,
            vectors=[reference.embedding],
            linked_user=person,
        )
        self.world.of(owner)[made.concept_id] = known
        self.world.embeddings.append(reference.embedding)
        [stored] = self.as_viewer(viewer, lambda c: pictures.references(c, made))
        self.world.loot["concept", owner] = made.concept_id
        self.world.loot["reference", owner] = stored.reference_id
        return known

    def _refusal(self, owner: OwnerId, name: str, person: int | None) -> type[Exception] | None:
        if is_server(owner) and person in self.world.objecting:
            return ObjectedError
        return NameTakenError if self.world.taken(owner, name) else None

    @rule(viewer=viewers, data=st.data(), shared=st.booleans())
    @counted
    def edit(self, viewer: Viewer, data: st.DataObject, shared: bool) -> None:
        owner = self._place(viewer, shared)
        known = self.pick(data, owner)
        if known:
            self._edit(viewer, owner, known, self._marker(owner, known), "edited")

    def _marker(self, owner: OwnerId, known: Known) -> str:
        """Return the marker of who may know what a concept says: whose it is, or who decides about it, too."""
        numbers = [item.number for item in self.world.waiting() if item.known is known]
        return secret_of_proposal(numbers[0]) if numbers else secret(owner)

    def _edit(self, viewer: Viewer, owner: OwnerId, known: Known, marker: str, word: str) -> Concept:
        """Write what a concept says anew: from now on it is for those to know whose marker that is."""
        found = self.concept(viewer, owner, known)
        self.world.edits += 1  # a name that nobody has yet
        name = f"{word} {self.world.edits} {marker}"
        info, category = f"{marker} {word}", f"{word} {marker}"
        edited = self.as_viewer(viewer, lambda c: concepts.edit(c, found, name=name, info=info, category=category))
        known.name, known.info, known.category = name, info, category
        return edited

    @rule(viewer=viewers, data=st.data(), seed=seeds)
    @counted
    def add_a_picture_and_show_it(self, viewer: Viewer, data: st.DataObject, seed: int) -> None:
        known = self.pick(data, viewer.personal)
        if known:
            found = self.concept(viewer, viewer.personal, known)
            reference = a_reference(seed)
            if found.references == MAX_REFERENCES:
                return
            self.as_viewer(viewer, lambda c: concepts.add_reference(c, found, reference, viewer.user_id))
            shown = self.as_viewer(viewer, lambda c: pictures.references(c, found))
            self.as_viewer(viewer, lambda c: pictures.choose_avatar(c, found, shown[-1].reference_id))
            known.vectors.append(reference.embedding)
            self.world.embeddings.append(reference.embedding)

    @rule(viewer=viewers, data=st.data())
    @counted
    def merge(self, viewer: Viewer, data: st.DataObject) -> None:
        mine = list(self.world.of(viewer.personal).values())
        if len(mine) < 2:
            return
        kept = data.draw(st.sampled_from(mine))
        other = data.draw(st.sampled_from([known for known in mine if known is not kept]))
        first, second = (self.concept(viewer, viewer.personal, known) for known in (kept, other))
        if first.references + second.references > MAX_REFERENCES:
            self.refused(PicturesFullError, viewer, lambda c: merging.merge(c, viewer, first, second))
            return
        merged = self.as_viewer(viewer, lambda c: merging.merge(c, viewer, first, second))
        kept.info, kept.vectors = merged.info, kept.vectors + other.vectors
        del self.world.of(viewer.personal)[other.concept_id]
        self._edit(viewer, viewer.personal, kept, self._marker(viewer.personal, kept), "merged")

    # Forgetting, and bringing back.

    @rule(viewer=viewers, data=st.data(), shared=st.booleans())
    @counted
    def forget(self, viewer: Viewer, data: st.DataObject, shared: bool) -> None:
        owner = self._place(viewer, shared)
        known = self.pick(data, owner)
        if known:
            self._forget(viewer, owner, known)

    def _forget(self, viewer: Viewer, owner: OwnerId, known: Known) -> None:
        found = self.concept(viewer, owner, known)
        gone = self.as_viewer(viewer, lambda c: trash.forget_for_now(c, found, viewer.user_id))
        del self.world.of(owner)[known.concept_id]
        assert gone.concept_id == known.concept_id
        self.world.undoable.append(Aside(owner=owner, by=viewer.user_id, known=known))
        self.world.loot["forgotten", owner] = known.concept_id

    @rule(viewer=viewers, data=st.data())
    @counted
    def undo(self, viewer: Viewer, data: st.DataObject) -> None:
        """Try to undo what anybody forgot: it is for who forgot it, where it was."""
        if self.world.undoable:
            aside = data.draw(st.sampled_from(self.world.undoable))
            is_theirs = aside.owner in concepts.owners(viewer) and aside.by == viewer.user_id
            try:
                self.as_viewer(viewer, lambda c: trash.undo(c, aside.owner, aside.known.concept_id))
            except (NotRememberedError, NameTakenError, ObjectedError):
                assert not is_theirs or self._is_in_the_way(aside)
                return
            hold(is_theirs, f"{viewer} brought back {aside}")
            self._bring_back(aside)

    @rule(viewer=viewers, data=st.data())
    @counted
    def approve(self, viewer: Viewer, data: st.DataObject) -> None:
        """Try to approve what anybody proposed: it is for those on that server."""
        waiting = self.world.waiting()
        if not waiting:
            return
        item = data.draw(st.sampled_from(waiting))
        seen = self._looked_at(viewer, item)
        copied = Aside(owner=item.server, by=item.by, known=replace(item.known, vectors=list(item.known.vectors)))
        try:
            self.as_viewer(viewer, lambda c: sharing.approve(c, item.server, item.proposal_id, seen))
        except (NotAdminError, NotRememberedError, NameTakenError, ObjectedError):
            assert viewer.server_memory != item.server or self._is_in_the_way(copied)
            return
        hold(viewer.server_memory == item.server, f"{viewer} approved {item}")
        self._bring_back(copied)
        self.world.drop_proposed(lambda other: other is item)

    @rule(viewer=viewers, data=st.data())
    @counted
    def decline(self, viewer: Viewer, data: st.DataObject) -> None:
        """Try to decline what anybody proposed: it is for those on that server."""
        waiting = self.world.waiting()
        if not waiting:
            return
        item = data.draw(st.sampled_from(waiting))
        seen = self._looked_at(viewer, item)
        try:
            self.as_viewer(viewer, lambda c: sharing.decline(c, item.server, item.proposal_id, seen))
        except (NotAdminError, NotRememberedError):
            assert viewer.server_memory != item.server
            return
        hold(viewer.server_memory == item.server, f"{viewer} declined {item}")
        self.world.drop_proposed(lambda other: other is item)
        self.world.proposals[item.number][1].discard(item.server)

    def _looked_at(self, viewer: Viewer, item: Proposed) -> str:
        """Return what stands for a proposal as somebody sees it who looks at what waits on their server."""
        shared = viewer.server_memory
        if shared is None:
            return ""
        found = self.as_viewer(viewer, lambda c: proposals.proposals_to(c, shared))
        mine = [other for other in self.world.waiting() if other.server == shared]
        assert sorted(waiting.concept.info for waiting in found) == sorted(other.known.info for other in mine)
        return next((waiting.seen for waiting in found if waiting.proposal_id == item.proposal_id), "")

    def _is_in_the_way(self, aside: Aside) -> bool:
        """Whether something keeps a concept from coming (back) into a memory."""
        known, there = aside.known, self.world.of(aside.owner)
        is_refused = is_server(aside.owner) and known.linked_user in self.world.objecting
        return is_refused or known.concept_id in there or self.world.taken(aside.owner, known.name)

    def _bring_back(self, aside: Aside) -> None:
        assert not self._is_in_the_way(aside)
        self.world.of(aside.owner)[aside.known.concept_id] = aside.known
        self.world.drop_aside(lambda other: other is aside)

    # Sharing.

    @rule(viewer=viewers, data=st.data())
    @counted
    def share(self, viewer: Viewer, data: st.DataObject) -> None:
        """Move a concept to the server; from then on what it says is the server's to know."""
        known, shared = self.pick(data, viewer.personal), viewer.server_memory
        if known is None or shared is None or known.concept_id in self.world.of(shared):
            return
        found = self._edit(viewer, viewer.personal, known, secret(shared), "shared")

        async def move(connection: asyncpg.Connection) -> None:
            await sharing.copy(connection, found, shared)
            await concepts.forget(connection, viewer.personal, found.concept_id)

        self.as_viewer(viewer, move)
        self.world.of(shared)[known.concept_id] = self.world.of(viewer.personal).pop(known.concept_id)
        self.world.loot["concept", shared] = known.concept_id

    @rule(viewer=viewers, data=st.data())
    @counted
    def propose(self, viewer: Viewer, data: st.DataObject) -> None:
        known = self.pick(data, viewer.personal)
        if known and viewer.server_memory:
            self._propose(viewer, viewer.server_memory, known)

    def _propose(self, viewer: Viewer, shared: OwnerId, known: Known) -> None:
        """Propose a concept, in words for who made it and who decides."""
        others = [item.number for item in self.world.waiting() if item.known is known]
        number = others[0] if others else len(self.world.proposals)
        self.world.proposals.setdefault(number, (viewer.user_id, set()))[1].add(shared)
        found = self._edit(viewer, viewer.personal, known, secret_of_proposal(number), "proposed")
        self.as_viewer(viewer, lambda c: proposals.propose(c, found, shared))
        mine = self.as_viewer(viewer, lambda c: proposals.proposals_of(c, viewer))
        made = next(item for item in mine if (item.owner_id, item.concept.concept_id) == (shared, known.concept_id))
        self.world.drop_proposed(lambda item: item.proposal_id == made.proposal_id)
        self.world.proposed.append(
            Proposed(server=shared, proposal_id=made.proposal_id, by=viewer.user_id, known=known, number=number)
        )
        self.world.loot["proposed", shared] = made.proposal_id

    # Asking, and judging the answer.

    @rule(viewer=viewers, data=st.data(), verdict=st.sampled_from(Verdict), shared=st.booleans())
    @counted
    def ask_and_judge(self, viewer: Viewer, data: st.DataObject, verdict: Verdict, shared: bool) -> None:
        owner = self._place(viewer, shared)
        known = self.pick(data, owner)
        if known:
            self._ask(viewer, owner, known, verdict)

    def _ask(self, viewer: Viewer, owner: OwnerId, known: Known, verdict: Verdict) -> None:
        sighting = a_sighting(viewer, self.concept(viewer, owner, known), len(self.world.embeddings))

        message_id = next(MESSAGE_IDS)
        said = Spoken(
            owner_id=viewer.personal,
            message_id=message_id,
            first_id=message_id,
            channel_id=1,
            question_id=message_id + 1,
        )
        self.world.loot["spoken", viewer.personal] = said

        async def ask(connection: asyncpg.Connection) -> UUID:
            answer = await sightings.store_answer(connection, viewer, a_jpeg(), 16, 12, [sighting])
            await corrections.store(connection, viewer, sighting, verdict)
            await spoken.note(connection, viewer, [said])
            return answer

        self.world.loot["answer", viewer.personal] = self.as_viewer(viewer, ask)

    # What is learned from it.

    @rule(viewer=viewers, name=st.sampled_from(NAMES), seed=seeds, shared=st.booleans())
    @counted
    def remember_and_learn(self, viewer: Viewer, name: str, seed: int, shared: bool) -> None:
        owner = self._place(viewer, shared)
        self._remember(viewer, owner, name, seed, None)
        self._learn(viewer, owner)

    def _learn(self, viewer: Viewer, owner: OwnerId) -> None:
        self.as_viewer(viewer, lambda c: consent.set_may_train(c, viewer, may=True))
        learned = self.as_viewer(viewer, lambda c: learn(c, owner))
        if learned:
            [found] = self.as_viewer(viewer, lambda c: adapters.in_use(c, [owner]))
            run_id, adapter_id = learned
            assert found.adapter_id == adapter_id
            self.world.loot["run", owner], self.world.loot["adapter", owner] = run_id, adapter_id

    @rule(viewer=viewers, shared=st.booleans(), off=st.booleans())
    @counted
    def answer_by_another(self, viewer: Viewer, shared: bool, off: bool) -> None:
        owner = self._place(viewer, shared)
        act = adapters.disable if off else adapters.roll_back
        with contextlib.suppress(NothingToRollBackError):
            self.as_viewer(viewer, lambda c: act(c, owner, viewer.user_id))

    @invariant()
    def nothing_learned_outlives_what_it_was_learned_from(self) -> None:
        assert self.access.administrator.execute(OUTLIVING.encode()).fetchone() == (0,)

    # What they say about themselves.

    @rule(viewer=viewers)
    @counted
    def object(self, viewer: Viewer) -> None:
        self._object(viewer)

    def _object(self, viewer: Viewer) -> None:
        self.as_viewer(viewer, lambda c: consent.object_to_sharing(c, viewer))
        self.world.objecting.add(viewer.user_id)
        self.world.forget_shared(ALL_SERVERS, lambda known: known.linked_user == viewer.user_id)

    @rule(viewer=viewers)
    @counted
    def withdraw(self, viewer: Viewer) -> None:
        self.as_viewer(viewer, lambda c: consent.withdraw_objection(c, viewer))
        self.world.objecting.discard(viewer.user_id)

    @rule(viewer=viewers, may=st.booleans())
    @counted
    def consent(self, viewer: Viewer, may: bool) -> None:
        self.as_viewer(viewer, lambda c: consent.set_may_train(c, viewer, may=may))
        assert self.as_viewer(viewer, lambda c: consent.may_train(c, viewer)) is may

    @rule(viewer=viewers)
    @counted
    def erase(self, viewer: Viewer) -> None:
        self.as_viewer(viewer, lambda c: erasure.erase(c, viewer))
        me = viewer.user_id
        self.world.of(viewer.personal).clear()
        self.world.forget_shared(ALL_SERVERS, lambda known: me in {known.created_by, known.linked_user})
        self.world.drop_aside(lambda aside: aside.owner == viewer.personal or aside.names(me))
        assert self._mentions(me) == {}

    def _mentions(self, user_id: int) -> dict[str, int]:
        """How many rows of each table have a user's number in them, anywhere."""
        found = {}
        for table in self.access.tables:
            query = sql.SQL("SELECT count(*) FROM {} AS row WHERE row::text ~ %s").format(sql.Identifier(table))
            row = self.access.administrator.execute(query, (rf"(^|\D){user_id}(\D|$)",)).fetchone()
            if table != "objection" and row is not None and row[0]:
                found[table] = row[0]
        return found

    # How a server is governed.

    @rule(viewer=viewers, most=st.integers(0, 7))
    @counted
    def govern(self, viewer: Viewer, most: int) -> None:
        if viewer.server_memory:
            self._govern(viewer, viewer.server_memory, most)

    def _govern(self, viewer: Viewer, shared: OwnerId, most: int) -> None:
        chosen = ServerSettings(locked=True, max_per_member=most, sharing_roles=(most,))
        self.as_viewer(viewer, lambda c: servers.change_settings(c, shared, 0, chosen, f"set {secret(shared)}"))
        self.as_viewer(viewer, lambda c: servers.note(c, shared, viewer.user_id, f"said it {secret(shared)}"))
        assert self.as_viewer(viewer, lambda c: servers.settings_of(c, shared)) == chosen
        [noted, *_] = self.as_viewer(viewer, lambda c: servers.audit_log(c, shared))
        assert noted.action == f"said it {secret(shared)}"

    @rule(viewer=viewers, member=st.sampled_from(USERS))
    @counted
    def see_a_member_go(self, viewer: Viewer, member: int) -> None:
        if viewer.server_memory:
            self._depart(viewer, viewer.server_memory, member)

    def _depart(self, viewer: Viewer, shared: OwnerId, member: int) -> None:
        self.as_viewer(viewer, lambda c: membership.mark_departed(c, shared, member))
        assert member in self.as_viewer(viewer, lambda c: membership.departed_for(c, shared, timedelta(0)))

    @rule(viewer=viewers, member=st.sampled_from(USERS))
    @counted
    def purge(self, viewer: Viewer, member: int) -> None:
        shared = viewer.server_memory
        if shared:
            self.as_viewer(viewer, lambda c: purging.purge(c, shared, member=member))
            self.world.forget_shared([shared], lambda known: member in {known.created_by, known.linked_user})
            self.world.drop_aside(lambda aside: aside.owner == shared and aside.names(member))
            self.world.drop_proposed(lambda item: item.server == shared and item.by == member)

    @rule(viewer=viewers, shared=st.booleans())
    @counted
    def use_up_a_limit(self, viewer: Viewer, shared: bool) -> None:
        self._use(viewer, self._place(viewer, shared))

    def _use(self, viewer: Viewer, owner: OwnerId) -> None:
        with contextlib.suppress(RateLimitedError):
            self.as_viewer(viewer, lambda c: rate_limits.use(c, owner, LIMIT))

    # What they see of it.

    @rule(viewer=viewers)
    @counted
    def look_through(self, viewer: Viewer) -> None:
        everything = list(concepts.owners(viewer))
        found = self.as_viewer(viewer, lambda c: search.browse(c, everything))
        assert sorted(concept.info for concept in found) == sorted(known.info for known in self.world.seen_by(viewer))
        assert set(self.as_viewer(viewer, lambda c: reindexing.in_use(c, everything))) <= {PACK}

    @rule(viewer=viewers, data=st.data(), typed=st.sampled_from((*NAMES, "", "m", "moch", "person")))
    @counted
    def look_up(self, viewer: Viewer, data: st.DataObject, typed: str) -> None:
        names_of_all = sorted({known.name for memory in self.world.memories.values() for known in memory.values()})
        typed = data.draw(st.sampled_from([typed, *names_of_all]))
        names = self.as_viewer(viewer, lambda c: concepts.suggest_names(c, viewer, typed, 1000))
        alike = self.as_viewer(viewer, lambda c: concepts.did_you_mean(c, viewer, typed))
        found = self.as_viewer(viewer, lambda c: concepts.find(c, viewer, typed))
        self.as_viewer(viewer, lambda c: recall.mentioned_in(c, viewer, f"what about {typed} then?"))
        known = {item.name for item in self.world.seen_by(viewer)}
        hold({*names, *alike} <= known, f"{viewer} got names: {names} {alike}")
        assert {name_key(name) for name in names} == {name_key(text) for text in known}
        expected = sorted(item.info for item in self.world.seen_by(viewer) if name_key(item.name) == name_key(typed))
        assert sorted(concept.info for concept in found) == expected

    @rule(viewer=viewers, data=st.data())
    @counted
    def recognise(self, viewer: Viewer, data: st.DataObject) -> None:
        """Show a picture that is exactly somebody's reference: only whose it is recognises it."""
        vector = data.draw(st.sampled_from(self.world.embeddings))
        region = Region(box=WHOLE, embedding=vector, objectness=1.0)
        found = self.as_viewer(viewer, lambda c: recall.recall(c, viewer, [ASight([region], CALIBRATION)]))
        known = self.world.seen_by(viewer)
        likeness = [max(float(vector @ item) for item in concept.vectors) for concept in known]
        if max(likeness, default=0.0) > 0.51:
            [recognition] = found.recognised
            assert recognition.concept.info in {
                item.info for item, like in zip(known, likeness, strict=True) if like > max(likeness) - 0.01
            }
        elif max(likeness, default=0.0) < 0.49:
            hold(found.recognised == (), f"{viewer} recognised {found.recognised}")

    @rule(viewer=viewers)
    @counted
    def count(self, viewer: Viewer) -> None:
        stored = self.as_viewer(viewer, lambda c: footprint.stored(c, viewer))
        assert stored.concepts == len(self.world.of(viewer.personal))
        assert stored.shared == sum(known.created_by == viewer.user_id for known in self.world.shared())
        assert stored.linked == sum(known.linked_user == viewer.user_id for known in self.world.shared())
