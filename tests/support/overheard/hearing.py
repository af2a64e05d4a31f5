"""What people do to the bot, and how all that it says meanwhile is held against who can read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from simcord import BackendError, SetupError
from simcord.results import ResponseMessage

from db import consent
from db.pool import viewing
from db.types import InPublic, Viewer, server_owner, user_owner
from tests.support.leaks.world import hold
from tests.support.overheard.marks import Kind, Marks, kind_of, marks_in
from tests.support.overheard.stage import ADMIN, Said, Stage

USERS = ("alice", "bob", "carol")
"""Carol is an admin of the first server, now and then."""

PLACES = ("pictures", "thread", "elsewhere")
SPOKEN = {0, 19, 20}
"""Discord's numbers for messages, replies, and answers to commands."""

Act = Callable[[], Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What somebody does, and where: their words, the pictures they may mean, whether it asks the bot something."""

    user: str
    place: str
    text: str = ""
    pictures: frozenset[str] = frozenset()
    asks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A question in a channel, and the messages that answered it."""

    user: str
    question: int
    answers: frozenset[int]


class Hearing(RuleBasedStateMachine):
    """People on two servers with the bot; after each act everything that it said is judged."""

    stage: Stage
    counts: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.env = self.stage.begin()
        self.marks = Marks()
        self.acts = 0
        self.choices = dict.fromkeys(USERS, InPublic.NAMES)
        self.exchanges: list[Exchange] = []
        kitchen, cellar = self.env.create_guild("Kitchen"), self.env.create_guild("Cellar")
        people = {name: self.env.create_user(name) for name in USERS}
        self.ids = {name: user.id for name, user in people.items()}
        self.keepers = kitchen.create_role("Keepers", permissions=ADMIN)
        self.members = {name: [kitchen.add_member(user), cellar.add_member(user)] for name, user in people.items()}
        pictures, elsewhere = kitchen.create_text_channel("pictures"), cellar.create_text_channel("elsewhere")
        self.env.backend.create_thread(pictures.id, "thread", self.ids["alice"])
        self.channels = {"pictures": pictures, "thread": pictures.threads[0], "elsewhere": elsewhere}
        self.promote(is_admin=True)

    def teardown(self) -> None:
        self.stage.end(self.env)

    # What people do.

    def know(self, user: str, place: str, colour: int, *, share: bool) -> None:
        """Remember something new."""
        name, fact, kind = (self.marks.word(made) for made in (Kind.NAME, Kind.FACT, Kind.CATEGORY))
        mark, picture = self.marks.picture(colour)
        given = {"name": name, "info": f"keeps {fact}", "category": kind, "image": ("it.png", picture), "share": share}
        self.command(user, place, f"{name} {fact} {kind} {mark}", "remember", **given)

    def choose(self, user: str, choice: InPublic) -> None:
        """Say what of one's own may be said in public."""

        async def choosing() -> None:
            viewer = Viewer(self.ids[user])
            async with viewing(self.stage.pool, viewer) as connection:
                await consent.set_in_public(connection, viewer, choice)

        self.choices[user] = choice
        self.act(Present(user=user, place="pictures"), choosing)

    def promote(self, *, is_admin: bool) -> None:
        """Make Carol an admin, or take that away."""
        backend, server = self.env.backend, self.channels["pictures"]._channel.guild_id
        change = backend.add_member_role if is_admin else backend.remove_member_role
        change(server, self.ids["carol"], self.keepers.id)

    def command(self, user: str, place: str, words: str, command: str, /, **given: Any) -> None:
        """Use a command; what is said in it is no secret to who says it."""
        member, channel = self.member(user, place), self.channels[place]
        self.act(Present(user=user, place=place, text=words), lambda: member.slash(channel, command, **given))

    def ask_by_command(self, user: str, place: str, text: str, colour: int | None = None, *, show: bool) -> None:
        """Ask with `/ask`, perhaps with a new picture."""
        drawn = [] if colour is None else [self.marks.picture(colour)]
        given: dict[str, Any] = {"question": text, "show": show}
        given.update(("image", ("it.png", picture)) for _, picture in drawn)
        present = Present(user=user, place=place, text=text, pictures=frozenset(mark for mark, _ in drawn), asks=True)
        member, channel, before = self.member(user, place), self.channels[place], self._ids_in(place)
        self.act(present, lambda: member.slash(channel, "ask", **given))
        self.exchanges.append(Exchange(user=user, question=0, answers=self._ids_in(place) - before))

    def say_directly(self, user: str, text: str, colour: int | None = None) -> None:
        """Write to the bot in a direct message."""
        person = self.member(user, "pictures").user
        drawn = [] if colour is None else [self.marks.picture(colour)]
        files = self.env.backend.store_attachments(person.dm_channel.id, [("it.png", picture) for _, picture in drawn])
        pictures = frozenset(mark for mark, _ in drawn)
        present = Present(user=user, place="pictures", text=text, pictures=pictures, asks=True)
        self.act(present, lambda: person.send_dm(text, attachments=files))

    def say(
        self, user: str, place: str, text: str, colour: int | None = None, target: Any = None, *, asks: bool = True
    ) -> None:
        """Send a message to a channel; what it may be about are its own picture, and those of what it replies to."""
        drawn, chain = [] if colour is None else [self.marks.picture(colour)], self._chain(target)
        between = list(takewhile(lambda message: self._is_between(user, message), chain))
        meant = [self.seen_in(message) for message in chain[: len(between) + 1]]
        pictures = frozenset(mark for mark, _ in drawn).union(*meant)
        present = Present(user=user, place=place, text=text, pictures=pictures, asks=asks)
        before, shown = self._ids_in(place), None if target is None else self.shown(target)
        files = [("it.png", picture) for _, picture in drawn]
        member, channel = self.member(user, place), self.channels[place]
        sent = self.act(present, lambda: member.send(channel, text, reply_to=shown, attachments=files))
        new = self._ids_in(place) - before - {sent.id}
        hold(asks or not new, f"at {present}: the bot answered, and nobody had asked")
        self.exchanges.append(Exchange(user=user, question=sent.id, answers=new))
        self._judge_history(user, chain)

    def open(self, user: str, place: str, command: str) -> None:
        """Open a card."""
        self.command(user, place, "", command)

    def press_button(self, user: str, place: str, target: Any, button: str) -> None:
        """Press a button; a form that it shows is filled in, and ✖ takes one's own answer away."""
        own = [exchange for exchange in self.exchanges if target.id in exchange.answers and exchange.user == user]
        present, member = Present(user=user, place=place, pictures=self.seen_in(target)), self.member(user, place)
        result = self.act(present, lambda: member.click(self.shown(target), custom_id=button))
        is_ours = button.startswith("keepsake:")
        self.counts[f"press {button.split(':')[1] if is_ours else 'a card'}"] += 1
        if button == "keepsake:back":
            self.is_gone(own)
        if result is not None and result.modal is not None and is_ours:
            name, fact = self.marks.word(Kind.NAME), self.marks.word(Kind.FACT)
            present = Present(user=user, place=place, text=f"{name} {fact}")
            self.act(present, lambda: member.submit_modal(result, {"name": name, "info": fact}))

    def act(self, present: Present, act: Act) -> Any:
        """Do something, and judge everything that the bot says meanwhile; None if Discord wouldn't let them."""
        ears, before = self.stage.ears, self.marks.look_up(self.stage.administrator)
        ears.heard.clear()
        self.stage.writer.told.clear()
        try:
            result = self.stage.runner.run(act())
            self.acts += 1
        except (SetupError, BackendError) as refusal:
            if "real user could not" not in str(refusal):
                raise
            result = None
        self.marks.owners = self.marks.look_up(self.stage.administrator)
        owners = {mark: before.get(mark, set()) | now for mark, now in self.marks.owners.items()}
        for said in [*ears.heard, *self._shown_beside(result, present)]:
            self._judge(said, present, owners)
        return result

    # What others hear.

    def is_gone(self, exchanges: list[Exchange]) -> None:
        """Nothing may be left of answers that were taken back."""
        for exchange in exchanges:
            left = [message for place in PLACES for message in self.in_channel(place) if message.id in exchange.answers]
            hold(not left, f"{left} are still there")
            self.counts["taken back"] += 1

    def _shown_beside(self, result: Any, present: Present) -> list[Said]:
        """Return a form, or what is suggested while somebody types, as said to who is shown it."""
        shown = result if isinstance(result, list) else getattr(result, "modal", None)
        server_id = self.channels[present.place]._channel.guild_id
        return [Said(server_id=server_id, reader=self.ids[present.user], text=repr(shown))] if shown else []

    def _judge(self, said: Said, present: Present, owners: dict[str, set[str]]) -> None:
        marks = marks_in(said.text)
        where = "in public" if said.reader is None else "alone"
        self.counts.update(f"{kind_of(mark).name.lower()} {where}" for mark in marks)
        told = {mark: owners.get(mark, set()) for mark in marks}
        told = {mark: whose for mark, whose in told.items() if not self._may_read(mark, whose, said, present)}
        hold(not told, f"at {present}: {told} in {said}")

    def _may_read(self, mark: str, owners: set[str], said: Said, present: Present) -> bool:
        """Whether somebody may read a mark of these owners in what the bot said.

        In public a private memory gives to a question of its owner's: all, if they chose so; a name, if there is a
        picture. What a question says itself may be said back.
        """
        is_shared = said.server_id is not None and server_owner(said.server_id) in owners
        if is_shared or mark in marks_in(present.text) or mark in present.pictures:
            return said.reader in {None, self.ids[present.user]}
        if said.reader is not None:
            return user_owner(said.reader) in owners
        choice = self.choices[present.user]
        is_named = choice is InPublic.NAMES and kind_of(mark) is Kind.NAME and bool(present.pictures)
        is_asked_for = present.asks and user_owner(self.ids[present.user]) in owners
        return is_asked_for and (is_named or choice is InPublic.EVERYTHING)

    def _judge_history(self, user: str, chain: list[Any]) -> None:
        """What a model is told of the conversation is of who asks, and of the bot's to them."""
        between = [marks_in(message.content) for message in chain if self._is_between(user, message)]
        others = [marks_in(message.content) for message in chain if not self._is_between(user, message)]
        told = marks_in(" ".join(text for turns in self.stage.writer.told for text in turns))
        foreign = told & set().union(*others) - set().union(*between)
        hold(not foreign, f"{user}'s model was told {foreign} of what others said")

    def _is_between(self, user: str, message: Any) -> bool:
        """Whether a message is a person's, or one of the bot's to them."""
        answered = [exchange for exchange in self.exchanges if message.id in exchange.answers]
        return message.author_id == self.ids[user] or any(exchange.user == user for exchange in answered)

    def _chain(self, target: Any) -> list[Any]:
        """Return the messages that a reply goes back to, the latest first, as far as they are there."""
        chain = []
        while target is not None:
            chain.append(target)
            reference = {} if target.snapshots else target.reference or {}
            stored = self.env.backend.messages[target.channel_id]
            target = stored.get(int(reference["message_id"])) if reference.get("message_id") else None
        return chain

    # Discord's side.

    @property
    def mention_of_bot(self) -> str:
        mention: str = self.env.bot.user.mention
        return mention

    def member(self, user: str, place: str) -> Any:
        return self.members[user][place == "elsewhere"]

    def in_channel(self, place: str) -> list[Any]:
        """Return what everybody in a channel sees."""
        stored = self.env.backend.messages[self.channels[place].id].values()
        return [message for message in stored if not message.is_ephemeral and message.type in SPOKEN]

    def _ids_in(self, place: str) -> frozenset[int]:
        return frozenset(message.id for message in self.in_channel(place))

    def shown(self, message: Any) -> ResponseMessage:
        """Return a message as who sees it acts on it."""
        return ResponseMessage(self.env, message)

    def seen_in(self, message: Any) -> frozenset[str]:
        """Return the marks of the pictures that are in a message already."""
        return frozenset(marks_in(" ".join(self.stage.ears.widths_in(self.env, message))))
