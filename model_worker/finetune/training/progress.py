"""What a training is watched by: it says how far it is, and hears whether to wait, or to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class TrainingStoppedError(Exception):
    """The training was told to stop; the text says why."""


@dataclass(frozen=True, slots=True)
class ProgressCallback:
    """``note`` hears of each step (phase, step, of how many); ``wait`` returns when it may go on. It raises Stopped."""

    note: Callable[[str, int, int], None] = lambda phase, step, steps: None
    wait: Callable[[], None] = lambda: None


UNWATCHED = ProgressCallback()
