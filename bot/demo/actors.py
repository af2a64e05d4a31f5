"""The stage of the demo: two users on a server, what they do, and the transcript of it.

Discord itself can't be here, so simcord stands in for it; the bot, the database, the worker and the models are
the real ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simcord.components import walk_components

Picture = tuple[str, bytes]
BUTTON, TEXT = 2, 10
"""Discord's numbers for kinds of components."""


class UnexpectedAnswerError(AssertionError):
    """Something in the demo was not as it should be."""


@dataclass(slots=True, kw_only=True)
class Said:
    """What the bot said in answer to one action, with its pictures and the message its buttons are on."""

    text: str
    pictures: list[bytes]
    message: Any
    files: dict[str, bytes]
    card: Any
    labels: list[str]
    is_free: bool = False
    """A model's own words, of a pack whose words nobody foresees."""


@dataclass(slots=True, kw_only=True)
class Transcript:
    """What happened, line by line; the bot's pictures beside it."""

    folder: Path
    is_exact: bool = True
    """Whether what the models say is foreseen: only with the starter pack's."""
    lines: list[str] = field(default_factory=list)
    pictures: int = 0

    def heading(self, title: str) -> None:
        """Begin a part."""
        self.write(f"\n## {title}\n")

    def write(self, line: str) -> None:
        """Add a line, and show it."""
        self.lines.append(line)
        print(line)

    def keep(self, picture: bytes) -> None:
        """Keep a picture the bot sent."""
        self.pictures += 1
        name = f"picture-{self.pictures:02}.jpg"
        (self.folder / name).write_bytes(picture)
        self.write(f"> ![what Keepsake sent]({name})  ")

    def save(self) -> None:
        """Write the transcript."""
        text = "# A conversation with Keepsake\n" + "\n".join(self.lines) + "\n"
        (self.folder / "transcript.md").write_text(text, encoding="utf-8")


class Participant:
    """A user of the demo: acts as a person would, and notes what the bot answers."""

    def __init__(self, member: Any, channel: Any, env: Any, transcript: Transcript) -> None:
        self._member = member
        self._channel = channel
        self._env = env
        self._transcript = transcript
        self.name: str = member.name

    async def slash(self, command: str, **options: Any) -> Said:
        """Use a slash command."""
        shown = " ".join(f"{key}:{_shown(value)}" for key, value in options.items())
        self._transcript.write(f"**{self.name}** `/{command} {shown}`\n")
        result = await self._member.slash(self._channel, command, **options)
        said = await self._answered([result.response, *result.followups], ephemeral=result.ephemeral)
        return replace(said, is_free=command == "ask" and not self._transcript.is_exact)

    async def send(self, text: str, *pictures: Picture, reply_to: Any = None) -> Said:
        """Send a message, perhaps as a reply."""
        shown = "".join(f" 📎 *{name}*" for name, _ in pictures)
        words = text.replace(self._env.bot.user.mention, "@Keepsake")
        replying = " *(replying)*" if reply_to is not None else ""
        self._transcript.write(f"**{self.name}**{replying} {words}{shown}\n")
        before = {message.id for message in await self._messages()}
        await self._member.send(self._channel, text, attachments=list(pictures), reply_to=reply_to)
        new = [message for message in await self._messages() if message.id not in before and message.author.bot]
        return replace(await self._answered(new), is_free=not self._transcript.is_exact)

    async def click(self, said: Said, label: str) -> Said:
        """Click a button of an answer."""
        self._transcript.write(f"**{self.name}** clicks `{label}`\n")
        result = await self._member.click(said.message, label=label)
        return await self._answered_beside(said, result)

    async def fill(self, said: Said, label: str, **values: Any) -> Said:
        """Click a button that shows a form, fill it in and submit it."""
        shown = " ".join(f"{key}:{_shown(value)}" for key, value in values.items())
        self._transcript.write(f"**{self.name}** clicks `{label}` and fills in {shown}\n")
        form = await self._member.click(said.message, label=label)
        return await self._answered_beside(said, await self._member.submit_modal(form, values))

    async def _answered_beside(self, said: Said, result: Any) -> Said:
        """Return what an action was answered with; a card that only changed is the answer itself."""
        answers = [result.response, *result.followups]
        return await self._answered(
            answers if any(answer is not None for answer in answers) else [said.card], ephemeral=result.ephemeral
        )

    async def _messages(self) -> list[Any]:
        channel = self._env.bot.get_channel(self._channel.id)
        return [message async for message in channel.history(limit=30, oldest_first=True)]

    async def _answered(self, messages: Sequence[Any], *, ephemeral: bool = False) -> Said:
        present = [message for message in messages if message is not None]
        if not present:
            raise UnexpectedAnswerError("Keepsake did not answer.")
        text = "\n".join(part for item in present for part in [item.content, *_card_texts(item)] if part)
        aside = " *(only they see it)*" if ephemeral else ""
        self._transcript.write(f"> **Keepsake**{aside} {_quoted(text)}  ")
        files = {file.filename: await file.read() for item in present for file in item.attachments}
        pictures = [data for name, data in files.items() if name.endswith((".jpg", ".png"))]
        for picture in pictures:
            self._transcript.keep(picture)
        others = [name for name in files if not name.endswith((".jpg", ".png"))]
        if others:
            self._transcript.write(f"> 📎 {', '.join(others)}  ")
        labels = [part["label"] for part in _parts(present[-1]) if part.get("type") == BUTTON]
        if labels:
            self._transcript.write(f"> {' '.join(f'[{label}]' for label in labels)}")
        self._transcript.write("")
        last = present[-1]
        return Said(
            text=text, pictures=pictures, message=getattr(last, "message", last), files=files, card=last, labels=labels
        )


def expect(said: Said, *, has: Sequence[str] = (), lacks: Sequence[str] = (), never: Sequence[str] = ()) -> None:
    """Check what the bot said. ``never`` is what no model may say, whatever else it says. Raises Unexpected."""
    for pattern in never:
        if re.search(pattern, said.text, re.IGNORECASE) is not None:
            raise UnexpectedAnswerError(f"“{pattern}” may never be in: {said.text}")
    if said.is_free:
        return
    for pattern in has:
        if re.search(pattern, said.text, re.IGNORECASE) is None:
            raise UnexpectedAnswerError(f"“{pattern}” is missing in: {said.text}")
    for pattern in lacks:
        if re.search(pattern, said.text, re.IGNORECASE) is not None:
            raise UnexpectedAnswerError(f"“{pattern}” should not be in: {said.text}")


def _shown(value: Any) -> str:
    return f"📎{value[0]}" if isinstance(value, tuple) else str(value)


def _quoted(text: str) -> str:
    return text.replace("\n", "  \n> ")


def _card_texts(message: Any) -> list[str]:
    return [part["content"] for part in _parts(message) if part.get("type") == TEXT]


def _parts(message: Any) -> list[dict[str, Any]]:
    """Return all components of a message, as Discord has them, from the outside in."""
    rows = [row if isinstance(row, dict) else row.to_dict() for row in message.components]
    return list(walk_components(rows))
