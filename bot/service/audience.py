"""What may be said to whom: the one place between what was recalled and every word, picture and button about it.

Seeing is not saying. Who asks recalls from their own memory; whether others hear of it is decided here, before anything
is put into a prompt, so that no writer can say what its audience may not hear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from db.adapters import AdapterInUse
from db.types import Concept, InPublic, Match, OwnerId, RetrievalResult


class Audience(StrEnum):
    """Who can read an answer: who asked alone (direct and ephemeral messages), or others, too."""

    ASKER = "asker"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Heard:
    """What an audience may hear of a retrieval; ``withheld`` are the private concepts of which it is not all.

    ``more`` is whether who asked is offered to hear the rest alone.
    """

    result: RetrievalResult
    withheld: tuple[Concept, ...] = ()
    more: bool = False


def heard_by(audience: Audience, in_public: InPublic, result: RetrievalResult) -> Heard:
    """Return what an audience may hear: all of what is shared; of what is private, what its owner chose.

    With names only, a concept keeps its name, and nothing that was told about it. With nothing, it isn't there, and the
    offer to hear more is always made: otherwise the offer would be the hint.
    """
    if says_all(audience, in_public):
        return Heard(result)
    private = {concept.concept_id: concept for concept in _concepts_of(result) if not concept.is_shared}
    withheld = tuple(private.values())
    if in_public is InPublic.NOTHING:
        return Heard(_without(result, withheld), withheld, more=True)
    return Heard(_names_only(result), withheld, more=bool(withheld))


def says_all(audience: Audience, in_public: InPublic) -> bool:
    """Whether an audience may hear all that the owner of a private memory may."""
    return audience is Audience.ASKER or in_public is InPublic.EVERYTHING


def adapters_for(
    audience: Audience, in_public: InPublic, adapters: Sequence[AdapterInUse], personal: OwnerId
) -> tuple[AdapterInUse, ...]:
    """Return the adapters that may answer: one trained on a private memory would say what it learned there."""
    if says_all(audience, in_public):
        return tuple(adapters)
    return tuple(adapter for adapter in adapters if adapter.owner_id != personal)


def _concepts_of(result: RetrievalResult) -> list[Concept]:
    return [*result.mentioned, *(match.concept for match in result.recognised)]


def _without(result: RetrievalResult, withheld: Sequence[Concept]) -> RetrievalResult:
    gone = {concept.concept_id for concept in withheld}
    return RetrievalResult(
        tuple(concept for concept in result.mentioned if concept.concept_id not in gone),
        tuple(match for match in result.recognised if match.concept.concept_id not in gone),
    )


def _names_only(result: RetrievalResult) -> RetrievalResult:
    return RetrievalResult(
        tuple(_named(concept) for concept in result.mentioned), tuple(_matched(match) for match in result.recognised)
    )


def _matched(match: Match) -> Match:
    return replace(match, concept=_named(match.concept))


def _named(concept: Concept) -> Concept:
    """Return a private concept as its name; a shared one as it is."""
    return concept if concept.is_shared else replace(concept, info="", category="")
