"""A writer that is a server elsewhere: vLLM, SGLang, or whatever speaks OpenAI's chat completions, with pictures."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from model_worker.api.errors import WriterRefusedError, WriterUnavailableError
from model_worker.api.packs import ServedWriting
from model_worker.api.settings import WorkerSettings
from model_worker.generation.multimodal.messages import Message, messages_for
from model_worker.generation.told import credited
from model_worker.generation.types import GenerationInput, Pieces

log = logging.getLogger("keepsake.worker")

MAX_TURNS = 8
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
REQUEST_SECONDS = 300.0
"""For an answer as a whole: a server that dribbles holds a place in the batch for no longer."""
LONGEST_ANSWER = 4_000_000
"""Bytes on the wire: each word comes in an envelope of some hundred bytes."""
CANCEL_SECONDS = 0.1


class ServedWriter:
    """Answers questions through a server; requests of a batch run side by side there."""

    sees_pictures = True

    def __init__(self, writing: ServedWriting) -> None:
        self._writing = writing
        key = WorkerSettings.read().writer_key
        self._headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}

    def write(self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]) -> Iterator[Pieces]:
        """Yield ``(index of the request, next piece of its answer)`` as pieces arrive.

        A server that is away or refuses gives an error instead of an answer; the others of the batch go on.
        """
        yield from credited(asked, cancelled, self._write(asked, cancelled))

    def _write(self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event]) -> Iterator[Pieces]:
        pieces: queue.Queue[Pieces | None] = queue.Queue()

        def run() -> None:
            try:
                asyncio.run(self._write_all(asked, cancelled, pieces))
            finally:
                pieces.put(None)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while (taken := pieces.get()) is not None:
            yield taken
        thread.join()

    async def _write_all(
        self, asked: Sequence[GenerationInput], cancelled: Sequence[threading.Event], pieces: queue.Queue[Pieces | None]
    ) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session:
            writing = [
                self._until_cancelled(self._write_one(session, index, item, pieces), event)
                for index, (item, event) in enumerate(zip(asked, cancelled, strict=True))
            ]
            await asyncio.gather(*writing)

    async def _until_cancelled(self, writing: Any, event: threading.Event) -> None:
        task = asyncio.ensure_future(writing)
        while not task.done():
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)
            if event.is_set():
                task.cancel()  # closes the connection: the server stops, too
                await asyncio.wait({task})
                return
        task.result()

    async def _write_one(
        self, session: aiohttp.ClientSession, index: int, asked: GenerationInput, pieces: queue.Queue[Pieces | None]
    ) -> None:
        body = {
            "model": asked.request.adapter or self._writing.model,  # such servers name adapters as models
            "messages": [_as_served(entry) for entry in messages_for(asked, MAX_TURNS)],
            "max_tokens": self._writing.longest_answer,
            "temperature": 0,
            "stream": True,
        }
        try:
            address = f"{self._writing.url.rstrip('/')}/chat/completions"
            # A redirect would carry the pictures, and perhaps the key, to somebody whom the host never named.
            async with session.post(address, json=body, allow_redirects=False) as response:
                if response.status >= 300:
                    said = (await response.content.read(300)).decode(errors="replace")
                    log.warning("The writer answered %s: %s", response.status, said)
                    pieces.put([(index, WriterUnavailableError() if response.status >= 500 else WriterRefusedError())])
                    return
                left = LONGEST_ANSWER
                async for line in response.content:
                    left -= len(line)
                    if left < 0:
                        raise ValueError("it answers without end")
                    piece = _piece_of(line)
                    if piece:
                        pieces.put([(index, piece)])
        except (aiohttp.ClientError, LineTooLong, TimeoutError, ValueError) as error:
            log.warning("The writer can't be reached: %s", error)
            pieces.put([(index, WriterUnavailableError())])


def _as_served(message: Message) -> Message:
    """Return a message as the protocol has it: pictures as data in an address."""
    return {"role": message["role"], "content": [_part(item) for item in message["content"]]}


def _part(part: Message) -> Message:
    if part["type"] != "image":
        return part
    file = io.BytesIO()
    part["image"].save(file, "JPEG", quality=90)
    address = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": address}}


def _piece_of(line: bytes) -> str:
    """Return the text of one server-sent event (WHATWG HTML, section 9.2); empty where there is none."""
    if not line.startswith(b"data:"):
        return ""
    data = line[5:].strip()
    if data in {b"", b"[DONE]"}:
        return ""
    try:
        choices = json.loads(data)["choices"]
        return str(choices[0]["delta"].get("content") or "") if choices else ""
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("that isn't a chunk of a chat completion") from error
