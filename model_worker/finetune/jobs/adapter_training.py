"""One adapter, from samples to weights, compared with what it would replace: what every training goes through.

An owner's training (`owner`), the base personalization (`base`) and `keepsake-worker evaluate learning` differ in where
their samples come from and in what becomes of the adapter; in between is `train_adapter`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model_worker.api.recipes import Recipe
from model_worker.finetune.data.dataset import dataset_of
from model_worker.finetune.data.material import TrainingConcept
from model_worker.finetune.data.replay import replay_samples
from model_worker.finetune.data.samples import Dataset, TrainingSample
from model_worker.finetune.judging.evaluation import ModelMetrics, evaluate_model
from model_worker.finetune.training.checkpoints import run_folder
from model_worker.finetune.training.progress import NO_PROGRESS, ProgressCallback
from model_worker.finetune.training.train import Trained, train
from model_worker.finetune.training.trainable import Trainable
from model_worker.generation.adapters.errors import AdapterError
from model_worker.generation.adapters.file import AdapterFile, Manifest, adapter_id, write_adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What an adapter is trained on, and how.

    ``data_hash`` is a SHA-256 of what the samples were made of. ``checkpoints`` is a folder; without one nothing is
    kept to go on from.
    """

    trainable: Trainable
    pack: str
    recipe: Recipe
    seed: int
    samples: Sequence[TrainingSample]
    data_hash: str = ""
    checkpoints: Path | None = None
    progress: ProgressCallback = NO_PROGRESS

    @property
    def checkpoint(self) -> Path | None:
        """The folder of this job's own checkpoints."""
        if self.checkpoints is None:
            return None
        return run_folder(
            self.checkpoints,
            base=self.trainable.adapters.base,
            data_hash=self.data_hash,
            recipe=self.recipe,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Personalization:
    """A job that personalizes a model to concepts, and what the result is evaluated on.

    The job's samples are those of the dataset to train on, and plain ones against forgetting.
    """

    job: TrainingJob
    dataset: Dataset
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedAdapter:
    """A new adapter: its weights with how they came about, and its manifest without metrics."""

    trained: Trained
    manifest: Manifest

    def with_metrics(self, metrics: Mapping[str, float]) -> AdapterFile:
        """Return it as a file's content, with metrics (shares and losses by name) in its manifest."""
        return AdapterFile(replace(self.manifest, metrics=metrics), self.trained.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How good the base model is, what answers now (None: the base), and the new adapter."""

    base: ModelMetrics
    in_use: ModelMetrics | None
    candidate: ModelMetrics


def personalization_of(
    trainable: Trainable,
    concepts: Sequence[TrainingConcept],
    *,
    pack: str,
    recipe: Recipe,
    seed: int,
    data_hash: str = "",
    checkpoints: Path | None = None,
    progress: ProgressCallback = NO_PROGRESS,
) -> Personalization:
    """Build the samples of concepts as a job; the base model answers the plain ones, which takes seconds."""
    dataset = dataset_of(
        concepts,
        sees_pictures=trainable.sees_pictures,
        rounds=recipe.rounds,
        max_concepts=recipe.max_concepts,
        seed=seed,
    )
    plain = replay_samples(trainable, share=recipe.general_share, beside=len(dataset.training), seed=seed)
    job = TrainingJob(
        trainable=trainable,
        pack=pack,
        recipe=recipe,
        seed=seed,
        samples=[*dataset.training, *plain],
        data_hash=data_hash,
        checkpoints=checkpoints,
        progress=progress,
    )
    return Personalization(job=job, dataset=dataset, names=tuple(concept.name for concept in concepts))


def train_adapter(job: TrainingJob) -> TrainedAdapter:
    """Train an adapter: blocking, minutes to days. The trainable's model is left as it was.

    Called again in the same way it goes on from its last checkpoint. Raises TrainingStoppedError, and ValueError when
    there is nothing to train on.
    """
    recipe, adapters = job.recipe, job.trainable.adapters
    trained = train(job.trainable, job.samples, recipe, job.seed, job.checkpoint, job.progress)
    manifest = Manifest(
        base=adapters.base,
        data=job.data_hash,
        recipe=recipe.name,
        pack=job.pack,
        rank=recipe.rank,
        alpha=recipe.alpha,
        modules=adapters.modules,
        metrics={},
    )
    return TrainedAdapter(trained=trained, manifest=manifest)


def compare(
    personalization: Personalization, adapter: TrainedAdapter, in_use: tuple[str, bytes] | None = None
) -> Comparison:
    """Evaluate the base model, the adapter in use (its id and its file), and the new one: blocking, minutes.

    The new one is evaluated as it will be in use: from a file, in that file's precision. Each is held by the model only
    when its turn comes: what is held is limited in bytes. Raises TrainingStoppedError.
    """
    base = _evaluate(personalization, None)
    now = None
    if in_use is not None and _hold(personalization.job.trainable, *in_use):
        now = _evaluate(personalization, in_use[0])
    draft = write_adapter(adapter.with_metrics({}))
    personalization.job.trainable.adapters.take(adapter_id(draft), draft)
    return Comparison(base=base, in_use=now, candidate=_evaluate(personalization, adapter_id(draft)))


def _hold(trainable: Trainable, name: str, data: bytes) -> bool:
    """Hold the adapter in use; False when it is another model's: then the base answers now."""
    try:
        trainable.adapters.take(name, data)
    except AdapterError:
        return False
    return True


def _evaluate(personalization: Personalization, adapter: str | None) -> ModelMetrics:
    job = personalization.job
    samples = personalization.dataset.evaluation
    return evaluate_model(job.trainable, samples, personalization.names, adapter, job.progress)
