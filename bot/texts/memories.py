"""What is said about what is remembered: lists, cards, and what was done to a memory."""

from __future__ import annotations

from bot.texts.formatting import MESSAGE_LENGTH, day, one_line, plural, quoted, shortened
from db.types import Concept

LONGEST_INFO = 1200
"""Characters of info on a card, after escaping: of 4,000 for all of it."""
LONGEST_EXCERPT = 140

EMPTY_MEMORY = "Nothing here yet. Use `/remember`, or “Remember this” on a message with a picture."
NOTHING_FOUND = "I found nothing like that. Try other words, or remove the filter."
NOTHING_SAID = "*nothing said yet*"
WHICH_ONE = "### What should I remember?\nEach box has a number. Choose one below."
FORGET_WARNING = "I'll forget the pictures and everything you told me about it. You can undo this for ten minutes."
SHARE_PERSON_WARNING = (
    " That is a person: I show it to them first, if you said whose account it is, and else to the admins, and share it "
    "only if they agree."
)
SHARE_WARNING = (
    "Everyone on this server will see it, and the admins can change it. You'll see it here too, but on other servers "
    "only once you stop sharing it."
)


def remembered(concept: Concept, *, waits: bool = False, alike: Concept | None = None) -> str:
    """Say that a concept was remembered, where, and what to do next."""
    where = "for everyone on this server" if concept.is_shared else "for you alone"
    sentences = [f"I'll remember **{quoted(concept.name)}**, {where}."]
    if waits:
        sentences.append("The admins have to approve it before others see it.")
    if alike is not None:
        sentences.append(f"It looks a lot like **{quoted(alike.name)}**: if they are the same, merge them.")
    sentences.append("Send me a new picture and ask who is in it, or ask me what you told me.")
    return " ".join(sentences)


def edited(concept: Concept) -> str:
    """Say what is known of a concept after it was edited."""
    category = f" ({quoted(concept.category)})" if concept.category else ""
    known = f"Here's what I know now about **{quoted(concept.name)}**{category}"
    return f"{known}: {quoted(concept.info) or 'nothing yet.'}"[:MESSAGE_LENGTH]


def forgotten(name: str) -> str:
    """Say that a concept was forgotten."""
    return f"I've forgotten **{quoted(name)}**, with all pictures. You can undo this for ten minutes."


def known_here_too(concept: Concept, *, may_change: bool) -> str:
    """Say that the server's memory knows something of that name, too, and what can be done about it."""
    known = f"This server's memory knows a **{quoted(concept.name)}**, too, which I still know."
    if may_change:
        return f"{known} You can forget it, or stop sharing it, in `/memories` with `server` on."
    return f"{known} Who shared it and the admins can forget it; if it is you, `/privacy` takes it out."


def brought_back(concept: Concept) -> str:
    """Say that forgetting was undone."""
    return f"**{quoted(concept.name)}** is back, as if nothing had happened."


def added(concept: Concept) -> str:
    """Say that a picture was added."""
    return f"I added the picture. I now have {plural(concept.references, 'picture')} of **{quoted(concept.name)}**."


def same(concept: Concept) -> str:
    """Ask whether two are the same."""
    return f"That looks like **{quoted(concept.name)}**. Is it the same?"


def merged(concept: Concept) -> str:
    """Say that two concepts are one now."""
    return f"I merged them into **{quoted(concept.name)}**, with {plural(concept.references, 'picture')}."


def shared(concept: Concept | None) -> str:
    """Say that a concept is shared, or waits to be."""
    if concept is None:
        return "I've asked the admins of this server. Until they approve, it stays yours alone."
    return f"Everyone on this server can see **{quoted(concept.name)}** now."


def unshared(name: str) -> str:
    """Say that a concept isn't shared any more."""
    return f"**{quoted(name)}** isn't shared any more: it's yours alone again."


def deleted(count: int) -> str:
    """Say how many concepts were deleted for good."""
    return f"I deleted {plural(count, 'concept')} for good."


def heading(total: int, *, shared: bool, search: str = "", category: str = "", page: int | None = None) -> str:
    """Return what stands above a page of a memory; ``page`` counts from 0 and is None when there is only one."""
    whose = "This server's memory" if shared else "Your memory"
    found = f" · found by “{quoted(search)}”" if search else ""
    only = f" · only {quoted(category)}" if category else ""
    number = "" if page is None else f"\n-# page {page + 1}"
    return f"## {whose} · {total:,}{found}{only}{number}"


def title(concept: Concept) -> str:
    """Return a concept's name and category, as a heading line."""
    category = f" · {quoted(concept.category)}" if concept.category else ""
    return f"**{quoted(concept.name)}**{category}"


def entry(concept: Concept) -> str:
    """Return a concept as a line of a list."""
    said = quoted(shortened(one_line(concept.info), LONGEST_EXCERPT)) or NOTHING_SAID
    seen = f" · recognised {concept.times_recognised}×" if concept.times_recognised else ""
    return f"{title(concept)}\n{said}\n-# {plural(concept.references, 'picture')}{seen}"


def details(concept: Concept) -> str:
    """Return what a card says below a concept's name: info, and when and where it was remembered and recognised."""
    said = "\n".join(f"> {line}" for line in quoted(concept.info).splitlines()) or f"> {NOTHING_SAID}"
    where = f" in <#{concept.learned.channel_id}>" if concept.learned.server_id else ""
    lines = [
        shortened(said, LONGEST_INFO),
        f"-# {plural(concept.references, 'picture')} · remembered {day(concept.created_at)}{where}",
    ]
    if concept.times_recognised:
        last = f", last {day(concept.last_seen)}" if concept.last_seen else ""
        lines.append(f"-# recognised {concept.times_recognised}×{last}")
    person = f" · this is <@{concept.linked_user}>" if concept.linked_user else ""
    visible = "Shared: everyone on this server can see it" if concept.is_shared else "Yours alone"
    return "\n".join([*lines, f"-# {visible}{person}"])
