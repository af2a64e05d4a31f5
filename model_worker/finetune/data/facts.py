"""Facts in what an owner said about a concept, with questions about each. English, here and in `facts.toml`.

No large model is needed to make questions and answers from a few words: people write "a tabby cat who hates the vacuum
cleaner", and each such clause has a verb that says what can be asked.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was said about a concept.

    ``questions`` have ``{name}`` in them, ``statement`` is a sentence about it, ``value`` what was asked for in it.
    """

    questions: tuple[str, ...]
    statement: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A clause that begins in one way: what it says, what it answers, and what its year answers, if it has one."""

    begins: re.Pattern[str]
    says: str
    asks: tuple[str, ...]
    when: tuple[str, ...]


def _kind(entry: dict[str, Any]) -> _Kind:
    begins = re.compile(rf"^(?:{entry['begins']})\s+(?P<v>.+)$", re.IGNORECASE)
    return _Kind(begins=begins, says=entry["says"], asks=tuple(entry["asks"]), when=tuple(entry.get("when", ())))


_TABLE = tomllib.loads(Path(__file__).with_name("facts.toml").read_text(encoding="utf-8"))
_KINDS = tuple(_kind(item) for item in _TABLE["kind"])

_AGE = re.compile(r"^(?:is |aged? )?(?P<v>\d{1,3})(?: years? old| years| yrs?)?$", re.IGNORECASE)
_THING = re.compile(r"^(?:is )?(?P<v>(?:an?|the|your) .{2,60})$", re.IGNORECASE)
_SUBJECT = re.compile(r"^(?:(?:and|who|which|that|he|she|it|they)\s+)+", re.IGNORECASE)
_VERBS = (
    r"loves|adores|likes|enjoys|hates|dislikes|can'?t|doesn'?t|is|was|eats|drinks|plays|speaks|collects|works|lives|born|"
    r"bought|found|made|named|belongs|sleeps|costs?|kept|afraid|scared|he|she|it|who"
)
_CLAUSES = re.compile(
    rf"[.;,\n]+|\s+(?:and|but)\s+(?=(?:{_VERBS})\b)|\s+(?=(?:who|which)\s+(?:{_VERBS})\b)", re.IGNORECASE
)
_WHERE_AND_WHEN = re.compile(r"^(?P<where>.+?) in (?P<when>(?:\w+ )?\d{4})$")
_MINE = (
    (re.compile(r"\bmy\b", re.IGNORECASE), "your"),
    (re.compile(r"\bour\b", re.IGNORECASE), "your"),
    (re.compile(r"\bmine\b", re.IGNORECASE), "yours"),
)
_FIRST_PERSON = re.compile(r"\b(i|me|we|us|ours)\b", re.IGNORECASE)


def facts_of(info: str) -> list[Fact]:
    """Return the facts that clauses of an info state, in their order; what isn't understood is left out."""
    found: list[Fact] = []
    for clause in _CLAUSES.split(info):
        said = yours(_SUBJECT.sub("", " ".join(clause.split())))
        if said and _FIRST_PERSON.search(said) is None:
            found += _facts_in(said)
    return found


def yours(text: str) -> str:
    """Return what an owner wrote as it is said to them: what is "my" to them is "your" to whoever answers."""
    for pattern, theirs in _MINE:
        text = pattern.sub(theirs, text)
    return text


def _facts_in(said: str) -> list[Fact]:
    for kind in _KINDS:
        match = kind.begins.match(said)
        if match is not None:
            parts = match.groupdict()
            return _of_kind(kind, parts["v"], parts.get("p") or "")
    for pattern, entry in ((_AGE, _TABLE["age"]), (_THING, _TABLE["thing"])):
        match = pattern.match(said)
        if match is not None:
            value = match["v"][0].lower() + match["v"][1:]
            return [Fact(tuple(entry["asks"]), entry["says"].replace("{v}", value), value)]
    return []


def _of_kind(kind: _Kind, value: str, preposition: str) -> list[Fact]:
    """Return a fact, or two where one says where and when."""
    says = kind.says.replace("{p}", preposition)
    both = _WHERE_AND_WHEN.match(value) if kind.when else None
    if both is None:
        return [Fact(kind.asks, says.replace("{v}", value), value)]
    where, when = both["where"], both["when"]
    in_year = kind.says.replace("{p}", "in").replace("{v}", when)
    return [Fact(kind.asks, says.replace("{v}", where), where), Fact(kind.when, in_year, when)]
