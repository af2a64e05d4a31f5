"""What is said around an answer: while it is written, below it, and when somebody presses its buttons."""

from __future__ import annotations

from collections.abc import Sequence

from bot.texts.formatting import quoted
from db.types import Concept, Match
from model_worker.api.certainty import certainty

LOOKING = "👀 Looking…"
THINKING = "💭 Thinking…"
WHO_IS_THIS = "Who is in this picture?"
MORE = "What I know (only you see it)"
NOTHING_MORE = "That's all I know about this."
NOTHING_TO_SAY = "I don't know what to say to that."


def certainties(recognised: Sequence[Match]) -> str:
    """Return a line with the number, name and certainty of each recognition."""
    return " · ".join(
        f"{number} **{quoted(match.concept.name)}** {certainty(match.probability)}"
        for number, match in enumerate(recognised, start=1)
    )


def described(recognised: Sequence[Match]) -> str:
    """Return what an answer's picture shows, for those who can't see it."""
    return f"The picture with boxes around {', '.join(match.concept.name for match in recognised)}"


def thanks(concept: Concept) -> str:
    """Say that a recognition was right."""
    return f"Thanks! I'll know **{quoted(concept.name)}** even better."


def sorry(concept: Concept) -> str:
    """Say that a recognition was wrong, and ask who it is."""
    return f"Sorry! I'll remember that this isn't **{quoted(concept.name)}**. Who is it?"
