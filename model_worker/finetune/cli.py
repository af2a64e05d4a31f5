"""`keepsake-worker finetune`: train adapters, look at what they would be trained on, and take them back."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from db import adapters, training
from db.errors import DatabaseSetupError, DatabaseUnavailableError, DataWithdrawnError, NothingToRollBackError
from db.pool import open_pool, viewing
from db.roles import app_url
from db.setup.embedded import EmbeddedPostgres
from db.setup.migrate import migrate
from db.setup.redaction import redacted
from db.setup.settings import DatabaseSettings
from db.types import OwnerId, viewer_of
from model_worker.api.packs import PackError, load_pack
from model_worker.api.settings import WorkerSettings
from model_worker.finetune.progress_bar import ProgressBar

NOTHING_DONE = 3
BY_HAND = 0
"""Who rolls back on the command line: nobody of Discord's."""

Command = Callable[[asyncpg.Pool, argparse.Namespace], Coroutine[Any, Any, int]]


def add_finetune_arguments(parser: argparse.ArgumentParser, pack: str) -> None:
    """Add the commands; each sets ``run``, which returns the exit code; ``pack`` is the default one."""
    commands = parser.add_subparsers(dest="finetune", required=True)
    data = commands.add_parser("data", help="show what an owner's adapter would be trained on")
    data.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="samples.json, pictures and sheet.png go here"
    )
    data.set_defaults(run=partial(_run, _data))
    owner = commands.add_parser("owner", help="train an owner's adapter now, and put it to use if it is better")
    owner.set_defaults(run=partial(_run, _owner))
    for command in (data, owner):
        command.add_argument("owner", type=_owner_id, help="user:ID or server:ID, Discord's numbers")
        command.add_argument("--seed", type=int, default=0)
    base = commands.add_parser("base", help="the base personalization, on a data set such as RAP-260K")
    base.add_argument("--data", type=Path, required=True, help="the samples (JSON)")
    base.add_argument("--pictures", type=Path, help="where their pictures are (default: beside the samples)")
    base.add_argument("--recipe", required=True, help="a recipe's name, or a TOML file")
    base.add_argument(
        "--out", type=Path, metavar="DIR", help="where adapter and checkpoints go (default: RECIPE-adapter)"
    )
    base.add_argument("--pack", help="whose model is trained (default: the recipe's)")
    base.add_argument("--seed", type=int, default=0)
    base.set_defaults(run=_base)
    work = commands.add_parser("work", help="take trainings from the queue, by schedule and when somebody asks")
    work.add_argument("--with-parent", action="store_true", help="end when the parent process does")
    work.set_defaults(run=partial(_run, _work))
    for name, words, act in (
        ("history", "list an owner's adapters", _history),
        ("rollback", "let the adapter before this one answer again", _roll_back),
        ("disable", "let the base model answer", _disable),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("owner", type=_owner_id, help="user:ID or server:ID")
        command.set_defaults(run=partial(_run, act))
    for command in (data, owner, work):
        command.add_argument("--pack", default=pack)


def _owner_id(text: str) -> OwnerId:
    if re.fullmatch(r"(user|server):\d{1,20}", text) is None:
        raise argparse.ArgumentTypeError(f"an owner is user:ID or server:ID, not {text}")
    return OwnerId(text)


def _words_for(error: Exception) -> str:
    """Return an error in words for who operates the trainer; those that people meet carry none."""
    words: dict[type[Exception], str] = {
        DatabaseUnavailableError: f"The database can't be reached: {error.__cause__}",
        NothingToRollBackError: "There is no earlier adapter to return to: none is in use.",
        DataWithdrawnError: "Something that it was trained on was taken back meanwhile: the adapter isn't kept.",
    }
    return redacted(words.get(type(error), str(error)))


def _run(act: Command, options: argparse.Namespace) -> int:
    """Run a command that has a memory; returns the exit code."""
    try:
        return asyncio.run(_with_memory(act, options))
    except (PackError, DatabaseSetupError, DatabaseUnavailableError, NothingToRollBackError) as problem:
        sys.stderr.write(f"{_words_for(problem)}\n")
        return 1
    except asyncio.CancelledError:
        return 143
    except KeyboardInterrupt:
        return 130


async def _with_memory(act: Command, options: argparse.Namespace) -> int:
    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with _memory() as pool:
        return await act(pool, options)


def _app_url() -> str | None:
    """Return how the app reaches the database that the environment names, None for the embedded one."""
    settings = DatabaseSettings.read()
    if settings.app_database_url is not None:
        return settings.app_database_url.get_secret_value()
    return None if settings.database_url is None else app_url(settings.database_url.get_secret_value())


@asynccontextmanager
async def _memory() -> AsyncIterator[asyncpg.Pool]:
    """Open the memory: the database that the environment names, or the embedded one of KEEPSAKE_HOME."""
    server, url = None, _app_url()
    try:
        if url is None:
            server = EmbeddedPostgres(WorkerSettings.read().home / "postgres")
            administrators = await asyncio.to_thread(server.start)
            await asyncio.to_thread(migrate, administrators)
            url = app_url(administrators)
        pool = await open_pool(url, largest=3)
        try:
            yield pool
        finally:
            pool.terminate()
    finally:
        if server is not None:
            await asyncio.to_thread(server.stop)


async def _data(pool: asyncpg.Pool, options: argparse.Namespace) -> int:
    from model_worker.api.packs import TextWriting
    from model_worker.api.recipes import recipe_of
    from model_worker.finetune.data.dataset import dataset_of
    from model_worker.finetune.data.pictures import concepts_from
    from model_worker.finetune.data.rap_format import write_samples
    from model_worker.finetune.data.sheet import draw_sheet

    pack = load_pack(options.pack)
    async with viewing(pool, viewer_of(options.owner)) as connection:
        material = await training.material_of(connection, options.owner)
    if not material.concepts:
        sys.stderr.write("There is nothing that may be trained on: consent is given in /privacy.\n")
        return 1
    recipe = recipe_of(pack)
    dataset = dataset_of(
        concepts_from(material),
        sees_pictures=not isinstance(pack.writer, TextWriting),
        rounds=recipe.rounds,
        max_concepts=recipe.max_concepts,
        seed=options.seed,
    )
    write_samples(dataset.training, options.out)
    draw_sheet(dataset.training, options.out / "sheet.png")
    sys.stdout.write(
        f"{len(material.concepts)} concepts: {len(dataset.training)} samples in {options.out / 'samples.json'}, "
        f"some of them in {options.out / 'sheet.png'}; {len(dataset.evaluation)} more to evaluate on\n"
    )
    return 0


async def _owner(pool: asyncpg.Pool, options: argparse.Namespace) -> int:
    from model_worker.finetune.training.resources import alone_on_this_device, be_last_in_line

    be_last_in_line()
    folder = WorkerSettings.read().home / "finetune"
    async with alone_on_this_device(folder):
        return await _owner_alone(pool, options, folder)


async def _owner_alone(pool: asyncpg.Pool, options: argparse.Namespace, folder: Path) -> int:
    from model_worker.api.recipes import recipe_of
    from model_worker.finetune.jobs.owner import OwnerTraining, TooLittleDataError, TrainingBrokenError, train_owner
    from model_worker.finetune.judging.report import table
    from model_worker.finetune.training.progress import ProgressCallback, TrainingStoppedError
    from model_worker.finetune.training.resources import wait_for_answers

    pack = load_pack(options.pack)
    with ProgressBar() as bar:
        training = OwnerTraining(
            pool=pool,
            pack=pack,
            recipe=recipe_of(pack),
            folder=folder,
            seed=options.seed,
            progress=ProgressCallback(on_step_end=bar.show, on_step_begin=wait_for_answers),
        )
        try:
            report = await train_owner(training, options.owner)
        except (TooLittleDataError, TrainingStoppedError, DataWithdrawnError) as problem:
            sys.stderr.write(f"{_words_for(problem)}\n")
            return NOTHING_DONE
        except TrainingBrokenError as problem:
            sys.stderr.write(f"The training failed: {problem}.\n")
            return 1
    sys.stdout.write("\n".join(table(report)) + "\n")
    return 0


def _base(options: argparse.Namespace) -> int:
    from model_worker.api.recipes import load_recipe
    from model_worker.finetune.jobs.base import train_base
    from model_worker.finetune.training.progress import ProgressCallback

    try:
        recipe = load_recipe(options.recipe)
        with ProgressBar() as bar:
            result = train_base(
                options.data,
                options.pictures or options.data.parent,
                options.out or Path(f"{recipe.name}-adapter"),
                recipe=recipe,
                pack=load_pack(options.pack or recipe.pack),
                seed=options.seed,
                progress=ProgressCallback(on_step_end=bar.show),
            )
    except (PackError, ValueError, OSError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 0


async def _work(pool: asyncpg.Pool, options: argparse.Namespace) -> int:
    from model_worker.api.recipes import recipe_of
    from model_worker.finetune.jobs.trainer import Trainer, work

    url = _app_url()
    if url is None:
        sys.stderr.write("A trainer needs the database's address: set DATABASE_URL, or KEEPSAKE_APP_DATABASE_URL.\n")
        return 1
    command = (sys.executable, "-m", "model_worker.cli", "finetune", "owner", "--pack", options.pack)
    trainer = Trainer(
        app_url=url,
        pool=pool,
        recipe=recipe_of(load_pack(options.pack)),
        folder=WorkerSettings.read().home / "finetune",
        command=command,
    )
    await work(trainer, with_parent=options.with_parent)
    return 0


async def _history(pool: asyncpg.Pool, options: argparse.Namespace) -> int:
    async with viewing(pool, viewer_of(options.owner)) as connection:
        entries = await adapters.history(connection, options.owner)
        run = await training.latest_run(connection, options.owner)
    for promotion in entries:
        mark = "*" if promotion.is_in_use else " "
        version = (promotion.adapter_id or "the base model")[:16]
        sys.stdout.write(f"{mark} {promotion.at:%Y-%m-%d %H:%M} {version:16} {promotion.why}\n")
    if run is not None:
        sys.stdout.write(f"last run: {run.state} {run.started_at:%Y-%m-%d %H:%M} {run.problem}\n")
    return 0


async def _roll_back(pool: asyncpg.Pool, options: argparse.Namespace) -> int:
    async with viewing(pool, viewer_of(options.owner)) as connection:
        before = await adapters.roll_back(connection, options.owner, BY_HAND)
    sys.stdout.write(f"{'The base model' if before is None else before[:16]} answers again.\n")
    return 0


async def _disable(pool: asyncpg.Pool, options: argparse.Namespace) -> int:
    async with viewing(pool, viewer_of(options.owner)) as connection:
        await adapters.disable(connection, options.owner, BY_HAND)
    sys.stdout.write("The base model answers from now on.\n")
    return 0
