"""What the worker and the trainer read of the environment, and what their child processes are given of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from db.setup.settings import EnvironmentSettings, variable


def _check_http_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("it has to begin with http:// or https://")
    return url.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(_check_http_url)]


class WorkerSettings(EnvironmentSettings):
    """Which models there are, where their files are, and where the worker answers."""

    pack: str = variable(
        "KEEPSAKE_PACK",
        default="starter",
        without="`starter`",
        description="whose models see and talk (`keepsake-worker packs` lists them)",
    )
    worker_url: HttpUrl | None = variable(
        "WORKER_URL",
        without="the worker process that the bot starts",
        description="where a worker answers; `keepsake-worker serve` runs one elsewhere",
    )
    worker_token: SecretStr | None = variable(
        "KEEPSAKE_WORKER_TOKEN",
        without="a new one at each start",
        description="the secret that the worker and who asks it share; goes with `WORKER_URL`",
    )
    home: Path = variable(
        "KEEPSAKE_HOME",
        default=Path(".keepsake"),
        without="`.keepsake`",
        description="the folder of the embedded database, of logs, and of trainings' checkpoints",
    )
    packs: Path | None = variable(
        "KEEPSAKE_PACKS",
        without="only the packs that come along",
        description="a folder with packs of your own, a TOML file each",
    )
    weights: Path | None = variable(
        "KEEPSAKE_WEIGHTS",
        without="the hub",
        description="a folder with a subfolder `org/name` for each model",
    )
    writer_key: SecretStr | None = variable(
        "KEEPSAKE_WRITER_KEY",
        without="no key",
        description='the API key of the server that writes for a pack with `kind = "served"`',
    )
    training_gpu_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = variable(
        "KEEPSAKE_TRAINING_GPU_GB",
        without="all of a GPU's free memory but 2 GB",
        description="what a training may take of a GPU's memory, in GB",
    )
    cache: Path = variable(
        "XDG_CACHE_HOME",
        default=Path("~/.cache"),
        without="`~/.cache`",
        description="where converted weights are kept, in a folder `keepsake`",
    )


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child process: this one's, changed."""
    return {**os.environ, **changes}


def set_for_library(name: str, value: str) -> None:
    """Set a variable that a library reads by itself, in this process and in those it starts."""
    os.environ[name] = value
