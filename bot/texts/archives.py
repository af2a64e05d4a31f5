"""What is said about a memory as a file: what importing it would do, and each thing that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.archive.schema import ArchiveProblem, ProblemKind
from bot.texts.formatting import names_of, plural, quoted

LONGEST_FILE_NAME = 60

README = """This is what Keepsake remembers for you.

database.json   the concepts as a memory file of RAP (arXiv 2410.13360)
keepsake.json   all that this format lacks: every picture, when, where, corrections, settings
pictures/       the pictures, named by their SHA-256
answers/        pictures that you asked about; for reading only, they are not imported

To import it, use /privacy and then Import. Nothing changes before you have seen what would.
"""
"""A file in each archive."""
EXPORTED = "This is everything I keep about you. Nobody else can see this message."
IMPORT_HINT = "A zip that I exported, or a zip with a RAP memory file and its pictures."
NOTHING_NEW = "There is nothing new in it: you have all of that already."

NOT_IMPORTED = "-# Corrections (“right”, “not them”) and answers stay out: what I recognise people by, I make myself."


def plan(new: Sequence[str], pictures: int, known: Sequence[str], people: Sequence[str] = ()) -> str:
    """Return what an import would do; ``people`` are those whose agreement has to be vouched for."""
    lines = ["## This is what would happen"]
    if new:
        lines.append(
            f"- {plural(len(new), 'concept')} with {plural(pictures, 'picture')} would be new: {names_of(new)}"
        )
    else:
        lines.append(f"- {NOTHING_NEW}")
    if known:
        lines.append(
            f"- You already have {plural(len(known), 'name')}, and I'd leave them as they are: {names_of(known)}"
        )
    if people:
        lines.append(f"- These are people: {names_of(people)}. By importing you give your word that they agree.")
    return "\n".join([*lines, NOT_IMPORTED, "Nothing has changed so far. I import all of it or nothing."])


def imported(count: int) -> str:
    """Say what was imported."""
    return f"Done: I imported {plural(count, 'concept')}."


def problem(item: ArchiveProblem, cause: str = "") -> str:
    """Return what is wrong, as a sentence; ``cause`` is the sentence about the problem's own cause."""
    return SENTENCES[item.kind](item, cause)


def _file(item: ArchiveProblem) -> str:
    """Return which file it is about: of a zip, or the one that was sent."""
    printable = "".join(character for character in item.file if character.isprintable())
    return f"“{quoted(printable[:LONGEST_FILE_NAME])}” in that zip" if item.file else "That file"


def _concept(item: ArchiveProblem) -> str:
    """Return which concept it is about, as far as that is known."""
    return f"“{quoted(item.concept)}”" if item.concept else "one of the memories"


SENTENCES: dict[ProblemKind, Callable[[ArchiveProblem, str], str]] = {
    ProblemKind.TOO_MUCH: lambda _, __: "That file takes more time or memory to read than I have for a single one.",
    ProblemKind.NESTED_TOO_DEEPLY: lambda _, __: "That file is nested too deeply to be a memory.",
    ProblemKind.NOT_A_ZIP: lambda _, __: "That isn't a zip file that I can read, or not all of it arrived.",
    ProblemKind.TOO_MANY_FILES: lambda item, _: (
        f"That zip has {item.count:,} files; I take at most {item.max_count:,}."
    ),
    ProblemKind.DUPLICATE_FILES: lambda _, __: "That zip has two files with the same name.",
    ProblemKind.ENCRYPTED: lambda _, __: "That zip is encrypted. Please send it without a password.",
    ProblemKind.FILE_BROKEN: lambda item, _: f"{_file(item)} is broken.",
    ProblemKind.FILE_NOT_UNPACKED: lambda item, _: f"{_file(item)} can't be unpacked.",
    ProblemKind.FILE_TOO_LARGE: lambda item, _: f"{_file(item)} is too large, or everything in it together is.",
    ProblemKind.FILE_NOT_JSON: lambda item, _: f"{_file(item)} isn't JSON that I can read.",
    ProblemKind.WITHOUT_PICTURES: lambda _, __: (
        "That file only names pictures. Please put it into a zip, together with them."
    ),
    ProblemKind.NO_MEMORY: lambda _, __: (
        "I can't find a memory in that zip: neither one that I exported, nor one from RAP."
    ),
    ProblemKind.UNKNOWN_VERSION: lambda _, __: "That zip was exported by a version of me that I don't know.",
    ProblemKind.EMPTY: lambda _, __: "There is nothing in that memory.",
    ProblemKind.NOT_A_DICTIONARY: lambda item, _: f"In that memory, “{item.field}” isn't a dictionary.",
    ProblemKind.NOT_A_LIST: lambda item, _: (
        f"In {_concept(item) if item.concept else 'that memory'}, “{item.field}” isn't a list."
    ),
    ProblemKind.NOT_AN_OBJECT: lambda item, _: f"Part of {_concept(item)} isn't written as it should be.",
    ProblemKind.NOT_TEXT: lambda item, _: f"Something in {_concept(item)} should be text, but isn't.",
    ProblemKind.INVALID_TEXT: lambda item, cause: f"About {_concept(item)}: {cause}",
    ProblemKind.SAME_NAME: lambda item, _: f"{_concept(item)} and “{quoted(item.other)}” are the same name to me.",
    ProblemKind.NAMED_TWICE: lambda item, _: f"{_concept(item)} is in that memory twice.",
    ProblemKind.NO_PICTURE: lambda item, _: f"There is no picture of {_concept(item)}.",
    ProblemKind.PICTURE_MISSING: lambda item, _: f"A picture of {_concept(item)} isn't in the zip.",
    ProblemKind.PICTURE_CHANGED: lambda item, _: f"A picture of {_concept(item)} isn't the one that was exported.",
    ProblemKind.PICTURE_UNREADABLE: lambda item, cause: f"A picture of {_concept(item)}: {cause}",
    ProblemKind.INVALID_BOX: lambda item, _: f"A box around {_concept(item)} isn't within its picture.",
    ProblemKind.INVALID_EMBEDDING: lambda item, _: f"An embedding of {_concept(item)} can't be read.",
    ProblemKind.INVALID_COUNT: lambda item, _: f"{_concept(item)} has a count that can't be right.",
    ProblemKind.INVALID_VERDICT: lambda item, _: f"A correction of {_concept(item)} says neither “right” nor “wrong”.",
}
"""The words for each kind of problem; a kind without words is found by the tests."""
