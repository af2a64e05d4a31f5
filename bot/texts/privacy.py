"""What is said to a person about their own data: what is kept, what they allowed, and what was deleted."""

from __future__ import annotations

from datetime import datetime

from bot.texts.formatting import day, plural, quoted
from db.types import Erased, InPublic, Proposal, Stored

RULES = (
    "-# What you tell me belongs to you alone: I use it to answer you, wherever you are, and nobody else. "
    "What you share belongs to that server. I keep pictures without their metadata, and I never store messages."
)
CONSENT_ON = "I may train on what you told me"
CONSENT_OFF = "I don't train on what you told me"
OBJECTION_ON = "Others may not link a shared memory to your account"
OBJECTION_OFF = "Others may link a shared memory to your account"
IN_PUBLIC = {
    InPublic.NOTHING: "Where others can read, I say nothing from your memory",
    InPublic.NAMES: "Where others can read, I say only the names from your memory, and only when you ask me",
    InPublic.EVERYTHING: "Where others can read, I say everything from your memory when you ask me",
}
IN_PUBLIC_CHOICES = {
    InPublic.NOTHING: "In public, say nothing of mine",
    InPublic.NAMES: "In public, say only names",
    InPublic.EVERYTHING: "In public, say everything",
}
IN_PUBLIC_HINT = "What may I say where others can read?"
DELETE_EVERYTHING = (
    "This deletes your memories, pictures, answers and corrections, and what you shared on servers. "
    "It can't be undone. Export first if you want to keep something."
)
DELETE_WORD = "DELETE"
NOT_DELETED = f"I deleted nothing: you have to type {DELETE_WORD}."
WITHDRAW_HINT = "Withdraw what you proposed…"
NOTHING_STORED = "- Nothing yet"


def what_is_stored(stored: Stored) -> str:
    """Return what is stored about somebody, in words; what there is none of is left out."""
    size = f"{stored.picture_bytes / 1e6:.1f} MB"
    lines = [
        (stored.concepts, f"{plural(stored.concepts, 'concept')} with {plural(stored.references, 'picture')}, {size}"),
        (stored.answers, f"{plural(stored.answers, 'answer')}, each with its picture and what I saw in it"),
        (stored.corrections, f"{plural(stored.corrections, 'correction')}: “right” or “not them”"),
        (stored.shared, f"{plural(stored.shared, 'concept')} that you shared on servers"),
        (stored.linked, f"{plural(stored.linked, 'shared concept')} linked to your account"),
        (stored.copies, f"{plural(stored.copies, 'picture')} of your messages that others keep"),
        (stored.forgotten, f"{plural(stored.forgotten, 'concept')} that you forgot and can still bring back"),
        (stored.adapters, f"{plural(stored.adapters, 'version')} of what I learned from you"),
    ]
    return "\n".join(f"- {line}" for count, line in lines if count) or NOTHING_STORED


def proposal(waiting: Proposal, server: str) -> str:
    """Return a line about something that the person it is, or the admins of a server, haven't decided about."""
    there = quoted(server)
    who = f"<@{waiting.person}>, to be shared on {there}" if waiting.waits_for_person else f"the admins of {there}"
    return f"- **{quoted(waiting.concept.name)}** waits for {who}, {day(waiting.created_at)}"


def copies_deleted(count: int) -> str:
    """Say that others don't keep pictures of somebody's messages any more."""
    return f"I deleted {plural(count, 'picture')} of your messages that others kept."


def receipt(erased: Erased, number: str, at: datetime, *, objects: bool) -> str:
    """Return the receipt of an erasure: plain text, for a file."""
    rows = [f"{count:6} × {name.replace('_', ' ')}" for name, count in erased.rows.items() if count]
    if erased.servers:
        rows.append(f"{erased.servers:6} × server that it was deleted from")
    kept = (
        "Kept: only your objection to being shared, so that it stays in force. Withdraw it in /privacy to remove it."
        if objects
        else "Kept: nothing."
    )
    deleted = f"Everything stored about you was deleted, {at:%Y-%m-%d %H:%M:%S} UTC."
    return "\n".join([f"Keepsake: receipt {number}", deleted, "", *(rows or ["     there was nothing"]), "", kept])
