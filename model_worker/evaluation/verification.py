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
from model_worker.evaluation.identification import EmptyFolderError, Guess, Query, ask_about
from model_worker.generation.pair import ImagePair
from model_worker.perception.windows import cropped
from model_worker.server.models import MultimodalModel, PerceptionModel

Numbers = NDArray[np.float64]

BY_DEFAULT = Verification(uncertain=(0.2, 0.8), accept=0.5)
"""What is measured where a pack doesn't say when it verifies."""
BATCH = 8


@dataclass(frozen=True, slots=True)
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

    Raises EmptyFolderError where the writer can't look.
    """
    if not isinstance(writer, MultimodalModel):
        raise EmptyFolderError("This pack's writer doesn't look at pictures: it can't verify.")
    by = verification or BY_DEFAULT
    asked = ask_about(perceiver, folder)
    guesses = [(query, query.best) for query in asked] + [(query, query.as_stranger) for query in asked]
    is_right = np.array([query.best.name == query.thing for query in asked] + [False] * len(asked))
    calibration = perceiver.calibration
    probability = np.array([match_probability(guess.similarity, calibration) for _, guess in guesses])
    unsure = np.flatnonzero((probability >= by.lowest) & (probability < by.highest))
    said = _said(writer, [guesses[index] for index in unsure])
    without = probability >= calibration.threshold
    confirmed = without.copy()
    confirmed[unsure] = said >= by.accept
    known = np.arange(len(guesses)) < len(asked)
    right, wrong = said[is_right[unsure]], said[~is_right[unsure]]
    both = len(right) > 0 and len(wrong) > 0
    return VerificationScores(
        guesses=len(guesses),
        unsure=len(unsure),
        accepted_without=_share(without[known & is_right]),
        accepted_with=_share(confirmed[known & is_right]),
        rejected_without=_share(~without[~known]),
        rejected_with=_share(~confirmed[~known]),
        auroc=_share(right[:, None] > wrong[None, :]) if both else None,
        balanced_accuracy=(_share(right >= by.accept) + _share(wrong < by.accept)) / 2 if both else None,
    )


def _said(writer: MultimodalModel, guesses: Sequence[tuple[Query, Guess]]) -> Numbers:
    pairs = [_pair(asked, guess) for asked, guess in guesses]
    batches = [writer.verify(pairs[start : start + BATCH]) for start in range(0, len(pairs), BATCH)]
    return np.array([value for batch in batches for value in batch], dtype=np.float64)


def _pair(asked: Query, guess: Guess) -> ImagePair:
    reference = asked.known[guess.name]
    return ImagePair(
        cropped(asked.photo.picture, guess.box), cropped(reference.picture, reference.reference.box), guess.name
    )


def _share(of: NDArray[np.bool_]) -> float:
    return round(float(of.mean()), 4) if of.size else 0.0
