"""Decoding strangers' pictures in a process of its own, which is ended when a picture takes too long."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

from PIL import Image
from pydantic import ValidationError

from model_worker.api.errors import ImageTooHardError, error_from_wire
from model_worker.api.settings import bare_environment
from model_worker.server.decoder_process import LENGTH_BYTES, Decoded

DECODE_SECONDS = 10.0
"""The largest picture that is taken needs two seconds, if nobody else works; starting the process, half of one."""
LONGEST_LINE = 10_000
ROOT = Path(__file__).parents[2]


class Decoder:
    """A process that decodes pictures, one after the other; it is started with the first one, and again when it ended.

    Decoders are written in C, and have been broken by pictures made for it: that process has limits, and knows neither
    the worker's token nor anybody else's picture. For one thread at a time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, data: bytes) -> Image.Image:
        """Decode a picture, as `model_worker.api.images.decode_picture` does.

        Raises ImageError; ImageTooHardError when it takes more time or memory than a picture may.
        """
        process = self._running()
        too_late = threading.Timer(DECODE_SECONDS, process.kill)
        too_late.start()
        try:
            return _exchange(process, data)
        except (OSError, EOFError, ValidationError) as error:
            self.close()
            raise ImageTooHardError from error
        finally:
            too_late.cancel()

    def close(self) -> None:
        """End the process; doing it twice is harmless."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it didn't take can't be sent any more
                    pipe.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "model_worker.server.decoder_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
                env=bare_environment(),
                start_new_session=True,
            )
        return self._process


def _exchange(process: subprocess.Popen[bytes], data: bytes) -> Image.Image:
    """Give the process a picture, and take what it makes of it. Raises what it says is wrong, OSError and EOFError."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 (they are pipes)
    process.stdin.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)
    process.stdin.flush()
    said = Decoded.model_validate_json(process.stdout.readline(LONGEST_LINE))
    if said.error is not None:
        raise error_from_wire(said.error)
    pixels = process.stdout.read(3 * said.width * said.height)
    if len(pixels) < 3 * said.width * said.height:
        raise EOFError
    return Image.frombytes("RGB", (said.width, said.height), pixels)
