"""How learning from a memory stands, and what the trainer reported of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import ValidationError

from db.adapters import PromotionEntry
from db.training import RunState, TrainingRun
from model_worker.api.training_report import TrainingReport

log = logging.getLogger("keepsake.learning")

SILENT_AFTER = timedelta(minutes=10)
"""Without a word from a run for so long, its trainer is taken for gone."""


class StopReason(StrEnum):
    """Why a run was stopped, as it is kept with the run."""

    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How learning from a memory stands.

    ``run`` is the latest one; ``waits`` is whether another was asked for; ``history`` has what came into use, the
    latest first; ``usable`` is how many concepts may be learned from, counted only while there was no run;
    ``needed`` is how many that takes, None where it isn't known.
    """

    run: TrainingRun | None
    waits: bool
    history: tuple[PromotionEntry, ...]
    usable: int | None
    needed: int | None

    @property
    def in_use(self) -> PromotionEntry | None:
        """Since when what was learned answers, and why; None when the base model does."""
        return self.history[0] if self.history and self.history[0].adapter_id is not None else None

    @property
    def report(self) -> TrainingReport | None:
        """What the latest run reported; None when it can't be read, too."""
        return None if self.run is None or self.run.report is None else _read_report(self.run.report)

    @property
    def is_silent(self) -> bool:
        """Whether a run that should go on says nothing any more."""
        return self._runs and self.run is not None and datetime.now(UTC) - self.run.changed_at > SILENT_AFTER

    @property
    def is_under_way(self) -> bool:
        """Whether there is something to watch."""
        return self.waits or (self._runs and not self.is_silent)

    @property
    def can_go_back(self) -> bool:
        """Whether something that was learned came into use so far."""
        return any(promotion.adapter_id is not None for promotion in self.history)

    @property
    def is_of_latest_run(self) -> bool:
        """Whether what is in use came from the latest run."""
        run, used = self.run, self.in_use
        if run is None or used is None or run.state is not RunState.PROMOTED or run.finished_at is None:
            return False
        return run.started_at <= used.at <= run.finished_at

    @property
    def _runs(self) -> bool:
        return self.run is not None and self.run.state is RunState.RUNNING


def _read_report(data: Mapping[str, object]) -> TrainingReport | None:
    try:
        return TrainingReport.model_validate(data)
    except ValidationError as error:
        log.warning("A training's report can't be read: %s things in it are wrong", error.error_count())
        return None
