"""How far a training is, for a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self


class ProgressBar:
    """Shows a bar for each phase, where there is a terminal; elsewhere nothing is written."""

    def __init__(self) -> None:
        self._phase = ""
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def show(self, phase: str, step: int, steps: int) -> None:
        """Show a step of so many (0: not known) in a phase."""
        from tqdm import tqdm

        if phase != self._phase:
            self._close()
            self._phase = phase
            self._bar = tqdm(total=steps or None, desc=phase, disable=not sys.stderr.isatty())
        self._bar.update(step - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
