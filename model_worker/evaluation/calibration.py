"""How a similarity becomes a probability: `keepsake-worker calibrate` fits it for a pack, and shows how well.

The questions are those of `evaluate identify`: each picture with its thing in the memory, and again as a stranger.
The fit is Platt's (logistic regression on the similarity of the best concept). Its errors are reported for the
things it was fitted to and, cross-validated, for things that it wasn't.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.optimize import minimize

from model_worker.evaluation.identification import Query, query_folder
from model_worker.server.models import PerceptionModel

Numbers = NDArray[np.float64]

FOLDS = 4
BINS = 10
SIDE, MARGIN = 480, 56
"""Pixels of the plot."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Best similarities, whether the concept was the right one, and which thing was asked about."""

    similarity: Numbers
    is_right: Numbers
    thing: NDArray[np.str_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A calibration, and its errors: Brier score and expected calibration error, fitted and held out."""

    slope: float
    offset: float
    threshold: float
    samples: int
    brier: float
    brier_held_out: float
    calibration_error: float
    calibration_error_held_out: float


def calibrate(perceiver: PerceptionModel, folder: Path, plot: Path | None) -> Fit:
    """Fit a pack's calibration to a folder with a folder a thing; draws the held-out reliability, too."""
    samples = samples_of(query_folder(perceiver, folder))
    slope, offset = fit_platt(samples.similarity, samples.is_right)
    probability, held_out = sigmoid(slope * samples.similarity + offset), _held_out(samples)
    if plot is not None:
        draw_reliability(held_out, samples.is_right, plot)
    return Fit(
        slope=round(slope, 3),
        offset=round(offset, 3),
        threshold=0.5,
        samples=len(samples.similarity),
        brier=round(float(np.mean((probability - samples.is_right) ** 2)), 4),
        brier_held_out=round(float(np.mean((held_out - samples.is_right) ** 2)), 4),
        calibration_error=round(calibration_error(probability, samples.is_right), 4),
        calibration_error_held_out=round(calibration_error(held_out, samples.is_right), 4),
    )


def samples_of(queries: Sequence[Query]) -> Samples:
    """Return two samples a question: as it was asked, and with the thing a stranger."""
    known = [(query.best.similarity, float(query.best.name == query.thing), query.thing) for query in queries]
    strangers = [(query.as_stranger.similarity, 0.0, query.thing) for query in queries]
    similarity, is_right, thing = zip(*known, *strangers, strict=True)
    return Samples(np.array(similarity), np.array(is_right), np.array(thing))


def fit_platt(similarity: Numbers, is_right: Numbers) -> tuple[float, float]:
    """Return slope and offset of the logistic regression of ``is_right`` (0 or 1) on the similarity.

    The targets are smoothed as Platt does (Probabilistic outputs for support vector machines, 1999): few samples would
    otherwise make the curve too steep.
    """
    right, wrong = is_right.sum(), (1 - is_right).sum()
    target = np.where(is_right > 0, (right + 1) / (right + 2), 1 / (wrong + 2))

    def loss(parameters: Numbers) -> float:
        margin = parameters[0] * similarity + parameters[1]
        return float(np.mean(np.logaddexp(0, margin) - target * margin))

    slope, offset = minimize(loss, np.array([10.0, -5.0]), method="L-BFGS-B").x
    return float(slope), float(offset)


def calibration_error(probability: Numbers, is_right: Numbers) -> float:
    """Return the expected calibration error (arXiv 1706.04599): how far probabilities are from what happens, by bin."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    return float(
        sum(
            abs(probability[bins == number].mean() - is_right[bins == number].mean()) * np.mean(bins == number)
            for number in range(BINS)
            if (bins == number).any()
        )
    )


def sigmoid(margin: Numbers) -> Numbers:
    """Return the logistic function."""
    found: Numbers = 1 / (1 + np.exp(-margin))
    return found


def draw_reliability(probability: Numbers, is_right: Numbers, path: Path) -> None:
    """Draw what was said against what was so, with how often it was said (PNG)."""
    picture = Image.new("RGB", (SIDE + 2 * MARGIN, SIDE + 2 * MARGIN), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=15)
    draw.rectangle((MARGIN, MARGIN, MARGIN + SIDE, MARGIN + SIDE), outline="#888888")
    draw.line((MARGIN, MARGIN + SIDE, MARGIN + SIDE, MARGIN), fill="#bbbbbb", width=2)
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    width = SIDE / BINS
    for number in range(BINS):
        chosen = bins == number
        if not chosen.any():
            continue
        share, so, said = float(chosen.mean()), float(is_right[chosen].mean()), float(probability[chosen].mean())
        left, bottom = MARGIN + number * width, MARGIN + SIDE
        draw.rectangle((left + 4, bottom - share * SIDE, left + width - 4, bottom), fill="#d7e6ee")
        x, y = MARGIN + said * SIDE, bottom - so * SIDE
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill="#e4572e")
        draw.text((left + 6, bottom + 4), f"{int(chosen.sum())}", fill="#555555", font=font)
    draw.text((MARGIN, 16), "said (across) and so (up); bars: how often", fill="black", font=font)
    draw.text((MARGIN, SIDE + MARGIN + 28), "0", fill="black", font=font)
    draw.text((MARGIN + SIDE - 8, SIDE + MARGIN + 28), "1", fill="black", font=font)
    picture.save(path)


def _held_out(samples: Samples) -> Numbers:
    """Return each sample's probability by a fit to the other things."""
    things = sorted(set(samples.thing.tolist()))
    found = np.zeros(len(samples.similarity))
    for fold in range(FOLDS):
        out = np.isin(samples.thing, things[fold::FOLDS])
        if out.any() and not out.all():
            slope, offset = fit_platt(samples.similarity[~out], samples.is_right[~out])
            found[out] = sigmoid(slope * samples.similarity[out] + offset)
    return found
