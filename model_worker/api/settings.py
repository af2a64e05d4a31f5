"""What the worker and the trainer read of the environment, and what their child processes are given of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from db.setup.settings import EnvironmentSettings, InvalidSettingError, variable

SHORTEST_TOKEN = 16
"""Characters of the worker's secret: fewer can be guessed."""

PASSED_ON = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TERM",
        "TMPDIR",
        "TEMP",
        "TMP",
        "VIRTUAL_ENV",
        "LD_LIBRARY_PATH",
        "SYSTEMROOT",
        "USERPROFILE",
        "APPDATA",
        "LOCALAPPDATA",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "KEEPSAKE_PACK",
        "KEEPSAKE_PACKS",
        "KEEPSAKE_WEIGHTS",
        "KEEPSAKE_HOME",
        "KEEPSAKE_PEOPLE",
        "KEEPSAKE_TRAINING_GPU_GB",
    ]
)
PASSED_ON_FAMILIES = (
    *("LC_", "XDG_", "PYTHON", "CUDA", "NVIDIA", "HF_", "TORCH", "PYTORCH", "SSL_CERT"),
    *("OMP_", "MKL_", "OPENBLAS", "KMP_", "GOMP_", "NUMEXPR_"),
)
"""How the names begin of variables that libraries of models read."""

NEEDED_TO_START = frozenset(
    ["PATH", "LANG", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT", "PYTHONPATH"]
)
FEW_THREADS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
"""A thread's stack and arena count as memory that the process may have, on a machine of many processors most of all."""


def _check_http_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("it has to begin with http:// or https://")
    return url.rstrip("/")


def _check_token(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value()) < SHORTEST_TOKEN:
        raise ValueError(f"it has to have {SHORTEST_TOKEN} characters or more")
    return token


WorkerToken = Annotated[SecretStr, AfterValidator(_check_token)]
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
    worker_token: WorkerToken | None = variable(
        "KEEPSAKE_WORKER_TOKEN",
        without="a new one at each start",
        description="the secret that the worker and who asks it share, 16 characters or more; goes with `WORKER_URL`",
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


def child_environment(changes: Mapping[str, str], also: Iterable[str] = ()) -> dict[str, str]:
    """Return the environment of a child process: what any child needs of this one's, and no secret; then the changes.

    A list of what is passed on, not of what isn't: of a variable that is new tomorrow nobody has to think. ``also``
    names what this child needs besides.
    """
    names = PASSED_ON.union(also)
    passed_on = {
        name: value for name, value in os.environ.items() if name in names or name.startswith(PASSED_ON_FAMILIES)
    }
    return {**passed_on, **changes}


def bare_environment() -> dict[str, str]:
    """Return the environment of a child process that reads what strangers sent: what Python needs, and nothing else.

    Variables of proxies and of the hub may hold passwords.
    """
    passed_on = {name: value for name, value in os.environ.items() if name in NEEDED_TO_START or name.startswith("LC_")}
    return {**passed_on, **FEW_THREADS}


def token_to_serve_with() -> str | None:
    """Return the token that the worker is to ask for, None for a new one.

    Raises InvalidSettingError also when the variable is there without a value: who wrote it meant a secret.
    """
    if os.environ.get("KEEPSAKE_WORKER_TOKEN") == "":
        raise InvalidSettingError("KEEPSAKE_WORKER_TOKEN is empty: give it a value, or leave it out for a new token.")
    token = WorkerSettings.read().worker_token
    return None if token is None else token.get_secret_value()


def set_for_library(name: str, value: str) -> None:
    """Set a variable that a library reads by itself, in this process and in those it starts."""
    os.environ[name] = value
