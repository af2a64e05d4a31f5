"""What kind of question was asked, and what an answer to it must have. English words, in one place."""

from __future__ import annotations

import re
from enum import StrEnum

from db.names import name_key, place_of
from model_worker.api.protocol import PromptConcept


class Kind(StrEnum):
    """What a question asks for."""

    IDENTITY = "who or what is in the picture"
    PRESENCE = "whether a concept is in the picture"
    PLACE = "where in the picture a concept is"
    ABOUT = "all that is known about a concept"
    FACT = "something about a concept"
    GREETING = "a greeting"
    THANKS = "thanks"
    HELP = "what the bot can do"


_THIS = r"(this|that|these|those|it|here|there|he|she|they|them|him|her|(in |on |at )?(this|the|my|that) ?(picture|photo|image|pic|one|person|cat|dog|animal|thing|guy|girl|man|woman)s?)"
_IDENTITY = re.compile(
    rf"^\W*((so|and|hey|ok|okay|please|can you tell me|tell me|do you know)\W+)*"
    rf"((who|what)('?s|\W+is|\W+are|\W+was)?(\W+(all|everyone|everybody|everything|else))?\W+({_THIS}|do you see|can you see|you see)"
    rf"|who\W*$|what\W*$|who('?s|\W+is)\W+who|who\W+(do|can)\W+you\W+(see|recogni[sz]e)"
    rf"|(do|can) you\W+(recogni[sz]e|know|see|identify)\W+(any|{_THIS}|who|what|someone)"
    rf"|(describe|caption|identify|recogni[sz]e)\b|give (me )?a caption|look\b|(anyone|anybody|anything) (you know|familiar))",
    re.IGNORECASE,
)
_PRESENCE = re.compile(
    r"^\W*(and\W+)?((is|are|was|isn'?t|aren'?t)\b.*\b(in|on|here|there|this|that|visible|picture|photo|image)\b"
    r"|(do|can|don'?t) you (see|spot|find|recogni[sz]e)\b|(does|did)\b.*\b(appear|show|contain)|(any sign of|have you seen)\b)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"^\W*(and\W+)?where('?s|\W+(is|are|do you see|can you see))\b", re.IGNORECASE)
_ABOUT = re.compile(
    r"^\W*((and|so|please|can you|could you)\W+)*"
    r"(tell me (more |something |everything |all )?(about|of)|what do you (know|remember) (about|of)"
    r"|what (did|have) (i|we) (say|said|told|tell)( you)? about|what about|who('?s|\W+is|\W+are|\W+was)|describe|remind me)\b",
    re.IGNORECASE,
)
_GREETING = re.compile(r"^\W*(hi|hello|hey|hiya|yo|good (morning|evening|afternoon)|how are you)\b", re.IGNORECASE)
_THANKS = re.compile(r"^\W*(thanks|thank you|thx|cheers|great|nice|good bot|well done)\b", re.IGNORECASE)
_HELP = re.compile(
    r"(what|how) (can|do|could) (you|i|we) (do|use|work|teach)|^\W*help\b|who are you|what are you",
    re.IGNORECASE,
)
_HERE = re.compile(r"\b(picture|photo|image|pic|here|this|that)\b", re.IGNORECASE)

_NEEDED = (
    (
        re.compile(r"\bhow (old|many|much|long|tall|big|heavy|far|often)\b|\b(age|price|cost|number)\b", re.I),
        "a number",
    ),
    (re.compile(r"\bwhen\b|\bwhat (year|day|date|month|time)\b|\bbirthday\b", re.I), "a time"),
    (re.compile(r"\bwhere\b", re.I), "a place"),
    (re.compile(r"\bwh(at|ich) colou?rs?\b", re.I), "a colour"),
)
_FOUND = {
    "a number": re.compile(
        r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|old)\b",
        re.I,
    ),
    "a time": re.compile(
        r"\d|\b(monday|tuesday|wednesday|thursday|friday|saturday|sunday|january|february|march|april|may|june|july|august"
        r"|september|october|november|december|spring|summer|autumn|winter|christmas|yesterday|every|morning|evening|night)",
        re.I,
    ),
    "a place": re.compile(
        r"\b(in|at|on|near|under|behind|beside|by|from|next to|outside|inside|to|behind|above|below)\b", re.I
    ),
    "a colour": re.compile(
        r"\b(red|blue|green|yellow|orange|purple|pink|brown|black|white|gr[ae]y|gold(en)?|silver|beige|turquoise|ginger|violet)\b",
        re.I,
    ),
}

_COMMON = frozenset(
    [
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "of",
        "to",
        "in",
        "on",
        "at",
        "by",
        "for",
        "from",
        "with",
        "about",
        "into",
        "as",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "am",
        "do",
        "does",
        "did",
        "has",
        "have",
        "had",
        "can",
        "could",
        "will",
        "would",
        "should",
        "may",
        "might",
        "must",
        "he",
        "she",
        "it",
        "they",
        "them",
        "him",
        "her",
        "his",
        "its",
        "their",
        "this",
        "that",
        "these",
        "those",
        "there",
        "here",
        "who",
        "whom",
        "whose",
        "what",
        "which",
        "when",
        "where",
        "why",
        "how",
        "i",
        "you",
        "we",
        "me",
        "us",
        "my",
        "your",
        "our",
        "not",
        "no",
        "yes",
        "so",
        "very",
        "too",
        "also",
        "just",
        "only",
        "than",
        "then",
        "because",
        "if",
        "while",
        "one",
        "some",
        "any",
        "all",
        "more",
        "most",
        "much",
        "many",
        "other",
        "thing",
        "things",
        "name",
        "named",
        "called",
        "tell",
        "say",
        "said",
        "know",
        "knows",
        "like",
        "likes",
        "really",
        "please",
        "ever",
        "still",
        "own",
        "get",
        "gets",
        "got",
        "kind",
        "type",
        "sort",
    ]
) - {"like", "likes", "named", "called", "kind"}

_ALIKE = (
    {"like", "love", "enjoy", "favourite", "favorite", "fond", "prefer", "adore", "crazy", "fan"},
    {"hate", "afraid", "scare", "fear", "dislike", "terrify", "detest", "frighten"},
    {"live", "home", "house", "reside"},
    {"work", "job", "profession", "living", "career"},
    {"eat", "food", "snack", "diet", "feed", "drink", "favourite"},
    {"bear", "born", "birthday", "age", "old", "year"},
    {"buy", "bought", "price", "cost", "euro", "dollar", "shop"},
    {"make", "made", "built", "material"},
    {"breed", "race", "species", "kind", "type"},
    {"allergic", "allergy"},
    {"owner", "belong", "own"},
)


def kind_of(question: str, *, has_picture: bool, named: bool) -> Kind:
    """Return what a question asks for; ``named`` says whether it names a concept."""
    if has_picture and not question.strip():
        return Kind.IDENTITY
    if has_picture and named and _PRESENCE.search(question):
        return Kind.PRESENCE
    if has_picture and _PLACE.search(question) and (named or _HERE.search(question)):
        return Kind.PLACE
    if has_picture and _IDENTITY.search(question):
        return Kind.IDENTITY
    if _PRESENCE.search(question) and _HERE.search(question):
        return Kind.PRESENCE
    if named:
        return Kind.ABOUT if _ABOUT.search(question) and not _asks_more(question) else Kind.FACT
    for pattern, kind in ((_HELP, Kind.HELP), (_GREETING, Kind.GREETING), (_THANKS, Kind.THANKS)):
        if pattern.search(question):
            return kind
    return Kind.ABOUT if _ABOUT.search(question) else Kind.FACT


def _asks_more(question: str) -> bool:
    """Whether “who is …” goes on to ask something else, as in “what is Mochi afraid of”."""
    return bool(re.match(r"^\W*what('?s|\W+is|\W+are)\b", question, re.IGNORECASE))


def names_concept(question: str, concept: PromptConcept) -> bool:
    """Whether a question says a concept's name."""
    return place_of(name_key(concept.name), name_key(question)) is not None


def answers(question: str, answer: str, info: str, names: str) -> bool:
    """Whether an answer taken from the info can be one to this question.

    It has what the question asks for (a number, a time, a place, a colour); and either that, or the info
    speaks of what the question speaks of.
    """
    needed = next((what for pattern, what in _NEEDED if pattern.search(question)), None)
    if needed is not None:
        said = answer if needed == "a place" else _without(answer, question)
        return _FOUND[needed].search(said) is not None
    return stems(question) <= stems(names) or bool(relevant(question, info, names))


def grounded(answer: str, info: str, question: str, names: str) -> bool:
    """Whether all that an answer says was told, and it says more than the question and the names did.

    What was told is the part of the info that speaks of what the question speaks of, or all where none does.
    """
    known = stems(question) | stems(names)
    said, told = stems(answer), stems(" ".join(relevant(question, info, names)) or info)
    return said <= told | known and bool((said & told) - known)


def relevant(question: str, info: str, names: str) -> list[str]:
    """Return the parts of an info that speak of what a question speaks of."""
    topic = _widened(stems(question) - stems(names))
    parts = re.split(r"[.;,\n]|\band\b", info)
    return [part.strip() for part in parts if _widened(stems(part) - stems(names)) & topic]


def stems(text: str) -> set[str]:
    """Return the words of a text that carry meaning, without their endings."""
    words = re.findall(r"[^\W_]+", text.casefold().replace("’", "'").replace("'s", ""))
    return {_stem(word) for word in words if word not in _COMMON}


def _stem(word: str) -> str:
    for ending in ("ies", "ing", "ied", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return _stem(word.removesuffix(ending))
    return word


def _widened(words: set[str]) -> set[str]:
    """Add the words that mean nearly the same."""
    groups = [{_stem(word) for word in group} for group in _ALIKE]
    return words.union(*(group for group in groups if group & words))


def _without(answer: str, question: str) -> str:
    """Return an answer without the words of the question: “old” in “how old” is no age."""
    asked = set(re.findall(r"\w+", question.casefold()))
    return " ".join(word for word in re.findall(r"\w+", answer) if word.casefold() not in asked)
