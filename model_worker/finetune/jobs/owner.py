"""One training of one owner's adapter, from their memory to its promotion or refusal.

Nothing is in use until one row says so; until then, whenever the process is killed, the old adapter answers.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import UUID

import asyncpg

from db import adapters
from db import training as runs
from db.adapters import Adapter
from db.errors import DatabaseUnavailableError, DataWithdrawnError
from db.pool import viewing
from db.training import Material, RunState
from db.types import OwnerId, viewer_of
from model_worker.api.packs import Pack, PackError
from model_worker.api.recipes import Recipe
from model_worker.api.training_report import TrainingReport
from model_worker.finetune.data.pictures import concepts_from, data_hash
from model_worker.finetune.jobs.adapter_training import (
    Comparison,
    Personalization,
    compare,
    personalization_of,
    train_adapter,
)
from model_worker.finetune.judging.gate import judge
from model_worker.finetune.judging.report import compared_answers
from model_worker.finetune.training.checkpoints import delete_other_runs, owner_folder
from model_worker.finetune.training.loading import load_trainable
from model_worker.finetune.training.progress import ProgressCallback, TrainingStoppedError
from model_worker.finetune.training.train import Trained
from model_worker.finetune.training.trainable import Trainable
from model_worker.generation.adapters.file import Manifest, adapter_id, write_adapter

log = logging.getLogger("keepsake.trainer")

RECORD_SECONDS = 1.0
"""Between two records of progress in the database."""


class TrainingBrokenError(Exception):
    """A training failed; the text is the kind of error, and the log says where it was raised."""


class TooLittleDataError(Exception):
    """There is not enough to train on; the text says how much there is, and how much is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerTraining:
    """What a training needs beside the owner: ``folder`` is where it keeps checkpoints while it lasts."""

    pool: asyncpg.Pool
    pack: Pack
    recipe: Recipe
    folder: Path
    seed: int
    progress: ProgressCallback
    load: Callable[[Pack], Trainable] = load_trainable


@dataclass(frozen=True, slots=True)
class NewAdapter:
    """A new adapter's file, and how good it is."""

    file: bytes
    manifest: Manifest
    report: TrainingReport


async def train_owner(training: OwnerTraining, owner: OwnerId) -> TrainingReport:
    """Train an owner's adapter, and put it to use if it is better.

    Whatever goes wrong, nothing is left but the run, which says what kind of error it was; only a process that is
    killed leaves checkpoints, to go on from.

    Raises TooLittleDataError, TrainingStoppedError, DataWithdrawnError, PackError, DatabaseUnavailableError, and
    TrainingBrokenError for everything else.
    """
    viewer = viewer_of(owner)
    async with viewing(training.pool, viewer) as connection:
        material = await runs.material_of(connection, owner)
    _check_enough(material, training.recipe)
    async with viewing(training.pool, viewer) as connection:
        run = await runs.start_run(connection, owner, training.pack.name)
        in_use = await _in_use(connection, owner)
    checkpoints = owner_folder(training.folder, owner)
    try:
        recorder = _ProgressRecorder(training, owner, run, asyncio.get_running_loop())
        watched = replace(training, progress=recorder.callback())
        made = await asyncio.to_thread(_make, watched, material, in_use, checkpoints)
        await _keep(training, owner, run, material, made)
    except (DataWithdrawnError, TrainingStoppedError) as problem:
        await asyncio.to_thread(shutil.rmtree, checkpoints, ignore_errors=True)  # what was taken back isn't kept
        await _finish(training, owner, run, RunState.STOPPED, problem=str(problem))
        raise
    except Exception as error:
        await asyncio.to_thread(shutil.rmtree, checkpoints, ignore_errors=True)
        await _finish(training, owner, run, RunState.FAILED, problem=_without_quotes(error))
        if isinstance(error, PackError | DatabaseUnavailableError):
            raise
        log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        raise TrainingBrokenError(type(error).__name__) from None
    await asyncio.to_thread(shutil.rmtree, checkpoints, ignore_errors=True)
    return made.report


def _without_quotes(error: Exception) -> str:
    """Return what is kept of an error: most texts may quote what was trained on, but not those about a pack."""
    return f"PackError: {error}" if isinstance(error, PackError) else type(error).__name__


def _check_enough(material: Material, recipe: Recipe) -> None:
    there = len(material.concepts)
    if there < max(1, recipe.min_concepts):
        raise TooLittleDataError(
            f"There is too little to learn from: {there} concepts that may be trained on, {recipe.min_concepts} are "
            "needed (consent is given in /privacy)."
        )


async def _in_use(connection: asyncpg.Connection, owner: OwnerId) -> tuple[str, bytes] | None:
    found = await adapters.in_use(connection, [owner])
    weights = await adapters.weights_of(connection, owner, found[0].adapter_id) if found else None
    return None if weights is None else (found[0].adapter_id, weights)


def _make(
    training: OwnerTraining, material: Material, in_use: tuple[str, bytes] | None, checkpoints: Path
) -> NewAdapter:
    """Train and evaluate: blocking, minutes."""
    training.progress.on_step_end("preparing", 0, 0)
    personalization = personalization_of(
        training.load(training.pack),
        concepts_from(material),
        pack=training.pack.name,
        recipe=training.recipe,
        seed=training.seed,
        data_hash=data_hash(material),
        checkpoints=checkpoints,
        progress=training.progress,
    )
    if personalization.job.checkpoint is not None:
        delete_other_runs(personalization.job.checkpoint)
    adapter = train_adapter(personalization.job)
    comparison = compare(personalization, adapter, in_use)
    whole = adapter.with_metrics(comparison.candidate.reported().known)
    report = _report(personalization, adapter.trained, comparison)
    return NewAdapter(write_adapter(whole), whole.manifest, report)


def _report(personalization: Personalization, trained: Trained, comparison: Comparison) -> TrainingReport:
    job = personalization.job
    verdict = judge(
        candidate=comparison.candidate,
        in_use=comparison.in_use or comparison.base,
        base=comparison.base,
        recipe=job.recipe,
    )
    return TrainingReport(
        pack=job.pack,
        recipe=job.recipe.name,
        seed=job.seed,
        samples=len(job.samples),
        held_out_pictures=personalization.dataset.held_out_pictures,
        steps=trained.steps,
        seconds=round(trained.seconds, 1),
        base=comparison.base.reported(),
        in_use=None if comparison.in_use is None else comparison.in_use.reported(),
        candidate=comparison.candidate.reported(),
        verdict=verdict,
        answers=compared_answers(comparison.base, comparison.candidate),
    )


async def _keep(training: OwnerTraining, owner: OwnerId, run: UUID, material: Material, made: NewAdapter) -> None:
    """Store how the run ended; and, in the same transaction, the adapter with its promotion if it passed."""
    adapter = Adapter(
        adapter_id=adapter_id(made.file),
        base=made.manifest.base,
        manifest=asdict(made.manifest),
        weights=made.file,
        saw=material.saw,
        saw_users=material.saw_users,
        run_id=run,
    )
    passes = made.report.verdict.passes
    async with viewing(training.pool, viewer_of(owner)) as connection:
        if passes:
            await adapters.store_and_promote(connection, adapter, owner, made.report.verdict.why)
        state = RunState.PROMOTED if passes else RunState.REFUSED
        await runs.finish_run(connection, owner, run, state, made.report.model_dump(mode="json"))


async def _finish(training: OwnerTraining, owner: OwnerId, run: UUID, state: RunState, *, problem: str) -> None:
    async with viewing(training.pool, viewer_of(owner)) as connection:
        await runs.finish_run(connection, owner, run, state, None, problem)


class _ProgressRecorder:
    """Progress of one run, from the thread that computes into the database; a run that is gone there is stopped.

    The database is asked from the event loop, and the thread doesn't wait for it: a step that comes after the run was
    stopped hears of it at the next one.
    """

    def __init__(self, training: OwnerTraining, owner: OwnerId, run: UUID, loop: asyncio.AbstractEventLoop) -> None:
        self._training, self._owner, self._run, self._loop = training, owner, run, loop
        self._is_gone = False
        self._recorded_at = 0.0

    def callback(self) -> ProgressCallback:
        """Return a callback that records, and calls the training's own."""
        return ProgressCallback(on_step_end=self._on_step_end, on_step_begin=self._on_step_begin)

    def _on_step_end(self, phase: str, step: int, steps: int) -> None:
        self._training.progress.on_step_end(phase, step, steps)
        if self._loop.time() - self._recorded_at >= RECORD_SECONDS or step == steps:
            self._recorded_at = self._loop.time()
            asyncio.run_coroutine_threadsafe(self._record(phase, step, steps), self._loop)

    async def _record(self, phase: str, step: int, steps: int) -> None:
        async with viewing(self._training.pool, viewer_of(self._owner)) as connection:
            is_there = await runs.note_progress(connection, self._owner, self._run, phase, step, steps)
        self._is_gone = self._is_gone or not is_there

    def _on_step_begin(self) -> None:
        if self._is_gone:
            raise TrainingStoppedError("The run was stopped, or what it was trained on was taken back.")
        self._training.progress.on_step_begin()
