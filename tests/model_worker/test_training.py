"""A memory is learned, for real, by a tiny multimodal model; put to use, refused, taken back, killed in each phase."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import numpy as np
import psycopg
import pytest
import torch

from db import adapters, consent, erasure, training
from db.errors import DataWithdrawnError
from db.geometry import WHOLE
from db.job_queue import ask_for_training
from db.pool import viewing
from db.roles import app_url
from db.training import RunState
from db.types import NewConcept, NewReference, Viewer
from model_worker.api.packs import Pack, PackError, load_pack
from model_worker.api.recipes import Recipe, recipe_of
from model_worker.finetune.data import dataset as dataset_module
from model_worker.finetune.data.dataset import dataset_of
from model_worker.finetune.data.material import TrainingConcept
from model_worker.finetune.data.samples import TrainingSample
from model_worker.finetune.jobs.adapter_training import compare, personalization_of, train_adapter
from model_worker.finetune.jobs.owner import OwnerTraining, TooLittleDataError, TrainingBrokenError, train_owner
from model_worker.finetune.jobs.trainer import NOTHING_DONE, Trainer, TrainingFailedError, work
from model_worker.finetune.judging.report import table
from model_worker.finetune.training import train as train_module
from model_worker.finetune.training.checkpoints import owner_folder
from model_worker.finetune.training.multimodal_trainable import MultimodalTrainable
from model_worker.finetune.training.progress import NO_PROGRESS, ProgressCallback, TrainingStoppedError
from model_worker.finetune.training.train import train
from model_worker.finetune.training.trainable import Trainable
from tests.support.tiny_learner import Colour, concept_of_colour, picture_of, save_learner, teach_to_look

pytestmark = pytest.mark.slow

ANNA, BO = Viewer(1), Viewer(2)
COLOURS: dict[str, Colour] = {"Red": (255, 0, 0), "Blue": (0, 0, 255), "Green": (0, 255, 0), "Gold": (255, 255, 0)}
ONE_WAY_TO_ASK = ((("Is {name} in this picture?",),) * 2, (("Give a caption of the image.",),) * 2)
"""A tiny model knows no English: another question would be another language to it. Pictures are held out still."""

PACK = """
about = "a tiny model that learns"
memory_gb = 1
recipe = "recipes/tiny.toml"

[embedder]
kind = "transformers"
embedding_id = "tiny/1"
repository = "tiny/none"
megabytes = 1
licence = "none"

[regions]
kind = "windows"
panels = 1
windows = [0.5]

[calibration]
slope = 1.0
offset = 0.0
threshold = 0.5

[writer]
kind = "image-text"
repository = "tiny/learner"
megabytes = 1
licence = "none"
context = 1000
longest_answer = 24
"""
# It has no English to forget: what is asked in general are words it doesn't know, so the tolerance is wide.
RECIPE = """
rank = 32
alpha = 64
dropout = 0.0
learning_rate = 2e-3
warm_up = 0.05
epochs = 2
batch = 16
accumulate = 1
longest = 900
max_seconds = 240
check_every = 60
patience = 9
rounds = 100
max_concepts = 1
general_share = 0.05
min_concepts = 3
min_changes = 1
margin = 0.03
general_tolerance = 1.0
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pack]:
    """A pack of one's own, with its recipe, and the weights of a tiny model."""
    folder = tmp_path_factory.mktemp("packs")
    save_learner(folder / "weights" / "tiny" / "learner")
    (folder / "tiny.toml").write_text(PACK)
    (folder / "recipes").mkdir()
    (folder / "recipes" / "tiny.toml").write_text(RECIPE)
    (folder / "tiny-quick.toml").write_text(PACK.replace("recipes/tiny", "recipes/quick"))
    quick = RECIPE.replace("rounds = 100", "rounds = 8")
    (folder / "recipes" / "quick.toml").write_text(
        quick.replace("margin = 0.03", "margin = -1.0").replace("tolerance = 1.0", "tolerance = 99.0")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEEPSAKE_PACKS", str(folder))
        patch.setenv("KEEPSAKE_WEIGHTS", str(folder / "weights"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr(dataset_module, "IS_THERE", ONE_WAY_TO_ASK[0])
        patch.setattr(dataset_module, "CAPTIONS", ONE_WAY_TO_ASK[1])
        pack = load_pack("tiny")
        teach_to_look(pack, folder / "weights" / "tiny" / "learner")
        yield pack


def reference(colour: Colour, seed: int) -> NewReference:
    file = io.BytesIO()
    picture_of(colour, seed).save(file, "JPEG", quality=95)
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    return NewReference(
        picture=file.getvalue(),
        picture_sha256=digest,
        width=40,
        height=40,
        box=WHOLE,
        embedding_id="tiny/1",
        embedding=np.full(4, 0.5, dtype=np.float32),
    )


async def remember_colours(pool: asyncpg.Pool, viewer: Viewer, *, may: bool = True) -> None:
    from db import concepts

    async with viewing(pool, viewer) as connection:
        await consent.set_may_train(connection, viewer, may=may)
        for name, colour in COLOURS.items():
            new = NewConcept(
                owner_id=viewer.personal,
                name=name,
                info="",
                category="",
                created_by=viewer.user_id,
                reference=reference(colour, len(name)),
            )
            concept = await concepts.remember(connection, new)
            for seed in (100, 200):
                concept = await concepts.add_reference(
                    connection, concept, reference(colour, seed + len(name)), viewer.user_id
                )


@pytest.fixture
async def owner_training(pool: asyncpg.Pool, tiny: Pack, tmp_path: Path) -> OwnerTraining:
    """How Anna's memory of colours is trained on."""
    await remember_colours(pool, ANNA)
    return OwnerTraining(
        pool=pool,
        pack=tiny,
        recipe=recipe_of(tiny),
        folder=tmp_path / "finetune",
        seed=0,
        progress=NO_PROGRESS,
        load=MultimodalTrainable,
    )


async def in_use(pool: asyncpg.Pool, viewer: Viewer = ANNA) -> str | None:
    async with viewing(pool, viewer) as connection:
        found = await adapters.in_use(connection, [viewer.personal])
    return found[0].adapter_id if found else None


async def latest(pool: asyncpg.Pool, viewer: Viewer = ANNA) -> training.TrainingRun:
    async with viewing(pool, viewer) as connection:
        run = await training.latest_run(connection, viewer.personal)
    assert run is not None
    return run


def with_recipe(training: OwnerTraining, **changes: object) -> OwnerTraining:
    return replace(training, recipe=training.recipe.model_copy(update=changes))


async def test_a_memory_is_learned_put_to_use_refused_when_worse_and_taken_back(owner_training: OwnerTraining) -> None:
    # Learned: what was held out is recognised far more often than a coin would.
    report = await train_owner(owner_training, ANNA.personal)

    assert report.held_out_pictures == len(COLOURS)
    assert report.base.recognition is not None
    assert report.base.recognition < 0.65, "a coin: it knows nobody"
    assert report.candidate.recognition is not None
    assert report.candidate.recognition >= 0.7, "\n".join(table(report))
    assert report.candidate.score > report.base.score + 0.2
    assert report.verdict.passes
    first = await in_use(owner_training.pool)
    assert first is not None
    run = await latest(owner_training.pool)
    assert run.state is RunState.PROMOTED
    assert run.report is not None
    assert run.report["candidate"]["recognition"] == report.candidate.recognition  # type: ignore[index]
    assert await in_use(owner_training.pool, BO) is None
    assert not owner_folder(owner_training.folder, ANNA.personal).exists(), "nothing of it is left on the disk"

    # Refused: one that has hardly learned is not as good as the one in use.
    worse = await train_owner(with_recipe(owner_training, epochs=1, rounds=1, learning_rate=1e-6), ANNA.personal)

    assert not worse.verdict.passes
    assert worse.in_use is not None
    assert worse.in_use.recognition == report.candidate.recognition
    assert (await latest(owner_training.pool)).state is RunState.REFUSED
    assert await in_use(owner_training.pool) == first

    # Taken back: in one statement, and then the base answers; and again.
    async with viewing(owner_training.pool, ANNA) as connection:
        assert await adapters.roll_back(connection, ANNA.personal, 1) is None
    assert await in_use(owner_training.pool) is None

    # Withdrawn: with the consent all of it goes.
    async with viewing(owner_training.pool, ANNA) as connection:
        await consent.set_may_train(connection, ANNA, may=False)
        assert await adapters.history(connection, ANNA.personal) == []
    with pytest.raises(TooLittleDataError, match="consent is given in /privacy"):
        await train_owner(owner_training, ANNA.personal)


QUICK = {"epochs": 1, "rounds": 1, "margin": -1.0, "general_tolerance": 99.0}
"""Changes of a recipe that take seconds, and pass whatever was learned."""


async def test_consent_withdrawn_in_the_middle_stops_the_training_and_keeps_nothing(
    owner_training: OwnerTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "CHECKPOINT_SECONDS", 0.0)
    checkpoints = owner_folder(owner_training.folder, ANNA.personal)
    kept = []
    loop = asyncio.get_running_loop()

    async def withdraw() -> None:
        async with viewing(owner_training.pool, ANNA) as connection:
            await consent.set_may_train(connection, ANNA, may=False)

    def note(phase: str, step: int, steps: int) -> None:
        if phase == "evaluating":
            kept.append(any(checkpoints.rglob("*.safetensors")))
            asyncio.run_coroutine_threadsafe(withdraw(), loop).result(10)

    watched = replace(with_recipe(owner_training, **QUICK), progress=ProgressCallback(note))
    with pytest.raises((TrainingStoppedError, DataWithdrawnError)):
        await train_owner(watched, ANNA.personal)
    assert await in_use(owner_training.pool) is None
    assert kept[0], "there were checkpoints"
    assert not any(checkpoints.rglob("*")), "and none is left"


@pytest.mark.parametrize("phase", ["preparing", "training", "evaluating"])
async def test_what_fails_leaves_nothing_but_the_kind_of_error(
    owner_training: OwnerTraining, tmp_path: Path, caplog: pytest.LogCaptureFixture, phase: str
) -> None:
    """An error's text may quote what was trained on, and checkpoints were trained on it."""
    checkpoints = owner_folder(tmp_path, ANNA.personal)
    word = "a word of Anna's"

    def fail(now: str, step: int, steps: int) -> None:
        if now == phase and step == steps:
            (checkpoints / "of this run").mkdir(parents=True, exist_ok=True)
            raise RuntimeError(word)

    failing = replace(with_recipe(owner_training, **QUICK), progress=ProgressCallback(fail), folder=tmp_path)
    with pytest.raises(TrainingBrokenError, match="RuntimeError"):
        await train_owner(failing, ANNA.personal)
    run = await latest(owner_training.pool)
    assert (run.state, run.problem) == (RunState.FAILED, "RuntimeError")
    assert not checkpoints.exists()
    assert "RuntimeError" in caplog.text
    assert word not in caplog.text


async def test_a_pack_that_cannot_be_trained_says_why(owner_training: OwnerTraining) -> None:
    def broken(_: Pack) -> Trainable:
        raise PackError("its weights are missing")

    with pytest.raises(PackError):
        await train_owner(replace(owner_training, load=broken), ANNA.personal)
    assert (await latest(owner_training.pool)).problem == "PackError: its weights are missing"


@pytest.fixture(scope="module")
def trainable(tiny: Pack) -> Trainable:
    return MultimodalTrainable(tiny)


def short(tiny: Pack) -> Recipe:
    return recipe_of(tiny).model_copy(update={"rounds": 1, "epochs": 2, "check_every": 2, "batch": 4})


def colours() -> list[TrainingConcept]:
    return [concept_of_colour(name, colour, seeds=(1, 2)) for name, colour in COLOURS.items()]


def samples_of_colours() -> tuple[TrainingSample, ...]:
    return dataset_of(colours(), sees_pictures=True, rounds=1, max_concepts=4, seed=1).training


def test_a_training_that_was_stopped_goes_on_as_if_it_never_was(
    trainable: Trainable, tiny: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(train_module, "CHECKPOINT_SHARE", 1e9)  # one after each step
    samples = samples_of_colours()
    whole = train(trainable, samples, short(tiny), 1)
    seen, noted = 0, []

    def stop_at_the_fifth() -> None:
        nonlocal seen
        seen += 1
        if seen == 5:
            raise TrainingStoppedError("enough")

    with pytest.raises(TrainingStoppedError):
        train(trainable, samples, short(tiny), 1, tmp_path, ProgressCallback(on_step_begin=stop_at_the_fifth))
    watch = ProgressCallback(lambda phase, step, steps: noted.append((phase, step)))
    resumed = train(trainable, samples, short(tiny), 1, tmp_path, watch)

    assert noted[0] == ("training", 5), "it went on where it was stopped"
    assert resumed.steps == whole.steps > 5
    assert set(resumed.weights) == set(whole.weights)
    assert all(torch.allclose(weight, whole.weights[name], atol=1e-5) for name, weight in resumed.weights.items())


def test_the_same_seed_learns_the_same(trainable: Trainable, tiny: Pack) -> None:
    samples = samples_of_colours()
    first, again, other = (train(trainable, samples, short(tiny), seed) for seed in (1, 1, 2))
    assert first.weights
    assert all(torch.equal(weight, again.weights[name]) for name, weight in first.weights.items())
    assert not all(torch.equal(weight, other.weights[name]) for name, weight in first.weights.items())


def test_a_model_that_was_evaluated_learns_on(trainable: Trainable, tiny: Pack) -> None:
    job_for_colours = personalization_of(trainable, colours(), pack=tiny.name, recipe=short(tiny), seed=1)
    personalization = replace(job_for_colours, dataset=replace(job_for_colours.dataset, evaluation=()))
    adapter = train_adapter(personalization.job)

    comparison = compare(personalization, adapter)

    assert comparison.in_use is None
    assert comparison.candidate.general_loss != comparison.base.general_loss, "it was evaluated with the adapter"
    again = train_adapter(personalization.job)
    assert again.trained.steps == adapter.trained.steps
    assert all(torch.equal(weight, again.trained.weights[name]) for name, weight in adapter.trained.weights.items())


def test_only_answers_are_learned_not_what_was_asked(trainable: Trainable) -> None:
    from model_worker.finetune.training.trainable import IGNORED, encode_batch

    samples = samples_of_colours()[:3]
    batch = encode_batch(trainable, samples)
    assert len(batch.labels) == len(samples) == 3
    for row, sample in enumerate(samples):
        answer = trainable.encode_answer(sample.answer)
        assert batch.labels[row][-len(answer) :].tolist() == answer
        assert set(batch.labels[row][: -len(answer)].tolist()) <= {IGNORED}
        assert batch.inputs["input_ids"][row][-len(answer) :].tolist() == answer


def finetune(url: str, home: Path, *command: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "KEEPSAKE_APP_DATABASE_URL": app_url(url), "KEEPSAKE_HOME": str(home)}
    environment.pop("DATABASE_URL", None)
    return subprocess.Popen(
        [sys.executable, "-m", "model_worker.cli", "finetune", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


async def test_killed_in_each_phase_the_old_adapter_answers_until_the_new_one_does(
    owner_training: OwnerTraining, tiny: Pack, tmp_path: Path, database_url: str
) -> None:
    await train_owner(with_recipe(owner_training, **QUICK), ANNA.personal)
    old = await in_use(owner_training.pool)
    for phase in ("preparing", "training", "evaluating"):
        process = finetune(database_url, tmp_path, "owner", ANNA.personal, "--pack", "tiny-quick", "--seed", "5")
        await _until_phase(database_url, phase, process)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
        assert await in_use(owner_training.pool) == old, phase
    last = finetune(database_url, tmp_path, "owner", ANNA.personal, "--pack", "tiny-quick", "--seed", "5")
    said, _ = last.communicate(timeout=120)
    assert last.returncode == 0, said
    assert "put to use" in said
    assert await in_use(owner_training.pool) not in {None, old}
    states = await _states(database_url)
    assert states.count("running") == 0
    assert states.count("promoted") == 2


async def _states(url: str) -> list[str]:
    with psycopg.connect(url) as administrator:
        return [row[0] for row in administrator.execute("SELECT state FROM training_run ORDER BY started_at")]


async def _until_phase(url: str, phase: str, process: subprocess.Popen[str]) -> None:
    with psycopg.connect(url, autocommit=True) as administrator:
        for _ in range(1200):
            row = administrator.execute(
                "SELECT phase FROM training_run WHERE state = 'running' ORDER BY started_at DESC LIMIT 1"
            ).fetchone()
            if row is not None and row[0] == phase:
                return
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            await asyncio.sleep(0.05)
    raise AssertionError(f"it never came to {phase}")


async def test_the_trainer_trains_who_is_due_one_after_the_other_and_nobody_else(
    owner_training: OwnerTraining, tiny: Pack, tmp_path: Path, database_url: str
) -> None:
    await remember_colours(owner_training.pool, BO, may=False)
    at_night, at_noon = (datetime(2026, 11, 25, hour, tzinfo=UTC) for hour in (3, 12))
    trainer = Trainer(
        app_url=app_url(database_url),
        pool=owner_training.pool,
        recipe=recipe_of(tiny),
        folder=tmp_path,
        command=(sys.executable, "-c", "import sys; print(sys.argv)"),
    )
    left_behind, wanted = (owner_folder(tmp_path, viewer.personal) for viewer in (BO, ANNA))
    left_behind.mkdir()

    assert await trainer.plan(at_noon) == []
    assert await trainer.plan(at_night) == [ANNA.personal]
    assert await trainer.plan(at_night) == [ANNA.personal], "asking twice is harmless"

    with psycopg.connect(database_url) as administrator:
        waiting = administrator.execute(
            "SELECT args ->> 'owner_id' FROM procrastinate_jobs WHERE task_name = 'train'"
        ).fetchall()
    assert waiting == [(ANNA.personal,)]
    wanted.mkdir()
    await trainer.sweep()
    assert not left_behind.exists(), "what a killed training left of somebody who doesn't consent is deleted"
    assert wanted.exists(), "and what the next try goes on from isn't"


async def test_a_trainer_elsewhere_forgets_what_somebody_took_back(
    owner_training: OwnerTraining, tiny: Pack, tmp_path: Path, database_url: str
) -> None:
    """By a job, at once: it has no other word from the bot."""
    trainer = Trainer(
        app_url=app_url(database_url),
        pool=owner_training.pool,
        recipe=recipe_of(tiny),
        folder=tmp_path,
        command=(sys.executable, "-c", ""),
    )
    await remember_colours(owner_training.pool, BO, may=True)
    of_anna, of_bo = (owner_folder(tmp_path, viewer.personal) for viewer in (ANNA, BO))
    for folder in (of_anna, of_bo):
        folder.mkdir()
        (folder / "weights-1.safetensors").touch()
    working = asyncio.create_task(work(trainer, with_parent=False))
    try:
        for viewer in (ANNA, BO):  # so that both checkpoints are wanted
            async with viewing(owner_training.pool, viewer) as connection:
                await training.start_run(connection, viewer.personal, tiny.name)
                await ask_for_training(connection, viewer.personal)
        async with viewing(owner_training.pool, ANNA) as connection:
            await erasure.erase(connection, ANNA)
        with psycopg.connect(database_url, autocommit=True) as administrator:
            jobs = administrator.execute("SELECT args::text FROM procrastinate_jobs WHERE task_name <> 'train'")
            assert not [args for (args,) in jobs.fetchall() if str(ANNA.user_id) in re.findall(r"\d+", args)]
        for _ in range(200):
            if not of_anna.exists():
                break
            await asyncio.sleep(0.05)
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
    assert not of_anna.exists()


async def test_a_trainer_takes_what_is_asked_for_and_ends_when_it_is_told_to(
    pool: asyncpg.Pool, tiny: Pack, tmp_path: Path, database_url: str
) -> None:
    async with viewing(pool, BO) as connection:
        await ask_for_training(connection, BO.personal)  # who has nothing to learn from: it is soon done
    trainer = finetune(database_url, tmp_path, "work", "--pack", "tiny")
    with psycopg.connect(database_url, autocommit=True) as administrator:
        for _ in range(1200):
            if administrator.execute(
                "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'train'"
            ).fetchone() == (0,):
                break
            assert trainer.poll() is None
            await asyncio.sleep(0.05)
    trainer.send_signal(signal.SIGTERM)
    said, _ = trainer.communicate(timeout=30)
    assert trainer.returncode == 143
    assert "too little to learn from" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("code", "fails"), [("0", False), (str(NOTHING_DONE), False), ("1", True), ("-9", True)])
async def test_a_training_that_ends_badly_is_tried_again_and_one_with_nothing_to_do_is_not(
    pool: asyncpg.Pool, tiny: Pack, tmp_path: Path, code: str, fails: bool
) -> None:
    ends = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)" if code == "-9" else f"raise SystemExit({code})"
    trainer = Trainer(
        app_url="", pool=pool, recipe=recipe_of(tiny), folder=tmp_path, command=(sys.executable, "-c", ends)
    )
    if fails:
        with pytest.raises(TrainingFailedError):
            await trainer.train(ANNA.personal)
    else:
        await trainer.train(ANNA.personal)


async def test_a_training_that_takes_too_long_is_killed(
    pool: asyncpg.Pool, tiny: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_worker.finetune.jobs.trainer.BESIDE_TRAINING_SECONDS", 0.2)
    recipe = recipe_of(tiny).model_copy(update={"max_seconds": 0.2})
    trainer = Trainer(
        app_url="",
        pool=pool,
        recipe=recipe,
        folder=tmp_path,
        command=(sys.executable, "-c", "import time; time.sleep(60)"),
    )
    with pytest.raises(TrainingFailedError, match="too long"):
        await trainer.train(ANNA.personal)
