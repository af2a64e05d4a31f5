"""What is said about people: the word that they agree, and asking them before they are shared."""

from __future__ import annotations

from datetime import datetime

from bot.texts.formatting import day

WORD = (
    "### Do they agree?\nThat is a person. I only remember people who agree to it. Please say whether the people that "
    "you tell me about do: I ask once, keep that you said so, and have stored nothing so far."
)
AGREE = "They agree"
AGREE_AND_IMPORT = "They agree: import"
CANCEL = "Cancel"
THANKS = "Thank you. I noted that; `/privacy` shows it."
NOTHING_KEPT = "All right. I kept nothing of it."


def word_given(at: datetime) -> str:
    """Say that somebody gave their word for the people they remember."""
    return f"You gave your word that the people you tell me about agree, {day(at)}"
