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
from model_worker.finetune.data.rap_format import SampleError, Samples, samples_from
from model_worker.finetune.training.loading import load_trainable
from model_worker.finetune.training.progress import UNWATCHED, ProgressCallback
from model_worker.finetune.training.train import Trained, train
from model_worker.finetune.training.trainable import Trainable
from model_worker.generation.adapters.file import AdapterFile, Manifest, write_adapter
from model_worker.perception.embedders import device

log = logging.getLogger("keepsake.trainer")

ADAPTER, CHECKPOINT = "adapter.safetensors", "checkpoint"


def train_base(
    data: Path, pictures: Path, recipe: Recipe, pack: Pack, out: Path, seed: int, watch: ProgressCallback = UNWATCHED
) -> dict[str, float]:
    """Train a pack's writer on a data file (`model_worker.finetune.rap_format`) and write ``out/adapter.safetensors``.

    Called again in the same way it goes on from its last checkpoint. Returns numbers: of samples and lessons, of those
    that weren't used, and of the training.

    Raises PackError, SampleError when there is nothing to train on, and what `train` raises.
    """
    set_for_library(
        "FSDP_CPU_RAM_EFFICIENT_LOADING", "false"
    )  # each process looks at pictures itself, with whole weights
    process = PartialState(cpu=device() == "cpu")  # before anything is loaded: it says onto which GPU
    samples = _told(samples_from(data, pictures, recipe.max_concepts))
    if not samples.lessons:
        raise SampleError(" ".join([f"{data} has nothing to train on.", *samples.problems[:1]]))
    student, digest = load_trainable(pack), _digest(data)
    checkpoint = out / CHECKPOINT / _name_of_run(student, digest, recipe, seed)
    trained = train(student, samples.lessons, recipe, seed, checkpoint, watch)
    numbers = _numbers(samples, trained)
    if process.is_main_process:
        manifest = Manifest(
            *(student.adapters.base, digest, recipe.name, pack.name, recipe.rank, recipe.alpha),
            *(student.adapters.modules, numbers),
        )
        _write(out / ADAPTER, write_adapter(AdapterFile(manifest, trained.weights)))
    process.wait_for_everyone()
    return numbers


def _told(samples: Samples) -> Samples:
    """Say in the log what can't be used of a data file."""
    for problem in samples.problems:
        log.warning("%s", problem)
    if samples.broken or samples.crowded:
        log.warning(
            "Of %s samples %s can't be used, and %s have too many concepts",
            *(samples.count, samples.broken, samples.crowded),
        )
    return samples


def _numbers(samples: Samples, trained: Trained) -> dict[str, float]:
    numbers: dict[str, float] = {
        "samples": samples.count,
        "broken": samples.broken,
        "crowded": samples.crowded,
        "lessons": len(samples.lessons),
        "left_out": trained.left_out,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
    }
    return numbers if math.isinf(trained.loss) else {**numbers, "loss": round(trained.loss, 4)}


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _name_of_run(student: Trainable, data: str, recipe: Recipe, seed: int) -> str:
    """Return a name for a run's checkpoint, which no other model, data, recipe or seed may go on from."""
    return hashlib.sha256(f"{student.adapters.base} {data} {recipe} {seed}".encode()).hexdigest()[:16]


def _write(file: Path, content: bytes) -> None:
    """Write a file so that it is there whole, or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.write_bytes(content)
    draft.replace(file)
