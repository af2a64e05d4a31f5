"""What the bot says that no model wrote: short, kind, and with nothing of a person's text that could do harm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.service.reports import MARKS, Example, Learning, Report
from bot.texts.formatting import MESSAGE_LENGTH, ago, day, names_of, one_line, plural, quoted, shortened
from db.adapters import PromotionEntry
from db.training import RunState, TrainingRun
from db.types import AuditEntry, Concept, Erased, ServerSettings, SetAside, Stored, WhoMayShare

LONGEST_INFO = 1200
"""Characters of info on a card, after escaping: of 4,000 for all of it."""

LOOKING = "👀 Looking…"
THINKING = "💭 Thinking…"
WHO_IS_THIS = "Who is in this picture?"
NOTHING_TO_SAY = "I have nothing to say to that."

WHO_IS_IT = "Who is it?"


EMPTY_MEMORY = "Nothing yet. Use `/remember`, or “Remember this” on a message with a picture."
NOTHING_FOUND = "Nothing like that. Try other words, or take the filter away."
WHICH_ONE = "### Which one shall I remember?\nEach box has a number; choose it below."
FORGET_WARNING = "It goes with its pictures and words. For ten minutes you can undo it."
SHARE_WARNING = (
    "Everyone on this server will know it, and the admins govern it. You know it here, but no longer elsewhere, "
    "until you take it back."
)
UNDONE_HINT = "Ten minutes to undo it."

LEARNING_PAUSED = "Learning is paused: the admins of this server resume it."
PAUSED_MEANWHILE = "it was paused"
LEARNING_ASKED = "Learning is asked for; it begins as soon as there is time."
NOT_LEARNED = "Nothing was learned so far."
LEARNED_HINT = (
    "-# “Roll back” lets what I learned the time before answer again, “Turn off” none of it. When I learn something "
    "better, that is in use again."
)
LONGEST_REASON = 200
MAX_EXAMPLES = 3
MARK_NAMES = {
    "recognition": "recognised",
    "caption_recall": "names said",
    "caption_precision": "names right",
    "answers": "answers right",
    "score": "in all",
    "general_loss": "loss elsewhere",
}

WAITING = "## Waiting for you\nThey know it themselves; agree, and everyone on this server does."
NOTHING_HAPPENED = "Nothing so far."
AUDIT_EXPORTED = "The whole log, the latest first."
PURGE = "## Purge this server's memory\nWhat goes here is gone for good, with its pictures and the answers given here."

PRIVACY_RULES = (
    "-# What you tell me belongs to you alone. I recall it for you, wherever you are, and for nobody else. What you "
    "share belongs to that server. Pictures are kept without their metadata; I never store messages."
)
CONSENT_ON = "I may train on what you told me"
CONSENT_OFF = "I don't train on what you told me"
OBJECTION_ON = "Nobody may share a memory of you"
OBJECTION_OFF = "Others may share a memory of you, if they say it is you"
DELETE_EVERYTHING = (
    "This deletes your memories, pictures, answers and corrections, and what you shared on servers, for good. "
    "Export first, if you want to keep it."
)
DELETE_WORD = "DELETE"
NOT_DELETED = "Nothing was deleted: the word was another one."
IMPORT_HINT = "A zip that I exported, or a zip with a RAP memory file and its pictures."
EXPORT_DONE = "Everything that I keep about you. Nobody else sees this."
IMPORTED_NOTHING = "There is nothing new in it: you have all of that already."


def remembered(concept: Concept, *, waits: bool = False, alike: Concept | None = None) -> str:
    """Say that a concept was remembered, where, and what to do next."""
    where = "for everyone on this server" if concept.is_shared else "for you alone"
    waiting = " The admins have to agree before the others know it." if waits else ""
    twin = f" It looks a lot like **{quoted(alike.name)}**: if they are the same, merge them." if alike else ""
    return (
        f"I'll remember **{quoted(concept.name)}**, {where}.{waiting}{twin} "
        "Send me a new picture and ask who is in it, or ask me what you told me."
    )


def edited(concept: Concept) -> str:
    """Say what is known of a concept after it was edited."""
    details = f" ({quoted(concept.category)})" if concept.category else ""
    said = f": {quoted(concept.info)}" if concept.info else "; nothing was said about it"
    return f"From now on I know **{quoted(concept.name)}**{details}{said}"[:MESSAGE_LENGTH]


def forgotten(name: str) -> str:
    """Say that a concept was forgotten."""
    return f"I've forgotten **{quoted(name)}**: the pictures, the words, everything. {UNDONE_HINT}"


def brought_back(concept: Concept) -> str:
    """Say that forgetting was undone."""
    return f"**{quoted(concept.name)}** is back, as if nothing had happened."


def added(concept: Concept) -> str:
    """Say that a picture was added."""
    return f"One more picture of **{quoted(concept.name)}**: now I have {concept.references}."


def thanks(concept: Concept) -> str:
    """Say that a recognition was right."""
    return f"Thanks! I'll know **{quoted(concept.name)}** even better."


def sorry(concept: Concept) -> str:
    """Say that a recognition was wrong."""
    return f"Sorry! That isn't **{quoted(concept.name)}**: it counts from the next picture on. {WHO_IS_IT}"


def same(concept: Concept) -> str:
    """Ask whether two are the same."""
    return f"That looks like **{quoted(concept.name)}**. Is it the same?"


def merged(concept: Concept) -> str:
    """Say that two concepts are one now."""
    return f"They are one now: **{quoted(concept.name)}**, with {plural(concept.references, 'picture')}."


def shared(concept: Concept | None) -> str:
    """Say that a concept is shared, or waits to be."""
    if concept is None:
        return "I've asked the admins of this server. Until they agree it stays yours alone."
    return f"Everyone on this server knows **{quoted(concept.name)}** now."


def unshared(name: str) -> str:
    """Say that a concept isn't shared any more."""
    return f"**{quoted(name)}** isn't shared any more and is yours alone again."


def title(concept: Concept) -> str:
    """Return a concept's name and category, as a heading line."""
    details = f" · {quoted(concept.category)}" if concept.category else ""
    return f"**{quoted(concept.name)}**{details}"


def entry(concept: Concept) -> str:
    """Return a concept as a line of a list."""
    said = quoted(shortened(one_line(concept.info), 140)) or "*nothing said yet*"
    seen = f" · recognised {concept.times_recognised}×" if concept.times_recognised else ""
    return f"{title(concept)}\n{said}\n-# {plural(concept.references, 'picture')}{seen}"


def details(concept: Concept) -> str:
    """Return what a card says below a concept's name: info, and when and where it was learned and met."""
    said = "\n".join(f"> {line}" for line in quoted(concept.info).splitlines()) or "> *nothing said yet*"
    where = f" in <#{concept.learned.channel_id}>" if concept.learned.server_id else ""
    lines = [
        shortened(said, LONGEST_INFO),
        f"-# {plural(concept.references, 'picture')} · learned {day(concept.created_at)}{where}",
        f"-# recognised {concept.times_recognised}×"
        + (f", the last time {day(concept.last_seen)}" if concept.last_seen else ""),
        f"-# {'Shared: everyone on this server knows it' if concept.is_shared else 'Yours alone'}"
        + (f" · it is <@{concept.linked_user}>" if concept.linked_user else ""),
    ]
    return "\n".join(lines)


def what_is_stored(stored: Stored) -> str:
    """Return what is stored about somebody, in words."""
    return "\n".join(
        [
            f"- {plural(stored.concepts, 'concept')} with {plural(stored.references, 'picture')}, "
            f"{stored.picture_bytes / 1e6:.1f} MB in all",
            f"- {plural(stored.answers, 'answer')}: the picture and what was seen in it",
            f"- {plural(stored.corrections, 'correction')} (right / not them)",
            f"- {plural(stored.shared, 'concept')} that you shared on servers, and {stored.linked} linked to you",
            f"- {stored.forgotten} forgotten, and still to be undone",
            *([f"- {plural(stored.adapters, 'adapter')}: what I learned from it"] if stored.adapters else []),
        ]
    )


def receipt(erased: Erased, number: str, at: str, *, objects: bool) -> str:
    """Return the receipt of an erasure."""
    lines = [f"{count:6} × {name.replace('_', ' ')}" for name, count in erased.rows.items() if count]
    kept = (
        "Kept: only that you object to being shared, so that it goes on holding. Withdraw it in /privacy to remove it."
        if objects
        else "Kept: nothing."
    )
    return "\n".join(
        [
            f"Keepsake: receipt {number}",
            f"Everything stored about you was deleted, {at}.",
            "",
            *(lines or ["     there was nothing"]),
            f"{erased.servers:6} × server that it was deleted from",
            "",
            kept,
        ]
    )


def plan(new: Sequence[str], pictures: int, known: Sequence[str]) -> str:
    """Return what an import would do."""
    lines = ["## This is what would happen"]
    if new:
        lines.append(
            f"- {plural(len(new), 'concept')} with {plural(pictures, 'picture')} would be new: {names_of(new)}"
        )
    else:
        lines.append(f"- {IMPORTED_NOTHING}")
    if known:
        lines.append(f"- {plural(len(known), 'name')} you have already, and they stay as they are: {names_of(known)}")
    return "\n".join([*lines, "Nothing has changed so far. It is all or nothing."])


def imported(count: int) -> str:
    """Say what was imported."""
    return f"Done: {plural(count, 'concept')} more."


def governed(settings: ServerSettings, concepts: int, proposals: int) -> str:
    """Return how a server's memory is governed, in words."""
    who = {
        WhoMayShare.EVERYONE: "everyone",
        WhoMayShare.ROLES: " ".join(f"<@&{role}>" for role in settings.sharing_roles) or "some roles (none chosen)",
        WhoMayShare.ADMINS: "only admins",
    }[settings.who_may_share]
    where = " ".join(f"<#{channel}>" for channel in settings.allowed_channels) or "every channel"
    but = " ".join(f"<#{channel}>" for channel in settings.denied_channels)
    keeps = f"for {plural(settings.retention_days, 'day')}" if settings.retention_days else "never"
    return "\n".join(
        [
            f"**{plural(concepts, 'shared concept')}**" + (f", {proposals} waiting for you" if proposals else ""),
            f"- Who may share: {who}{', after approval' if settings.needs_approval else ''}",
            f"- Where I answer: {where}{f', but not in {but}' if but else ''}",
            f"- Limits: {settings.max_per_member:,} a member, {settings.max_per_server:,} the server",
            f"- Answers are kept {keeps}",
            f"- The memory is {'🔒 locked' if settings.locked else 'open'}",
        ]
    )


def learning(item: Learning) -> str:
    """Return how learning stands: what is in use, and how the latest run is or was."""
    return "\n".join(f"- {line}" for line in _learning(item))


def quiet_hours(settings: ServerSettings) -> str:
    """Return when a server's memory is learned from."""
    if not settings.trains:
        return f"- {LEARNING_PAUSED}"
    if settings.quiet_from == settings.quiet_to:
        return "-# By itself I learn at any time."
    return f"-# By itself I learn between {settings.quiet_from}:00 and {settings.quiet_to}:00 UTC."


def report(item: Report) -> str:
    """Return what a training came to: how much it was, the marks before and after, some answers."""
    outcome = "I use it" if item.passes else "I don't use it"
    sizes = [
        plural(item.lessons, "lesson"),
        f"{plural(item.pictures, 'picture')} held out",
        plural(item.steps, "step"),
        f"{item.seconds / 60:.0f} minutes" if item.seconds >= 90 else plural(round(item.seconds), "second"),
    ]
    why = f": {_briefly(item.why)}" if item.why else ""
    examples = [_example(example) for example in item.examples[:MAX_EXAMPLES]]
    return "\n".join([f"{outcome}{why}.", f"-# {' · '.join(sizes)}", _table(item), *examples])


def promotion(item: PromotionEntry) -> str:
    """Return a line about what came into use."""
    what = f"version {item.adapter_id[:8]}" if item.adapter_id else "nothing of what was learned"
    who = f" by <@{item.actor}>" if item.actor else ""
    now = " **(in use)**" if item.is_in_use else ""
    return f"-# {ago(item.at)} {what}{now}: {_briefly(item.why, 120)}{who}"


def proposal(set_aside: SetAside) -> str:
    """Return a line about what somebody wants to share."""
    return f"**{quoted(set_aside.name)}** by <@{set_aside.set_by}>, {day(set_aside.created_at)}"


def purge_member(user_id: int) -> str:
    """Ask whether to purge what a member shared."""
    return f"## Purge what <@{user_id}> shared?\nAlso what is linked to them, and the answers they were given here."


def audit_line(item: AuditEntry) -> str:
    """Return a line of the audit log."""
    who = f"<@{item.actor}>" if item.actor else "*somebody*"
    return f"-# <t:{int(item.at.timestamp())}:R> {who} {item.action} {quoted(item.subject)}".rstrip()


def purged(count: int) -> str:
    """Say how much was purged."""
    return f"{plural(count, 'concept')} gone, for good."


def _learning(item: Learning) -> Iterator[str]:
    if item.history:
        yield _used(item, item.history[0])
    if item.run is not None:
        yield from _run(item, item.run)
    elif item.usable is not None and not item.waits:
        there = f"There {'is' if item.usable == 1 else 'are'} {plural(item.usable, 'thing')} to learn from"
        yield f"{NOT_LEARNED} {there}, a few are needed."
    if item.waits:
        yield LEARNING_ASKED


def _used(item: Learning, latest: PromotionEntry) -> str:
    """Say since when what was learned is in use, or isn't any more."""
    if latest.adapter_id is None:
        return f"What I learned isn't in use: {_briefly(latest.why)} {ago(latest.at)}."
    gain = item.report.better_by if item.is_of_latest_run and item.report is not None else None
    return f"Last learned {ago(latest.at)}: {_briefly(latest.why) if gain is None else f'better by {gain:.2f}'}."


def _run(item: Learning, run: TrainingRun) -> Iterator[str]:
    """Say how a run is, or how it ended without something to use."""
    ended = ago(run.finished_at or run.changed_at)
    if run.state is RunState.RUNNING:
        steps = f", step {run.step:,} of {run.steps:,}" if run.steps else ""
        silence = f" No news since {ago(run.changed_at)}." if item.is_silent else ""
        yield f"Learning: {_briefly(run.phase) or 'beginning'}{steps}, begun {ago(run.started_at)}.{silence}"
    elif run.withdrawn_at is not None:
        yield f"Something that I learned from was taken away {ago(run.withdrawn_at)}, and with it what I learned."
    elif run.state is RunState.REFUSED:
        why = f" ({_briefly(item.report.why)})" if item.report is not None and item.report.why else ""
        yield f"I tried {ended} and didn't get better, so nothing changed{why}."
    elif run.state is not RunState.PROMOTED:
        what = "failed" if run.state is RunState.FAILED else "was stopped"
        yield f"Learning {what} {ended}{f': {_briefly(run.problem)}' if run.problem else '.'}"


def _table(item: Report) -> str:
    """Return marks as a table of fixed width."""
    columns = [("base", item.base), ("before", item.before), ("now", item.now)]
    if item.before == item.base:
        del columns[0]
    lines = [f"{'':16}" + "".join(f"{name:>8}" for name, _ in columns)]
    for mark in MARKS:
        if any(mark in marks for _, marks in columns):
            numbers = [f"{marks[mark]:.2f}" if mark in marks else "–" for _, marks in columns]
            lines.append(f"{MARK_NAMES[mark]:16}" + "".join(f"{number:>8}" for number in numbers))
    return "\n".join(["```", *lines, "```"])


def _example(example: Example) -> str:
    asked, before, after = (_briefly(text, 100) for text in (example.question, example.before, example.after))
    return f"> {asked}\n> before: {before}\n> now: {after}"


def _briefly(text: str, longest: int = LONGEST_REASON) -> str:
    """Return a text as part of a line."""
    return shortened(quoted(one_line(text)), longest).removesuffix(".")
