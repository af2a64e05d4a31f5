"""`/server memory`: a card with how a server's memory is governed, and a button for each thing its admins can do."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import discord
from discord import ui

from bot import texts
from bot.service import governance
from bot.service.app import Actor, App
from bot.service.governance import ServerCard
from bot.service.memories import Wanted
from bot.ui.actor import actor_of
from bot.ui.cards import Act, Ask, Choose, Interaction, Press, Shown, line, rows, show, value_of, view_of, whisper
from bot.ui.errors import explained
from bot.ui.learning import TrainingPanel, follow_learning, learning_buttons, learning_line
from bot.ui.memories import BrowseState, show_list
from db.types import AuditEntry, OwnerId, SetAside, WhoMayShare

RED = discord.ButtonStyle.danger
GREEN = discord.ButtonStyle.success
COLOUR = 0x5E548E
MAX_CHANNELS = 25
AUDIT_PAGE = 15
MAX_PROPOSALS = 8
"""On one card: Discord allows 40 parts of it."""
WHO = {
    WhoMayShare.EVERYONE: "Everyone may share",
    WhoMayShare.ROLES: "Only some roles may share",
    WhoMayShare.ADMINS: "Only admins may share",
}


@dataclass(frozen=True, slots=True)
class AdminPanel:
    """Where admins work. Who came here was let in by Discord, so they govern."""

    app: App

    def standing(self, interaction: Interaction) -> Actor:
        """Return the standing of who presses."""
        return actor_of(interaction, is_admin=True)

    async def change(self, interaction: Interaction, action: str, **changes: object) -> None:
        """Change settings and show the card again."""
        if not interaction.response.is_done():
            await interaction.response.defer()
        await governance.change(self.app, self.standing(interaction), action, **changes)
        await show_server(interaction, self)


async def show_server(interaction: Interaction, office: AdminPanel) -> None:
    """Show how the server's memory is governed."""
    overview = await governance.overview(office.app, office.standing(interaction))
    line = learning_line(overview.learning)
    view = _card(office, overview, line)
    message = await show(interaction, Shown(view, {}))
    follow_learning(interaction, message, _desk(office), overview.learning, view, line)


def _desk(office: AdminPanel) -> TrainingPanel:
    def whose(interaction: Interaction) -> tuple[Actor, OwnerId]:
        who = office.standing(interaction)
        return who, governance.owner_of(who)

    async def card(interaction: Interaction) -> None:
        await show_server(interaction, office)

    return TrainingPanel(office.app, whose, card, "What it learned", COLOUR)


def _card(office: AdminPanel, overview: ServerCard, line: ui.TextDisplay[Any]) -> ui.LayoutView:
    settings = overview.settings
    items: list[ui.Item[Any]] = [
        ui.TextDisplay(
            f"## This server's memory\n{texts.servers.governed(settings, overview.concepts, len(overview.proposals))}"
        ),
        ui.ActionRow(_who_menu(office, settings.who_may_share)),
    ]
    if settings.who_may_share is WhoMayShare.ROLES:
        items.append(ui.ActionRow(_RolesMenu(office, settings.sharing_roles)))
    items += [
        ui.ActionRow(_ChannelsMenu(office, "allowed_channels", "Only in these channels…", settings.allowed_channels)),
        ui.ActionRow(_ChannelsMenu(office, "denied_channels", "Never in these channels…", settings.denied_channels)),
        *rows(_buttons(office, overview)),
        ui.Separator(),
        line,
        ui.TextDisplay(texts.learning.quiet_hours(settings)),
        ui.ActionRow(*_learning_buttons(office, overview)),
    ]
    return view_of(*items, colour=COLOUR)


def _learning_buttons(office: AdminPanel, overview: ServerCard) -> list[Press]:
    trains = overview.settings.trains

    async def toggle(interaction: Interaction) -> None:
        await interaction.response.defer()
        change = governance.pause_learning if trains else governance.resume_learning
        await change(office.app, office.standing(interaction))
        await show_server(interaction, office)

    return [
        *learning_buttons(_desk(office), overview.learning, may_learn=trains),
        Press("Pause learning" if trains else "Resume learning", toggle, custom_id="trains"),
        Press("Quiet hours…", _asks_quiet_hours(office, overview), custom_id="quiet"),
    ]


def _buttons(office: AdminPanel, overview: ServerCard) -> list[Press]:
    settings, waiting = overview.settings, len(overview.proposals)
    approval = "No approval needed" if settings.needs_approval else "Ask for approval"

    async def toggle_approval(interaction: Interaction) -> None:
        action = "turned approval off" if settings.needs_approval else "turned approval on"
        await office.change(interaction, action, needs_approval=not settings.needs_approval)

    async def toggle_lock(interaction: Interaction) -> None:
        action = "unlocked the memory" if settings.locked else "locked the memory"
        await office.change(interaction, action, locked=not settings.locked)

    async def look_through(interaction: Interaction) -> None:
        await show_list(interaction, BrowseState(office.app, Wanted(shared=True), is_admin=True))

    return [
        Press("Look through", look_through, discord.ButtonStyle.primary, custom_id="list"),
        Press(f"Waiting ({waiting})", _shows_proposals(office), disabled=not waiting, custom_id="waiting"),
        Press(approval, toggle_approval, custom_id="approval"),
        Press("Limits…", _asks_numbers(office, overview), custom_id="limits"),
        Press("Unlock" if settings.locked else "Lock", toggle_lock, custom_id="lock"),
        Press("Who changed what", _shows_audit(office, 0), custom_id="audit"),
        Press("Purge…", _shows_purge(office), RED, custom_id="purge"),
    ]


def _who_menu(office: AdminPanel, now: WhoMayShare) -> Choose:
    options = [discord.SelectOption(label=words, value=who.value, default=who is now) for who, words in WHO.items()]

    async def pick(interaction: Interaction, chosen: list[str]) -> None:
        who = WhoMayShare(chosen[0])
        await office.change(interaction, f"set who may share: {who.value}", who_may_share=who)

    return Choose("Who may share?", options, pick, custom_id="who")


class _RolesMenu(ui.RoleSelect[Any]):
    """Chooses the roles that may share."""

    def __init__(self, office: AdminPanel, roles: tuple[int, ...]) -> None:
        super().__init__(
            placeholder="Which roles may share?",
            min_values=0,
            max_values=25,
            default_values=[
                discord.SelectDefaultValue(id=role, type=discord.SelectDefaultValueType.role) for role in roles
            ],
            custom_id="roles",
        )
        self._office = office

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Store them."""
        chosen = tuple(role.id for role in self.values)
        await self._office.change(interaction, "chose the roles that may share", sharing_roles=chosen)


class _ChannelsMenu(ui.ChannelSelect[Any]):
    """Chooses the channels of one list; choosing none empties it."""

    def __init__(self, office: AdminPanel, which: str, placeholder: str, channels: tuple[int, ...]) -> None:
        kind = discord.SelectDefaultValueType.channel
        super().__init__(
            placeholder=placeholder,
            min_values=0,
            max_values=MAX_CHANNELS,
            channel_types=[discord.ChannelType.text, discord.ChannelType.news, discord.ChannelType.forum],
            default_values=[discord.SelectDefaultValue(id=channel, type=kind) for channel in channels[:MAX_CHANNELS]],
            custom_id=which,
        )
        self._office = office
        self._which = which

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Store them."""
        chosen = tuple(channel.id for channel in self.values)
        await self._office.change(interaction, f"chose the {self._which.replace('_', ' ')}", **{self._which: chosen})


def _asks_numbers(office: AdminPanel, overview: ServerCard) -> Act:
    async def ask(interaction: Interaction) -> None:
        settings = overview.settings
        member = line("Most of one member", "member", text=str(settings.max_per_member), longest=5)
        server = line("Most of the server", "server", text=str(settings.max_per_server), longest=6)
        days = line("Days that answers are kept (0: never)", "days", text=str(settings.retention_days), longest=4)

        async def store(submitted: Interaction) -> None:
            await submitted.response.defer()
            numbers = (value_of(member), value_of(server), value_of(days))
            await governance.change_numbers(office.app, office.standing(submitted), *numbers)
            await show_server(submitted, office)

        await interaction.response.send_modal(Ask("Limits", store, member, server, days))

    return ask


def _asks_quiet_hours(office: AdminPanel, overview: ServerCard) -> Act:
    async def ask(interaction: Interaction) -> None:
        settings = overview.settings
        begin = line("From (hour, UTC, 0 to 23)", "from", text=str(settings.quiet_from), longest=5)
        end = line("To (the same hour: at any time)", "to", text=str(settings.quiet_to), longest=5)

        async def store(submitted: Interaction) -> None:
            await submitted.response.defer()
            hours = (value_of(begin), value_of(end))
            await governance.change_quiet_hours(office.app, office.standing(submitted), *hours)
            await show_server(submitted, office)

        await interaction.response.send_modal(Ask("Quiet hours", store, begin, end))

    return ask


def _shows_proposals(office: AdminPanel) -> Act:
    async def proposals(interaction: Interaction) -> None:
        overview = await governance.overview(office.app, office.standing(interaction))
        items: list[ui.Item[Any]] = [ui.TextDisplay(texts.servers.WAITING)]
        for set_aside in overview.proposals[:MAX_PROPOSALS]:
            items.append(ui.TextDisplay(texts.servers.proposal(set_aside)))
            items.append(
                ui.ActionRow(
                    Press(
                        "Agree",
                        _decides(office, set_aside, agree=True),
                        GREEN,
                        custom_id=f"agree-{set_aside.set_aside_id.hex}",
                    ),
                    Press(
                        "Decline",
                        _decides(office, set_aside, agree=False),
                        custom_id=f"no-{set_aside.set_aside_id.hex}",
                    ),
                )
            )
        items.append(ui.ActionRow(_back(office)))
        await show(interaction, Shown(view_of(*items, colour=COLOUR), {}))

    return proposals


def _decides(office: AdminPanel, set_aside: SetAside, *, agree: bool) -> Act:
    async def decide(interaction: Interaction) -> None:
        await interaction.response.defer()
        decision = governance.approve if agree else governance.decline
        await decision(office.app, office.standing(interaction), UUID(set_aside.set_aside_id.hex))
        await _shows_proposals(office)(interaction)

    return decide


def _shows_audit(office: AdminPanel, page: int) -> Act:
    async def audit(interaction: Interaction) -> None:
        actor = office.standing(interaction)
        entries = await governance.audit_page(office.app, actor, page, AUDIT_PAGE + 1)
        items: list[ui.Item[Any]] = [
            ui.TextDisplay(f"## Who changed what\n{_audit_text(entries[:AUDIT_PAGE])}"),
            ui.ActionRow(
                Press("◀", _shows_audit(office, page - 1), disabled=page == 0, custom_id="newer"),
                Press("▶", _shows_audit(office, page + 1), disabled=len(entries) <= AUDIT_PAGE, custom_id="older"),
                Press("Export", _exports_audit(office), custom_id="export"),
                _back(office),
            ),
        ]
        await show(interaction, Shown(view_of(*items, colour=COLOUR), {}))

    return audit


def _audit_text(entries: list[AuditEntry]) -> str:
    return "\n".join(texts.servers.audit_line(entry) for entry in entries) or texts.servers.NOTHING_HAPPENED


def _exports_audit(office: AdminPanel) -> Act:
    async def export(interaction: Interaction) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        data = await governance.audit_csv(office.app, office.standing(interaction))
        await whisper(
            interaction, texts.servers.AUDIT_EXPORTED, file=discord.File(io.BytesIO(data), "keepsake-audit.csv")
        )

    return export


def _shows_purge(office: AdminPanel) -> Act:
    async def purge(interaction: Interaction) -> None:
        items: list[ui.Item[Any]] = [
            ui.TextDisplay(texts.servers.PURGE),
            ui.ActionRow(_MemberMenu(office)),
            ui.ActionRow(
                Press("What is old…", _asks_age(office), RED, custom_id="old"),
                Press("Everything…", _asks_everything(office), RED, custom_id="everything"),
                _back(office),
            ),
        ]
        await show(interaction, Shown(view_of(*items, colour=0xA23B72), {}))

    return purge


class _MemberMenu(ui.UserSelect[Any]):
    """Chooses whose contributions are purged, and asks once more."""

    def __init__(self, office: AdminPanel) -> None:
        super().__init__(placeholder="What one member shared…", custom_id="member")
        self._office = office

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Ask once more."""
        user = self.values[0]

        async def purge(pressed: Interaction) -> None:
            await pressed.response.defer()
            actor = self._office.standing(pressed)
            gone = await governance.purge_member(self._office.app, actor, user.id)
            await show_server(pressed, self._office)
            await whisper(pressed, texts.memories.deleted(gone))

        items: list[ui.Item[Any]] = [
            ui.TextDisplay(texts.servers.purge_member(user.id)),
            ui.ActionRow(Press("Purge", purge, RED, custom_id="yes"), _back(self._office)),
        ]
        await show(interaction, Shown(view_of(*items, colour=0xA23B72), {}))


def _asks_age(office: AdminPanel) -> Act:
    async def ask(interaction: Interaction) -> None:
        days = line("Not touched or met for how many days?", "days", text="365", longest=5)

        async def purge(submitted: Interaction) -> None:
            await submitted.response.defer()
            gone = await governance.purge_older(office.app, office.standing(submitted), value_of(days))
            await show_server(submitted, office)
            await whisper(submitted, texts.memories.deleted(gone))

        await interaction.response.send_modal(Ask("Purge what is old", purge, days))

    return ask


def _asks_everything(office: AdminPanel) -> Act:
    async def ask(interaction: Interaction) -> None:
        word = line(f"Type {texts.privacy.DELETE_WORD} to purge everything", "word", longest=10)

        async def purge(submitted: Interaction) -> None:
            if value_of(word).strip().upper() != texts.privacy.DELETE_WORD:
                await whisper(submitted, texts.privacy.NOT_DELETED)
                return
            await submitted.response.defer()
            gone = await governance.purge_all(office.app, office.standing(submitted))
            await show_server(submitted, office)
            await whisper(submitted, texts.memories.deleted(gone))

        await interaction.response.send_modal(Ask("Purge everything", purge, word))

    return ask


def _back(office: AdminPanel) -> Press:
    async def back(interaction: Interaction) -> None:
        await show_server(interaction, office)

    return Press("Back", back, custom_id="back")
