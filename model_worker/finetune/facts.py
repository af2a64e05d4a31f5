"""Facts in what an owner said about a concept, with questions about each. English, in one place.

No large model is needed to make questions and answers from a few words: people write "a tabby cat who hates the vacuum
cleaner", and each such clause has a verb that says what can be asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was said about a concept.

    ``questions`` have ``{name}`` in them, ``statement`` is a sentence about it, ``value`` what was asked for in it.
    """

    questions: tuple[str, ...]
    statement: str
    value: str


@dataclass(frozen=True, slots=True)
class _Kind:
    """A clause that begins in one way: ``says`` and ``asks`` have ``{name}``, ``says`` has ``{v}``, the value, too."""

    begins: re.Pattern[str]
    says: str
    asks: tuple[str, ...]


def _kind(begins: str, says: str, *asks: str) -> _Kind:
    return _Kind(re.compile(rf"^(?:{begins})\s+(?P<v>.+)$", re.IGNORECASE), says, asks)


_KINDS = (
    _kind(
        "loves|adores|is fond of|is crazy about",
        "{name} loves {v}.",
        *(
            "What does {name} love?",
            "What does {name} love most?",
            "What is {name} fond of?",
            "What makes {name} happy?",
        ),
    ),
    _kind(
        "likes|enjoys",
        "{name} likes {v}.",
        *("What does {name} like?", "What does {name} enjoy?", "What is it that {name} likes?"),
    ),
    _kind(
        "hates|dislikes|can'?t stand|doesn'?t like",
        "{name} hates {v}.",
        *("What does {name} hate?", "What does {name} dislike?", "What can {name} not stand?"),
    ),
    _kind(
        "(?:is |she'?s |he'?s )?(?:very )?(?:afraid|scared|frightened|terrified) of",
        "{name} is afraid of {v}.",
        *("What is {name} afraid of?", "What scares {name}?", "What frightens {name}?"),
    ),
    _kind(
        "eats|only eats|is fed",
        "{name} eats {v}.",
        *("What does {name} eat?", "What is {name} fed?", "What should I give {name} to eat?"),
    ),
    _kind("drinks", "{name} drinks {v}.", "What does {name} drink?", "What would {name} drink?"),
    _kind("plays with", "{name} plays with {v}.", "What does {name} play with?", "What is {name} playing with?"),
    _kind("plays", "{name} plays {v}.", "What does {name} play?", "Which game or instrument does {name} play?"),
    _kind("speaks", "{name} speaks {v}.", "What does {name} speak?", "Which languages does {name} speak?"),
    _kind("collects", "{name} collects {v}.", "What does {name} collect?", "What is in the collection of {name}?"),
    _kind(
        "works as|is working as",
        "{name} works as {v}.",
        *("What does {name} work as?", "What does {name} do for a living?", "What is the job of {name}?"),
    ),
    _kind(
        "works (?P<p>at|in|for|with)", "{name} works {p} {v}.", "Where does {name} work?", "Who does {name} work for?"
    ),
    _kind(
        "lives (?P<p>in|at|with|on|near|under)",
        "{name} lives {p} {v}.",
        *("Where does {name} live?", "Where is {name} living?", "Where is the home of {name}?"),
    ),
    _kind(
        r"(?:is |was )?born (?P<p>in|on)(?=.*\d)",
        "{name} was born {p} {v}.",
        *("When was {name} born?", "When is the birthday of {name}?", "What do you know about the birth of {name}?"),
    ),
    _kind("(?:is |was )?born (?P<p>in)", "{name} was born {p} {v}.", "Where was {name} born?", "Where is {name} from?"),
    _kind(
        "(?:is |was )?bought (?P<p>in|at|from|on)",
        "{name} was bought {p} {v}.",
        *("Where was {name} bought?", "Where did we buy {name}?", "Where does {name} come from?"),
    ),
    _kind(
        "(?:is |was )?(?:found|adopted|rescued) (?P<p>in|at|from|on|under)",
        "{name} was found {p} {v}.",
        *("Where was {name} found?", "Where did we find {name}?", "Where does {name} come from?"),
    ),
    _kind(
        "(?:is )?made (?:out )?of",
        "{name} is made of {v}.",
        *("What is {name} made of?", "What material is {name}?", "What is it that {name} is made of?"),
    ),
    _kind("(?:is |was )?made (?P<p>by|in)", "{name} was made {p} {v}.", "Who made {name}?", "Where was {name} made?"),
    _kind(
        "(?:is )?named after", "{name} is named after {v}.", "Who is {name} named after?", "Why is {name} called that?"
    ),
    _kind("belongs to", "{name} belongs to {v}.", "Who does {name} belong to?", "Whose is {name}?", "Who owns {name}?"),
    _kind(
        "sleeps (?P<p>in|on|under|behind|next to)",
        "{name} sleeps {p} {v}.",
        *("Where does {name} sleep?", "Where is {name} at night?", "Where is the bed of {name}?"),
    ),
    _kind(
        "(?:is |was )?(?:a )?(?:present|gift) from",
        "{name} was a present from {v}.",
        *("Who gave us {name}?", "Who is {name} a present from?", "From whom did we get {name}?"),
    ),
    _kind("costs?|cost", "{name} cost {v}.", "How much did {name} cost?", "What was the price of {name}?"),
    _kind(
        "(?:is )?kept (?P<p>in|on|under|at)",
        "{name} is kept {p} {v}.",
        *("Where is {name} kept?", "Where do we keep {name}?", "Where can I find {name}?"),
    ),
)

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
_BOUGHT_WHEN = re.compile(r"^(?P<where>.+?) in (?P<when>(?:\w+ )?\d{4})$")
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
            says = kind.says.replace("{v}", parts["v"]).replace("{p}", parts.get("p") or "")
            return _with_its_time(Fact(kind.asks, says, parts["v"]))
    if (age := _AGE.match(said)) is not None:
        asks = ("How old is {name}?", "What is the age of {name}?", "What age is {name}?")
        return [Fact(asks, f"{{name}} is {age['v']} years old.", age["v"])]
    if (thing := _THING.match(said)) is not None:
        what = thing["v"][0].lower() + thing["v"][1:]
        asks = ("What is {name}?", "What kind of thing or being is {name}?", "How would you describe {name}?")
        return [Fact(asks, f"{{name}} is {what}.", what)]
    return []


def _with_its_time(fact: Fact) -> list[Fact]:
    """Return a fact, as two where it says where and when something was bought."""
    match = _BOUGHT_WHEN.match(fact.value)
    if match is None or "bought" not in fact.statement:
        return [fact]
    asks = ("When was {name} bought?", "In which year was {name} bought?", "When did we buy {name}?")
    where = Fact(fact.questions, fact.statement.replace(fact.value, match["where"]), match["where"])
    return [where, Fact(asks, f"{{name}} was bought in {match['when']}.", match["when"])]
