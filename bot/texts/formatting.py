"""How what the bot says is put together: numbers with their nouns, people's own words made harmless, lengths, times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

MESSAGE_LENGTH = 2000
"""Characters that Discord takes in one message."""


def plural(count: int, text: str, many: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{count:,} {text if count == 1 else many or text + 's'}"


def quoted(text: str) -> str:
    """Return a person's text with nothing in it that Discord would format, link or ping."""
    harmless = _MARKDOWN.sub(lambda found: f"{found[2] or ''}\\{found[1] or found[3]}", text)
    return _INVITE.sub("\\1\u200b/", harmless.replace("@", "@\u200b").replace("://", ":\u200b//"))


def one_line(text: str) -> str:
    """Return a text without its line breaks."""
    return " ".join(text.split())


def split(text: str, longest: int = MESSAGE_LENGTH) -> list[str]:
    """Split a text into messages: after a sentence where possible, else after a word."""
    parts = []
    rest = text.strip()
    while len(rest) > longest:
        cut = _last_end(rest[:longest])
        parts.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*parts, rest] if rest or not parts else parts


def duration(seconds: int) -> str:
    """Return a time to wait in words, rounded up: “40 seconds”, “3 minutes”, “2 hours”."""
    for length, unit in ((3600, "hour"), (60, "minute")):
        if seconds > length:
            return plural(-(-seconds // length), unit)
    return plural(max(seconds, 1), "second")


def names_of(given: Sequence[str], maximum: int = 8) -> str:
    """Return names as a list, and how many more there are."""
    shown = ", ".join(quoted(name) for name in given[:maximum])
    return f"{shown} and {len(given) - maximum:,} more" if len(given) > maximum else shown


def shortened(text: str, longest: int) -> str:
    """Return a text, cut off where it is too long."""
    return text if len(text) <= longest else text[: longest - 1].rstrip("\\ ") + "…"


def ago(moment: datetime) -> str:
    """Return a moment as Discord shows it to each reader: “3 hours ago”."""
    return f"<t:{int(moment.timestamp())}:R>"


def day(moment: datetime) -> str:
    """Return a day as Discord shows it to each reader, in their own language."""
    return f"<t:{int(moment.timestamp())}:D>"


_INVITE = re.compile(r"\b(discord(?:app)?\.(?:gg|com/invite))/", re.IGNORECASE)
"""Discord shows these as invitations even without a scheme."""

_MARKDOWN = re.compile(r"([\\*_~|`<\[\]])|^(\s*)([#>+-]|\d+[.)])(?=\s|>|#)", re.MULTILINE)


def _last_end(text: str) -> int:
    """Return where to cut: after the last sentence, else line, else word, in the text's second half."""
    ends = [text.rfind(mark) + 1 for mark in (". ", "! ", "? ", ".\n", "。", "\n")]
    for end in (max(ends), text.rfind(" ") + 1):
        if end > len(text) // 2:
            return end
    return len(text)
