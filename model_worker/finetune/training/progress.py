"""How a training says how far it is, and hears whether to wait, or to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class TrainingStoppedError(Exception):
    """The training was told to stop; the text says why."""


@dataclass(frozen=True, slots=True)
class ProgressCallback:
    """What is called around each step of a training and of its evaluation.

    ``on_step_end`` hears the phase, the step, and of how many it is (0: not known). ``on_step_begin`` returns when
    the next step may begin; it raises TrainingStoppedError when there should be none.
    """

    on_step_end: Callable[[str, int, int], None] = lambda phase, step, steps: None
    on_step_begin: Callable[[], None] = lambda: None


NO_PROGRESS = ProgressCallback()
"""For trainings that nobody looks at."""
