"""Whether a new adapter is put to use: only when it is better for its owner, and no worse in general."""

from __future__ import annotations

from dataclasses import dataclass

from model_worker.api.recipes import Recipe
from model_worker.finetune.judging.evaluation import ModelMetrics


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an adapter passes, and why, in a sentence."""

    passes: bool
    why: str


def judge(*, candidate: ModelMetrics, in_use: ModelMetrics, base: ModelMetrics, recipe: Recipe) -> Verdict:
    """Compare a candidate with what answers now, and with the base model's loss in general.

    The general loss is compared with the base's, not with that of what answers now: small losses may not add up.
    """
    gain = candidate.score - in_use.score
    allowed = base.general_loss * (1 + recipe.general_tolerance)
    numbers = f"{in_use.score:.3f} to {candidate.score:.3f}"
    if gain < recipe.margin:
        return Verdict(False, f"not better by {recipe.margin:.2f} on what was held out: {numbers}")
    if candidate.general_loss > allowed:
        return Verdict(
            False, f"worse in general: a loss of {candidate.general_loss:.3f}, at most {allowed:.3f} is allowed"
        )
    return Verdict(True, f"better on what was held out: {numbers}")
