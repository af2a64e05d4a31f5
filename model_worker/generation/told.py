"""What others told, marked as theirs in prompts and answers: “bob told this server: …”.

Who wrote a note, or a name, can't write such a mark into it: what marks are made of is taken out of both.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator, Sequence

from model_worker.api.protocol import GenerateRequest, PromptConcept, Told
from model_worker.generation.types import GenerationInput, Pieces

LONGEST_NAME = 32
"""Characters: a name of Discord's has no more."""

_IN_MARKS = str.maketrans("“”", "‘’")
_NOT_IN_NAMES = re.compile(r"[“”\":;<>\[\]]")


def teller(concept: PromptConcept, told: Told) -> str:
    """Return who told what to whom: “bob told this server”."""
    name = _name(told.who or "") or ("Another member" if concept.shared else "Somebody")
    return f"{name} told {'this server' if concept.shared else 'me'}"


def in_quotes(text: str) -> str:
    """Return somebody's text on one line, in quotation marks that it can't close."""
    return f"“{' '.join(text.split()).rstrip('.').translate(_IN_MARKS)}”"


def info_of(concept: PromptConcept) -> str:
    """Return all that is known of a concept, for a prompt: what others told is marked with who did."""
    others = [f"{teller(concept, told)}: {in_quotes(told.text)}" for told in concept.others]
    return "\n".join([*([concept.info] if concept.info else []), *others])


def credited(
    asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event], written: Iterator[Pieces]
) -> Iterator[Pieces]:
    """Yield what a model writes, then whose words it had where it doesn't say so: it can be asked to, not made to."""
    said = [""] * len(asked)
    failed = set()
    for pieces in written:
        for index, piece in pieces:
            if isinstance(piece, str):
                said[index] += piece
            else:
                failed.add(index)
        yield pieces
    ends = [(index, credit(item.request, said[index])) for index, item in enumerate(asked) if index not in failed]
    added = [(index, end) for index, end in ends if end and not cancelled[index].is_set()]
    if added:
        yield added


def credit(request: GenerateRequest, answer: str) -> str:
    """Return who told what an answer may be made of, where it doesn't name them; empty when there is nobody."""
    spoken = answer.casefold()
    about = [concept for concept in request.concepts if len(request.concepts) == 1 or concept.name.casefold() in spoken]
    tellers = {
        f"{teller(concept, told)} about {concept.name}": None
        for concept in about
        for told in concept.others
        if not (_name(told.who or "") and _name(told.who or "").casefold() in spoken)
    }
    return f"\n({'; '.join(tellers)}.)" if tellers else ""


def _name(given: str) -> str:
    visible = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in given)
    return " ".join(_NOT_IN_NAMES.sub(" ", visible).split())[:LONGEST_NAME].strip()
