"""How well a thing is known again from one picture: `keepsake-worker evaluate identify`.

PHOTOS has a folder a thing. In each round every thing is remembered from one picture (the first in the first
round, and so on, beginning again where a thing has fewer), and every other picture is a question; so every
picture is the only reference once. For the strangers each thing is left out of the memory in turn, and its
pictures are asked about. `stranger_rejection` is the part of the strangers that fall below the similarity that
95 % of the known reach; `auroc` how often a known picture is more similar to its best concept than a stranger.
Everything is done as the bot does it: the same perception, the same SQL (without the pack's threshold).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import numpy as np
from PIL import Image

from db import concepts
from db.geometry import WHOLE, Box
from db.pool import viewing
from db.recall import match_probability, recognised_in
from db.types import Match, Region
from model_worker.api.images import decode_picture
from model_worker.evaluation.database import VIEWER, empty_database, forget_all, remember
from model_worker.server.models import PerceptionModel

ACCEPTED = 0.95


class EmptyFolderError(ValueError):
    """There aren't pictures enough to evaluate with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A picture of a thing: its regions as a question, its one region as a reference."""

    thing: str
    picture: Image.Image
    regions: tuple[Region, ...]
    reference: Region


@dataclass(frozen=True, slots=True)
class Guess:
    """The concept that a region is most similar to."""

    name: str
    similarity: float
    box: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question's answer: the best concept, and the best once that one is forgotten; ``known`` are the references."""

    photo: Photo
    best: Guess
    second: Guess
    known: Mapping[str, Photo]

    @property
    def thing(self) -> str:
        """What is in the picture."""
        return self.photo.thing

    @property
    def as_stranger(self) -> Guess:
        """The best guess when the pictured thing isn't in the memory."""
        return self.second if self.best.name == self.thing else self.best


NOBODY = Guess("", -1.0, WHOLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyScores:
    """The result; ``ms_per_image`` is perception and recall together."""

    things: int
    pictures: int
    questions: int
    top1: float
    top2: float
    auroc: float
    stranger_rejection: float
    similarity_of_95_percent: float
    accepted_at_pack_threshold: float
    strangers_rejected_at_pack_threshold: float
    ms_per_image: float


def evaluate_identify(perceiver: PerceptionModel, folder: Path) -> IdentifyScores:
    """Evaluate a folder with a folder a thing. Raises EmptyFolderError."""
    photos = _photos(perceiver, folder)
    queries, seconds = asyncio.run(_query_all(perceiver, photos))
    count = sum(len(group) for group in photos.values())
    return _scores(perceiver, len(photos), count, queries, seconds)


def query_folder(perceiver: PerceptionModel, folder: Path) -> list[Query]:
    """Return the answers to all questions about a folder with a folder a thing. Raises EmptyFolderError."""
    queries, _ = asyncio.run(_query_all(perceiver, _photos(perceiver, folder)))
    return queries


def _photos(perceiver: PerceptionModel, folder: Path) -> dict[str, list[Photo]]:
    photos = {
        thing.name: [
            _photo(perceiver, thing.name, path) for path in sorted(thing.iterdir()) if not path.name.startswith(".")
        ]
        for thing in sorted(folder.iterdir())
        if thing.is_dir() and not thing.name.startswith(".")
    }
    if not any(len(group) > 1 for group in photos.values()):
        raise EmptyFolderError(f"{folder} needs a folder a thing, with two pictures or more in some of them.")
    return photos


def _photo(perceiver: PerceptionModel, thing: str, path: Path) -> Photo:
    picture = decode_picture(path.read_bytes())
    return Photo(
        thing=thing,
        picture=picture,
        regions=perceiver.perceive([picture])[0].regions,
        reference=perceiver.refer(picture),
    )


async def _query_all(perceiver: PerceptionModel, photos: dict[str, list[Photo]]) -> tuple[list[Query], float]:
    queries: list[Query] = []
    async with empty_database() as pool:
        for turn in range(max(len(group) for group in photos.values())):
            await forget_all(pool)
            chosen = {thing: group[turn % len(group)] for thing, group in photos.items()}
            for thing, photo in chosen.items():
                await remember(pool, thing, [(photo.picture, photo.reference)], perceiver.embedding_id)
            for thing, group in photos.items():
                queries += [
                    await _query(perceiver, pool, photo, chosen) for photo in group if photo is not chosen[thing]
                ]
        return queries, await _seconds_an_image(perceiver, pool, photos)


async def _query(perceiver: PerceptionModel, pool: asyncpg.Pool, photo: Photo, known: Mapping[str, Photo]) -> Query:
    """Ask who is in a picture; then once more with that concept forgotten, as if the thing were a stranger.

    The forgetting is rolled back: remembering it again would embed its picture again.
    """
    async with viewing(pool, VIEWER) as connection:
        best = await _best(connection, perceiver, photo)
        if best is None:
            return Query(photo=photo, best=NOBODY, second=NOBODY, known=known)
        taken_back = connection.transaction()
        await taken_back.start()
        try:
            await concepts.forget(connection, best.concept.owner_id, best.concept.concept_id)
            second = await _best(connection, perceiver, photo)
        finally:
            await taken_back.rollback()
    return Query(photo=photo, best=_guess(best), second=NOBODY if second is None else _guess(second), known=known)


def _guess(match: Match) -> Guess:
    return Guess(match.concept.name, match.similarity, match.box)


async def _best(connection: asyncpg.Connection, perceiver: PerceptionModel, photo: Photo) -> Match | None:
    anybody = replace(perceiver.calibration, threshold=1e-9)  # the pack's own would leave the unsure out
    matches = await recognised_in(connection, VIEWER, photo.regions, anybody)
    return matches[0] if matches else None


async def _seconds_an_image(perceiver: PerceptionModel, pool: asyncpg.Pool, photos: dict[str, list[Photo]]) -> float:
    pictures = [group[0].picture for group in photos.values()]
    started = time.perf_counter()
    for picture in pictures:
        regions = perceiver.perceive([picture])[0].regions
        async with viewing(pool, VIEWER) as connection:
            await recognised_in(connection, VIEWER, regions, perceiver.calibration)
    return (time.perf_counter() - started) / len(pictures)


def _scores(
    perceiver: PerceptionModel, things: int, pictures: int, queries: list[Query], seconds: float
) -> IdentifyScores:
    known = np.array([query.best.similarity for query in queries])
    strangers = np.array([query.as_stranger.similarity for query in queries])
    level = float(np.quantile(known, 1 - ACCEPTED))
    calibration = perceiver.calibration
    accepted = np.array([match_probability(item, calibration) for item in known]) >= calibration.threshold
    rejected = np.array([match_probability(item, calibration) for item in strangers]) < calibration.threshold
    return IdentifyScores(
        things=things,
        pictures=pictures,
        questions=len(queries),
        top1=round(float(np.mean([query.best.name == query.thing for query in queries])), 4),
        top2=round(float(np.mean([query.thing in (query.best.name, query.second.name) for query in queries])), 4),
        auroc=round(float((known[:, None] > strangers[None, :]).mean()), 4),
        stranger_rejection=round(float((strangers < level).mean()), 4),
        similarity_of_95_percent=round(level, 4),
        accepted_at_pack_threshold=round(float(accepted.mean()), 4),
        strangers_rejected_at_pack_threshold=round(float(rejected.mean()), 4),
        ms_per_image=round(1000 * seconds, 1),
    )
