"""What is said about training on a memory: how it stands, how it ended, and what it brought."""

from __future__ import annotations

from collections.abc import Iterator

from bot.service.reports import Learning, StopReason
from bot.texts.formatting import ago, one_line, plural, quoted, shortened
from db.adapters import PromotionEntry
from db.training import RunState, TrainingRun
from db.types import ServerSettings
from model_worker.api.training_report import METRICS, ComparedAnswer, TrainingReport

LONGEST_REASON = 200
MAX_EXAMPLES = 3

PAUSED = "Training is paused until an admin of this server resumes it."
QUEUED = "Training is queued. It starts when I'm idle."
NOT_TRAINED = "I haven't been trained yet."
VERSIONS_HINT = (
    "-# “Roll back” returns to the previous version. “Turn off” stops using training altogether. When a later training "
    "is better, I use it again."
)
METRIC_NAMES = {
    "recognition": "recognised",
    "caption_recall": "names mentioned",
    "caption_precision": "names correct",
    "answers": "answers correct",
    "score": "overall score",
    "general_loss": "loss on general text",
}
METRIC_WIDTH = 22


def status(item: Learning) -> str:
    """Return how training stands: what is in use, and how the latest run is or was."""
    return "\n".join(f"- {line}" for line in _status(item)) or f"- {NOT_TRAINED}"


def quiet_hours(settings: ServerSettings) -> str:
    """Return when a server's memory is trained on."""
    if not settings.trains:
        return f"- {PAUSED}"
    if settings.quiet_from == settings.quiet_to:
        return "-# I train at any time of day."
    return f"-# I train between {settings.quiet_from}:00 and {settings.quiet_to}:00 UTC."


def report(item: TrainingReport) -> str:
    """Return what a training came to: how much it was, the metrics before and after, some answers."""
    outcome = "I use this training" if item.verdict.passes else "I don't use this training"
    sizes = [
        plural(item.samples, "example"),
        f"{plural(item.held_out_pictures, 'picture')} kept for the test",
        plural(item.steps, "step"),
        f"{item.seconds / 60:.0f} minutes" if item.seconds >= 90 else plural(round(item.seconds), "second"),
    ]
    why = f": {_briefly(item.verdict.why)}" if item.verdict.why else ""
    examples = [_example(example) for example in item.learned[:MAX_EXAMPLES]]
    return "\n".join([f"{outcome}{why}.", f"-# {' · '.join(sizes)}", _table(item), *examples])


def promotion(item: PromotionEntry) -> str:
    """Return a line about which version came into use."""
    what = f"version {item.adapter_id[:8]}" if item.adapter_id else "no training"
    who = f" by <@{item.actor}>" if item.actor else ""
    now = " **(in use)**" if item.is_in_use else ""
    return f"-# {ago(item.at)} {what}{now}: {_briefly(item.why, 120)}{who}"


def _status(item: Learning) -> Iterator[str]:
    if item.history:
        yield _used(item, item.history[0])
    if item.run is not None:
        yield from _run(item, item.run)
    elif item.usable is not None and not item.waits:
        yield f"{NOT_TRAINED} {_needed(item.usable, item.needed)}"
    if item.waits:
        yield QUEUED


def _needed(usable: int, needed: int | None) -> str:
    """Say how much there is to train on, and how much that takes."""
    there = plural(usable, "concept")
    if needed is None:
        return f"I can train on {there} so far."
    if usable < needed:
        return f"I can train on {there} so far; I need at least {needed:,}."
    return f"I can train on {there}; that's enough."


def _used(item: Learning, latest: PromotionEntry) -> str:
    """Say since when a training is in use, or isn't any more."""
    if latest.adapter_id is None:
        return f"I don't use my training: {_briefly(latest.why)} {ago(latest.at)}."
    gain = item.report.better_by if item.is_of_latest_run and item.report is not None else None
    return f"Last trained {ago(latest.at)}: {_briefly(latest.why) if gain is None else f'better by {gain:.2f}'}."


def _run(item: Learning, run: TrainingRun) -> Iterator[str]:
    """Say how a run is, or how it ended without something to use."""
    ended = ago(run.finished_at or run.changed_at)
    if run.state is RunState.RUNNING:
        yield _progress(item, run)
    elif run.withdrawn_at is not None:
        yield f"Something I was trained on was deleted {ago(run.withdrawn_at)}, so I threw that training away."
    elif run.state is RunState.REFUSED:
        why = f" ({_briefly(item.report.verdict.why)})" if item.report is not None and item.report.verdict.why else ""
        yield f"I trained {ended} and didn't get better, so nothing changed{why}."
    elif run.state is RunState.FAILED:
        yield f"Training failed {ended}. The person who runs me finds the reason in my log."
    elif run.state is RunState.STOPPED:
        paused = " because it was paused" if run.problem == StopReason.PAUSED else ""
        yield f"Training was stopped {ended}{paused}."


def _progress(item: Learning, run: TrainingRun) -> str:
    steps = f", step {run.step:,} of {run.steps:,}" if run.steps else ""
    silence = f" I've heard nothing from it since {ago(run.changed_at)}." if item.is_silent else ""
    return f"Training: {_briefly(run.phase) or 'starting'}{steps}, started {ago(run.started_at)}.{silence}"


def _table(item: TrainingReport) -> str:
    """Return metrics as a table of fixed width."""
    columns = [("base", item.base.known), ("before", item.before.known), ("now", item.candidate.known)]
    if item.before == item.base:
        del columns[0]
    lines = [f"{'':{METRIC_WIDTH}}" + "".join(f"{name:>8}" for name, _ in columns)]
    for metric in METRICS:
        if any(metric in known for _, known in columns):
            numbers = [f"{known[metric]:.2f}" if metric in known else "–" for _, known in columns]
            lines.append(f"{METRIC_NAMES[metric]:{METRIC_WIDTH}}" + "".join(f"{number:>8}" for number in numbers))
    return "\n".join(["```", *lines, "```"])


def _example(example: ComparedAnswer) -> str:
    asked, before, after = (_briefly(text, 100) for text in (example.question, example.before, example.after))
    return f"> {asked}\n> before: {before}\n> now: {after}"


def _briefly(text: str, longest: int = LONGEST_REASON) -> str:
    """Return a text as part of a line."""
    return shortened(quoted(one_line(text)), longest).removesuffix(".")
