"""What verification by the writer is worth: `keepsake-worker evaluate verification`.

The questions are those of `evaluate identify`: each picture with its thing in the memory, and as a stranger. Of
each the best guess is taken as recall would (by the pack's threshold), and again after the writer was asked about the
unsure ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db.recall import match_probability
from model_worker.api.packs import Verification
from model_worker.evaluation.identification import EmptyFolderError, Guess, Query, query_folder
from model_worker.generation.pair import ImagePair
from model_worker.perception.windows import cropped
from model_worker.server.models import MultimodalModel, PerceptionModel

Numbers = NDArray[np.float64]

BY_DEFAULT = Verification(uncertain=(0.2, 0.8), accept=0.5)
"""What is measured where a pack doesn't say when it verifies."""
BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationScores:
    """The result: the known that are accepted and the strangers that are rejected, without and with verification.

    ``unsure`` of all guesses were verified; of those, ``auroc`` is how often the writer finds a right one more
    probable than a wrong one, ``balanced_accuracy`` what it gets right (0.5 is chance).
    """

    guesses: int
    unsure: int
    accepted_without: float
    accepted_with: float
    rejected_without: float
    rejected_with: float
    auroc: float | None
    balanced_accuracy: float | None


def evaluate_verification(
    perceiver: PerceptionModel, writer: object, verification: Verification | None, folder: Path
) -> VerificationScores:
    """Evaluate a pack's models on a folder with a folder a thing.

    Raises EmptyFolderError, also where the writer can't look at pictures.
    """
    if not isinstance(writer, MultimodalModel):
        raise EmptyFolderError("This pack's writer doesn't look at pictures: it can't verify.")
    by = verification or BY_DEFAULT
    guesses = _guesses(query_folder(perceiver, folder))
    probabilities = np.array([match_probability(guess.similarity, perceiver.calibration) for _, guess in guesses])
    unsure = np.flatnonzero((probabilities >= by.lowest) & (probabilities < by.highest))
    verified = _verified(writer, [guesses[index] for index in unsure])
    accepted = probabilities >= perceiver.calibration.threshold
    accepted_with = accepted.copy()
    accepted_with[unsure] = verified >= by.accept
    is_right = np.array([guess.name == query.thing for query, guess in guesses])
    known = np.arange(len(guesses)) < len(guesses) // 2
    right, wrong = verified[is_right[unsure]], verified[~is_right[unsure]]
    return VerificationScores(
        guesses=len(guesses),
        unsure=len(unsure),
        accepted_without=_share(accepted[known & is_right]),
        accepted_with=_share(accepted_with[known & is_right]),
        rejected_without=_share(~accepted[~known]),
        rejected_with=_share(~accepted_with[~known]),
        auroc=_share(right[:, None] > wrong[None, :]) if right.size and wrong.size else None,
        balanced_accuracy=_balanced_accuracy(right, wrong, by.accept),
    )


def _guesses(queries: Sequence[Query]) -> list[tuple[Query, Guess]]:
    """Return two guesses a question: as it was asked, and then again all of them with the thing a stranger."""
    return [(query, query.best) for query in queries] + [(query, query.as_stranger) for query in queries]


def _verified(writer: MultimodalModel, guesses: Sequence[tuple[Query, Guess]]) -> Numbers:
    """Return how probable the writer finds each guess, 0 to 1."""
    pairs = [_pair(query, guess) for query, guess in guesses]
    batches = [writer.verify(pairs[start : start + BATCH]) for start in range(0, len(pairs), BATCH)]
    return np.array([value for batch in batches for value in batch], dtype=np.float64)


def _pair(query: Query, guess: Guess) -> ImagePair:
    reference = query.known[guess.name]
    return ImagePair(
        region=cropped(query.photo.picture, guess.box),
        reference=cropped(reference.picture, reference.reference.box),
        name=guess.name,
    )


def _balanced_accuracy(right: Numbers, wrong: Numbers, accept: float) -> float | None:
    if not right.size or not wrong.size:
        return None
    return (_share(right >= accept) + _share(wrong < accept)) / 2


def _share(of: NDArray[np.bool_]) -> float:
    return round(float(of.mean()), 4) if of.size else 0.0
