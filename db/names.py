"""What may be a name, and when two spellings are the same name."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

from db.errors import UserFacingError

NAME_LIMIT = 64
INFO_LIMIT = 1000
CATEGORY_LIMIT = 64

_JOINERS = "\u200c\u200d"
"""Invisible, but Persian, Indic scripts and emoji are misspelt without them."""

_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols by category that nobody can see."""

_COMBINING_DOT = "\u0307"
_PINGS_MANY = re.compile(r"@\s*(everyone|here)", re.IGNORECASE)


class TextField(StrEnum):
    """What a text that a person gave is for."""

    NAME = "name"
    CATEGORY = "category"
    INFO = "info"


class InvalidTextError(UserFacingError):
    """A name, category or info that can't be used."""

    field: TextField


class InvisibleTextError(InvalidTextError):
    """Nobody could see it."""


class TextTooLongError(InvalidTextError):
    """It has more characters than are kept."""

    length: int
    max_length: int


class SeveralLinesError(InvalidTextError):
    """It has to be on one line."""


class ControlCharactersError(InvalidTextError):
    """It contains control characters."""


class AngleBracketsError(InvalidTextError):
    """It contains < or >, which could break a prompt."""


class PingsManyError(InvalidTextError):
    """It contains @everyone or @here."""


def check_name(name: str) -> str:
    """Return the name cleaned: composed (NFC), without hidden characters, single spaces.

    Raises InvalidTextError when it is empty, invisible, too long, on several lines, or could break a prompt or
    ping people.
    """
    cleaned = " ".join(_without_hidden(_one_line(name, TextField.NAME)).split())
    if not any(_is_visible(character) for character in cleaned):
        raise InvisibleTextError(TextField.NAME)
    if len(cleaned) > NAME_LIMIT:
        raise TextTooLongError(TextField.NAME, len(cleaned), NAME_LIMIT)
    compatible = unicodedata.normalize("NFKC", cleaned)  # full-width brackets are brackets to a reader
    if "<" in compatible or ">" in compatible:
        raise AngleBracketsError(TextField.NAME)
    if _PINGS_MANY.search(compatible):
        raise PingsManyError(TextField.NAME)
    return cleaned


def check_category(category: str) -> str:
    """Return the category cleaned as a name is; it may be empty. Raises InvalidTextError."""
    cleaned = " ".join(_without_hidden(_one_line(category, TextField.CATEGORY)).split())
    if len(cleaned) > CATEGORY_LIMIT:
        raise TextTooLongError(TextField.CATEGORY, len(cleaned), CATEGORY_LIMIT)
    return cleaned


def check_info(info: str) -> str:
    """Return the info cleaned; lines are kept, it may be empty. Raises InvalidTextError when it is too long."""
    lines = unicodedata.normalize("NFC", info).strip().splitlines()
    cleaned = "\n".join(_without_hidden(_without_control(line)).rstrip() for line in lines)
    if len(cleaned) > INFO_LIMIT:
        raise TextTooLongError(TextField.INFO, len(cleaned), INFO_LIMIT)
    return cleaned


def name_key(name: str) -> str:
    """Return what two spellings of one name have in common: compatible forms, case and joiners ignored.

    Every i is one i (I, ı, İ): which of them are a pair depends on the language, and names don't say theirs.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", name).casefold())
    folded = unicodedata.normalize("NFKD", folded.casefold()).replace("ı", "i").replace("i" + _COMBINING_DOT, "i")
    seen = "".join(character for character in _without_hidden(folded) if character not in _JOINERS)
    return " ".join(unicodedata.normalize("NFKC", seen).split())


def place_of(name: str, spoken: str) -> int | None:
    """Return where a text says a name as a word of its own, None when it doesn't; both as `name_key` gives them."""
    place = spoken.find(name)
    while place >= 0:
        if not (_one_word(spoken, place) or _one_word(spoken, place + len(name))):
            return place
        place = spoken.find(name, place + 1)
    return None


def _one_word(text: str, place: int) -> bool:
    """Whether the characters before and after this place belong to one word."""
    return 0 < place < len(text) and _in_word(text[place - 1]) and _in_word(text[place])


def _in_word(character: str) -> bool:
    """Whether a character joins its neighbours into a word; scripts without spaces have no such words."""
    code = ord(character)
    without_spaces = 0x0E00 <= code <= 0x0EFF or 0x3040 <= code <= 0x9FFF or code >= 0x20000
    return (character.isalnum() or character == "_") and not without_spaces


def _one_line(text: str, field: TextField) -> str:
    composed = unicodedata.normalize("NFC", text).strip()
    if len(composed.splitlines()) > 1:
        raise SeveralLinesError(field)
    if composed != _without_control(composed):
        raise ControlCharactersError(field)
    return composed


def _without_control(text: str) -> str:
    """Drop control characters, and lone surrogates, which no UTF-8 database can hold."""
    return "".join(
        character for character in text if character == "\t" or unicodedata.category(character) not in {"Cc", "Cs"}
    )


def _without_hidden(text: str) -> str:
    """Drop format characters (zero-width, direction marks, tags): they hide or reorder text. Keep joiners."""
    return "".join(character for character in text if character in _JOINERS or unicodedata.category(character) != "Cf")


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPS" and character not in _BLANK_LETTERS
