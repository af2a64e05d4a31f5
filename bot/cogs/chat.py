"""Chat: mentions, replies and direct messages. The exchange between an author and the bot is the conversation.

On a server the bot speaks when a message mentions it, or replies to an answer that it gave to the same author. What
others said is nobody's conversation but theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import discord
from discord.ext import commands

from bot import texts
from bot.cogs.addressing import is_a_persons_own, mentions, own_exchange, replied_to
from bot.service.app import App
from bot.service.ask import Question
from bot.service.audience import Audience
from bot.service.conversation import is_answer_to, take_back_answers_to
from bot.service.governance import settings_of
from bot.service.permissions import may_speak_in
from bot.ui import attachments
from bot.ui.actor import actor_of, channels_of
from bot.ui.answering import Asked, answer, begin
from bot.ui.errors import sentence_for
from bot.ui.feedback_buttons import delete_messages
from bot.ui.names import names_on
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
        if not is_a_persons_own(message) or not await self._is_meant(message):
            return
        chain = await self._chain(message)
        askers = [_asker_of(chain, item, self._bot.user.id) for item in chain]
        earlier = own_exchange(message.author.id, self._bot.user.id, chain, askers)
        shown = _shown(message, earlier, chain)
        waiting = texts.answers.THINKING if shown is None else texts.answers.LOOKING
        try:
            first = await message.reply(waiting, mention_author=False, allowed_mentions=QUIET, suppress_embeds=True)
        except discord.HTTPException:
            return  # it may read here, but not write; or the message is gone
        place, is_spoiler = InReply(first), shown is not None and shown.picture.is_spoiler()
        asked = Asked(channel_id=message.channel.id, message_id=message.id, is_spoiler=is_spoiler, stays=True)
        try:
            audience = Audience.ASKER if message.guild is None else Audience.OTHERS
            question = Question(
                text=self._text_of(message),
                history=self._turns(earlier),
                audience=audience,
                names_of=names_on(self._bot, message.guild),
            )
            await begin(self._app, actor_of(message), asked, place)
            await answer(self._app, actor_of(message), await _with_picture(question, shown), asked, place)
        except discord.NotFound:
            await place.withdraw()  # the question, or the answer, was deleted meanwhile
        except Exception as error:
            await first.edit(content=sentence_for(error), attachments=[], view=None)

    @commands.Cog.listener()
    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        """Take back what answered a message that is deleted."""
        await self._take_back([event.message_id])

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        """Take back what answered messages that are deleted."""
        await self._take_back(sorted(event.message_ids))

    async def _take_back(self, question_ids: Sequence[int]) -> None:
        await delete_messages(self._bot, await take_back_answers_to(self._app, question_ids))

    async def _is_meant(self, message: discord.Message) -> bool:
        """Whether a message is meant for the bot, in a channel where it is wanted; fetches nothing from Discord."""
        if message.guild is None:
            return True
        target = replied_to(message)
        if not mentions(message, self._bot.user) and target is None:
            return False
        try:
            actor = actor_of(message)
            if not may_speak_in(await settings_of(self._app, actor), channels_of(message.channel)):
                return False
            return mentions(message, self._bot.user) or await is_answer_to(self._app, actor, target or 0)
        except DatabaseUnavailableError:
            return mentions(message, self._bot.user)  # it will say so

    async def _chain(self, message: discord.Message) -> list[discord.Message]:
        """Return the messages that this one replies to, and so on, the latest first."""
        chain: list[discord.Message] = []
        current = message
        while len(chain) < LONGEST_CHAIN and (target := replied_to(current)) is not None:
            found = await self._found(current, target)
            if found is None:
                break
            chain.append(found)
            current = found
        return chain

    async def _found(self, message: discord.Message, message_id: int) -> discord.Message | None:
        """Return a message that another one refers to, from what came with it or from Discord; None if it is gone."""
        known = None if message.reference is None else message.reference.cached_message or message.reference.resolved
        if isinstance(known, discord.Message):
            return known
        if isinstance(known, discord.DeletedReferencedMessage):
            return None
        try:
            return await message.channel.fetch_message(message_id)
        except discord.HTTPException:
            return None

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


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that is asked about, and the message that it is in."""

    message: discord.Message
    picture: discord.Attachment


def _asker_of(chain: Sequence[discord.Message], message: discord.Message, my_id: int) -> int | None:
    """Return whom a message of a chain replies to; None where the chain ends.

    A later part of one of the bot's answers replies to the part before: it is for who asked, too.
    """
    below = chain[chain.index(message) + 1 :]
    return next((other.author.id for other in below if other.author.id != my_id), None)


def _shown(
    message: discord.Message, earlier: Sequence[discord.Message], chain: Sequence[discord.Message]
) -> Shown | None:
    """Return the picture of the latest message of the author's that has one, or that directly replies to one.

    ``earlier`` is what of the ``chain`` is between author and bot. What the bot drew on doesn't count.
    """
    for candidate in [message, *chain[: len(earlier) + 1]]:
        found = None if candidate.author.bot else attachments.picture_in(candidate.attachments)
        if found is not None:
            return Shown(candidate, found)
    return None


async def _with_picture(question: Question, shown: Shown | None) -> Question:
    """Return a question about a picture, if there is one."""
    if shown is None:
        return question
    source = attachments.source_of(shown.message)
    return replace(question, picture=await attachments.read(shown.picture), source=source)


async def setup(bot: Any) -> None:
    """Add the listener to a bot; discord.py calls this."""
    await bot.add_cog(Chat(bot, bot.app))
