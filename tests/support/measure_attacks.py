"""What hostile files and a greedy user cost: `python -m tests.support.measure_attacks` measures it on this machine.

Pictures go to a real worker with the pack `starter`, archives to the bot's reader, searches to a real database. Memory
is the most that a process ever had (VmHWM) while it was asked; the worker's own models are the most of its share.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from bot.archive.bounded import ArchiveReader
from bot.archive.schema import ArchiveError
from bot.demo.pictures import png
from bot.errors import ArchiveBusyError
from bot.runtime.worker_process import WorkerProcess
from bot.service.worker_client import WorkerClient
from db import search
from db.pool import open_pool, reading
from db.roles import app_url
from db.setup.embedded import EmbeddedPostgres
from db.setup.migrate import migrate
from model_worker.api.errors import WorkerError
from tests.support.hostile import COSTLY, HOSTILE, bomb, cat
from tests.support.members import ANNA, BO, remember

COUNT_BUSY = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'keepsake_app' AND state <> 'idle'"


@dataclass(kw_only=True)
class Peak:
    """The most memory that processes had, in megabytes, by what they are; and how late the loop was, in seconds."""

    megabytes: dict[str, float]
    late: float = 0.0


def main() -> None:
    """Measure everything."""
    asyncio.run(_measure())


async def _measure() -> None:
    await _archives()
    await _pictures()
    await _searches()


async def _archives() -> None:
    _show("archive", "bytes", "seconds", "answer", "most memory, and how late the bot's loop was")
    reader, data = ArchiveReader(), bomb()
    await _attack("a bomb of lists", len(data), _refused_archives(reader, [data]))
    await _attack("six at once", 6 * len(data), _refused_archives(reader, [data] * 6))
    await _attack("thirty at once", 30 * len(data), _refused_archives(reader, [data] * 30))


async def _refused_archives(reader: ArchiveReader, archives: list[bytes]) -> str:
    said = await asyncio.gather(*(_refused_archive(reader, data) for data in archives))
    return ", ".join(f"{said.count(answer)} x {answer}" for answer in sorted(set(said)))


async def _refused_archive(reader: ArchiveReader, data: bytes) -> str:
    try:
        await reader.read(data)
    except ArchiveError as error:
        return str(error.problems[0].kind)
    except ArchiveBusyError:
        return "busy"
    return "read"


async def _pictures() -> None:
    folder = Path(tempfile.mkdtemp(prefix="keepsake-measure-"))
    process = WorkerProcess("starter", folder / "worker.log")
    await process.start()
    client = WorkerClient(process.url, process.token)
    try:
        await client.perceive(png(cat()))
        _show("picture", "bytes", "seconds", "answer", "most memory, and how late the bot's loop was")
        for name, make in {**HOSTILE, **COSTLY}.items():
            data = make()
            await _attack(name, len(data), _perceived(client, data))
    finally:
        await client.close()
        await process.stop()
        shutil.rmtree(folder)


async def _perceived(client: WorkerClient, data: bytes) -> str:
    try:
        found = await client.perceive(data)
    except WorkerError as error:
        return type(error).__name__
    return f"{found.width} x {found.height}, {len(found.regions)} regions"


async def _searches() -> None:
    folder = Path(tempfile.mkdtemp(prefix="keepsake-measure-"))
    with EmbeddedPostgres(folder / "postgres") as server:
        url = server.start()
        migrate(url)
        pool = await open_pool(app_url(url))
        try:
            for number in range(300):
                await remember(pool, ANNA, f"Mochi {number}", "sleeps on the piano " * 20)
            await remember(pool, BO, "Rex")
            busy, seconds, other = await _thirty_searches(url, pool)
        finally:
            await pool.close()
    shutil.rmtree(folder)
    _show("searches", "connections held, by both users", "seconds for all", "seconds for another user")
    _show("thirty of one user", str(busy), f"{seconds:.2f}", f"{other:.2f}")


async def _thirty_searches(url: str, pool: object) -> tuple[int, float, float]:
    async def searched(viewer: object, words: str) -> float:
        begun = time.monotonic()
        async with reading(pool, viewer) as connection:
            await search.browse(connection, [viewer.personal], search=words)
        return time.monotonic() - begun

    begun, most = time.monotonic(), 0
    searches = [asyncio.create_task(searched(ANNA, "sleping on pianos")) for _ in range(30)]
    await asyncio.sleep(0.01)
    other = asyncio.create_task(searched(BO, "rex"))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as administrator:
        while not all(task.done() for task in searches):
            row = await (await administrator.execute(COUNT_BUSY)).fetchone()
            most = max(most, row[0] if row else 0)
            await asyncio.sleep(0.001)
    return most, time.monotonic() - begun, await other


async def _attack(name: str, size: int, attack: Awaitable[str]) -> None:
    async with _watched() as peak:
        begun = time.monotonic()
        said = await attack
        seconds = time.monotonic() - begun
    memory = ", ".join(f"{what} {megabytes:.0f} MB" for what, megabytes in sorted(peak.megabytes.items()))
    _show(name, f"{size:,}", f"{seconds:.2f}", said, f"{memory}; {peak.late:.2f} s")


@asynccontextmanager
async def _watched() -> AsyncIterator[Peak]:
    """Watch this process and its children, and how late this loop is."""
    peak = Peak(megabytes={})
    _forget_peaks()
    watching = asyncio.create_task(_watch(peak))
    try:
        yield peak
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        _look(peak)


def _forget_peaks() -> None:
    """Let the system count anew how much memory each process has had at most (proc(5))."""
    for process in _processes():
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")


async def _watch(peak: Peak) -> None:
    while True:
        _look(peak)
        begun = time.monotonic()
        await asyncio.sleep(0.01)
        peak.late = max(peak.late, time.monotonic() - begun - 0.01)


def _look(peak: Peak) -> None:
    for process in _processes():
        with contextlib.suppress(OSError, IndexError, psutil.Error):
            what = _kind_of(process)
            status = Path(f"/proc/{process.pid}/status").read_text()
            megabytes = int(status.split("VmHWM:")[1].split()[0]) / 1024
            peak.megabytes[what] = max(megabytes, peak.megabytes.get(what, 0))


def _processes() -> Iterator[psutil.Process]:
    own = psutil.Process()
    yield own
    with contextlib.suppress(psutil.Error):
        yield from own.children(recursive=True)


def _kind_of(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    known = {"archive.child": "archive's process", "decoder_process": "decoder", "model_worker.cli serve": "worker"}
    return next((name for part, name in known.items() if part in command), "bot")


def _show(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
