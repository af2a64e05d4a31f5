"""Verification: where recall is unsure, the writer looks at region and reference itself, and confirms or rejects.

It never adds anybody: it is asked about what recall found, and only about that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from bot.service.app import Actor, App
from bot.service.thumbnails import LARGE, thumbnail
from db import pictures
from db.pool import viewing
from db.types import Calibration, Match
from model_worker.api.errors import WorkerError
from model_worker.api.packs import Verification
from model_worker.api.protocol import Candidate, VerifyRequest

log = logging.getLogger("keepsake.verifying")

MAX_VERIFIED = 4


def lowered(calibration: Calibration, verification: Verification | None) -> Calibration:
    """Return the calibration by which recall also finds what verification could confirm."""
    if verification is None:
        return calibration
    return replace(calibration, threshold=min(calibration.threshold, verification.lowest))


async def verified(
    app: App,
    actor: Actor,
    picture: bytes,
    recognised: Sequence[Match],
    thresholds: Sequence[float],
    verification: Verification,
) -> tuple[Match, ...]:
    """Return the recognitions that hold: the sure ones, and of the unsure what the writer confirms.

    ``thresholds`` are those of the pack, one a recognition: they decide where the writer can't be asked.
    """
    unsure = [match for match in recognised if verification.lowest <= match.probability < verification.highest]
    said = await _asked(app, actor, picture, unsure[:MAX_VERIFIED]) if unsure else {}
    kept = []
    for match, threshold in zip(recognised, thresholds, strict=True):
        if match.region not in said:
            kept += [match] if match.probability >= threshold else []
        elif said[match.region] >= verification.accept:
            kept.append(replace(match, probability=max(match.probability, said[match.region])))
    return tuple(kept)


async def _asked(app: App, actor: Actor, picture: bytes, unsure: Sequence[Match]) -> dict[int, float]:
    """Ask the writer about recognitions; returns by region what it says, nothing when it can't be asked."""
    async with viewing(app.pool, actor.viewer) as connection:
        avatars = [(match, await pictures.avatar(connection, match.concept)) for match in unsure]
    shown = [
        (match, await asyncio.to_thread(thumbnail, avatar, LARGE)) for match, avatar in avatars if avatar is not None
    ]
    needed = {_digest(data): data for data in (picture, *(reference for _, reference in shown))}
    candidates = [
        Candidate(box=match.box, reference=_digest(reference), name=match.concept.name, category=match.concept.category)
        for match, reference in shown
    ]
    try:
        said = await app.worker.verify(VerifyRequest(picture=_digest(picture), candidates=tuple(candidates)), needed)
    except WorkerError as problem:
        log.warning("The writer wasn't asked: %s", problem)
        return {}
    return {match.region: probability for (match, _), probability in zip(shown, said, strict=True)}


def _digest(picture: bytes) -> str:
    return sha256(picture).hexdigest()
