"""Whom a message is meant for, and what of its chain of replies belongs to the conversation.

Everything here is decided by what came with the event: nothing is fetched before a message is known to be meant for
the bot.
"""

from __future__ import annotations

from collections.abc import Sequence

import discord

SPOKEN_TYPES = frozenset({discord.MessageType.default, discord.MessageType.reply})


def is_a_persons_own(message: discord.Message) -> bool:
    """Whether a message is a person's own words: no bot's, no system message, nothing forwarded."""
    return not message.author.bot and message.type in SPOKEN_TYPES and not message.flags.forwarded


def mentions(message: discord.Message, me: discord.abc.Snowflake) -> bool:
    """Whether a message mentions the bot in its words: by its user, or by the role that is the bot's own.

    What Discord lists as mentioned isn't enough: a reply that pings is listed there, too, whomever it is meant for.
    """
    if me.id in message.raw_mentions:
        return True
    role = None if message.guild is None else message.guild.self_role
    return role is not None and role.id in message.raw_role_mentions


def replied_to(message: discord.Message) -> int | None:
    """Return the id of the message in the same channel that this one replies to; a forward replies to none."""
    reference = message.reference
    if reference is None or reference.type is not discord.MessageReferenceType.reply:
        return None
    return reference.message_id if reference.channel_id == message.channel.id else None


def own_exchange(
    author_id: int, my_id: int, chain: Sequence[discord.Message], questions: Sequence[int | None]
) -> list[discord.Message]:
    """Return the part of a chain of replies (latest first) that is between the author and the bot.

    ``questions`` has, for each message of the chain, who it replies to (None: unknown). The
    first message by somebody else, or of the bot's to somebody else, ends it.
    """
    exchange: list[discord.Message] = []
    for message, asker in zip(chain, questions, strict=True):
        if message.author.id != author_id and not (message.author.id == my_id and asker == author_id):
            break
        exchange.append(message)
    return exchange
