"""What can be said by recall alone, and what the language model has to be asked.

Who is in a picture, whether and where, is never left to the language model: recall knows it, or says that it
doesn't. The model is asked for facts about a concept, and what it says counts only when the info says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model_worker.api.protocol import GenerateRequest, PromptConcept, Tag
from model_worker.generation.starter.prompt import LIKELY_TAG
from model_worker.generation.starter.question import Kind, answers, grounded, kind_of, names_concept
from model_worker.generation.told import in_quotes, teller

HELP = (
    "I remember people, pets and things from a picture and a few words. Show me one with /remember, then send me "
    "a picture and ask who is in it, or ask me what you told me. /edit and /forget change my mind."
)


_FIRST_PERSON = re.compile(r"\b(i|me|my|mine|we|us|our|ours)\b", re.IGNORECASE)
"""In the info these are whoever wrote it, in an answer they would be the bot: such info is quoted instead."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to say at once, and what to ask the model for (None: nothing)."""

    opening: str
    about: tuple[PromptConcept, ...] = ()

    @property
    def asks_model(self) -> bool:
        """Whether the language model is asked."""
        return bool(self.about)


def plan(request: GenerateRequest) -> Plan:
    """Decide how to answer a request."""
    named = [concept for concept in request.concepts if names_concept(request.question, concept)]
    kind = kind_of(request.question, has_picture=request.has_picture, named=bool(named))
    seen = [concept for concept in request.concepts if concept.where is not None]
    if kind in {Kind.PRESENCE, Kind.PLACE}:
        return Plan(_presence(request, named, kind))
    if kind is Kind.IDENTITY:
        return Plan(_identity(seen, request.tags))
    if kind in {Kind.GREETING, Kind.THANKS, Kind.HELP} and not request.has_picture:
        return Plan(_small_talk(kind))
    return _about(request, kind, named or seen or list(request.concepts), seen)


def checked(request: GenerateRequest, about: Sequence[PromptConcept], said: str) -> str:
    """Return the model's sentence when what one person told bears it out, with who that is; else all of it, quoted."""
    names = " ".join(concept.name for concept in about)
    sentence = said.strip()
    if sentence and not _FIRST_PERSON.search(sentence):
        for mark, info in _sources(about):
            if grounded(sentence, info, request.question, names) and answers(request.question, sentence, info, names):
                return f"{mark}{sentence if sentence[-1] in '.!?' else f'{sentence}.'}"
    info = " ".join(info for _, info in _sources(about))
    if answers(request.question, info, info, names):
        return " ".join(_told(concept) for concept in about)
    return f"I don't think you told me that. {' '.join(_told(concept) for concept in about)}"


def _sources(about: Sequence[PromptConcept]) -> Iterator[tuple[str, str]]:
    """Yield what is known by who told it: who asks first, then each of the others, with the mark of what is theirs."""
    yield "", " ".join(f"{concept.category} {concept.info}" for concept in about)
    for concept in about:
        for told in concept.others:
            yield f"{teller(concept, told)}: ", f"{concept.category} {told.text}"


def _about(request: GenerateRequest, kind: Kind, about: list[PromptConcept], seen: list[PromptConcept]) -> Plan:
    if not about:
        if request.has_picture:
            return Plan(_identity([], request.tags))
        return Plan(
            "I don't know who or what that is: I only know what I was asked to remember. "
            "Show me with /remember, or send a picture."
        )
    if kind is not Kind.FACT or not any(_is_known(concept) for concept in about):
        return Plan(" ".join([*([_seen(seen)] if seen else []), *(_told(concept) for concept in about)]))
    return Plan(_seen(seen) if seen else "", tuple(about))


def _presence(request: GenerateRequest, named: Sequence[PromptConcept], kind: Kind) -> str:
    if not request.has_picture:
        return "There is no picture here that I could look at. Send it with your question, or reply to it."
    if not named:  # asked about somebody unknown, or nobody by name: say who is there
        return _identity([concept for concept in request.concepts if concept.where is not None], request.tags)
    return " ".join(_whether(concept, kind) for concept in named)


def _whether(concept: PromptConcept, kind: Kind) -> str:
    if concept.where is None:
        return f"No, I don't see {concept.name} in this picture."
    certainty = f" ({concept.certainty})" if concept.certainty else ""
    if kind is Kind.PLACE:
        return f"{concept.name} is {concept.where}{certainty}."
    return f"Yes, {concept.name} is in this picture, {concept.where}{certainty}."


def _identity(seen: Sequence[PromptConcept], tags: Sequence[Tag]) -> str:
    if seen:
        return " ".join([_seen(seen), *(_told(concept) for concept in seen if concept.info or concept.others)])
    return f"I don't recognise anyone or anything I remember in this picture.{_looks_like(tags)}"


def _seen(seen: Sequence[PromptConcept]) -> str:
    parts = [
        f"{concept.name} {concept.where}{f' ({concept.certainty})' if concept.certainty else ''}" for concept in seen
    ]
    return f"I see {_listed(parts)}."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _told(concept: PromptConcept) -> str:
    if concept.withheld:
        return f"What you told me about {concept.name} I only show you."
    if not concept.info and not concept.others:
        nothing = f"You haven't told me anything about {concept.name} yet"
        return f"{nothing}, only its category: {concept.category}." if concept.category else f"{nothing}."
    own = [f"You told me about {concept.name}: {in_quotes(concept.info)}."] if concept.info else []
    others = [f"{teller(concept, told)} about {concept.name}: {in_quotes(told.text)}." for told in concept.others]
    return " ".join([*own, *others])


def _is_known(concept: PromptConcept) -> bool:
    return bool(concept.info or concept.others or concept.category)


def _looks_like(tags: Sequence[Tag]) -> str:
    likely = [tag.label for tag in tags if tag.probability >= LIKELY_TAG][:2]
    return f" It looks like this might be: {' or '.join(likely)}." if likely else ""


def _small_talk(kind: Kind) -> str:
    if kind is Kind.THANKS:
        return "You're welcome!"
    return f"Hello! {HELP}" if kind is Kind.GREETING else HELP
