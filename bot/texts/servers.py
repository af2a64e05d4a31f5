"""What is said to the admins of a server about its memory."""

from __future__ import annotations

from bot.texts.formatting import ago, day, plural, quoted
from db.types import AuditEntry, ServerSettings, SetAside, WhoMayShare

WAITING = "## Waiting for approval\nMembers want to share these. Approve to let everyone on this server see them."
NOTHING_HAPPENED = "Nothing so far."
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


def proposal(set_aside: SetAside) -> str:
    """Return a line about what somebody wants to share."""
    return f"**{quoted(set_aside.name)}** by <@{set_aside.set_by}>, {day(set_aside.created_at)}"


def purge_member(user_id: int) -> str:
    """Ask whether to purge what a member shared."""
    return (
        f"## Purge what <@{user_id}> shared?\nThis deletes what they shared, what is linked to them, and the answers "
        "they got here. It can't be undone."
    )


def audit_line(item: AuditEntry) -> str:
    """Return a line of the audit log."""
    who = f"<@{item.actor}>" if item.actor else "*somebody*"
    return f"-# {ago(item.at)} {who} {item.action} {quoted(item.subject)}".rstrip()


def _who(settings: ServerSettings) -> str:
    if settings.who_may_share is WhoMayShare.ROLES:
        return " ".join(f"<@&{role}>" for role in settings.sharing_roles) or "some roles (none chosen yet)"
    return "everyone" if settings.who_may_share is WhoMayShare.EVERYONE else "only admins"
