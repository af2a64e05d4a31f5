"""Chat: mentions, replies and direct messages. The chain of replies is the conversation.

The bot speaks when it is spoken to: in a direct message, when it is mentioned, or when a message replies to one
in a chain that it is part of, or that mentions it. Any message can be replied to, so conversations branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import discord
from discord.ext import commands

from bot import texts
from bot.service.app import App
from bot.service.ask import Question
from bot.service.governance import settings_of
from bot.service.permissions import may_speak_in
from bot.ui import attachments
from bot.ui.actor import actor_of, channels_of
from bot.ui.answering import answer
from bot.ui.errors import sentence_for
from bot.ui.stream import QUIET, InReply
from db.errors import DatabaseUnavailableError
from model_worker.api.protocol import Turn

LONGEST_CHAIN = 12
LONGEST_TURN = 500
"""Characters: enough to know what was spoken of."""


class Chat(commands.Cog):
    """Listens to messages."""

    def __init__(self, bot: Any, app: App) -> None:
        self._bot = bot
        self._app = app

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Answer a message that is meant for the bot."""
        if message.author.bot or message.type not in {discord.MessageType.default, discord.MessageType.reply}:
            return
        earlier = await self._earlier(message)
        if not self._is_meant(message, earlier) or not await self._is_welcome(message):
            return
        shown = _latest_picture([message, *earlier])
        waiting = texts.answers.THINKING if shown is None else texts.answers.LOOKING
        try:
            first = await message.reply(waiting, mention_author=False, allowed_mentions=QUIET)
        except discord.Forbidden:
            return  # it may read here, but not write
        try:
            question = await _with_picture(Question(self._text_of(message), history=self._turns(earlier)), shown)
            await answer(self._app, actor_of(message), question, InReply(first))
        except Exception as error:
            await first.edit(content=sentence_for(error), attachments=[], view=None)

    async def _is_welcome(self, message: discord.Message) -> bool:
        """Whether the server's admins want the bot in this channel."""
        try:
            settings = await settings_of(self._app, actor_of(message))
        except DatabaseUnavailableError:
            return True  # it will say so
        return may_speak_in(settings, channels_of(message.channel))

    async def _earlier(self, message: discord.Message) -> list[discord.Message]:
        """Return the messages that this one replies to, and so on, the latest first."""
        chain: list[discord.Message] = []
        current = message
        while current.reference is not None and len(chain) < LONGEST_CHAIN:
            replied_to = await self._replied_to(current)
            if replied_to is None:
                break
            chain.append(replied_to)
            current = replied_to
        return chain

    async def _replied_to(self, message: discord.Message) -> discord.Message | None:
        reference = message.reference
        if reference is None or reference.message_id is None or reference.channel_id != message.channel.id:
            return None
        known = reference.cached_message or reference.resolved
        if isinstance(known, discord.Message):
            return known
        if isinstance(known, discord.DeletedReferencedMessage):
            return None
        try:
            return await message.channel.fetch_message(reference.message_id)
        except discord.HTTPException:
            return None

    def _is_meant(self, message: discord.Message, earlier: Sequence[discord.Message]) -> bool:
        if message.guild is None or self._mentions_me(message):
            return True
        return any(item.author.id == self._bot.user.id or self._mentions_me(item) for item in earlier)

    def _mentions_me(self, message: discord.Message) -> bool:
        return any(user.id == self._bot.user.id for user in message.mentions)

    def _turns(self, earlier: Sequence[discord.Message]) -> tuple[Turn, ...]:
        turns = [
            Turn(
                role="assistant" if message.author.id == self._bot.user.id else "user",
                text=self._text_of(message)[:LONGEST_TURN],
            )
            for message in reversed(earlier)
        ]
        return tuple(turn for turn in turns if turn.text)

    def _text_of(self, message: discord.Message) -> str:
        """Return what a message says, without the mention of the bot and without the line of certainties."""
        text = message.clean_content
        names = {self._bot.user.display_name, self._bot.user.name}
        if message.guild is not None:
            names.add(message.guild.me.display_name)
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(f"@{name}", " ")
        lines = [line for line in text.splitlines() if not line.startswith("-# ")]
        return " ".join(" ".join(lines).split())


async def _with_picture(question: Question, shown: discord.Message | None) -> Question:
    """Return a question about the picture of a message, if there is one."""
    attachment = None if shown is None else attachments.picture_in(shown.attachments)
    if shown is None or attachment is None:
        return question
    return replace(question, picture=await attachments.read(attachment), source=attachments.source_of(shown))


def _latest_picture(messages: Sequence[discord.Message]) -> discord.Message | None:
    """Return the latest message that has a picture, but none that the bot drew on."""
    return next((item for item in messages if not item.author.bot and attachments.picture_in(item.attachments)), None)


async def setup(bot: Any) -> None:
    """Add the listener to a bot; discord.py calls this."""
    await bot.add_cog(Chat(bot, bot.app))
