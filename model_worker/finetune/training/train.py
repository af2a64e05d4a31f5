"""The training loop: LoRA on lessons, with accelerate for device and precision; resumable, and stopped early.

The same loop trains an owner's adapter on two cores and the base personalization on several GPUs: it is started by
`accelerate launch` there, with FSDP (version 2) where one GPU holds the model but not its training.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast, gather_object
from safetensors.torch import load_file, save_file

from model_worker.api.recipes import Recipe
from model_worker.finetune.data.samples import TrainingSample
from model_worker.finetune.training.progress import UNWATCHED, ProgressCallback
from model_worker.finetune.training.trainable import Batch, Trainable, encoded, loss_of

log = logging.getLogger("keepsake.trainer")

NAME = "new"
"""Of the adapter in training."""
KEPT_BACK = 0.08
"""The share of lessons whose loss decides when to stop."""
MAX_KEPT_BACK = 256
"""Lessons: of a large data set no more are needed to tell."""
CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 30.0, 0.05
"""Between two checkpoints; and the share of the time that writing them may take: those of a large model take longer."""
MAX_NAMED = 10
"""Lessons that are left out and named in the log; the rest are only counted."""


@dataclass(slots=True)
class Progress:
    """How far a training is: what a checkpoint holds beside the weights."""

    step: int = 0
    best_loss: float = math.inf
    checks_without_better: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Trained:
    """The weights of an adapter, by peft's names, and how they came about.

    ``left_out`` lessons didn't fit the context, or had pictures that couldn't be opened.
    """

    weights: dict[str, torch.Tensor]
    steps: int
    seconds: float
    loss: float
    left_out: int = 0


def train(
    student: Trainable,
    lessons: Sequence[TrainingSample],
    recipe: Recipe,
    seed: int,
    checkpoint: Path | None = None,
    watch: ProgressCallback = UNWATCHED,
) -> Trained:
    """Train a new adapter of a student's model, which is left without it.

    ``checkpoint`` is a folder: whatever stops the training, it goes on from there when it is called the same way again.

    A lesson is encoded when its batch is made, so there may be more of them than fit into memory with their pictures;
    one that doesn't fit the model's context, or whose pictures can't be opened, is left out then.

    Raises Stopped, and ValueError when there is nothing to train on.
    """
    if not lessons:
        raise ValueError("There is nothing to train on.")
    torch.manual_seed(seed)
    model = student.adapters.new(NAME, recipe.rank, recipe.alpha, recipe.dropout)
    try:
        return _Training(student, model, lessons, recipe, seed, checkpoint, watch).run()
    finally:
        student.adapters.remove(NAME)


class _Training:
    """One call of `train`."""

    def __init__(
        self,
        student: Trainable,
        model: Any,
        lessons: Sequence[TrainingSample],
        recipe: Recipe,
        seed: int,
        checkpoint: Path | None,
        watch: ProgressCallback,
    ) -> None:
        self._lessons = list(lessons)
        random.Random(seed).shuffle(self._lessons)
        share = min(MAX_KEPT_BACK, round(KEPT_BACK * len(self._lessons)))
        self._kept_back = max(recipe.batch, share) if len(self._lessons) > 4 * recipe.batch else 0
        self._student, self._recipe, self._seed, self._watch = student, recipe, seed, watch
        self._folder = checkpoint
        self._accelerator = Accelerator(
            gradient_accumulation_steps=recipe.accumulate,
            mixed_precision="bf16" if torch.cuda.is_available() else "no",
            cpu=not torch.cuda.is_available() and not torch.backends.mps.is_available(),
        )
        if self._accelerator.distributed_type is DistributedType.FSDP:
            self._accelerator.state.fsdp_plugin.ignored_modules = _that_see(student.model)
        if recipe.checkpointing:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, recipe.learning_rate, weight_decay=0.0)
        self._batches = math.ceil((len(self._lessons) - self._kept_back) / recipe.batch)
        self.steps: int = max(1, recipe.epochs * self._batches // (recipe.accumulate * self._accelerator.num_processes))
        self._schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)  # accelerate's steps for each process
        self._progress = Progress()
        self._best: dict[str, torch.Tensor] = {}
        moments = self._resumed(model)  # before FSDP takes it apart
        self._model, self._optimizer = self._accelerator.prepare(model, optimizer)
        if moments and self._accelerator.num_processes == 1:  # several have a part each: they begin with fresh ones
            self._optimizer.load_state_dict(moments)
        for _ in range(self._progress.step):
            self._schedule.step()
        self._saves_at = self._progress.seconds + CHECKPOINT_SECONDS
        self._left_out: set[int] = set()

    def run(self) -> Trained:
        """Train until it is done, time is up, or it gets no better."""
        started = time.monotonic() - self._progress.seconds
        self._model.train(True)
        while self._progress.step < self.steps and self._progress.seconds < self._recipe.max_seconds:
            self._watch.wait()
            self._step()
            self._progress.step += 1
            self._progress.seconds = self._of_the_first(time.monotonic() - started)
            self._watch.note("training", self._progress.step, self.steps)
            if self._kept_back and self._progress.step % self._recipe.check_every == 0 and self._has_stopped_learning():
                break
            self._save_now_and_then()
        self._has_stopped_learning()
        weights = self._weights() if math.isinf(self._progress.best_loss) else self._best
        left_out = len(set(gather_object(sorted(self._left_out))))
        return Trained(weights, self._progress.step, self._progress.seconds, self._progress.best_loss, left_out)

    def _of_the_first(self, value: float) -> float:
        """Return what the first process says: where several decide, they have to decide the same."""
        return float(broadcast(torch.tensor(value, dtype=torch.float32, device=self._accelerator.device)))

    def _mean(self, value: float) -> float:
        """Return the mean over all processes."""
        number = torch.tensor(value, dtype=torch.float32, device=self._accelerator.device)
        return float(self._accelerator.reduce(number, "mean"))

    def _rate(self, step: int) -> float:
        """Return the learning rate as a share of its highest: up in a line, down as a cosine."""
        warm = max(1, round(self._recipe.warm_up * self.steps))
        if step < warm:
            return (step + 1) / warm
        done = min(1.0, (step - warm) / max(1, self.steps - warm))
        return float(0.5 * (1 + math.cos(math.pi * done)))

    def _step(self) -> None:
        processes, rank = self._accelerator.num_processes, self._accelerator.process_index
        for turn in range(self._recipe.accumulate):
            number = (self._progress.step * self._recipe.accumulate + turn) * processes + rank
            batch = self._batch(number)
            with self._accelerator.accumulate(self._model):
                loss = loss_of(self._model, batch, self._accelerator.device)
                self._accelerator.backward(loss)
                if self._accelerator.sync_gradients:
                    self._accelerator.clip_grad_norm_(self._model.parameters(), 1.0)
                self._optimizer.step()
                self._optimizer.zero_grad()
        self._schedule.step()

    def _batch(self, number: int) -> Batch:
        """Return a batch by its number, or, where none of it fits, one after it: each process has to have one.

        Each epoch has an order of its own, the same whenever it is asked for. Raises ValueError when nothing fits.
        """
        epoch, place = divmod(number, self._batches)
        order = _order(self._kept_back, len(self._lessons), f"{self._seed} {epoch}")
        for turn in range(self._batches):
            start = (place + turn) % self._batches * self._recipe.batch
            batch = self._fitting(order[start : start + self._recipe.batch])
            if batch is not None:
                return batch
        raise ValueError("None of the lessons fits the model's context.")

    def _fitting(self, places: Sequence[int]) -> Batch | None:
        """Return those of a few lessons that fit as a batch; None when none does."""
        try:
            batch = encoded(self._student, [self._lessons[place] for place in places])
            if batch.inputs["input_ids"].shape[1] <= self._recipe.longest:
                return batch
            why = f"it takes more than {self._recipe.longest} tokens"
        except ValueError as error:
            why = str(error)
        if len(places) == 1:
            self._leave_out(places[0], why)
            return None
        fitting = [place for place in places if self._fitting([place]) is not None]
        return encoded(self._student, [self._lessons[number] for number in fitting]) if fitting else None

    def _leave_out(self, place: int, why: str) -> None:
        if place not in self._left_out and len(self._left_out) < MAX_NAMED:
            log.warning("Left out: “%.60s”: %s", self._lessons[place].asked.request.question, why)
        self._left_out.add(place)

    @torch.no_grad()  # inference_mode's pictures, kept encoded, couldn't be learned from
    def _has_stopped_learning(self) -> bool:
        """Measure the loss of what was kept back, and keep the weights if they are the best so far."""
        self._model.train(False)
        losses = [
            float(loss_of(self._model, batch, self._accelerator.device))
            for some in _in_batches(range(self._kept_back), self._recipe.batch)
            if (batch := self._fitting(some)) is not None
        ]
        self._model.train(True)
        if not losses:
            return False
        loss = self._mean(sum(losses) / len(losses))
        if loss < self._progress.best_loss:
            self._progress.best_loss, self._progress.checks_without_better = loss, 0
            self._best = self._weights()
        else:
            self._progress.checks_without_better += 1
        return self._progress.checks_without_better >= self._recipe.patience

    def _weights(self) -> dict[str, torch.Tensor]:
        from peft import get_peft_model_state_dict

        model = self._accelerator.unwrap_model(self._model)
        whole = self._accelerator.get_state_dict(self._model)
        found = get_peft_model_state_dict(model, state_dict=whole, adapter_name=NAME)
        return {name: item.detach().cpu().clone() for name, item in found.items()}

    def _save_now_and_then(self) -> None:
        if self._folder is None or self._progress.seconds < self._saves_at:
            return
        started = time.monotonic()
        weights = self._weights()
        if self._accelerator.is_main_process:
            save_checkpoint(self._folder, self._progress, weights, self._best, self._optimizer.state_dict())
        took = self._of_the_first(time.monotonic() - started)
        self._saves_at = self._progress.seconds + max(CHECKPOINT_SECONDS, took / CHECKPOINT_SHARE)

    def _resumed(self, model: Any) -> dict[str, Any]:
        """Take weights and progress from the last checkpoint, if there is one; returns the optimizer's state."""
        if self._folder is None or not (self._folder / "progress.pt").is_file():
            return {}
        from peft import set_peft_model_state_dict

        saved = torch.load(self._folder / "progress.pt", weights_only=True)
        set_peft_model_state_dict(model, load_file(self._folder / saved["weights"]), adapter_name=NAME)
        self._best = load_file(self._folder / saved["best"]) if saved["best"] else {}
        self._progress = Progress(**saved["progress"])
        moments: dict[str, Any] = saved["optimizer"]
        return moments


def save_checkpoint(
    folder: Path,
    progress: Progress,
    weights: dict[str, torch.Tensor],
    best: dict[str, torch.Tensor],
    optimizer: dict[str, Any],
) -> None:
    """Save a checkpoint so that, whenever this is killed, the folder holds the one before or this one, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    old = set(folder.glob("*.safetensors"))
    names = {"weights": f"weights-{progress.step}.safetensors", "best": f"best-{progress.step}.safetensors"}
    save_file(weights, folder / names["weights"])
    if best:
        save_file(best, folder / names["best"])
    draft = folder / "progress.new"
    torch.save(
        {
            "progress": asdict(progress),
            "optimizer": optimizer,
            "weights": names["weights"],
            "best": names["best"] if best else "",
        },
        draft,
    )
    draft.rename(folder / "progress.pt")
    for path in old - {folder / name for name in names.values()}:
        path.unlink()


def _that_see(model: Any) -> list[torch.nn.Module]:
    """Return the parts of a model beside its language model: FSDP leaves them whole.

    It puts what it took apart together for its own passes only, and pictures are encoded outside of these.
    """
    decoder, head = model.get_decoder(), model.get_output_embeddings()

    def beside(module: torch.nn.Module) -> list[torch.nn.Module]:
        if module is decoder or module is head:
            return []
        if decoder not in module.modules():
            return [module]
        return [found for child in module.children() for found in beside(child)]

    return beside(model)


@lru_cache(maxsize=2)
def _order(first: int, end: int, seed: str) -> Sequence[int]:
    order = list(range(first, end))
    random.Random(seed).shuffle(order)
    return order


def _in_batches(places: Sequence[int], size: int) -> list[Sequence[int]]:
    return [places[start : start + size] for start in range(0, len(places), size)]
