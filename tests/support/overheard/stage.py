"""The stage: the real bot on simulated Discord, the real database, and models that are as indiscreet as can be."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import discord
import psycopg
import pytest
import simcord
from PIL import Image
from psycopg import sql
from simcord.components import walk_components

from bot.client import Keepsake
from bot.service.app import App
from bot.ui import annotate, stream
from db.pool import open_pool
from db.roles import app_url
from model_worker.generation.told import info_of
from model_worker.generation.types import GenerationInput
from model_worker.server.models import Models
from tests.support.fake_models import FakePerceiver, FakeVerifier
from tests.support.served import Served, served
from tests.support.tables import OWNED_TABLES

LONG = "at length"
"""Who asks for that gets an answer of several messages, with what is to be said in the last one, too."""

FILLER = "Well, let me think about that for a while. " * 50


@dataclass(kw_only=True)
class Blurter(FakeVerifier):
    """Says all that it is told of anybody, and shows all the pictures it is shown: the worst that a model could do.

    ``told`` are the conversations that it was told of.
    """

    told: list[list[str]] = field(default_factory=list)

    def write(
        self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]
    ) -> Iterator[list[tuple[int, str]]]:
        for index, item in enumerate(asked):
            self.told.append([turn.text for turn in item.request.history])
            words = _all_of(item)
            if LONG in item.request.question:
                words = f"{words} {FILLER}{words}"
            yield [(index, words[: len(words) // 2])]
            yield [(index, words[len(words) // 2 :])]


def _all_of(item: GenerationInput) -> str:
    of_concepts = [f"{concept.name}, {concept.category}: {info_of(concept)}." for concept in item.request.concepts]
    of_pictures = [f"pixels{picture.width}" for picture in item.pictures.values()]
    return " ".join(["I know:", *of_concepts, *of_pictures])


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something that the bot said, or said instead; ``reader`` is who alone can read it, None: everybody there."""

    server_id: int | None
    reader: int | None
    text: str


@dataclass(slots=True)
class Ears:
    """Hears all that the bot says, each edit of it, and what is written on its pictures."""

    heard: list[Said] = field(default_factory=list)
    drawn: dict[str, str] = field(default_factory=dict)

    def listen(self, env: Any) -> None:
        """Hear every message that is made or changed."""
        commit, edit = env.backend.commit_message, env.backend.edit_message

        def commit_message(message: Any, **more: Any) -> Any:
            return self._hear(env, commit(message, **more))

        def edit_message(channel_id: int, message_id: int, fields: dict[str, Any]) -> Any:
            return self._hear(env, edit(channel_id, message_id, fields))

        env.backend.commit_message, env.backend.edit_message = commit_message, edit_message

    def _hear(self, env: Any, message: Any) -> Any:
        if message.author_id == env.backend.bot_user.id:
            channel = env.backend.get_channel(message.channel_id)
            reader = channel.recipient_ids[0] if channel.guild_id is None else None
            if message.is_ephemeral:
                reader = int(message.interaction_metadata["user"]["id"])
            self.heard.append(Said(server_id=channel.guild_id, reader=reader, text=self._all_in(env, message)))
        return message

    def _all_in(self, env: Any, message: Any) -> str:
        files = [(file["filename"], file["description"], self._drawn_on(env, file)) for file in message.attachments]
        widths = self.widths_in(env, message)
        return json.dumps([message.content, message.embeds, message.components, files, widths], default=str)

    def _drawn_on(self, env: Any, file: dict[str, Any]) -> str:
        return self.drawn.get(hashlib.sha256(env.backend.cdn.get(file["url"])).hexdigest(), "")

    def widths_in(self, env: Any, message: Any) -> list[str]:
        """Return the marks of the pictures in a message."""
        pictures = [Image.open(io.BytesIO(env.backend.cdn.get(file["url"]))) for file in message.attachments]
        return [f"pixels{picture.width}" for picture in pictures]

    def watch_drawing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Know what is written on a picture."""
        draw = annotate._with_boxes

        def with_boxes(jpeg: bytes, boxes: Sequence[tuple[str, int, Any]]) -> bytes:
            data = draw(jpeg, boxes)
            self.drawn[hashlib.sha256(data).hexdigest()] = " ".join(words for words, _, _ in boxes)
            return data

        monkeypatch.setattr(annotate, "_with_boxes", with_boxes)


@dataclass(slots=True, kw_only=True)
class Stage:
    """What outlives a run of the machine: loop, database, worker. One simulated Discord at a time is on it."""

    runner: asyncio.Runner
    pool: asyncpg.Pool
    administrator: psycopg.Connection
    worker: Served
    writer: Blurter
    ears: Ears = field(default_factory=Ears)
    begun: int = 0

    def begin(self) -> Any:
        """Empty the database, and start the bot on a Discord of its own; returns that.

        Every third time it may read only the messages that mention it.
        """
        with self.administrator.transaction():
            tables = [sql.SQL(row[0]) for row in self.administrator.execute(OWNED_TABLES)]
            self.administrator.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(tables)))
        return self.runner.run(self._started())

    async def _started(self) -> Any:
        self.begun += 1
        app, reads_all = App(pool=self.pool, worker=self.worker.client), self.begun % 3 > 0
        env = simcord.Env(Keepsake(app, message_content=reads_all), settle_timeout=20.0)
        await env.start()
        self.ears.listen(env)
        return env

    def end(self, env: Any) -> None:
        self.runner.run(env.shutdown())


@contextmanager
def stage_on(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Put up the stage over a migrated database. Answers are edited at every word."""
    monkeypatch.setattr(stream, "SECONDS_BETWEEN_EDITS", 0.0)
    writer = Blurter()
    with asyncio.Runner() as runner, psycopg.connect(database_url, autocommit=True) as administrator:
        stack = AsyncExitStack()
        pool = runner.run(open_pool(app_url(database_url), largest=4))
        models = Models(pack="fake", perceiver=FakePerceiver(), writer=writer)
        worker = runner.run(stack.enter_async_context(served(load=lambda: models)))
        stage = Stage(runner=runner, pool=pool, administrator=administrator, worker=worker, writer=writer)
        stage.ears.watch_drawing(monkeypatch)
        try:
            yield stage
        finally:
            runner.run(stack.aclose())
            pool.terminate()


def buttons_of(message: Any) -> list[str]:
    """Return the custom ids of what can be pressed under a message."""
    parts = walk_components(message.components)
    return [
        part["custom_id"]
        for part in parts
        if part.get("type") == 2 and part.get("custom_id") and not part.get("disabled")
    ]


def menus_of(message: Any) -> list[tuple[str, list[str]]]:
    """Return the menus of words under a message, with what can be chosen."""
    parts = walk_components(message.components)
    return [
        (part["custom_id"], [option["value"] for option in part["options"]]) for part in parts if part.get("type") == 3
    ]


ADMIN = discord.Permissions(manage_guild=True, view_channel=True, send_messages=True, use_application_commands=True)
