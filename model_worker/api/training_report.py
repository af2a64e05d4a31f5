"""What a training came to: written by the trainer, kept with the run, shown to the owner by the bot. Imports no torch.

Everything has a default, and what has another name today is read by its old one, too: so the report of an older trainer
can be read.
"""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

METRICS = ("recognition", "caption_recall", "caption_precision", "answers", "score", "general_loss")
"""What a model is evaluated in: shares from 0 to 1, but for the last one, where less is better."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class ReportedMetrics(_Part):
    """How a model did: shares (0 to 1; None where nothing was asked), and the loss in general (nats a token).

    ``score`` is the mean of recognition, names in captions (F1) and answers.
    """

    recognition: float | None = None
    caption_recall: float | None = None
    caption_precision: float | None = None
    answers: float | None = None
    score: float | None = None
    general_loss: float | None = None

    @property
    def known(self) -> dict[str, float]:
        """The metrics of what was asked, by name."""
        return {name: value for name in METRICS if (value := getattr(self, name)) is not None}


class Verdict(_Part):
    """Whether an adapter is put to use, and why, in a sentence."""

    passes: bool = False
    why: str = ""


class ComparedAnswer(_Part):
    """A question that was held out: what the base model and the new adapter answered, and what was expected."""

    question: str = ""
    before: str = ""
    after: str = ""
    expected: str = Field(default="", validation_alias=AliasChoices("expected", "should"))
    was_right: bool = False
    is_right: bool = False


class TrainingReport(_Part):
    """The metrics of the base model, of what answered before (None: the base), and of the new adapter; the verdict.

    ``samples`` counts those trained on; ``answers`` begins with those that changed between wrong and right.
    """

    pack: str = ""
    recipe: str = ""
    seed: int = 0
    samples: int = Field(default=0, validation_alias=AliasChoices("samples", "lessons"))
    held_out_pictures: int = 0
    steps: int = 0
    seconds: float = 0.0
    base: ReportedMetrics = ReportedMetrics()
    in_use: ReportedMetrics | None = None
    candidate: ReportedMetrics = ReportedMetrics()
    verdict: Verdict = Verdict()
    answers: tuple[ComparedAnswer, ...] = ()

    @property
    def before(self) -> ReportedMetrics:
        """The metrics of what answered before."""
        return self.base if self.in_use is None else self.in_use

    @property
    def better_by(self) -> float | None:
        """By how much the new adapter's score is above that of what answered before."""
        if self.candidate.score is None or self.before.score is None:
            return None
        return self.candidate.score - self.before.score

    @property
    def learned(self) -> tuple[ComparedAnswer, ...]:
        """The questions that were answered wrongly before, and rightly after: each once."""
        found = [answer for answer in self.answers if answer.is_right and not answer.was_right]
        return tuple({answer.question: answer for answer in reversed(found)}.values())[::-1]
