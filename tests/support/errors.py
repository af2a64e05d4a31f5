"""All errors that a person may meet, also those that somebody adds later, and an example of each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum
from typing import Any, get_type_hints

import bot
import db
import model_worker.api
from bot.archive.schema import ArchiveProblem, ProblemKind
from db.errors import UserFacingError


def user_facing_errors() -> list[type[UserFacingError]]:
    """Return every kind of such error in the bot, the database and the worker's contract."""
    for room in (bot, db, model_worker.api):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            importlib.import_module(module.name)
    return [kind for kind in all_below(UserFacingError) if kind.__module__.partition(".")[0] != "tests"]


def all_below(kind: type[UserFacingError]) -> Iterator[Any]:
    """Yield every subclass, and theirs."""
    for derived in kind.__subclasses__():
        yield derived
        yield from all_below(derived)


def an_example_of(kind: type[UserFacingError]) -> UserFacingError:
    """Return an error of a kind, with something in each of its fields."""
    hints = get_type_hints(kind)
    return kind(**{field.name: _something(hints[field.name]) for field in fields(kind)})


def _something(hint: Any) -> Any:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return next(iter(hint))
    if hint == tuple[ArchiveProblem, ...]:
        return (ArchiveProblem(kind=ProblemKind.NOT_A_ZIP),)
    return {str: "Mochi", int: 3_000_000, int | None: 3_000_000, tuple[str, ...]: ("Mochi", "Rex")}[hint]
