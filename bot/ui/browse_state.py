"""What somebody leafs through, on the cards of a memory."""

from __future__ import annotations

from dataclasses import dataclass

from bot.service.app import Actor, App
from bot.service.memories import Wanted
from bot.ui.actor import actor_of, admin_of
from bot.ui.cards import Interaction


@dataclass(frozen=True, slots=True)
class BrowseState:
    """Which memory and which page; ``for_admins``: it was opened from the card that only admins may use."""

    app: App
    wanted: Wanted
    for_admins: bool = False

    async def actor(self, interaction: Interaction) -> Actor:
        """Return who presses. Raises NotAdminError when this is for admins and they aren't, or no longer."""
        return await admin_of(interaction) if self.for_admins else actor_of(interaction)
