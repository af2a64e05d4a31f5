"""A stranger's archive is read within bounds: of memory, of time, one at a time, by a process that knows no secret."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bot.archive import bounded
from bot.archive.bounded import MAX_HELD, ArchiveReader
from bot.archive.child import MAX_MEMORY
from bot.archive.reader import read_archive
from bot.archive.schema import Archive, ArchivedConcept, ArchivedReference, ArchiveError, ProblemKind
from bot.archive.writer import write_archives
from bot.errors import ArchiveBusyError, ImportExpiredError
from db.geometry import Box
from db.names import TextField, TextTooLongError
from tests.support.hostile import bomb, zipped
from tests.support.memory import a_jpeg

EXPORTED_BY_0_1 = Path(__file__).parents[1] / "support" / "data" / "exported_by_0_1.zip"
LARGE = 50_000_000
ENDLESS = """
print('{"concepts": 20000, "pictures": []}')
while True:
    print('{"name": "a", "x": "' + 'x' * 3_000_000 + '"}')
"""


async def wrong_with(data: bytes, reader: ArchiveReader | None = None) -> list[ProblemKind]:
    with pytest.raises(ArchiveError) as refused:
        await (reader or ArchiveReader()).read(data)
    return [problem.kind for problem in refused.value.problems]


def a_memory(concepts: int, references: int) -> Archive:
    jpegs = [a_jpeg(number) for number in range(references)]
    return Archive(
        concepts=tuple(
            ArchivedConcept(
                name=f"Mochi {number}",
                info="sleeps on the piano " * 20,
                references=tuple(
                    ArchivedReference(
                        sha256=sha256(jpeg).hexdigest(),
                        content=jpeg,
                        box=Box(left=0.25, top=0.0, right=1.0, bottom=0.5),
                        is_avatar=place == 0,
                    )
                    for place, jpeg in enumerate(jpegs)
                ),
            )
            for number in range(concepts)
        )
    )


@pytest.mark.parametrize("data", [EXPORTED_BY_0_1.read_bytes(), write_archives(a_memory(300, 3), LARGE)[0]])
async def test_an_honest_archive_is_read_as_if_there_were_no_bounds(data: bytes) -> None:
    expected = read_archive(data)

    read = await ArchiveReader().read(data)

    bare = [
        concept.model_copy(
            update={
                "references": tuple(reference.model_copy(update={"embeddings": ()}) for reference in concept.references)
            }
        )
        for concept in expected.concepts
    ]
    assert list(read.concepts) == bare
    assert all(reference.content for concept in read.concepts for reference in concept.references)


async def test_corrections_do_not_even_get_out_of_the_process_that_reads() -> None:
    read = await ArchiveReader().read(EXPORTED_BY_0_1.read_bytes())
    assert (read.corrections, read.answers) == ((), ())


async def test_what_is_wrong_is_said_as_exactly() -> None:
    memory = {"concept_dict": {"<bo>": {"name": "bo", "image": "bo.png", "info": "x" * 2000}}}
    data = zipped(**{"database.json": json.dumps(memory), "bo.png": a_jpeg()})

    with pytest.raises(ArchiveError) as refused:
        await ArchiveReader().read(data)

    [problem] = refused.value.problems
    assert (problem.kind, problem.concept) == (ProblemKind.INVALID_TEXT, "bo")
    assert isinstance(problem.cause, TextTooLongError)
    assert (problem.cause.field, problem.cause.length, problem.cause.max_length) == (TextField.INFO, 2000, 1000)


async def test_a_small_zip_that_becomes_a_large_memory_is_refused() -> None:
    data = bomb()
    assert len(data) < 60_000
    assert await wrong_with(data) == [ProblemKind.TOO_MUCH]


async def test_one_process_reads_for_the_whole_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, start = 0, 0, bounded._child

    @bounded.asynccontextmanager
    async def counted() -> Any:
        nonlocal running, most
        async with start() as child:
            running += 1
            most = max(most, running)
            try:
                yield child
            finally:
                running -= 1

    monkeypatch.setattr(bounded, "_child", counted)
    reader = ArchiveReader()

    async def refused() -> list[ProblemKind]:
        return await wrong_with(bomb(2_000_000), reader)

    found = await asyncio.gather(*(refused() for _ in range(6)))

    assert found == [[ProblemKind.NOT_AN_OBJECT] * 10] * 6
    assert most == 1


async def test_who_would_wait_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_SECONDS_TO_WAIT", 0.01)
    reader = ArchiveReader()
    first = asyncio.create_task(reader.read(EXPORTED_BY_0_1.read_bytes()))
    await asyncio.sleep(0)
    with pytest.raises(ArchiveBusyError):
        await reader.read(EXPORTED_BY_0_1.read_bytes())
    assert (await first).concepts


async def test_not_more_than_so_many_wait_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_WAITING", 2)
    reader = ArchiveReader()
    admitted = [asyncio.create_task(reader.read(EXPORTED_BY_0_1.read_bytes())) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ArchiveBusyError):
        await reader.read(EXPORTED_BY_0_1.read_bytes())
    assert all(archive.concepts for archive in await asyncio.gather(*admitted))


async def test_a_user_imports_one_archive_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ArchiveReader()
    async with reader.import_of(1), reader.import_of(2):
        with pytest.raises(ArchiveBusyError):
            async with reader.import_of(1):
                pass
    monkeypatch.setattr(bounded, "MAX_SECONDS_OF_USER", 0.01)
    with pytest.raises(ArchiveError):
        async with reader.import_of(1):
            await asyncio.sleep(60)
    async with reader.import_of(1):
        pass


async def test_what_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_SECONDS", 0.05)
    assert await wrong_with(EXPORTED_BY_0_1.read_bytes()) == [ProblemKind.TOO_MUCH]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
@pytest.mark.parametrize(
    ("act", "dies_of"),
    [
        (f"bytearray({MAX_MEMORY})", "MemoryError"),
        ("import tempfile; tempfile.TemporaryFile()", "No usable temporary directory"),
        (
            "import resource; assert resource.getrlimit(resource.RLIMIT_CPU)[0] == 20; raise SystemExit('limited')",
            "limited",
        ),
    ],
)
def test_the_process_that_reads_has_limits(act: str, dies_of: str) -> None:
    program = f"from bot.archive import child; child.limit_this_process(child.MAX_MEMORY, child.MAX_CPU_SECONDS); {act}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert dies_of in ended.stderr


@pytest.mark.parametrize(
    "says",
    [
        "sys.stdout.write('x' * 10_000_000)",
        "sys.stdout.write('{\"problems\": 3}\\n')",
        'print(\'{"concepts": 0, "pictures": [["ab", 900000000]]}\')',
        'print(\'{"concepts": 2, "pictures": []}\')',
        'print(\'{"concepts": 1, "pictures": []}\'); print(\'{"name": "a\\\\u0000b"}\')',
        'print(\'{"concepts": 0, "pictures": [["ab", 3]]}abc\', end=\'\')',
        ENDLESS,
        "raise SystemExit(3)",
    ],
)
async def test_a_process_that_says_something_else_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str
) -> None:
    liar = tmp_path / "python"
    liar.write_text(f"#!{sys.executable}\nimport sys\n{says}\n")
    liar.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(liar))
    assert await wrong_with(b"any") == [ProblemKind.TOO_MUCH]


async def test_the_process_that_reads_knows_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "DISCORD_TOKEN",
        "DATABASE_URL",
        "KEEPSAKE_APP_DATABASE_URL",
        "KEEPSAKE_WORKER_TOKEN",
        "HF_TOKEN",
        "HTTPS_PROXY",
    ):
        monkeypatch.setenv(name, "a-secret-of-the-host")
    shown = tmp_path / "environment"
    spy = tmp_path / "python"
    spy.write_text(f"#!/bin/sh\nenv > {shown}\n")
    spy.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(spy))

    await wrong_with(b"any")

    assert os.environ["DISCORD_TOKEN"] == "a-secret-of-the-host"
    assert "PATH=" in shown.read_text()
    assert "a-secret" not in shown.read_text()


def test_those_who_wait_hold_only_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    large = a_memory(3, 2).concepts
    size = sum(len(reference.content) for concept in large for reference in concept.references)
    monkeypatch.setattr(bounded, "MAX_HELD_BYTES", 2 * size)
    reader = ArchiveReader()
    keys = [reader.hold(large) for _ in range(3)]
    with pytest.raises(ImportExpiredError):
        reader.take(keys[0])
    assert all(reader.take(key) for key in keys[1:])


def test_only_so_many_wait_for_their_owners_and_each_is_taken_once() -> None:
    reader = ArchiveReader()
    keys = [reader.hold(a_memory(1, 1).concepts) for _ in range(MAX_HELD + 1)]
    with pytest.raises(ImportExpiredError):
        reader.take(keys[0])
    assert reader.take(keys[1])
    with pytest.raises(ImportExpiredError):
        reader.take(keys[1])
