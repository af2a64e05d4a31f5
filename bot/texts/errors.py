"""What went wrong, in words for the person who asked: a sentence or two for each error, what to do next included."""

from __future__ import annotations

from functools import singledispatch

from bot import errors as bot
from bot.archive.schema import ArchiveError
from bot.errors import NumberField
from bot.texts import archives
from bot.texts.formatting import duration, plural, quoted
from db import errors as memory
from db import names
from db.names import TextField
from model_worker.api import errors as worker

NOT_HERE = "You can't do that here."

NUMBERS = {
    NumberField.MEMBER_LIMIT: "Enter a whole number of memories for each member",
    NumberField.SERVER_LIMIT: "Enter a whole number of memories for the server",
    NumberField.RETENTION_DAYS: "Enter a whole number of days",
    NumberField.AGE_DAYS: "Enter their age as a whole number of days",
    NumberField.QUIET_FROM: "Enter the hour when quiet hours begin, as a whole number",
    NumberField.QUIET_TO: "Enter the hour when quiet hours end, as a whole number",
}
TEXTS = {TextField.NAME: "A name", TextField.CATEGORY: "A category", TextField.INFO: "What I should know"}


@singledispatch
def for_error(error: BaseException) -> str:
    """Return what to tell a person about an error. Raises TypeError for one that no person should be told about."""
    raise TypeError(f"there are no words for {type(error).__name__}")


def unexpected(number: str) -> str:
    """Say that something went wrong which nobody expected; the log has the same number."""
    return (
        "Something went wrong on my side. Please try again. If it happens again, tell the person who runs me "
        f"this number: {number}"
    )


@for_error.register
def _(_error: memory.DatabaseUnavailableError) -> str:
    return "I can't reach my memory just now. Please try again in a moment."


@for_error.register
def _(error: memory.NameTakenError) -> str:
    return f"“{quoted(error.name)}” is already remembered here. Choose another name, or edit that memory."


@for_error.register
def _(_error: memory.NotRememberedError) -> str:
    return "I don't remember that any more."


@for_error.register
def _(_error: memory.PeopleOffError) -> str:
    return "Whoever runs me doesn't want me to remember people, so I keep nothing of that. Pets and things are welcome."


@for_error.register
def _(_error: memory.WordMissingError) -> str:
    return "That is a person, and I need your word first that they agree. `/edit` with their category asks you for it."


@for_error.register
def _(_error: memory.PersonNotApprovedError) -> str:
    return (
        "That is a person, and on a server an admin has to approve them first. Stop sharing it, change it, and share "
        "it again: then the admins are asked."
    )


@for_error.register
def _(_error: memory.PersonNotAskedError) -> str:
    return (
        "They have to agree before that is shared. Stop sharing it, say whose account it is, and share it again: then "
        "I ask them."
    )


@for_error.register
def _(error: memory.PersonDeclinedError) -> str:
    return f"They said no to sharing **{quoted(error.name)}** there, so it stays between us."


@for_error.register
def _(_error: memory.NothingRecognisedError) -> str:
    return "I didn't recognise anybody there, or they were forgotten since."


@for_error.register
def _(_error: memory.ReferenceGoneError) -> str:
    return "That picture isn't there any more."


@for_error.register
def _(_error: memory.ProposalGoneError) -> str:
    return "That proposal isn't there any more."


@for_error.register
def _(error: memory.ProposalChangedError) -> str:
    return f"“{quoted(error.name)}” was changed since you looked. Please look at it again."


@for_error.register
def _(_error: memory.UndoExpiredError) -> str:
    return "It's too late: that can't be undone any more."


@for_error.register
def _(_error: memory.LastReferenceError) -> str:
    return "That's the only picture I have. Add another one first, or forget the whole memory."


@for_error.register
def _(_error: memory.CannotMergeError) -> str:
    return "I can only merge two different memories that are in the same place: both yours, or both the server's."


@for_error.register
def _(_error: memory.ObjectedError) -> str:
    return "This person doesn't want to be in a shared memory, so I can't share that."


@for_error.register
def _(_error: memory.AuthorObjectedError) -> str:
    return "The author of that message doesn't want others to use their pictures, so I leave it alone."


@for_error.register
def _(_error: memory.DataWithdrawnError) -> str:
    return "Something I was trained on was deleted meanwhile, so I threw that training away."


@for_error.register
def _(_error: memory.NothingToRollBackError) -> str:
    return "There is no earlier version to return to: no training is in use."


@for_error.register
def _(error: memory.RateLimitedError) -> str:
    return f"That's a lot at once. Please come back in {duration(error.seconds)}."


@for_error.register
def _(error: names.InvalidTextError) -> str:
    return f"{TEXTS[error.field]} can't be like that. Please try another."


@for_error.register
def _(error: names.InvisibleTextError) -> str:
    return f"{TEXTS[error.field]} needs at least one visible character."


@for_error.register
def _(error: names.TextTooLongError) -> str:
    return f"{TEXTS[error.field]} can have at most {error.max_length:,} characters; this has {error.length:,}."


@for_error.register
def _(error: names.SeveralLinesError) -> str:
    return f"{TEXTS[error.field]} has to be on one line."


@for_error.register
def _(error: names.ControlCharactersError) -> str:
    return f"{TEXTS[error.field]} can't contain control characters."


@for_error.register
def _(error: names.AngleBracketsError) -> str:
    return f"{TEXTS[error.field]} can't contain < or >."


@for_error.register
def _(error: names.PingsManyError) -> str:
    return f"{TEXTS[error.field]} can't contain @everyone or @here."


@for_error.register
def _(_error: names.NotForSharingError) -> str:
    return "A shared memory needs a name that isn't a common word, a link or a mention. Please choose another."


@for_error.register
def _(_error: memory.NotAllowedError) -> str:
    return NOT_HERE


@for_error.register
def _(_error: bot.NoServerError) -> str:
    return "There's no shared memory here. Use this on a server that I'm a member of."


@for_error.register
def _(_error: bot.ChannelClosedError) -> str:
    return "The admins of this server don't want me in this channel."


@for_error.register
def _(_error: memory.OnlyAdminsShareError) -> str:
    return "On this server only admins may share. You can remember it for yourself."


@for_error.register
def _(_error: memory.NotAdminError) -> str:
    return "Only the admins of this server can do that."


@for_error.register
def _(_error: memory.OnlyRolesShareError) -> str:
    return "On this server only some roles may share. You can remember it for yourself."


@for_error.register
def _(_error: memory.ApprovalNeededError) -> str:
    return "The admins of this server want to approve that first. Please try again: then it waits for them."


@for_error.register
def _(error: memory.NotYoursError) -> str:
    return f"Only the person who shared “{quoted(error.name)}” and the admins of this server can change it."


@for_error.register
def _(_error: memory.MemoryLockedError) -> str:
    return "The admins have locked this server's memory: nothing in it can be changed for now."


@for_error.register
def _(_error: bot.TrainingConsentMissingError) -> str:
    return "I only train on what you allow. Press “Allow training” first."


@for_error.register
def _(_error: bot.TrainingPausedError) -> str:
    return "The admins of this server have paused training."


@for_error.register
def _(_error: bot.NothingToTrainOnError) -> str:
    return "There's nothing to train on yet: I need memories with pictures, from people who allow training."


@for_error.register
def _(_error: bot.ModelElsewhereError) -> str:
    return "The model that answers runs on another server, where I can't train it."


@for_error.register
def _(error: memory.QuotaError) -> str:
    return f"There's no room for more pictures: together they may take {error.max_count:,} MB. Remove some first."


@for_error.register
def _(error: memory.LimitReachedError) -> str:
    return f"There's no room for more than {error.max_count:,}."


@for_error.register
def _(error: memory.MemoryFullError) -> str:
    return f"Your memory is full: it holds {plural(error.max_count, 'concept')}. Forget some first."


@for_error.register
def _(error: memory.PicturesFullError) -> str:
    return f"I keep at most {plural(error.max_count, 'picture')} of each memory. Remove one first."


@for_error.register
def _(error: memory.MemberLimitError) -> str:
    return (
        f"On this server each member may share {plural(error.max_count, 'memory', 'memories')} at most. "
        "Take one back first."
    )


@for_error.register
def _(error: memory.ServerFullError) -> str:
    return f"This server's memory is full: it holds {plural(error.max_count, 'concept')}. Its admins can make room."


@for_error.register
def _(error: bot.InvalidNumberError) -> str:
    return f"{NUMBERS[error.field]} (0 to {error.max_value:,})."


@for_error.register
def _(error: bot.UnknownNameError) -> str:
    alike = " or ".join(f"“{quoted(name)}”" for name in error.alike)
    unknown = f"I don't remember anyone or anything called “{quoted(error.name[:64])}”."
    return f"{unknown} Did you mean {alike}?" if alike else unknown


@for_error.register
def _(_error: bot.AnswerGoneError) -> str:
    return "Only the person who asked can use this, and only while I keep the answer."


@for_error.register
def _(_error: bot.RegionGoneError) -> str:
    return "I don't know that part of the picture any more."


@for_error.register
def _(_error: bot.AttachmentError) -> str:
    return "I can't use that file."


@for_error.register
def _(_error: bot.NoPictureError) -> str:
    return "That message has no picture."


@for_error.register
def _(error: bot.FileTooLargeError) -> str:
    return f"That file has {error.size / 1e6:.0f} MB; I take at most {error.max_size / 1e6:.0f} MB."


@for_error.register
def _(_error: bot.FileNotFetchedError) -> str:
    return "I couldn't fetch that file from Discord. Please send it again."


@for_error.register
def _(error: ArchiveError) -> str:
    return "\n".join(archives.problem(item, for_error(item.cause) if item.cause else "") for item in error.problems)


@for_error.register
def _(_error: bot.ArchiveBusyError) -> str:
    return "Other files are being read or imported just now. Please try again in a minute."


@for_error.register
def _(_error: bot.ImportExpiredError) -> str:
    return "I don't have that file any more, or it is imported already. Please send it again."


@for_error.register
def _(_error: worker.WorkerError) -> str:
    return "The model server couldn't do that. Please try again in a moment."


@for_error.register
def _(_error: worker.WorkerUnavailableError) -> str:
    return "The model server is offline just now. Please try again in a moment."


@for_error.register
def _(_error: worker.WrongTokenError) -> str:
    return "The model server doesn't let me in. The person who runs me has to look at its token."


@for_error.register
def _(_error: worker.ModelsFailedError) -> str:
    return "The model server couldn't load its models. The person who runs me finds the reason in its log."


@for_error.register
def _(_error: worker.WriterUnavailableError) -> str:
    return "The language model is offline just now. Please try again in a moment."


@for_error.register
def _(_error: worker.ModelOutOfMemoryError) -> str:
    return "I ran out of memory for that. Please ask again, perhaps with a smaller picture."


@for_error.register
def _(_error: worker.AnswerBrokeOffError) -> str:
    return "My answer broke off in the middle. Please ask again in a moment."


@for_error.register
def _(error: worker.WorkerBusyError) -> str:
    return f"I'm busy with other questions. Please try again in {duration(error.seconds)}."


@for_error.register
def _(error: worker.ModelsLoadingError) -> str:
    return f"I'm still waking up. Please try again in {duration(error.seconds)}."


@for_error.register
def _(_error: worker.WorkerRefusedError) -> str:
    return "The model server rejected that request. Please try it in another way."


@for_error.register
def _(_error: worker.WriterRefusedError) -> str:
    return "The language model rejected the request. Please try a shorter question, or another picture."


@for_error.register
def _(_error: worker.QuestionTooLongError) -> str:
    return (
        "That is more than I can take in at once. Please ask a shorter question, or shorten what you told me about it."
    )


@for_error.register
def _(_error: worker.UnknownEmbedderError) -> str:
    return "The model server doesn't have the model that this memory was made with."


@for_error.register
def _(_error: worker.ImageError) -> str:
    return "I can't use that picture. Please send another one."


@for_error.register
def _(_error: worker.ImageEmptyError) -> str:
    return "That picture is empty. Please send it again."


@for_error.register
def _(_error: worker.ImageFormatError) -> str:
    return "That isn't a picture I can read. I take JPEG, PNG, WebP, GIF, BMP, HEIC and AVIF."


@for_error.register
def _(_error: worker.ImageBrokenError) -> str:
    return "I can't read that picture: it is broken, or not all of it arrived. Please send it again as PNG or JPEG."


@for_error.register
def _(error: worker.ImageTooLargeError) -> str:
    limit = f"I take at most {error.max_size / 1e6:.0f} MB."
    return (
        f"That picture has {error.size / 1e6:.0f} MB; {limit}" if error.size else f"That picture is too large; {limit}"
    )


@for_error.register
def _(error: worker.TooManyPixelsError) -> str:
    limit = f"I take at most {error.max_pixels / 1e6:.0f} megapixels."
    if error.pixels is None:
        return f"That picture has too many pixels; {limit}"
    return f"That picture has {error.pixels / 1e6:.0f} megapixels; {limit}"


@for_error.register
def _(_error: worker.ImageTooHardError) -> str:
    return "That picture takes longer to read than I have for one. Please save it anew, as JPEG or PNG."


@for_error.register
def _(error: worker.ImageTooSmallError) -> str:
    return f"That picture is too small: {error.width} × {error.height} pixels."


@for_error.register
def _(error: worker.ImageTooLongError) -> str:
    return f"That picture is too long and thin: {error.width} × {error.height} pixels."
