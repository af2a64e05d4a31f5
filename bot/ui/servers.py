"""`/server memory`: a card with how a server's memory is governed, and a button for each thing its admins can do."""

from __future__ import annotations

from typing import Any

import discord
from discord import ui

from bot import texts
from bot.service import governance
from bot.service.app import Actor, App
from bot.service.governance import ServerCard
from bot.service.memories import Wanted
from bot.service.permissions import governed_by
from bot.ui.actor import admin_of
from bot.ui.audit_log import show_audit_log
from bot.ui.browse_state import BrowseState
from bot.ui.cards import VIOLET, ActionButton, ChoiceMenu, Form, Interaction, Item, TextField, rows
from bot.ui.errors import explained
from bot.ui.learning import LearningCard
from bot.ui.memories import show_list
from bot.ui.proposals import show_proposals
from bot.ui.purging import PurgeCard
from db.types import OwnerId, ServerSettings, WhoMayShare

RED = discord.ButtonStyle.danger
MAX_CHANNELS = 25
WHO = {
    WhoMayShare.EVERYONE: "Everyone may share",
    WhoMayShare.ROLES: "Only some roles may share",
    WhoMayShare.ADMINS: "Only admins may share",
}


async def show_server(interaction: Interaction, app: App) -> None:
    """Show how the server's memory is governed. Raises NotAdminError to who doesn't govern it."""
    overview = await governance.overview(app, await admin_of(interaction))
    await ServerMemoryCard(app, overview).show(interaction)


class ServerMemoryCard(LearningCard):
    """How a server's memory is governed."""

    learned_title = "What it learned"
    colour = VIOLET

    def __init__(self, app: App, overview: ServerCard) -> None:
        super().__init__(app, overview.learning, may_learn=overview.settings.trains)
        self._overview = overview
        settings, waiting = overview.settings, len(overview.proposals)
        self.add(
            ui.TextDisplay(f"## This server's memory\n{texts.servers.governed(settings, overview.concepts, waiting)}"),
            *self._menus(),
            *rows(self._buttons()),
            ui.Separator(),
            self.learning_line,
            ui.TextDisplay(texts.learning.quiet_hours(settings)),
            ui.ActionRow(
                *self.learning_buttons,
                ActionButton(
                    "Pause learning" if settings.trains else "Resume learning", self.toggle_learning, custom_id="trains"
                ),
                ActionButton("Quiet hours…", self.ask_for_quiet_hours, custom_id="quiet"),
            ),
        )

    def _menus(self) -> list[Item]:
        settings = self._overview.settings
        options = [
            discord.SelectOption(label=words, value=who.value, default=who is settings.who_may_share)
            for who, words in WHO.items()
        ]
        menus: list[Item] = [ChoiceMenu("Who may share?", options, self.choose_who_may_share, custom_id="who")]
        if settings.who_may_share is WhoMayShare.ROLES:
            menus.append(RolesMenu(self, settings.sharing_roles))
        menus += [
            ChannelsMenu(self, "allowed_channels", "Only in these channels…", settings.allowed_channels),
            ChannelsMenu(self, "denied_channels", "Never in these channels…", settings.denied_channels),
        ]
        return [ui.ActionRow(menu) for menu in menus]

    def _buttons(self) -> list[Item]:
        settings, waiting = self._overview.settings, len(self._overview.proposals)
        approval = "No approval needed" if settings.needs_approval else "Ask for approval"
        blue = discord.ButtonStyle.primary
        return [
            ActionButton("Look through", self.look_through, blue, custom_id="list"),
            ActionButton(f"Waiting ({waiting})", self.open_proposals, disabled=not waiting, custom_id="waiting"),
            ActionButton(approval, self.toggle_approval, custom_id="approval"),
            ActionButton("Limits…", self.ask_for_limits, custom_id="limits"),
            ActionButton("Unlock" if settings.locked else "Lock", self.toggle_lock, custom_id="lock"),
            ActionButton("Who changed what", self.open_audit_log, custom_id="audit"),
            ActionButton("Purge…", self.open_purge, RED, custom_id="purge"),
        ]

    @property
    def settings(self) -> ServerSettings:
        """The settings that are shown."""
        return self._overview.settings

    async def whose(self, interaction: Interaction) -> tuple[Actor, OwnerId]:
        """Return which admin presses, and the server's memory. Raises NotAdminError."""
        admin = await admin_of(interaction)
        return admin, governed_by(admin)

    async def again(self, interaction: Interaction) -> None:
        """Show the card with what is so by now."""
        await show_server(interaction, self.app)

    async def change(self, interaction: Interaction, action: str, **changes: object) -> None:
        """Change settings and show the card again; ``action`` is what the audit log says about it."""
        await interaction.response.defer()
        await governance.change(self.app, await admin_of(interaction), action, **changes)
        await self.again(interaction)

    async def choose_who_may_share(self, interaction: Interaction, chosen: list[str]) -> None:
        """Let everyone share, or some roles, or only admins."""
        who = WhoMayShare(chosen[0])
        await self.change(interaction, f"set who may share: {who.value}", who_may_share=who)

    async def toggle_approval(self, interaction: Interaction) -> None:
        """Let what members share wait for an admin, or no longer."""
        needs_approval = not self.settings.needs_approval
        action = f"turned approval {'on' if needs_approval else 'off'}"
        await self.change(interaction, action, needs_approval=needs_approval)

    async def toggle_lock(self, interaction: Interaction) -> None:
        """Let nobody but admins change the memory, or let them again."""
        locked = not self.settings.locked
        await self.change(interaction, f"{'locked' if locked else 'unlocked'} the memory", locked=locked)

    async def toggle_learning(self, interaction: Interaction) -> None:
        """Learn no more from the memory, or again."""
        await interaction.response.defer()
        change = governance.pause_learning if self.settings.trains else governance.resume_learning
        await change(self.app, await admin_of(interaction))
        await self.again(interaction)

    async def ask_for_limits(self, interaction: Interaction) -> None:
        """Ask how much there may be, and for how long answers are kept."""
        await interaction.response.send_modal(LimitsForm(self))

    async def ask_for_quiet_hours(self, interaction: Interaction) -> None:
        """Ask when the bot may learn by itself."""
        await interaction.response.send_modal(QuietHoursForm(self))

    async def look_through(self, interaction: Interaction) -> None:
        """Leaf through the memory."""
        await governance.note_reading(self.app, await admin_of(interaction))
        await show_list(interaction, BrowseState(self.app, Wanted(shared=True), for_admins=True))

    async def open_proposals(self, interaction: Interaction) -> None:
        """Show what waits for the admins."""
        await show_proposals(interaction, self.app, back=self.again)

    async def open_audit_log(self, interaction: Interaction) -> None:
        """Show who changed what."""
        await show_audit_log(interaction, self.app, back=self.again)

    async def open_purge(self, interaction: Interaction) -> None:
        """Show what could be deleted."""
        await PurgeCard(self.app, back=self.again).show(interaction)


class RolesMenu(ui.RoleSelect[Any]):
    """Chooses the roles that may share."""

    def __init__(self, card: ServerMemoryCard, roles: tuple[int, ...]) -> None:
        kind = discord.SelectDefaultValueType.role
        super().__init__(
            placeholder="Which roles may share?",
            min_values=0,
            max_values=25,
            default_values=[discord.SelectDefaultValue(id=role, type=kind) for role in roles],
            custom_id="roles",
        )
        self._card = card

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Store them."""
        chosen = tuple(role.id for role in self.values)
        await self._card.change(interaction, "chose the roles that may share", sharing_roles=chosen)


class ChannelsMenu(ui.ChannelSelect[Any]):
    """Chooses the channels of one list, a field of the settings; choosing none empties it."""

    def __init__(self, card: ServerMemoryCard, field: str, placeholder: str, channels: tuple[int, ...]) -> None:
        kind = discord.SelectDefaultValueType.channel
        super().__init__(
            placeholder=placeholder,
            min_values=0,
            max_values=MAX_CHANNELS,
            channel_types=[discord.ChannelType.text, discord.ChannelType.news, discord.ChannelType.forum],
            default_values=[discord.SelectDefaultValue(id=channel, type=kind) for channel in channels[:MAX_CHANNELS]],
            custom_id=field,
        )
        self._card = card
        self._field = field

    @explained
    async def callback(self, interaction: Interaction) -> None:
        """Store them."""
        chosen = tuple(channel.id for channel in self.values)
        await self._card.change(interaction, f"chose the {self._field.replace('_', ' ')}", **{self._field: chosen})


class LimitsForm(Form):
    """Asks how much there may be in the memory, and for how long answers are kept."""

    def __init__(self, card: ServerMemoryCard) -> None:
        self._card = card
        settings = card.settings
        self._member = TextField("Most of one member", "member", text=str(settings.max_per_member), max_length=5)
        self._server = TextField("Most of the server", "server", text=str(settings.max_per_server), max_length=6)
        label = "Days that answers are kept (0: never)"
        self._days = TextField(label, "days", text=str(settings.retention_days), max_length=4)
        super().__init__("Limits", self._member, self._server, self._days)

    async def submit(self, interaction: Interaction) -> None:
        """Store them."""
        await interaction.response.defer()
        numbers = (self._member.value, self._server.value, self._days.value)
        await governance.change_numbers(self._card.app, await admin_of(interaction), *numbers)
        await self._card.again(interaction)


class QuietHoursForm(Form):
    """Asks between which hours the bot may learn by itself."""

    def __init__(self, card: ServerMemoryCard) -> None:
        self._card = card
        settings = card.settings
        begin, end = str(settings.quiet_from), str(settings.quiet_to)
        self._begin = TextField("From (hour, UTC, 0 to 23)", "from", text=begin, max_length=5)
        self._end = TextField("To (the same hour: at any time)", "to", text=end, max_length=5)
        super().__init__("Quiet hours", self._begin, self._end)

    async def submit(self, interaction: Interaction) -> None:
        """Store them."""
        await interaction.response.defer()
        admin, app = await admin_of(interaction), self._card.app
        await governance.change_quiet_hours(app, admin, self._begin.value, self._end.value)
        await self._card.again(interaction)
