"""What is said to the admins of a server about its memory."""

from __future__ import annotations

from bot.texts.formatting import ago, day, plural, quoted, shortened
from bot.texts.memories import NOTHING_SAID, title
from db.types import AuditEntry, Proposal, ServerSettings, WhoMayShare

WAITING = "## Waiting for approval\nA member wants to share this. Approve to let everyone on this server see it."
NOTHING_WAITS = "## Waiting for approval\nNothing waits any more."
NOTHING_HAPPENED = "Nothing so far."
LONGEST_PROPOSAL = 3000
"""Characters of what is known of it, after escaping: of 4,000 for a card."""
AUDIT_EXPORTED = "This is the whole log, the latest first."
PURGE = (
    "## Purge this server's memory\nThis deletes what you choose below for good, with pictures and answers. "
    "It can't be undone."
)


def governed(settings: ServerSettings, concepts: int, proposals: int) -> str:
    """Return how a server's memory is governed, in words."""
    waiting = f", {proposals:,} waiting for approval" if proposals else ""
    allowed = " ".join(f"<#{channel}>" for channel in settings.allowed_channels) or "every channel"
    denied = " ".join(f"<#{channel}>" for channel in settings.denied_channels)
    keeps = f"for {plural(settings.retention_days, 'day')}" if settings.retention_days else "not at all"
    return "\n".join(
        [
            f"**{plural(concepts, 'shared concept')}**{waiting}",
            f"- Who may share: {_who(settings)}{', after approval' if settings.needs_approval else ''}",
            f"- Where I answer: {allowed}{f', but not in {denied}' if denied else ''}",
            f"- Limits: {settings.max_per_member:,} for each member, {settings.max_per_server:,} for the server",
            f"- I keep answers {keeps}",
            f"- The memory is {'🔒 locked' if settings.locked else 'open'}",
        ]
    )


def proposal(waiting: Proposal) -> str:
    """Return what somebody wants to share: its name, all that is known of it, who it is, and who asks."""
    said = "\n".join(f"> {line}" for line in quoted(waiting.concept.info).splitlines()) or f"> {NOTHING_SAID}"
    person = f" · this is <@{waiting.person}>" if waiting.person else ""
    asked = f"-# <@{waiting.proposed_by}> asks, {day(waiting.created_at)}{person}"
    return f"{title(waiting.concept)}\n{shortened(said, LONGEST_PROPOSAL)}\n{asked}"


def more_wait(count: int) -> str:
    """Say how many proposals wait besides those that are shown."""
    return f"-# {plural(count, 'more proposal')} waiting"


def approved(name: str, server: str) -> str:
    """Tell who proposed something that the admins approved it."""
    return f"The admins of {quoted(server)} approved **{quoted(name)}**: everyone there can see it now."


def declined(name: str, server: str) -> str:
    """Tell who proposed something that the admins declined it."""
    return f"The admins of {quoted(server)} declined **{quoted(name)}**. It stays yours alone."


def purge_member(user_id: int) -> str:
    """Ask whether to purge what a member shared."""
    return (
        f"## Purge what <@{user_id}> shared?\nThis deletes what they shared, what is linked to them, and the answers "
        "they got here. It can't be undone."
    )


def audit_line(item: AuditEntry) -> str:
    """Return a line of the audit log."""
    who = f"<@{item.actor}>" if item.actor else f"*former admin {item.pseudonym}*" if item.pseudonym else "*somebody*"
    return f"-# {ago(item.at)} {who} {item.action} {quoted(item.subject)}".rstrip()


def _who(settings: ServerSettings) -> str:
    if settings.who_may_share is WhoMayShare.ROLES:
        return " ".join(f"<@&{role}>" for role in settings.sharing_roles) or "some roles (none chosen yet)"
    return "everyone" if settings.who_may_share is WhoMayShare.EVERYONE else "only admins"
