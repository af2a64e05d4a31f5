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
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import numpy as np
from PIL import Image

from db.models import Region
from db.pool import viewing
from db.recall import recognised_in
from model_worker.evaluate.memory import VIEWER, forget_all, fresh_memory, remember
from model_worker.perception.perceive import Perceiver
from model_worker.pictures import decode_picture

ACCEPTED = 0.95


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture of a thing: its regions as a question, its one region as a reference."""

    thing: str
    picture: Image.Image
    regions: tuple[Region, ...]
    reference: Region


@dataclass(frozen=True, slots=True)
class Asked:
    """A question's ranking: names and similarities of the concepts, the best first."""

    thing: str
    ranking: tuple[tuple[str, float], ...]

    def without(self, thing: str) -> float:
        """Return the best similarity when this thing isn't in the memory; -1 when nothing else is."""
        return next((similarity for name, similarity in self.ranking if name != thing), -1.0)


@dataclass(frozen=True, slots=True)
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


def evaluate_identify(perceiver: Perceiver, folder: Path) -> IdentifyScores:
    """Evaluate a folder with a folder a thing."""
    started = time.perf_counter()
    photos = {
        thing.name: [_photo(perceiver, thing.name, path) for path in sorted(thing.iterdir())]
        for thing in sorted(folder.iterdir())
        if thing.is_dir()
    }
    asked, seconds = asyncio.run(_ask_all(perceiver, photos))
    del started
    count = sum(len(group) for group in photos.values())
    return _scores(perceiver, len(photos), count, asked, seconds)


def _photo(perceiver: Perceiver, thing: str, path: Path) -> Photo:
    picture = decode_picture(path.read_bytes())
    return Photo(thing, picture, perceiver.perceive([picture])[0].regions, perceiver.refer(picture))


async def _ask_all(perceiver: Perceiver, photos: dict[str, list[Photo]]) -> tuple[list[Asked], float]:
    asked: list[Asked] = []
    async with fresh_memory() as pool:
        for turn in range(max(len(group) for group in photos.values())):
            await forget_all(pool)
            chosen = {thing: group[turn % len(group)] for thing, group in photos.items()}
            for thing, photo in chosen.items():
                await remember(pool, thing, photo.picture, photo.reference, perceiver.embedding_id)
            for thing, group in photos.items():
                asked += [await _ask(perceiver, pool, photo) for photo in group if photo is not chosen[thing]]
        return asked, await _seconds_an_image(perceiver, pool, photos)


async def _ask(perceiver: Perceiver, pool: asyncpg.Pool, photo: Photo) -> Asked:
    """Rank all concepts for a question: each by its best region, as when it were the only one remembered."""
    everything = replace(perceiver.calibration, threshold=1e-9)
    best: dict[str, float] = {}
    async with viewing(pool, VIEWER) as connection:
        for region in photo.regions:
            for one in await recognised_in(connection, VIEWER, [region], everything):
                best[one.concept.name] = max(one.similarity, best.get(one.concept.name, -1.0))
        best_of_others = await recognised_in(connection, VIEWER, photo.regions, everything)
    del best_of_others
    return Asked(photo.thing, tuple(sorted(best.items(), key=lambda item: -item[1])))


async def _seconds_an_image(
    perceiver: Perceiver, pool: asyncpg.Pool, photos: dict[str, list[Photo]]
) -> float:
    pictures = [group[0].picture for group in photos.values()]
    started = time.perf_counter()
    for picture in pictures:
        regions = perceiver.perceive([picture])[0].regions
        async with viewing(pool, VIEWER) as connection:
            await recognised_in(connection, VIEWER, regions, perceiver.calibration)
    return (time.perf_counter() - started) / len(pictures)


def _scores(
    perceiver: Perceiver, things: int, pictures: int, asked: list[Asked], seconds: float
) -> IdentifyScores:
    from db.recall import match_probability

    known = np.array([one.ranking[0][1] for one in asked])
    strangers = np.array([one.without(one.thing) for one in asked])
    level = float(np.quantile(known, 1 - ACCEPTED))
    calibration = perceiver.calibration
    passes = np.array([match_probability(one, calibration) for one in known]) >= calibration.threshold
    stopped = np.array([match_probability(one, calibration) for one in strangers]) < calibration.threshold
    return IdentifyScores(
        things=things,
        pictures=pictures,
        questions=len(asked),
        top1=round(float(np.mean([one.ranking[0][0] == one.thing for one in asked])), 4),
        top2=round(float(np.mean([one.thing in [name for name, _ in one.ranking[:2]] for one in asked])), 4),
        auroc=round(float((known[:, None] > strangers[None, :]).mean()), 4),
        stranger_rejection=round(float((strangers < level).mean()), 4),
        similarity_of_95_percent=round(level, 4),
        accepted_at_pack_threshold=round(float(passes.mean()), 4),
        strangers_rejected_at_pack_threshold=round(float(stopped.mean()), 4),
        ms_per_image=round(1000 * seconds, 1),
    )
