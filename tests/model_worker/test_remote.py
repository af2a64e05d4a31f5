"""A writer behind a server that speaks OpenAI's chat completions: here a small one of the test's own."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from bot.demo import pictures
from model_worker.api.errors import WorkerError, WriterRefusedError, WriterUnavailableError
from model_worker.api.packs import ServedWriting
from model_worker.api.protocol import GenerateRequest, PromptConcept, Told
from model_worker.generation.remote import LONGEST_ANSWER, ServedWriter
from model_worker.generation.types import GenerationInput


@dataclass
class Served:
    """The server: says the last words it was given back, word by word, as events."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    at_once: int = 0
    max_at_once: int = 0
    stopped: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.01
    raw: bytes | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        if self.status != 200:
            return web.json_response({"error": "no"}, status=self.status, headers=self.headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.at_once += 1
        self.max_at_once = max(self.max_at_once, self.at_once)
        try:
            if self.raw is not None:
                await response.write(self.raw)
                return response
            await response.write(b'data: {"choices": [{"delta": {"role": "assistant"}}]}\n\n')
            for word in body["messages"][-1]["content"][-1]["text"].split():
                chunk = {"choices": [{"delta": {"content": word + " "}}]}
                await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
                await asyncio.sleep(self.pause)
            await response.write(b"data: [DONE]\n\n")
        except (ConnectionError, asyncio.CancelledError):
            self.stopped += 1
            raise
        finally:
            self.at_once -= 1
        return response


@pytest.fixture
def served() -> Iterator[Served]:
    """The server, in a thread with a loop of its own: the writer is used from threads, too."""
    state, ready, loop = Served(), threading.Event(), asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        app = web.Application(client_max_size=50_000_000)
        app.add_routes([web.post("/v1/chat/completions", state.answer)])
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        state.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        await done.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    ready.wait(10)
    yield state
    loop.call_soon_threadsafe(done.set)
    thread.join(10)
    loop.close()


def a_writer(served: Served, model: str = "big-one") -> ServedWriter:
    return ServedWriter(ServedWriting(url=served.url, model=model, longest_answer=50))


def asked(question: str) -> GenerationInput:
    concept = PromptConcept(
        name="Mochi", info="a cat", category="cat", where="on the left", certainty="probably", avatar="avatar"
    )
    request = GenerateRequest(question=question, has_picture=True, concepts=(concept,), picture="picture")
    return GenerationInput(request, {"avatar": pictures.cat(), "picture": pictures.cup()})


def said(writer: ServedWriter, batch: list[GenerationInput]) -> list[str | type[WorkerError]]:
    answers: list[str | type[WorkerError]] = [""] * len(batch)
    for pieces in writer.write(batch, [threading.Event() for _ in batch]):
        for index, piece in pieces:
            answers[index] = type(piece) if isinstance(piece, WorkerError) else f"{answers[index]}{piece}"
    return answers


def test_pictures_go_along_and_words_come_back(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPSAKE_WRITER_KEY", "a key")

    assert said(a_writer(served, "adapter-of-anna"), [asked("Who is this?")]) == ["Question: Who is this? "]

    [body] = served.bodies
    assert body["model"] == "adapter-of-anna"
    assert body["stream"] is True
    assert served.keys == ["Bearer a key"]
    shown = [part["image_url"]["url"] for part in body["messages"][-1]["content"] if part["type"] == "image_url"]
    assert len(shown) == 2
    for address in shown:
        start, _, data = address.partition(",")
        assert start == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).format == "JPEG"


def test_what_others_told_is_credited_where_the_model_does_not(served: Served) -> None:
    own = asked("Who is this?")
    [concept] = own.request.concepts
    theirs = concept.model_copy(update={"info": "", "others": (Told(text="a cat", who="bob"),), "shared": True})
    other = replace(own, request=own.request.model_copy(update={"concepts": (theirs,)}))

    assert said(a_writer(served), [own, other]) == [
        "Question: Who is this? ",
        "Question: Who is this? \n(bob told this server about Mochi.)",
    ]
    assert "bob told this server: “a cat”" in str(served.bodies)


def test_a_batch_runs_side_by_side(served: Served) -> None:
    served.pause = 0.05
    answers = said(a_writer(served), [asked(f"Question number {number}") for number in range(6)])
    assert answers == [f"Question: Question number {number} " for number in range(6)]
    assert served.max_at_once == 6


def test_nobody_listening_stops_the_server(served: Served) -> None:
    served.pause = 0.1
    gone = threading.Event()
    started = time.monotonic()
    for _ in a_writer(served).write([asked("word " * 200)], [gone]):
        gone.set()
    assert time.monotonic() - started < 5
    for _ in range(50):
        if served.stopped:
            break
        time.sleep(0.1)
    assert served.stopped == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, WriterRefusedError),
        (404, WriterRefusedError),
        (500, WriterUnavailableError),
        (503, WriterUnavailableError),
    ],
)
def test_a_server_that_refuses_gives_an_error(served: Served, status: int, error: type[WorkerError]) -> None:
    served.status = status
    assert said(a_writer(served), [asked("Who is this?")]) == [error]


@pytest.mark.parametrize("raw", [b"data: not json\n\n", b"data: {}\n\n", b'data: {"choices": [5]}\n\n'])
def test_a_server_that_speaks_something_else_gives_an_error(served: Served, raw: bytes) -> None:
    served.raw = raw
    assert said(a_writer(served), [asked("Who is this?")]) == [WriterUnavailableError]


CHUNK = b'data: {"choices": [{"delta": {"content": "on"}}]}\n\n'


@pytest.mark.parametrize("raw", [CHUNK * (LONGEST_ANSWER // len(CHUNK) + 1), b"data: " + b" " * 1_000_000])
def test_a_server_that_answers_without_end_gives_an_error(served: Served, raw: bytes) -> None:
    served.raw = raw
    assert said(a_writer(served), [asked("Who is this?")]) == [WriterUnavailableError]


def test_a_server_that_sends_elsewhere_is_not_followed(served: Served) -> None:
    served.status, served.headers = 307, {"Location": f"{served.url}/chat/completions"}
    assert said(a_writer(served), [asked("Who is this?")]) == [WriterRefusedError]
    assert len(served.bodies) == 1


def test_a_server_that_is_not_there_gives_an_error() -> None:
    nowhere = ServedWriter(ServedWriting(url="http://127.0.0.1:9/v1", model="m", longest_answer=10))
    assert said(nowhere, [asked("Who is this?")]) == [WriterUnavailableError]
