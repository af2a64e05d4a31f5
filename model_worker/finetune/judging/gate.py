"""Whether a new adapter is put to use: only when it is better for its owner, and no worse in general."""

from __future__ import annotations

from model_worker.api.recipes import Recipe
from model_worker.api.training_report import Verdict
from model_worker.finetune.judging.evaluation import ModelMetrics


def judge(*, candidate: ModelMetrics, in_use: ModelMetrics, base: ModelMetrics, recipe: Recipe) -> Verdict:
    """Compare a candidate with what answers now, and with the base model's loss in general.

    The general loss is compared with the base's, not with that of what answers now: small losses may not add up.
    """
    gain = candidate.score - in_use.score
    allowed = base.general_loss * (1 + recipe.general_tolerance)
    numbers = f"{in_use.score:.3f} to {candidate.score:.3f}"
    if gain < recipe.margin:
        why = f"not better by {recipe.margin:.2f} on what was held out: {numbers}"
        return Verdict(passes=False, why=why)
    if candidate.general_loss > allowed:
        why = f"worse in general: a loss of {candidate.general_loss:.3f}, at most {allowed:.3f} is allowed"
        return Verdict(passes=False, why=why)
    return Verdict(passes=True, why=f"better on what was held out: {numbers}")
