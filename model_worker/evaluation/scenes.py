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
from model_worker.evaluation.database import VIEWER, fresh_memory, remember
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
class Seen:
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


@dataclass(frozen=True, slots=True)
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
    seen, seconds = asyncio.run(_look(perceiver, memory, scenes, photos))
    if sheet is not None:
        worst = sorted(seen, key=lambda seen: -seen.mistakes)[:WORST]
        draw_sheet([(item.scene.path, item.scene.concepts, item.found) for item in worst], sheet)
    return _scores(seen, seconds, perceiver.calibration.threshold)


async def _look(
    perceiver: PerceptionModel, memory: dict[str, list[str]], scenes: list[Scene], photos: Path
) -> tuple[list[Seen], float]:
    async with fresh_memory() as pool:
        for name, files in memory.items():
            references = [decode_picture((photos / name / file).read_bytes()) for file in files]
            shown = [(picture, perceiver.refer(picture)) for picture in references]
            await remember(pool, name, shown, perceiver.embedding_id)
        await _seen(perceiver, pool, scenes[0])
        started = time.perf_counter()
        seen = [await _seen(perceiver, pool, scene) for scene in scenes]
        return seen, time.perf_counter() - started


async def _seen(perceiver: PerceptionModel, pool: asyncpg.Pool, scene: Scene) -> Seen:
    perceived = perceiver.perceive([decode_picture(scene.path.read_bytes())])[0]
    async with viewing(pool, VIEWER) as connection:
        recognised = await recognised_in(connection, VIEWER, perceived.regions, perceiver.calibration)
    return Seen(scene, {match.concept.name: (match.box, match.probability) for match in recognised})


def _scores(seen: list[Seen], seconds: float, threshold: float) -> SceneScores:
    hits = sum(len(item.hits) for item in seen)
    found = sum(len(item.found) for item in seen)
    true = sum(len(item.scene.concepts) for item in seen)
    ious = [iou(item.found[name][0], item.scene.concepts[name]) for item in seen for name in item.hits]
    return SceneScores(
        scenes=len(seen),
        things=true,
        precision=round(hits / max(found, 1), 4),
        recall=round(hits / max(true, 1), 4),
        f1=round(2 * hits / max(found + true, 1), 4),
        mean_iou=round(sum(ious) / max(len(ious), 1), 4),
        ms_per_image=round(1000 * seconds / len(seen), 1),
        threshold=threshold,
    )
