"""Verification: where recall is unsure, the writer looks at region and reference itself, and confirms or rejects.

It never adds anybody: it is asked about what recall found, and only about that.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from uuid import UUID

from bot.service.app import App
from db.types import Match
from model_worker.api.errors import WorkerError
from model_worker.api.packs import Verification
from model_worker.api.protocol import Candidate, Perception, VerifyRequest

log = logging.getLogger("keepsake.verification")

MAX_VERIFIED = 4


def with_unsure(perception: Perception, by: Verification | None) -> Perception:
    """Return a perception by whose calibration recall also finds what the writer could confirm."""
    if by is None:
        return perception
    calibration = perception.calibration
    lowered = replace(calibration, threshold=min(calibration.threshold, by.lowest))
    return perception.model_copy(update={"calibration": lowered})


def unsure(recognised: Sequence[Match], by: Verification) -> list[Match]:
    """Return what the writer is asked about."""
    return [match for match in recognised if by.lowest <= match.probability < by.highest][:MAX_VERIFIED]


async def verified(
    app: App,
    picture: bytes,
    recognised: Sequence[Match],
    thresholds: Sequence[float],
    by: Verification,
    avatars: Mapping[UUID, bytes],
) -> tuple[Match, ...]:
    """Return the matches that hold: the sure ones, and of the unsure what the writer confirms.

    ``thresholds`` are those of the pack, one a match: they decide where the writer can't be asked.
    """
    said = await _asked(app, picture, unsure(recognised, by), avatars)
    kept = []
    for match, threshold in zip(recognised, thresholds, strict=True):
        if match.region not in said:
            kept += [match] if match.probability >= threshold else []
        elif said[match.region] >= by.accept:
            kept.append(replace(match, probability=max(match.probability, said[match.region])))
    return tuple(kept)


async def _asked(app: App, picture: bytes, matches: Sequence[Match], avatars: Mapping[UUID, bytes]) -> dict[int, float]:
    """Ask the writer about matches; returns by region what it says, nothing when it can't be asked.

    ``picture`` is as it was sent, larger than it is stored: faces in it may be small.
    """
    shown = [(match, avatars[match.concept.concept_id]) for match in matches if match.concept.concept_id in avatars]
    if not shown:
        return {}
    needed = {_digest(data): data for data in (picture, *(avatar for _, avatar in shown))}
    candidates = [
        Candidate(box=match.box, reference=_digest(avatar), name=match.concept.name, category=match.concept.category)
        for match, avatar in shown
    ]
    try:
        said = await app.worker.verify(VerifyRequest(picture=_digest(picture), candidates=tuple(candidates)), needed)
    except WorkerError as problem:
        log.warning("The writer wasn't asked: %s", problem)
        return {}
    return {match.region: probability for (match, _), probability in zip(shown, said, strict=True)}


def _digest(picture: bytes) -> str:
    return sha256(picture).hexdigest()
