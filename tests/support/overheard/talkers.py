"""People who talk, ask, press and govern, on two servers, in a thread and in direct messages."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from db.types import InPublic, user_owner
from tests.support.overheard.hearing import PLACES, USERS, Hearing, Present
from tests.support.overheard.marks import COLOURS, Kind
from tests.support.overheard.stage import LONG, buttons_of, menus_of

SUBJECTS = (Kind.NAME, Kind.NAME, Kind.NAME, Kind.FACT, Kind.CATEGORY, None)
CHOICES = (InPublic.NOTHING, InPublic.NAMES, InPublic.NAMES, InPublic.EVERYTHING)
CARDS = ("memories", "memories", "privacy", "server memory")
MENUS = ("Who is in this?", "Remember this")
WAYS = (
    *("mention", "mention", "reply", "reply", "reply", "press", "press", "press"),
    *("ask", "write_directly", "forward", "edit_a_message", "delete_a_message", "look_at_a_message", "type_a_name"),
    *("remember", "change", "forget", "choose_in_public", "promote_or_demote", "open_a_card", "choose_from_a_menu"),
)
"""What people do, the more frequent things more often."""


class Talkers(Hearing):
    """Every act is somebody's. (One rule for all: hypothesis leaves out many of several, a run at a time.)"""

    @initialize()
    def settle(self) -> None:
        """Everybody has something of their own, and so has each server; there is talk everywhere, and a card open."""
        for user, place in zip(USERS, PLACES, strict=True):
            for colour in range(2):
                self.know(user, place, colour, share=False)
        for user, place in (("alice", "pictures"), ("bob", "elsewhere")):
            self.know(user, place, 2, share=True)
        for number, (user, place) in enumerate(zip(USERS, PLACES, strict=True)):
            self.say(user, place, f"{self.mention_of_bot} who is this?", number % 2)
            self.open(user, place, "memories")
        self.acts = 0

    @rule(user=st.sampled_from(USERS), place=st.sampled_from(PLACES), way=st.sampled_from(WAYS), data=st.data())
    def do_something(self, user: str, place: str, way: str, data: st.DataObject) -> None:
        """Do something, and count it if something came of it."""
        self.data, before = data, self.acts
        getattr(self, way)(user, place)
        self.counts[way] += self.acts > before

    # What is known.

    def remember(self, user: str, place: str) -> None:
        self.know(user, place, self.data.draw(st.integers(0, len(COLOURS) - 1)), share=self.data.draw(st.booleans()))

    def change(self, user: str, place: str) -> None:
        name, kind = self._subject(user, Kind.NAME), self.data.draw(st.sampled_from((Kind.NAME, Kind.FACT)))
        word, option = self.marks.word(kind), "new_name" if kind is Kind.NAME else "info"
        self.command(user, place, f"{name} {word}", "edit", name=name, **{option: word})

    def forget(self, user: str, place: str) -> None:
        name = self._subject(user, Kind.NAME)
        if self.data.draw(st.booleans()):
            self.command(user, place, name, "forget", name=name)

    def choose_in_public(self, user: str, place: str) -> None:
        self.choose(user, self.data.draw(st.sampled_from(CHOICES)))

    def promote_or_demote(self, user: str, place: str) -> None:
        self.promote(is_admin=self.data.draw(st.booleans()))
        self.acts += 1

    # Talk.

    def mention(self, user: str, place: str) -> None:
        self.say(user, place, f"{self.mention_of_bot} {self._words(user, long=True)}", self._colour())

    def reply(self, user: str, place: str) -> None:
        present = self.in_channel(place)
        if present:
            target, mentions = self._one_of(present), self.data.draw(st.integers(0, 2)) == 2
            own = any(target.id in exchange.answers and exchange.user == user for exchange in self.exchanges)
            text = f"{self.mention_of_bot if mentions else ''} {self._words(user)}"
            self.say(user, place, text, self._colour(), target, asks=mentions or own)

    def forward(self, user: str, place: str) -> None:
        present = [message for message in self.in_channel(place) if not message.snapshots]
        if present:
            target, channel = self.shown(self._one_of(present)), self.channels[place]
            self.act(Present(user=user, place=place), lambda: self.member(user, place).forward(target, channel))

    def edit_a_message(self, user: str, place: str) -> None:
        own = self._own(user, place)
        if own:
            message, text = self.shown(self._one_of(own)), f"{self.mention_of_bot} {self._words(user)}"
            self.act(Present(user=user, place=place), lambda: self.member(user, place).edit(message, text))

    def delete_a_message(self, user: str, place: str) -> None:
        own = self._own(user, place)
        if own:
            message = self.shown(self._one_of(own))
            self.act(Present(user=user, place=place), lambda: self.member(user, place).delete(message))
            self.is_gone([exchange for exchange in self.exchanges if exchange.question == message.id])

    # Commands.

    def ask(self, user: str, place: str) -> None:
        words, show = self._words(user, long=True), self.data.draw(st.booleans())
        self.ask_by_command(user, place, words, self._colour(), show=show)

    def write_directly(self, user: str, place: str) -> None:
        self.say_directly(user, self._words(user, long=True), self._colour())

    def look_at_a_message(self, user: str, place: str) -> None:
        pictures = [message for message in self.in_channel(place) if message.attachments]
        if pictures:
            target, menu = self._one_of(pictures), self.data.draw(st.sampled_from(MENUS))
            member, present = self.member(user, place), Present(user=user, place=place, pictures=self.seen_in(target))
            self.act(present, lambda: member.context_menu(self.channels[place], menu, self.shown(target)))

    def type_a_name(self, user: str, place: str) -> None:
        typed, member, channel = self._subject(user, Kind.NAME)[:6], self.member(user, place), self.channels[place]
        self.act(Present(user=user, place=place), lambda: member.autocomplete(channel, "ask", "question", typed))

    def open_a_card(self, user: str, place: str) -> None:
        self.open(user, place, self.data.draw(st.sampled_from(CARDS)))

    # Buttons and menus, by anybody who sees them.

    def press(self, user: str, place: str) -> None:
        pressable = [message for message in self._seen_by(user, place) if buttons_of(message)]
        if pressable:
            target = self._one_of(pressable[-6:])
            self.press_button(user, place, target, self.data.draw(st.sampled_from(buttons_of(target))))

    def choose_from_a_menu(self, user: str, place: str) -> None:
        choosable = [message for message in self._seen_by(user, place) if menus_of(message)]
        if choosable:
            target = self._one_of(choosable[-4:])
            custom_id, values = self.data.draw(st.sampled_from(menus_of(target)))
            value, member = self.data.draw(st.sampled_from(values)), self.member(user, place)
            present = Present(user=user, place=place, pictures=self.seen_in(target))
            done = self.act(present, lambda: member.select(self.shown(target), [value], custom_id=custom_id))
            if done is not None and custom_id == "in_public":
                self.choices[user] = InPublic(value)

    # What they say.

    def _one_of(self, messages: list[Any]) -> Any:
        return messages[self.data.draw(st.integers(0, len(messages) - 1))]

    def _colour(self) -> int | None:
        return self.data.draw(st.sampled_from((None, None, None, *range(len(COLOURS)))))

    def _words(self, user: str, *, long: bool = False) -> str:
        subject = self.data.draw(st.sampled_from(SUBJECTS))
        word = "this" if subject is None else self._subject(user, subject)
        return f"who is {word}?" + (f" {LONG}" if long and self.data.draw(st.booleans()) else "")

    def _subject(self, user: str, kind: Kind) -> str:
        """Return a word of anybody's, of somebody's own in most cases."""
        words = self.marks.known(kind)
        own = [word for word in words if user_owner(self.ids[user]) in self.marks.owners[word]]
        return self.data.draw(st.sampled_from(own if own and self.data.draw(st.integers(0, 2)) else words))

    def _seen_by(self, user: str, place: str) -> list[Any]:
        stored = self.env.backend.messages[self.channels[place].id].values()
        return [message for message in stored if message.visible_to(self.ids[user])]

    def _own(self, user: str, place: str) -> list[Any]:
        return [message for message in self.in_channel(place) if message.author_id == self.ids[user]]
