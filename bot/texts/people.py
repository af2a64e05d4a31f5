"""What is said about people: the word that they agree, and asking them before they are shared."""

from __future__ import annotations

from datetime import datetime

from bot.texts.formatting import day, quoted, shortened
from bot.texts.memories import NOTHING_SAID, title
from db.types import Concept, Proposal

WORD = (
    "### Do they agree?\nThat is a person. I only remember people who agree to it. Please say whether the people that "
    "you tell me about do: I ask once, keep that you said so, and have stored nothing so far."
)
AGREE = "They agree"
AGREE_AND_IMPORT = "They agree: import"
CANCEL = "Cancel"
THANKS = "Thank you. I noted that; `/privacy` shows it."
NOTHING_KEPT = "All right. I kept nothing of it."


def word_given(at: datetime) -> str:
    """Say that somebody gave their word for the people they remember."""
    return f"You gave your word that the people you tell me about agree, {day(at)}"


REQUESTS_HINT = "You are asked to agree…"
SHARE_YES = "I agree"
SHARE_NO = "No"
SAID_NO = "All right. I won't share that there."
SAID_YES = "Thank you. You find what is linked to you in `/privacy`, and can take it out there at any time."
LONGEST_REQUEST = 1200
"""Characters of what is known, after escaping: of 2,000 for a message."""
LINKED = "### Linked to your account"
PRIVATE_LINK = "Somebody's own memory"
TAKE_OUT_HINT = "Take out what is linked to you…"
TAKEN_OUT = "I deleted it there, with its pictures."
UNLINKED = "It isn't linked to your account any more."


def request(asked: Proposal, server: str) -> str:
    """Ask somebody whether a memory of them may be shared: with all that everybody there would see."""
    said = "\n".join(f"> {line}" for line in quoted(asked.concept.info).splitlines()) or f"> {NOTHING_SAID}"
    return (
        f"<@{asked.proposed_by}> wants to share a memory of you with everyone on **{quoted(server)}**. It is this, "
        f"with these pictures:\n{title(asked.concept)}\n{shortened(said, LONGEST_REQUEST)}\n"
        "I share it only if you agree."
    )


def request_line(asked: Proposal, server: str) -> str:
    """Return a line about what somebody wants to share of the reader."""
    return f"- <@{asked.proposed_by}> wants to share a memory of you on {quoted(server)}, {day(asked.created_at)}"


def asked(person: int, *, is_new: bool, reached: bool) -> str:
    """Say that who it is has to agree first."""
    if not is_new:
        return f"I've asked <@{person}> already. Until they agree, it stays yours alone."
    where = "" if reached else " I couldn't write to them, so please tell them: they find it in `/privacy`."
    return f"I've asked <@{person}> whether that is all right. Until they agree, it stays yours alone.{where}"


def agreed(concept: Concept, server: str, *, waits: bool) -> str:
    """Tell who asked that the person agreed, and what came of it."""
    person = f"<@{concept.linked_user}> agreed to **{quoted(concept.name)}** on {quoted(server)}"
    return f"{person}: {'the admins have to approve it now.' if waits else 'everyone there can see it now.'}"


def agreed_but(concept: Concept, server: str, problem: str) -> str:
    """Tell who asked that the person agreed, and why it isn't shared."""
    return f"<@{concept.linked_user}> agreed to **{quoted(concept.name)}** on {quoted(server)}, but: {problem}"


def disagreed(concept: Concept, server: str) -> str:
    """Tell who asked that the person said no."""
    return f"<@{concept.linked_user}> said no to **{quoted(concept.name)}** on {quoted(server)}. It stays yours alone."


def linked(name: str, server: str | None) -> str:
    """Return a line about something that is linked to the reader: its name and place, neither of what is private."""
    if server is None:
        return f"- {PRIVATE_LINK}, which nobody else can see"
    return f"- **{quoted(name)}** on {quoted(server)}"


def more_linked(count: int) -> str:
    """Say how much else is linked to the reader."""
    return f"- and {count:,} more"
