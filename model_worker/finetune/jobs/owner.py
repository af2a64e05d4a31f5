"""One training of one owner's adapter, from their memory to its promotion or refusal.

Nothing is in use until one row says so; until then, whenever the process is killed, the old adapter answers.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

import asyncpg

from db import adapters, training
from db.adapters import Adapter
from db.errors import DataWithdrawnError
from db.pool import viewing
from db.training import Material, RunState
from db.types import OwnerId, viewer_of
from model_worker.api.packs import Pack
from model_worker.api.recipes import Recipe, recipe_of
from model_worker.finetune.data.dataset import dataset_of
from model_worker.finetune.data.pictures import data_hash, known_from
from model_worker.finetune.data.replay import replay_samples
from model_worker.finetune.data.samples import Dataset
from model_worker.finetune.judging.evaluation import evaluate_model
from model_worker.finetune.judging.gate import judge
from model_worker.finetune.judging.report import Report, metrics
from model_worker.finetune.training.checkpoints import checkpoint_of, folder_of
from model_worker.finetune.training.loading import load_trainable
from model_worker.finetune.training.progress import ProgressCallback, TrainingStoppedError
from model_worker.finetune.training.train import train
from model_worker.finetune.training.trainable import Trainable
from model_worker.generation.adapters.errors import AdapterError
from model_worker.generation.adapters.file import AdapterFile, Manifest, adapter_id, write_adapter

NOTE_SECONDS = 1.0
"""Between two notes of progress in the database."""


class TooLittleDataError(Exception):
    """There is not enough to train on; the text says how much there is, and how much is needed."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a training needs beside the owner: ``folder`` is where it keeps checkpoints while it lasts."""

    pool: asyncpg.Pool
    pack: Pack
    recipe: Recipe
    folder: Path
    seed: int
    watch: ProgressCallback
    student: Callable[[Pack], Trainable] = load_trainable


@dataclass(frozen=True, slots=True)
class Made:
    """A new adapter's file, and how good it is."""

    data: bytes
    manifest: Manifest
    report: Report


async def train_owner(asked: Training, owner: OwnerId) -> Report:
    """Train an owner's adapter, and put it to use if it is better.

    Raises TooLittleDataError, Stopped, DataWithdrawnError, PackError and DatabaseUnavailableError; the run says why,
    too.
    """
    viewer = viewer_of(owner)
    async with viewing(asked.pool, viewer) as connection:
        material = await training.material_of(connection, owner)
    _check_enough(material, asked.recipe)
    async with viewing(asked.pool, viewer) as connection:
        run = await training.start_run(connection, owner, asked.pack.name)
        in_use = await _in_use(connection, owner)
    folder = folder_of(asked.folder, owner)
    try:
        notes = _Notes(asked, owner, run, asyncio.get_running_loop())
        made = await asyncio.to_thread(_make, asked, material, in_use, folder, notes.watch())
        await _keep(asked, owner, run, material, made)
    except (DataWithdrawnError, TrainingStoppedError) as problem:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)  # what was taken back isn't kept on a disk
        await _finish(asked, owner, run, RunState.STOPPED, problem=str(problem))
        raise
    except Exception as error:
        await _finish(asked, owner, run, RunState.FAILED, problem=f"{type(error).__name__}: {error}")
        raise
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return made.report


def dataset_from(material: Material, recipe: Recipe, *, sees: bool, seed: int) -> Dataset:
    """Return the lessons of a material."""
    return dataset_of(
        known_from(material), sees=sees, rounds=recipe.rounds, max_concepts=recipe.max_concepts, seed=seed
    )


def training_of(pool: asyncpg.Pool, pack: Pack, folder: Path, seed: int, watch: ProgressCallback) -> Training:
    """Return a training of a pack's writer, by its recipe. Raises PackError when it can't be trained here."""
    return Training(pool, pack, recipe_of(pack), folder, seed, watch)


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
    asked: Training, material: Material, in_use: tuple[str, bytes] | None, folder: Path, watch: ProgressCallback
) -> Made:
    """Train and examine: blocking, minutes."""
    watch.note("preparing", 0, 0)
    student, recipe = asked.student(asked.pack), asked.recipe
    curriculum = dataset_from(material, recipe, sees=student.sees, seed=asked.seed)
    names = [concept.name for concept in material.concepts]
    plain = replay_samples(student, recipe.general_share, len(curriculum.training), asked.seed)
    lessons = [*curriculum.training, *plain]
    data = data_hash(material)
    checkpoint = checkpoint_of(folder, f"{student.adapters.base} {data} {recipe} {asked.seed}")
    trained = train(student, lessons, recipe, asked.seed, checkpoint, watch)
    base = evaluate_model(student, curriculum.exam, names, None, watch)
    before = None if in_use is None or not _held(student, *in_use) else in_use[0]
    now = base if before is None else evaluate_model(student, curriculum.exam, names, before, watch)
    manifest = Manifest(
        *(student.adapters.base, data, recipe.name, asked.pack.name, recipe.rank, recipe.alpha),
        student.adapters.modules,
        {},
    )
    draft = write_adapter(AdapterFile(manifest, trained.weights))
    student.adapters.take(adapter_id(draft), draft)
    candidate = evaluate_model(student, curriculum.exam, names, adapter_id(draft), watch)
    report = Report(
        *(asked.pack.name, recipe.name, asked.seed, len(lessons), curriculum.held_out_pictures),
        *(trained.steps, trained.seconds, base, None if before is None else now, candidate),
        judge(candidate, now, base, recipe),
    )
    whole = Manifest(**{**asdict(manifest), "metrics": metrics(candidate)})
    return Made(write_adapter(AdapterFile(whole, trained.weights)), whole, report)


def _held(student: Trainable, name: str, data: bytes) -> bool:
    """Hold the adapter in use; False when it is another model's: then the base answers now."""
    try:
        student.adapters.take(name, data)
    except AdapterError:
        return False
    return True


async def _keep(asked: Training, owner: OwnerId, run: UUID, material: Material, made: Made) -> None:
    """Store how the run ended; and, in the same transaction, the adapter with its promotion if it passed."""
    adapter = Adapter(
        adapter_id=adapter_id(made.data),
        base=made.manifest.base,
        manifest=asdict(made.manifest),
        weights=made.data,
        saw=material.saw,
        saw_users=material.saw_users,
        run_id=run,
    )
    passes = made.report.verdict.passes
    async with viewing(asked.pool, viewer_of(owner)) as connection:
        if passes:
            await adapters.store_and_promote(connection, adapter, owner, made.report.verdict.why)
        state = RunState.PROMOTED if passes else RunState.REFUSED
        await training.finish_run(connection, owner, run, state, made.report.as_json())


async def _finish(asked: Training, owner: OwnerId, run: UUID, state: RunState, *, problem: str) -> None:
    async with viewing(asked.pool, viewer_of(owner)) as connection:
        await training.finish_run(connection, owner, run, state, None, problem)


class _Notes:
    """Progress of one run, from the thread that computes into the database; a run that is gone stops it."""

    def __init__(self, asked: Training, owner: OwnerId, run: UUID, loop: asyncio.AbstractEventLoop) -> None:
        self._asked, self._owner, self._run, self._loop = asked, owner, run, loop
        self._is_gone = False
        self._noted_at = 0.0

    def watch(self) -> ProgressCallback:
        """Return what the training is watched by: this, and what it was watched by before."""
        return ProgressCallback(self._note, self._wait)

    def _note(self, phase: str, step: int, steps: int) -> None:
        self._asked.watch.note(phase, step, steps)
        if self._loop.time() - self._noted_at >= NOTE_SECONDS or step == steps:
            self._noted_at = self._loop.time()
            asyncio.run_coroutine_threadsafe(self._store(phase, step, steps), self._loop)

    async def _store(self, phase: str, step: int, steps: int) -> None:
        async with viewing(self._asked.pool, viewer_of(self._owner)) as connection:
            is_there = await training.note_progress(connection, self._owner, self._run, phase, step, steps)
        self._is_gone = self._is_gone or not is_there

    def _wait(self) -> None:
        if self._is_gone:
            raise TrainingStoppedError("The run was stopped, or what it was trained on was taken back.")
        self._asked.watch.wait()
