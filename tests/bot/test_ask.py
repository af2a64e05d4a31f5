"""A question takes three transactions, none of them while a model works, and its picture crosses the wire once."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest
from PIL import Image

from bot.demo.pictures import png
from bot.service.app import Actor, App
from bot.service.ask import Question, ask
from bot.service.feedback import answer_of
from bot.service.memories import edit, find, share
from bot.service.remember import find_parts, remember
from bot.service.worker_client import WorkerClient
from model_worker.api.packs import Verification
from model_worker.api.protocol import GenerateRequest, PromptConcept, Told, Turn
from model_worker.generation.types import GenerationInput, Pieces
from model_worker.server.models import Models
from tests.support.fake_models import FakePerceiver, FakeVerifier, FakeWriter
from tests.support.served import TOKEN, served
from tests.support.transactions import CountingPool

ANNA = Actor(user_id=1, server_id=10, channel_id=100)
RED, YELLOW, BLUE = "red", "yellow", "blue"
"""Yellow is a little like red: a match that a pack may want to have verified."""


def of(colour: str) -> bytes:
    return png(Image.new("RGB", (40, 30), colour))


class WatchedClient(WorkerClient):
    """Notes what is sent to the worker, and how many transactions are open meanwhile."""

    def __init__(self, url: str, pool: CountingPool) -> None:
        super().__init__(url, TOKEN)
        self._pool = pool
        self.asked: list[str] = []
        self.open_transactions = 0

    @asynccontextmanager
    async def _asked(self, method: str, path: str, **more: Any) -> AsyncIterator[Any]:
        self.asked.append(f"{method} {path.rpartition('/')[0] or path}")
        self.open_transactions += self._pool.open
        async with super()._asked(method, path, **more) as response:
            yield response

    def sent(self) -> int:
        return self.asked.count("PUT /pictures")


@dataclass
class Known:
    """Anna remembers red; what is done from then on is counted."""

    app: App
    pool: CountingPool
    client: WatchedClient

    async def words(self, question: Question) -> str:
        self.pool.transactions, self.client.asked = 0, []
        reply = await ask(self.app, ANNA, question)
        return "".join([piece async for piece in reply.words])


@asynccontextmanager
async def knowing_red(
    pool: asyncpg.Pool, writer: FakeWriter, verification: Verification | None = None
) -> AsyncIterator[Known]:
    models = Models(pack="fake", perceiver=FakePerceiver(), writer=writer, verification=verification)
    async with served(load=lambda: models) as worker:
        counting = CountingPool(pool)
        client = WatchedClient(worker.url, counting)
        app = App(pool=counting, worker=client)
        await remember(app, ANNA, "Red", of(RED), "hates thunder")
        await client.sees_pictures()  # asked once a session
        try:
            yield Known(app, counting, client)
        finally:
            await client.close()


VERIFIED = Verification(uncertain=(0.2, 0.95), accept=0.5)
WRITERS = {
    "blind": (FakeWriter(), None),
    "seeing": (FakeWriter(sees_pictures=True), None),
    "verifying": (FakeVerifier(yes=0.9), VERIFIED),
}


@pytest.mark.parametrize(("writer", "verification"), WRITERS.values(), ids=WRITERS.keys())
async def test_a_question_with_a_picture_takes_three_transactions(
    pool: asyncpg.Pool, writer: FakeWriter, verification: Verification | None
) -> None:
    async with knowing_red(pool, writer, verification) as known:
        await known.words(Question(text="who is this?", picture=of(YELLOW)))

    assert known.pool.transactions == 3
    assert known.client.open_transactions == 0


async def test_a_question_without_a_picture_takes_no_more(pool: asyncpg.Pool) -> None:
    history = (Turn(role="user", text="Tell me of Red"), Turn(role="assistant", text="Gladly."))
    async with knowing_red(pool, FakeWriter(sees_pictures=True)) as known:
        for question in (Question(text="What does Red hate?"), Question(text="And what else?", history=history)):
            await known.words(question)
            assert known.pool.transactions == 2  # there is nothing to keep
    assert known.client.open_transactions == 0


async def test_a_picture_is_sent_once_and_goes_by_its_name_from_then_on(pool: asyncpg.Pool) -> None:
    async with knowing_red(pool, FakeWriter(sees_pictures=True)) as known:
        await known.words(
            Question(text="who is this?", picture=of(RED))
        )  # it was sent to be remembered, the avatar is new
        assert known.client.sent() == 1
        await known.words(Question(text="who is this?", picture=of(BLUE)))
        assert known.client.sent() == 1
        assert known.client.asked.count("GET /pictures") == 1
        await known.words(Question(text="and this?", picture=of(BLUE)))
        assert known.client.sent() == 0


class Listener(FakeWriter):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[GenerateRequest] = []

    def write(self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]) -> Iterator[Pieces]:
        self.requests += [item.request for item in asked]
        return super().write(asked, cancelled)


async def test_a_writer_is_told_who_told_what(pool: asyncpg.Pool) -> None:
    """An admin adds to what Anna shared: each is named for what they said, but not to themselves."""
    writer = Listener()
    bob, carol = replace(ANNA, user_id=2), replace(ANNA, user_id=3, is_admin=True)

    async def names_of(user_ids: Sequence[int]) -> Mapping[int, str]:
        return {user_id: "carol" for user_id in user_ids if user_id == carol.user_id}

    async with knowing_red(pool, writer) as known:
        await share(known.app, ANNA, await find(known.app, ANNA, "Red"))
        await edit(
            known.app,
            carol,
            await find(known.app, carol, "Red"),
            name="Red",
            info="hates thunder\nloves rain",
            category="",
        )
        for actor in (ANNA, bob, carol):
            reply = await ask(known.app, actor, Question(text="What does Red hate?", names_of=names_of))
            assert [piece async for piece in reply.words]

    by_anna, by_carol = Told(text="hates thunder"), Told(text="loves rain", who="carol")
    assert [item.concepts for item in writer.requests] == [
        (PromptConcept(name="Red", info="hates thunder", others=(by_carol,), shared=True),),
        (PromptConcept(name="Red", others=(by_anna, by_carol), shared=True),),
        (PromptConcept(name="Red", info="loves rain", others=(by_anna,), shared=True),),
    ]


async def test_what_is_kept_is_the_picture_that_the_worker_made(pool: asyncpg.Pool) -> None:
    async with knowing_red(pool, FakeWriter()) as known:
        reply = await ask(known.app, ANNA, Question(text="who is this?", picture=of(RED)))
        assert reply.context.answer_id is not None
        answer = await answer_of(known.app, ANNA, reply.context.answer_id)

    assert answer.picture == reply.context.picture
    assert answer.picture.startswith(b"\xff\xd8")
    assert (answer.width, answer.height) == (40, 30)


async def test_several_pictures_are_searched_for_what_could_be_remembered(pool: asyncpg.Pool) -> None:
    async with knowing_red(pool, FakeWriter()) as known:
        known.pool.transactions = 0
        found = await find_parts(known.app, ANNA, (of(RED), of(BLUE)))

    assert known.pool.transactions == 3  # what is planned once, and recall for each
    assert [(part.picture, part.alike and part.alike.name) for part in found.parts] == [(0, "Red"), (1, None)]
    assert all(picture.startswith(b"\xff\xd8") for picture in found.pictures)
