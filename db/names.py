"""What may be a name, and when two spellings are the same name."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

from db.errors import UserFacingError

NAME_LIMIT = 64
INFO_LIMIT = 1000
CATEGORY_LIMIT = 64

COMMON_WORDS = frozenset(
    """
    a an the i me my mine you your yours he him his she her hers it its we us our they them their this that these
    those who whom whose what which when where why how is am are was were be been being do does did have has had
    and or but not no yes if of in on at to for from with by as so than then there here can could would should
    please hi hello hey thanks ok okay everyone everybody someone somebody anyone anybody nobody all any some one
    picture photo image bot name der die das den dem ein eine ich du er sie es wir ihr mich mir dich dir wer was
    wo wie warum ist sind war hat und oder aber nicht nein ja von mit auf zu im am bitte danke hallo le la les un
    une des je tu il elle nous vous ils qui que quoi est sont et ou mais pas non oui de du dans sur avec merci
    bonjour el los las una unos yo mi ella nosotros ellos quien quién es son y pero sí si en con por para gracias hola
    lo gli uno io lei noi loro chi che cosa dove come sono ma di da del nel ciao grazie o os as um uma eu ele ela
    quem onde e mas não sim em com por obrigado de het een ik jij hij zij wij wie wat waar hoe en maar niet ja nee
    van met op i w z na to jest kto co gdzie nie tak и в на не я ты он она мы вы они кто что где это как да нет
    """.split()  # noqa: SIM905 (three hundred lines otherwise)
)
"""Words of talk, in some languages: whoever is called so would be spoken of all the time."""

_LEADS_ELSEWHERE = re.compile(
    r"://|\bwww\.|discord(app)?\.(gg|com)|\.gg/|@|\b[\w-]+\.(com|net|org|io|gg|ru|xyz)\b", re.I
)

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


class NotForSharingError(InvalidTextError):
    """A shared memory can't be called that: the name would turn up in everybody's talk, or leads elsewhere."""


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


def check_shared_name(name: str) -> None:
    """Check that a name can be one that everybody on a server is answered by.

    Raises NotForSharingError for a word that is in everybody's talk, a link, an invite or a mention.
    """
    if is_common(name) or _LEADS_ELSEWHERE.search(unicodedata.normalize("NFKC", name)):
        raise NotForSharingError(TextField.NAME)


def is_common(name: str) -> bool:
    """Whether a name is nothing but words that talk is made of: “the”, “who is”; it names nobody in a sentence."""
    words = re.findall(r"\w+", name_key(name))
    return bool(words) and all(word in COMMON_WORDS for word in words)


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
