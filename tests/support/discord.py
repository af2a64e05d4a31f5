"""A server of Discord's, simulated (simcord), with people who press and fill in; and what they send and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg
from simcord.components import walk_components

from bot.demo import pictures
from db import concepts
from db.pool import viewing
from db.types import Viewer

CAT = ("cat.png", pictures.png(pictures.cat()))
CAT_AGAIN = ("again.png", pictures.png(pictures.cat_again()))
CUP = ("cup.png", pictures.png(pictures.cup()))
BOTH = ("both.png", pictures.png(pictures.cat_and_cup()))
STRANGER = ("stranger.png", pictures.png(pictures.stranger()))
INFO = "a tabby cat who hates the vacuum cleaner"
MOTORCYCLE = ("garage.png", pictures.png(pictures.motorcycle()))


@dataclass
class Server:
    env: Any
    channel: Any
    alice: Any
    bob: Any
    pool: asyncpg.Pool

    @property
    def mention(self) -> str:
        return self.env.bot.user.mention

    async def answers(self) -> list[Any]:
        channel = self.env.bot.get_channel(self.channel.id)
        return [item async for item in channel.history(oldest_first=True) if item.author.bot]

    async def remember_cat(self, **options: Any) -> Any:
        return await self.alice.slash(self.channel, "remember", name="Mochi", image=CAT, info=INFO, **options)

    async def memory_of(self, member: Any) -> list[str]:
        viewer = Viewer(member.id, self.channel.guild_id if hasattr(self.channel, "guild_id") else None)
        async with viewing(self.pool, viewer) as connection:
            return [concept.name for concept in await concepts.list_concepts(connection, viewer.personal)]


def labels(message: Any) -> list[str]:
    return [child.label for row in message.components for child in row.children]


def said(message: Any) -> str:
    """All that a message says, with its cards."""
    parts = [
        component.get("content") or component.get("label") or "" for component in walk_components(message.components)
    ]
    return "\n".join([message.content, *parts])


def options(message: Any, custom_id: str) -> list[dict[str, Any]]:
    [menu] = [component for component in walk_components(message.components) if component.get("custom_id") == custom_id]
    return list(menu["options"])


async def memories(place: Server, member: Any, **given: Any) -> Any:
    return (await member.slash(place.channel, "memories", **given)).response


async def open_card(place: Server, member: Any, name: str, **given: Any) -> Any:
    shown = await memories(place, member, **given)
    [value] = [option["value"] for option in options(shown, "open") if option["label"] == name]
    await member.select(shown.message, [value], custom_id="open")
    return shown


def told(result: Any) -> Any:
    """The message beside the card that an action was answered with."""
    return [result.response, *result.followups][-1]


async def press(who: Any, shown: Any, custom_id: str) -> Any:
    return await who.click(shown.message, custom_id=custom_id)


async def fill(who: Any, shown: Any, custom_id: str, **values: Any) -> Any:
    return await who.submit_modal(await press(who, shown, custom_id), values)
