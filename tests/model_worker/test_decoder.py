"""Strangers' pictures are decoded by a process that has limits and no secret, and is ended when one takes too long."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from bot.demo.pictures import png
from model_worker.api.errors import ImageError, ImageFormatError, ImageTooHardError, ImageTooLongError
from model_worker.api.images import decode_picture
from model_worker.server import decoder as decoding
from model_worker.server.decoder import Decoder
from model_worker.server.decoder_process import MAX_MEMORY
from tests.support.served import served

PICTURE = png(Image.new("RGB", (40, 30), "red"))


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    decoder = Decoder()
    yield decoder
    decoder.close()


def played_by(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> None:
    """Let something else be started as the process."""
    file = folder / "python"
    file.write_text(program)
    file.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(file))


def test_it_decodes_as_if_it_were_no_other_process_one_after_the_other(decoder: Decoder) -> None:
    for _ in range(2):
        assert decoder.decode(PICTURE).tobytes() == decode_picture(PICTURE).tobytes()
        with pytest.raises(ImageFormatError):
            decoder.decode(b"no picture")
        with pytest.raises(ImageTooLongError) as long:
            decoder.decode(png(Image.new("L", (3000, 20))))
        assert (long.value.width, long.value.height) == (3000, 20)


def test_a_picture_that_takes_too_long_is_given_up_and_the_next_one_is_read(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as slow:
        slow.setattr(decoding, "DECODE_SECONDS", 0.1)
        played_by(slow, tmp_path, "#!/bin/sh\nexec sleep 60\n")
        with pytest.raises(ImageTooHardError):
            decoder.decode(PICTURE)
    assert decoder.decode(PICTURE).size == (40, 30)


@pytest.mark.parametrize(
    "says",
    [
        "sys.stdout.write('x' * 10_000_000)",
        'print(\'{"width": 900000, "height": 900000}\')',
        'print(\'{"width": 40, "height": 30}\')',
        "raise SystemExit(3)",
    ],
)
def test_a_process_that_says_something_else_is_not_believed(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str
) -> None:
    played_by(monkeypatch, tmp_path, f"#!{sys.executable}\nimport sys\nsys.stdin.buffer.read(30)\n{says}\n")
    with pytest.raises(ImageTooHardError):
        decoder.decode(PICTURE)


def test_the_process_knows_no_secret(decoder: Decoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KEEPSAKE_WORKER_TOKEN", "KEEPSAKE_WRITER_KEY", "HF_TOKEN", "HTTPS_PROXY", "DATABASE_URL"):
        monkeypatch.setenv(name, "a-secret-of-the-host")
    shown = tmp_path / "environment"
    played_by(monkeypatch, tmp_path, f"#!/bin/sh\nenv > {shown}\n")

    with pytest.raises(ImageError):
        decoder.decode(PICTURE)

    assert "PATH=" in shown.read_text()
    assert "a-secret" not in shown.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
def test_the_process_has_limits(decoder: Decoder) -> None:
    import resource

    decoder.decode(PICTURE)
    assert decoder._process is not None
    process = psutil.Process(decoder._process.pid)

    assert process.rlimit(resource.RLIMIT_AS) == (MAX_MEMORY, MAX_MEMORY)
    assert process.rlimit(resource.RLIMIT_FSIZE) == (0, 0)
    assert process.rlimit(resource.RLIMIT_NOFILE)[1] < 100


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
def test_a_picture_that_takes_too_much_memory_is_refused() -> None:
    program = (
        "from model_worker.api.limits import limit_this_process; from model_worker.api.images import decode_picture\n"
        "from model_worker.api.errors import ImageTooHardError; import sys\n"
        "limit_this_process(300_000_000)\n"
        "try: decode_picture(sys.stdin.buffer.read())\n"
        "except ImageTooHardError: sys.exit(7)"
    )
    large = io.BytesIO()
    Image.new("RGB", (7000, 7000)).save(large, "PNG")
    ended = subprocess.run([sys.executable, "-c", program], input=large.getvalue(), check=False)
    assert ended.returncode == 7


async def test_a_picture_that_takes_long_holds_up_nobody_who_sent_theirs_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with served() as worker:
        await worker.client.check_picture(PICTURE)
        monkeypatch.setattr(decoding, "DECODE_SECONDS", 3)
        [decoder] = decoders()
        decoder.kill()
        decoder.wait()
        played_by(monkeypatch, tmp_path, "#!/bin/sh\nexec sleep 60\n")
        slow = asyncio.create_task(worker.client.check_picture(png(Image.new("RGB", (50, 30), "blue"))))
        await asyncio.sleep(0.2)

        assert (await worker.client.perceive(PICTURE)).width == 40
        assert not slow.done()

        with pytest.raises(ImageTooHardError):
            await slow


def decoders() -> list[psutil.Process]:
    """The processes that decode for a worker in this one."""
    return [child for child in psutil.Process().children() if "decoder_process" in str(child.cmdline())]


async def test_the_worker_answers_on_when_the_process_broke_and_leaves_none_behind() -> None:
    async with served() as worker:
        await worker.client.check_picture(PICTURE)
        [decoder] = decoders()
        decoder.kill()
        decoder.wait()
        perception = await worker.client.perceive(png(Image.new("RGB", (50, 30), "blue")))
        children = psutil.Process().children()

    assert (perception.width, perception.height) == (50, 30)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
