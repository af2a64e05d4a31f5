"""What can go wrong with the memory, as types that carry data; and the base of all that a person may be told of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, dataclass_transform

if TYPE_CHECKING:  # who only reads files of strangers needs no database, and starts sooner
    import asyncpg


@dataclass_transform(eq_default=False, field_specifiers=(field,))
class UserFacingError(Exception):
    """What a person may meet. Its subclasses carry data, never a sentence: `bot.texts.for_error` has the words.

    A subclass lists its fields as a dataclass does, and needs no decorator. It isn't frozen: Python itself sets an
    exception's traceback and cause.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(eq=False)(cls)

    def __str__(self) -> str:
        """Return what a log is told: the type with its data."""
        return repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how a copy is made elsewhere (pickle): by its fields, also those given by keyword."""
        return partial(type(self), **{given.name: getattr(self, given.name) for given in fields(self)}), ()  # type: ignore[arg-type]


class DatabaseUnavailableError(UserFacingError):
    """The database can't be reached, or went away in the middle; nothing of the transaction was kept."""


class DatabaseSetupError(Exception):
    """The database can't be used as it is set up: tells its operator what is wrong and what to do."""


class MigrationError(DatabaseSetupError):
    """The migrations of this code and those of the database don't fit together."""


class NameTakenError(UserFacingError):
    """The owner already has a concept of that name, without regard to case."""

    name: str


class NotRememberedError(UserFacingError):
    """The concept isn't in the memory (any more), or not in one that the viewer can see."""


class NothingRecognisedError(NotRememberedError):
    """Nobody was recognised in that region, so there is nothing to be right or wrong about."""


class ReferenceGoneError(NotRememberedError):
    """That picture of the concept isn't there (any more)."""


class ProposalGoneError(NotRememberedError):
    """What was proposed was approved, declined or withdrawn meanwhile."""


class ProposalChangedError(UserFacingError):
    """What was proposed was changed since whoever decides about it looked at it."""

    name: str


class UndoExpiredError(NotRememberedError):
    """What was forgotten can't be brought back any more, or was already."""


class LastReferenceError(UserFacingError):
    """The only picture of a concept has to stay: without one there is nothing to recognise."""


class CannotMergeError(UserFacingError):
    """Only two different concepts of the same memory can become one."""


class ObjectedError(UserFacingError):
    """The person that a concept is linked to doesn't want to be in anybody's shared memory."""


class AuthorObjectedError(UserFacingError):
    """The author of the message that a picture is from doesn't want others to keep their pictures."""


class PeopleOffError(UserFacingError):
    """The host switched people off: none are remembered, imported, shared or made of something else."""


class WordMissingError(UserFacingError):
    """It would be the first person that somebody keeps, and they haven't said that the person agrees."""


class PersonNotApprovedError(UserFacingError):
    """A person without an account is shared on a server only when somebody who governs it has approved them."""


class PersonNotAskedError(UserFacingError):
    """A person is shared on a server only when the account that is linked to them agreed."""


class PersonDeclinedError(UserFacingError):
    """Who is linked to a concept doesn't want it to be shared on that server."""

    name: str


class DataWithdrawnError(UserFacingError):
    """Something that an adapter was trained on was deleted meanwhile, or somebody's consent to it was withdrawn."""


class NothingToRollBackError(UserFacingError):
    """An owner's answers come from the base model, and always did."""


class RateLimitedError(UserFacingError):
    """A limit is used up; ``seconds`` is when the next use is possible."""

    seconds: int


class NotAllowedError(UserFacingError):
    """The person may not do this, here or now."""


class OnlyAdminsShareError(NotAllowedError):
    """On this server only the admins put something into its memory."""


class OnlyRolesShareError(NotAllowedError):
    """On this server only some roles put something into its memory, and the person has none of them."""


class ApprovalNeededError(NotAllowedError):
    """The server's admins have come to want to approve what is shared."""


class NotYoursError(NotAllowedError):
    """A shared concept is changed only by who shared it, and by the server's admins."""

    name: str


class MemoryLockedError(NotAllowedError):
    """The server's memory is locked: only its admins change something in it."""


class NotAdminError(NotAllowedError):
    """Only who governs the server's memory does this, and who acts doesn't (any more)."""


class LimitReachedError(UserFacingError):
    """No more fits; ``max_count`` is how many do."""

    max_count: int


class MemoryFullError(LimitReachedError):
    """The person's own memory is full of concepts."""


class PicturesFullError(LimitReachedError):
    """The concept has as many pictures as are kept of one."""


class MemberLimitError(LimitReachedError):
    """The member has shared as many concepts as the server's admins allow."""


class ServerFullError(LimitReachedError):
    """The server's memory is full of concepts."""


class QuotaError(LimitReachedError):
    """The pictures of a memory take as many megabytes as there are."""


REFUSALS: Mapping[str, type[UserFacingError]] = {
    "KS001": ObjectedError,
    "KS002": AuthorObjectedError,
    "KS003": PeopleOffError,
    "KS004": WordMissingError,
    "KS005": PersonNotApprovedError,
    "KS006": PersonNotAskedError,
}
"""The error codes of `keepsake_check_objection`, `keepsake_check_source` and `keepsake_check_person`."""


def refused(error: asyncpg.PostgresError) -> Exception:
    """Return what a trigger of ours meant by its error code; any other error as it is."""
    refusal = REFUSALS.get(error.sqlstate or "")
    return error if refusal is None else refusal()
