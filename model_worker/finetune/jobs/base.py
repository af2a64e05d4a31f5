"""Base personalization, the paper's own training (arXiv 2410.13360, section 3.4): a large data set, no owner.

On several GPUs it is started by `accelerate launch`: all processes read the data, the first one writes.
"""

from __future__ import annotations

import hashlib
import logging
import math
from pathlib import Path

from accelerate import PartialState

from model_worker.api.packs import Pack
from model_worker.api.recipes import Recipe
from model_worker.api.settings import set_for_library
from model_worker.finetune.data.rap_format import RapData, SampleError, read_samples
from model_worker.finetune.jobs.adapter_training import TrainingJob, train_adapter
from model_worker.finetune.training.loading import load_trainable
from model_worker.finetune.training.progress import NO_PROGRESS, ProgressCallback
from model_worker.finetune.training.train import Trained
from model_worker.generation.adapters.file import write_adapter
from model_worker.perception.embedders import device

log = logging.getLogger("keepsake.trainer")

ADAPTER, CHECKPOINTS = "adapter.safetensors", "checkpoint"


def train_base(
    data: Path,
    pictures: Path,
    out: Path,
    *,
    recipe: Recipe,
    pack: Pack,
    seed: int,
    progress: ProgressCallback = NO_PROGRESS,
) -> dict[str, float]:
    """Train a pack's writer on a data file (`model_worker.finetune.data.rap_format`), to ``out/adapter.safetensors``.

    Called again in the same way it goes on from its last checkpoint. Returns numbers: of the file's samples and of
    those to train on, of what wasn't used, and of the training.

    Raises PackError, SampleError when there is nothing to train on, and what `train_adapter` raises.
    """
    # Each process looks at pictures itself, with whole weights: FSDP would give them to the first one only.
    set_for_library("FSDP_CPU_RAM_EFFICIENT_LOADING", "false")
    process = PartialState(cpu=device() == "cpu")  # before anything is loaded: it says onto which GPU
    rap = read_samples(data, pictures, recipe.max_concepts)
    _log_unusable(rap)
    if not rap.samples:
        raise SampleError(" ".join([f"{data} has nothing to train on.", *rap.problems[:1]]))
    job = TrainingJob(
        trainable=load_trainable(pack),
        pack=pack.name,
        recipe=recipe,
        seed=seed,
        samples=rap.samples,
        data_hash=_digest(data),
        checkpoints=out / CHECKPOINTS,
        progress=progress,
    )
    adapter = train_adapter(job)
    numbers = _numbers(rap, adapter.trained)
    if process.is_main_process:
        _write(out / ADAPTER, write_adapter(adapter.with_metrics(numbers)))
    process.wait_for_everyone()  # else the launcher could end the first one while it writes
    return numbers


def _log_unusable(rap: RapData) -> None:
    for problem in rap.problems:
        log.warning("%s", problem)
    if rap.broken or rap.crowded:
        log.warning("Of %s samples %s can't be used, and %s have too many concepts", rap.count, rap.broken, rap.crowded)


def _numbers(rap: RapData, trained: Trained) -> dict[str, float]:
    numbers: dict[str, float] = {
        "samples": rap.count,
        "broken": rap.broken,
        "crowded": rap.crowded,
        "training_samples": len(rap.samples),
        "left_out": trained.left_out,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
    }
    return numbers if math.isinf(trained.loss) else {**numbers, "loss": round(trained.loss, 4)}


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write(file: Path, content: bytes) -> None:
    """Write a file so that it is there whole, or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.write_bytes(content)
    draft.replace(file)
