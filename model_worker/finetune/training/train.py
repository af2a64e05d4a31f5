"""The training loop: LoRA on samples, with accelerate for device and precision; resumable, and stopped early.

The same loop trains an owner's adapter on two cores and the base personalization on several GPUs: it is started by
`accelerate launch` there, with FSDP (version 2) where one GPU holds the model but not its training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast, gather_object

from model_worker.api.recipes import Recipe
from model_worker.finetune.data.samples import TrainingSample
from model_worker.finetune.training.batches import Batches
from model_worker.finetune.training.progress import NO_PROGRESS, ProgressCallback
from model_worker.finetune.training.saved_state import Checkpoint, TrainingState, load_checkpoint, save_checkpoint
from model_worker.finetune.training.trainable import Trainable, loss_of

NAME = "new"
"""Of the adapter in training."""
CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 30.0, 0.05
"""Between two checkpoints; and the share of the time that writing them may take: those of a large model take longer."""
MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The weights of an adapter, by peft's names, and how they came about.

    ``loss`` is that of validation (nats a token), infinite where there was none. ``left_out`` samples didn't fit the
    context, or had pictures that couldn't be opened.
    """

    weights: dict[str, torch.Tensor]
    steps: int
    seconds: float
    loss: float
    left_out: int = 0


def train(
    trainable: Trainable,
    samples: Sequence[TrainingSample],
    recipe: Recipe,
    seed: int,
    checkpoint: Path | None = None,
    progress: ProgressCallback = NO_PROGRESS,
) -> Trained:
    """Train a new LoRA adapter (arXiv 2106.09685) of a trainable's model, which is left without it.

    ``checkpoint`` is a folder: whatever stops the training, it goes on from there when it is called the same way again.
    Samples that can't be trained on are left out (`batches.Batches`).

    Raises TrainingStoppedError, and ValueError when there is nothing to train on.
    """
    if not samples:
        raise ValueError("There is nothing to train on.")
    torch.manual_seed(seed)
    batches = Batches(trainable, samples, recipe, seed)
    model = trainable.adapters.new(NAME, recipe.rank, recipe.alpha, recipe.dropout)
    try:
        return _Loop(trainable, model, batches, recipe, checkpoint, progress).run()
    finally:
        trainable.adapters.remove(NAME)


class _Loop:
    """One call of `train`: ``model`` is the trainable's, as peft has it, with the new adapter to be trained."""

    def __init__(
        self,
        trainable: Trainable,
        model: Any,
        batches: Batches,
        recipe: Recipe,
        checkpoint: Path | None,
        progress: ProgressCallback,
    ) -> None:
        self._batches, self._recipe, self._folder, self._callback = batches, recipe, checkpoint, progress
        self._accelerator = _accelerator_for(trainable.model, recipe)
        if recipe.checkpointing:
            # Layers are computed again on the way back. What comes out of the embeddings, which don't learn, has to ask
            # for gradients itself: otherwise torch may see nothing to compute them for.
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        processes = self._accelerator.num_processes
        self.steps: int = max(1, recipe.epochs * batches.per_epoch // (recipe.accumulate * processes))
        self._state = TrainingState()
        self._best_weights: dict[str, torch.Tensor] = {}
        self._prepare(model)
        self._next_save = self._state.seconds + CHECKPOINT_SECONDS

    def _prepare(self, model: Any) -> None:
        """Take up the last checkpoint, and hand model and optimizer to accelerate. The order matters.

        The checkpoint's weights go in first: FSDP shards the parameters, and whole weights don't fit shards. The
        optimizer is made before `prepare`, which replaces its parameters by the sharded ones. The schedule isn't
        handed over: accelerate would step it once for each process.
        """
        moments = self._resume(model)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, self._recipe.learning_rate, weight_decay=0.0)
        for group in optimizer.param_groups:
            group["initial_lr"] = group[
                "lr"
            ]  # torch wants it said where a schedule begins later than at its first step
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, self._learning_rate_share, last_epoch=self._state.step - 1
        )
        self._model, self._optimizer = self._accelerator.prepare(model, optimizer)
        if moments and self._accelerator.num_processes == 1:  # several have a part each: they begin with fresh ones
            self._optimizer.load_state_dict(moments)

    def _resume(self, model: Any) -> dict[str, Any]:
        """Take weights and state from the last checkpoint, if there is one; returns the optimizer's moments."""
        from peft import set_peft_model_state_dict

        checkpoint = None if self._folder is None else load_checkpoint(self._folder)
        if checkpoint is None:
            return {}
        set_peft_model_state_dict(model, checkpoint.weights, adapter_name=NAME)
        self._state, self._best_weights = checkpoint.state, checkpoint.best_weights
        return checkpoint.optimizer

    def run(self) -> Trained:
        """Train until it is done, time is up, or it gets no better."""
        started = time.monotonic() - self._state.seconds
        self._model.train(True)
        while self._state.step < self.steps and self._state.seconds < self._recipe.max_seconds:
            self._callback.on_step_begin()
            self._step()
            self._state.step += 1
            self._state.seconds = self._from_main_process(time.monotonic() - started)
            self._callback.on_step_end("training", self._state.step, self.steps)
            if self._state.step % self._recipe.check_every == 0 and self._validate():
                break
            self._save_now_and_then()
        self._validate()
        weights = self._weights() if math.isinf(self._state.best_loss) else self._best_weights
        return Trained(
            weights=weights,
            steps=self._state.step,
            seconds=self._state.seconds,
            loss=self._state.best_loss,
            left_out=len(set(gather_object(sorted(self._batches.left_out)))),
        )

    def _step(self) -> None:
        """Take one step of the optimizer: ``accumulate`` batches in each process, no batch in two of them."""
        processes, rank = self._accelerator.num_processes, self._accelerator.process_index
        for turn in range(self._recipe.accumulate):
            number = (self._state.step * self._recipe.accumulate + turn) * processes + rank
            batch = self._batches.training_batch(number)
            with self._accelerator.accumulate(self._model):
                self._accelerator.backward(loss_of(self._model, batch, self._accelerator.device))
                if self._accelerator.sync_gradients:
                    self._accelerator.clip_grad_norm_(self._model.parameters(), MAX_GRADIENT_NORM)
                self._optimizer.step()
                self._optimizer.zero_grad()
        self._schedule.step()

    def _learning_rate_share(self, step: int) -> float:
        """Return the learning rate as a share of its highest: up in a line, down as a cosine."""
        warm_up = max(1, round(self._recipe.warm_up * self.steps))
        if step < warm_up:
            return (step + 1) / warm_up
        done = min(1.0, (step - warm_up) / max(1, self.steps - warm_up))
        return float(0.5 * (1 + math.cos(math.pi * done)))

    @torch.no_grad()  # not inference_mode: pictures encoded in it are kept, and couldn't be learned from afterwards
    def _validate(self) -> bool:
        """Measure the loss of what was kept back, and keep the weights if they are the best so far.

        Returns whether it has not become better for as long as the recipe's patience.
        """
        self._model.train(False)
        losses = [
            float(loss_of(self._model, batch, self._accelerator.device)) for batch in self._batches.validation_batches()
        ]
        self._model.train(True)
        if not losses:
            return False
        loss = self._mean_over_processes(sum(losses) / len(losses))
        if loss < self._state.best_loss:
            self._state.best_loss, self._state.checks_without_better = loss, 0
            self._best_weights = self._weights()
        else:
            self._state.checks_without_better += 1
        return self._state.checks_without_better >= self._recipe.patience

    def _weights(self) -> dict[str, torch.Tensor]:
        """Return the adapter's weights, whole, in the processor's memory. All processes have to ask for them."""
        from peft import get_peft_model_state_dict

        model = self._accelerator.unwrap_model(self._model)
        whole = self._accelerator.get_state_dict(self._model)
        found = get_peft_model_state_dict(model, state_dict=whole, adapter_name=NAME)
        return {name: item.detach().cpu().clone() for name, item in found.items()}

    def _save_now_and_then(self) -> None:
        """Save a checkpoint when it is time; the first process writes, but all have to gather the weights."""
        if self._folder is None or self._state.seconds < self._next_save:
            return
        started = time.monotonic()
        weights = self._weights()
        if self._accelerator.is_main_process:
            checkpoint = Checkpoint(
                state=self._state,
                weights=weights,
                best_weights=self._best_weights,
                optimizer=self._optimizer.state_dict(),
            )
            save_checkpoint(self._folder, checkpoint)
        took = self._from_main_process(time.monotonic() - started)
        self._next_save = self._state.seconds + max(CHECKPOINT_SECONDS, took / CHECKPOINT_SHARE)

    def _from_main_process(self, value: float) -> float:
        """Return what the first process says: where several decide by the clock, they have to decide the same.

        If one stopped while another went on, that one would wait for the gradients of the first for ever.
        """
        return float(broadcast(torch.tensor(value, dtype=torch.float32, device=self._accelerator.device)))

    def _mean_over_processes(self, value: float) -> float:
        number = torch.tensor(value, dtype=torch.float32, device=self._accelerator.device)
        return float(self._accelerator.reduce(number, "mean"))


def _accelerator_for(model: Any, recipe: Recipe) -> Accelerator:
    accelerator = Accelerator(
        gradient_accumulation_steps=recipe.accumulate,
        mixed_precision="bf16" if torch.cuda.is_available() else "no",
        cpu=not torch.cuda.is_available() and not torch.backends.mps.is_available(),
    )
    if accelerator.distributed_type is DistributedType.FSDP:
        accelerator.state.fsdp_plugin.ignored_modules = _beside_language_model(model)
    return accelerator


def _beside_language_model(model: Any) -> list[torch.nn.Module]:
    """Return the parts of a model beside its language model: FSDP leaves them whole.

    It puts what it took apart together for its own passes only, and pictures are encoded outside of these.
    """
    return _modules_without(model, {model.get_decoder(), model.get_output_embeddings()})


def _modules_without(module: torch.nn.Module, excluded: set[torch.nn.Module]) -> list[torch.nn.Module]:
    """Return the largest parts of a module that have none of the excluded modules in them."""
    if module in excluded:
        return []
    if excluded.isdisjoint(module.modules()):
        return [module]
    return [found for child in module.children() for found in _modules_without(child, excluded)]
