"""The few-shot prompt of a base model: notes, what the picture shows, the conversation, the question.

What people wrote (names, info, questions) stays in its place: on one line, within a length, without the marks
that the prompt is made of.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from model_worker.api.protocol import GenerateRequest, PromptConcept, Tag, Turn
from model_worker.generation.told import info_of

INFO_LENGTH = 600
QUESTION_LENGTH = 400
TURN_LENGTH = 200
TURNS = 4
LIKELY_TAG = 0.2

EXAMPLES = """\
Answer the question in one short sentence, from the notes.

Notes about Bella: a brown labrador, born in May 2019; she is afraid of thunder
Picture: on the left is Bella; it looks like a Labrador retriever, a sofa
Question: What is Bella afraid of?
Answer: Bella is afraid of thunder.

Notes about Oskar: my uncle, 61, he plays the cello and lives in Bergen
Question: How old is Oskar?
Answer: Oskar is 61.

Notes about The kettle: red enamel, I bought it in Lisbon for 12 euros
Picture: in the middle is The kettle
Question: Where is it from?
Answer: The kettle was bought in Lisbon.

Notes about Nia: my sister; works as a nurse; loves mango ice cream
Notes about Rolo: Nia's parrot, green, eats walnuts
Earlier, user: Who is Rolo?
Earlier, you: Rolo is Nia's green parrot.
Question: And what does he eat?
Answer: Rolo eats walnuts.

Notes about The boat: wooden, painted blue, we named it after our grandmother
Question: What is the boat made of?
Answer: The boat is made of wood.

Notes about Nia: my sister; works as a nurse; loves mango ice cream
Question: What does Nia do for a living?
Answer: Nia works as a nurse.

"""
"""None says that the notes don't say: a model this small then says little else. What isn't told is found out
by checking its answer (`model_worker.words.question`)."""

_MARKS = re.compile(r"\b(notes about|picture|question|answer|earlier)(\s*[^\s\w]*\s*):", re.IGNORECASE)


def prompt_for(request: GenerateRequest, *, examples: bool = True) -> str:
    """Return the prompt: the examples, then this request, ending where the answer begins.

    A model with an adapter was trained on such prompts and needs no examples.
    """
    lines = [f"Notes about {plain(concept.name, 64)}: {_notes(concept)}" for concept in request.concepts]
    picture = _picture(request.concepts, request.tags) if request.has_picture else ""
    lines += [f"Picture: {picture}"] if picture else []
    lines += [_earlier(turn) for turn in request.history[-TURNS:]]
    lines += [f"Question: {plain(request.question, QUESTION_LENGTH)}", "Answer:"]
    return (EXAMPLES if examples else "") + "\n".join(lines)


def plain(text: str, longest: int) -> str:
    """Return a person's text fit for one line of the prompt.

    Control and format characters go, brackets become quotes (no control token survives), and the prompt's own
    marks lose their colon.
    """
    visible = "".join(" " if unicodedata.category(word)[0] in "CZ" else word for word in text)
    one_line = " ".join(unicodedata.normalize("NFC", visible).split())
    without_tokens = one_line.replace("<", "‹").replace(">", "›").replace("[", "(").replace("]", ")")
    previous = None
    while previous != without_tokens:  # taking one mark out may not leave another
        previous, without_tokens = without_tokens, _MARKS.sub(r"\1 -", without_tokens)
    return without_tokens[:longest].strip()


def _notes(concept: PromptConcept) -> str:
    said = plain(info_of(concept), INFO_LENGTH) or "nothing was said"
    category = plain(concept.category, 64)
    return f"{category}; {said}" if category else said


def _picture(concepts: Sequence[PromptConcept], tags: Sequence[Tag]) -> str:
    seen = [f"{concept.where} is {plain(concept.name, 64)}" for concept in concepts if concept.where is not None]
    looks_like = ", ".join(f"a {plain(tag.label, 40)}" for tag in tags if tag.probability >= LIKELY_TAG)
    return "; ".join(seen + ([f"it looks like {looks_like}"] if looks_like else []))


def _earlier(turn: Turn) -> str:
    who = "user" if turn.role == "user" else "you"
    return f"Earlier, {who}: {plain(turn.text, TURN_LENGTH)}"
