"""What a person may not do, or can't do now, as types that carry data; `bot.texts.for_error` has the words."""

from __future__ import annotations

from enum import StrEnum

from db.errors import NotAllowedError, NotRememberedError, UserFacingError


class NoServerError(NotAllowedError):
    """There is no server here whose memory could be used."""


class ChannelClosedError(NotAllowedError):
    """The server's admins don't want the bot in this channel."""


class TrainingConsentMissingError(NotAllowedError):
    """The person didn't allow training on what they told the bot."""


class TrainingPausedError(NotAllowedError):
    """The server's admins paused training."""


class NothingToTrainOnError(NotAllowedError):
    """Nothing new that may be trained on."""


class ModelElsewhereError(NotAllowedError):
    """The model that answers runs on a server elsewhere, where it can't be trained."""


class NumberField(StrEnum):
    """What a number that was typed is for."""

    MEMBER_LIMIT = "member_limit"
    SERVER_LIMIT = "server_limit"
    RETENTION_DAYS = "retention_days"
    AGE_DAYS = "age_days"
    QUIET_FROM = "quiet_from"
    QUIET_TO = "quiet_to"


class InvalidNumberError(UserFacingError):
    """What was typed is no whole number from 0 to ``max_value``."""

    field: NumberField
    max_value: int


class UnknownNameError(NotRememberedError):
    """Nobody and nothing is called that; ``alike`` are names that may have been meant."""

    name: str
    alike: tuple[str, ...]


class AnswerGoneError(NotRememberedError):
    """The answer is somebody else's, or isn't kept any more."""


class RegionGoneError(NotRememberedError):
    """That part of an answer's picture isn't known (any more)."""


class AttachmentError(UserFacingError):
    """There is no file that can be used."""


class NoPictureError(AttachmentError):
    """There is no picture where one is needed."""


class FileTooLargeError(AttachmentError):
    """A file has more bytes than are taken."""

    size: int
    max_size: int


class FileNotFetchedError(AttachmentError):
    """Discord didn't give the file: it is gone, or its address expired."""


class ArchiveBusyError(UserFacingError):
    """Other people's archives are being read, and it takes long."""


class ImportExpiredError(UserFacingError):
    """The file was read too long ago, or has been imported."""
