"""What the bot says that no model wrote."""

from __future__ import annotations

import discord

from db.models import Concept

LOOKING = "👀 Looking…"
THINKING = "💭 Thinking…"
WHO_IS_THIS = "Who is in this picture?"
MESSAGE_LENGTH = 2000


def remembered(concept: Concept) -> str:
    """Say that a concept was remembered, where, and what to do next."""
    where = "for everyone on this server" if concept.is_shared else "for you alone"
    return (
        f"I'll remember **{quoted(concept.name)}**, {where}. "
        "Send me a new picture and ask who is in it, or ask me what you told me."
    )


def edited(concept: Concept) -> str:
    """Say what is known of a concept after it was edited."""
    details = f" ({quoted(concept.category)})" if concept.category else ""
    said = f": {quoted(concept.info)}" if concept.info else "; nothing was said about it"
    return f"From now on I know **{quoted(concept.name)}**{details}{said}"[:MESSAGE_LENGTH]


def forgotten(name: str) -> str:
    """Say that a concept was forgotten."""
    return f"I've forgotten **{quoted(name)}**: the pictures, the words, everything."


def quoted(text: str) -> str:
    """Return a person's text with nothing in it that Discord would format."""
    return discord.utils.escape_markdown(text)


def split(text: str, longest: int = MESSAGE_LENGTH) -> list[str]:
    """Split a text into messages: after a sentence where possible, else after a word."""
    parts = []
    rest = text.strip()
    while len(rest) > longest:
        cut = _last_end(rest[:longest])
        parts.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*parts, rest] if rest or not parts else parts


def _last_end(text: str) -> int:
    """Return where to cut: after the last sentence, else line, else word, in the text's second half."""
    ends = [text.rfind(mark) + 1 for mark in (". ", "! ", "? ", ".\n", "。", "\n")]
    for end in (max(ends), text.rfind(" ") + 1):
        if end > len(text) // 2:
            return end
    return len(text)
