"""How well things are found in pictures with several of them: `keepsake-worker evaluate scenes`.

``truth.json`` says ``memory`` (a thing to its reference files under PHOTOS) and ``scenes`` (each an ``image`` and
``concepts``, a thing to its box in pixels). A recognition counts when the thing is in that picture, and its box
touches the true one (IoU of 0.1 or more). Everything is done as the bot does it: the same perception, the same
SQL, the pack's own threshold.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from PIL import Image

from db.geometry import Box, iou
from db.pool import viewing
from db.recall import recognised_in
from model_worker.api.images import decode_picture
from model_worker.evaluation.database import VIEWER, empty_database, remember
from model_worker.evaluation.sheet import draw_sheet
from model_worker.server.models import PerceptionModel

TOUCHES = 0.1
WORST = 12


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and where in it things of the memory are."""

    path: Path
    concepts: dict[str, Box]


@dataclass(frozen=True, slots=True)
class SceneResult:
    """What was recognised in a scene: each thing's box and match probability; the true boxes beside it."""

    scene: Scene
    found: dict[str, tuple[Box, float]]

    @property
    def hits(self) -> list[str]:
        """The things that were found where they are."""
        true = self.scene.concepts
        return [name for name, (box, _) in self.found.items() if name in true and iou(box, true[name]) >= TOUCHES]

    @property
    def mistakes(self) -> int:
        """How many things were missed, or seen where they aren't."""
        return len(self.scene.concepts) + len(self.found) - 2 * len(self.hits)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneScores:
    """The result; boxes' mean IoU over what was found, milliseconds for perception and recall together."""

    scenes: int
    things: int
    precision: float
    recall: float
    f1: float
    mean_iou: float
    ms_per_image: float
    threshold: float


def read_scenes(folder: Path) -> tuple[dict[str, list[str]], list[Scene]]:
    """Read ``truth.json``: the memory, and the scenes with boxes as fractions."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    scenes = [_scene(folder, entry) for entry in truth["scenes"]]
    return truth["memory"], scenes


def _scene(folder: Path, entry: dict[str, object]) -> Scene:
    path = folder / str(entry["image"])
    boxes = entry["concepts"]
    assert isinstance(boxes, dict)  # noqa: S101 (the file's format)
    with Image.open(path) as picture:
        width, height = picture.size
    return Scene(
        path,
        {
            name: Box(left=box[0] / width, top=box[1] / height, right=box[2] / width, bottom=box[3] / height)
            for name, box in boxes.items()
        },
    )


def evaluate_scenes(perceiver: PerceptionModel, folder: Path, photos: Path, sheet: Path | None) -> SceneScores:
    """Evaluate, and draw the worst cases to ``sheet``."""
    memory, scenes = read_scenes(folder)
    results, seconds = asyncio.run(_recognise_all(perceiver, memory, scenes, photos))
    if sheet is not None:
        worst = sorted(results, key=lambda result: -result.mistakes)[:WORST]
        draw_sheet([(result.scene.path, result.scene.concepts, result.found) for result in worst], sheet)
    return _scores(results, seconds, perceiver.calibration.threshold)


async def _recognise_all(
    perceiver: PerceptionModel, memory: dict[str, list[str]], scenes: list[Scene], photos: Path
) -> tuple[list[SceneResult], float]:
    async with empty_database() as pool:
        for name, files in memory.items():
            references = [decode_picture((photos / name / file).read_bytes()) for file in files]
            shown = [(picture, perceiver.refer(picture)) for picture in references]
            await remember(pool, name, shown, perceiver.embedding_id)
        await _recognise(perceiver, pool, scenes[0])
        started = time.perf_counter()
        results = [await _recognise(perceiver, pool, scene) for scene in scenes]
        return results, time.perf_counter() - started


async def _recognise(perceiver: PerceptionModel, pool: asyncpg.Pool, scene: Scene) -> SceneResult:
    perceived = perceiver.perceive([decode_picture(scene.path.read_bytes())])[0]
    async with viewing(pool, VIEWER) as connection:
        matches = await recognised_in(connection, VIEWER, perceived.regions, perceiver.calibration)
    return SceneResult(scene, {match.concept.name: (match.box, match.probability) for match in matches})


def _scores(results: list[SceneResult], seconds: float, threshold: float) -> SceneScores:
    hits = sum(len(result.hits) for result in results)
    found = sum(len(result.found) for result in results)
    true = sum(len(result.scene.concepts) for result in results)
    ious = [iou(result.found[name][0], result.scene.concepts[name]) for result in results for name in result.hits]
    return SceneScores(
        scenes=len(results),
        things=true,
        precision=round(hits / max(found, 1), 4),
        recall=round(hits / max(true, 1), 4),
        f1=round(2 * hits / max(found + true, 1), 4),
        mean_iou=round(sum(ious) / max(len(ious), 1), 4),
        ms_per_image=round(1000 * seconds / len(results), 1),
        threshold=threshold,
    )
