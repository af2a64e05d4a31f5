"""What can go wrong with the memory. The text of each is a sentence that may be shown to a person."""

from __future__ import annotations


class DatabaseUnavailableError(Exception):
    """The database can't be reached, or went away in the middle; nothing of the transaction was kept."""

    def __init__(self, sentence: str = "My memory can't be reached just now. Please try again in a moment.") -> None:
        super().__init__(sentence)


class DatabaseSetupError(Exception):
    """The database can't be used as it is set up: says what is wrong and what to do."""


class MigrationError(DatabaseSetupError):
    """The migrations of this code and those of the database don't fit together."""


class NameTakenError(Exception):
    """The owner already has a concept of that name, without regard to case."""

    def __init__(self, name: str) -> None:
        super().__init__(f"“{name}” is already remembered here. Choose another name, or edit that one.")
        self.name = name


class NotRememberedError(Exception):
    """The concept isn't in the memory (any more), or not in one that the viewer can see."""

    def __init__(self, sentence: str = "I don't remember that one (any more).") -> None:
        super().__init__(sentence)


class ObjectedError(Exception):
    """The person that a concept is linked to doesn't want to be in anybody's shared memory."""

    def __init__(self) -> None:
        super().__init__("This person doesn't want to be in a shared memory, so I can't share that.")


class DataWithdrawnError(Exception):
    """Something that an adapter was trained on was deleted meanwhile, or somebody's consent to it was withdrawn."""

    def __init__(self) -> None:
        super().__init__("Something I learned this from was taken away meanwhile, so I don't keep it.")


class NothingToRollBackError(Exception):
    """An owner's answers come from the base model, and always did."""

    def __init__(self) -> None:
        super().__init__("There is nothing to go back to: nothing that I learned is in use.")


class RateLimitedError(Exception):
    """A limit is used up; ``seconds`` is when the next use is possible."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"That's a lot at once. Please come back in {duration(seconds)}.")
        self.seconds = seconds


def duration(seconds: int) -> str:
    """Return a time to wait in words, rounded up: “40 seconds”, “3 minutes”, “2 hours”."""
    for length, unit in ((3600, "hour"), (60, "minute")):
        if seconds > length:
            return f"{-(-seconds // length)} {unit}s"
    return f"{max(seconds, 1)} second{'s' if seconds > 1 else ''}"
