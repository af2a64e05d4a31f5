"""What crosses the wire between bot and worker, as types. Imports no torch: the bot reads it too."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

import numpy as np

from db.geometry import Box
from db.types import Calibration, Region, Vector


@dataclass(frozen=True, slots=True)
class Tag:
    """A word for what the scene shows, with the classifier's probability."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Perception:
    """All that the worker saw in one picture: nothing in it is about any user."""

    picture_sha256: str
    width: int
    height: int
    regions: tuple[Region, ...]
    tags: tuple[Tag, ...]
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class ReferenceView:
    """A picture made ready to be remembered: upright JPEG without metadata, and the thing in it."""

    jpeg: bytes
    picture_sha256: str
    width: int
    height: int
    region: Region
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class PromptConcept:
    """A concept as the generator is told about it.

    ``where`` is words such as "on the left", None when it was only mentioned in the text;
    ``certainty`` is words such as "almost certainly"; ``avatar`` is the SHA-256 of a picture of it.
    """

    name: str
    info: str = ""
    category: str = ""
    where: str | None = None
    certainty: str | None = None
    avatar: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation so far, oldest first in a request."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A question and everything that may be used to answer it; ``picture`` is its SHA-256, for writers that see.

    ``adapter`` names the weights that were trained for who asks, by the SHA-256 of their file.
    """

    question: str
    has_picture: bool
    tags: tuple[Tag, ...] = ()
    concepts: tuple[PromptConcept, ...] = ()
    history: tuple[Turn, ...] = field(default=())
    picture: str | None = None
    adapter: str | None = None

    @property
    def pictures(self) -> tuple[str, ...]:
        """The SHA-256 of every picture that belongs to it."""
        named = [self.picture, *(concept.avatar for concept in self.concepts)]
        return tuple(dict.fromkeys(text for text in named if text is not None))


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a region was taken for by recall; ``reference`` is the SHA-256 of a picture of it."""

    box: Box
    reference: str
    name: str
    category: str = ""


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """Whether the regions of a picture (its SHA-256) show what recall took them for."""

    picture: str
    candidates: tuple[Candidate, ...]


def pack_vector(vector: Vector) -> str:
    """Encode an embedding as base64 of little-endian float16."""
    return base64.b64encode(vector.astype("<f2").tobytes()).decode()


def unpack_vector(text: str) -> Vector:
    """Decode `pack_vector`: shape ``(dimensions,)``, float32."""
    return np.frombuffer(base64.b64decode(text), dtype="<f2").astype(np.float32)


def _region_to_json(region: Region) -> dict[str, Any]:
    return {
        "box": asdict(region.box),
        "embedding": pack_vector(region.embedding),
        "objectness": region.objectness,
    }


def _region_from_json(data: dict[str, Any]) -> Region:
    return Region(Box(**data["box"]), unpack_vector(data["embedding"]), float(data["objectness"]))


def perception_to_json(perception: Perception) -> str:
    """Serialise a perception for the wire."""
    return json.dumps(
        {
            "picture_sha256": perception.picture_sha256,
            "width": perception.width,
            "height": perception.height,
            "regions": [_region_to_json(region) for region in perception.regions],
            "tags": [asdict(tag) for tag in perception.tags],
            "calibration": asdict(perception.calibration),
        }
    )


def perception_from_json(text: str) -> Perception:
    """Parse `perception_to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    data = json.loads(text)
    return Perception(
        picture_sha256=data["picture_sha256"],
        width=data["width"],
        height=data["height"],
        regions=tuple(_region_from_json(region) for region in data["regions"]),
        tags=tuple(Tag(**tag) for tag in data["tags"]),
        calibration=Calibration(**data["calibration"]),
    )


def reference_to_json(view: ReferenceView) -> str:
    """Serialise a reference view for the wire."""
    return json.dumps(
        {
            "jpeg": base64.b64encode(view.jpeg).decode(),
            "picture_sha256": view.picture_sha256,
            "width": view.width,
            "height": view.height,
            "region": _region_to_json(view.region),
            "calibration": asdict(view.calibration),
        }
    )


def reference_from_json(text: str) -> ReferenceView:
    """Parse `reference_to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    data = json.loads(text)
    return ReferenceView(
        jpeg=base64.b64decode(data["jpeg"]),
        picture_sha256=data["picture_sha256"],
        width=data["width"],
        height=data["height"],
        region=_region_from_json(data["region"]),
        calibration=Calibration(**data["calibration"]),
    )


def verify_to_json(request: VerifyRequest) -> str:
    """Serialise a verify request for the wire."""
    return json.dumps(asdict(request), ensure_ascii=False)


def verify_from_json(text: str) -> VerifyRequest:
    """Parse `verify_to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    data = cast("dict[str, Any]", json.loads(text))
    candidates = tuple(
        Candidate(Box(**item["box"]), str(item["reference"]), str(item["name"]), str(item.get("category", "")))
        for item in data["candidates"]
    )
    for candidate in candidates:
        if not (
            0 <= candidate.box.left < candidate.box.right <= 1 and 0 <= candidate.box.top < candidate.box.bottom <= 1
        ):
            raise ValueError("a box has to lie within the picture")
    return VerifyRequest(str(data["picture"]), candidates)


def request_to_json(request: GenerateRequest) -> str:
    """Serialise a generate request for the wire."""
    return json.dumps(asdict(request), ensure_ascii=False)


def request_from_json(text: str) -> GenerateRequest:
    """Parse `request_to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    data = cast("dict[str, Any]", json.loads(text))
    return GenerateRequest(
        question=str(data["question"]),
        has_picture=bool(data["has_picture"]),
        tags=tuple(Tag(str(tag["label"]), float(tag["probability"])) for tag in data.get("tags", ())),
        concepts=tuple(_concept_from_json(concept) for concept in data.get("concepts", ())),
        history=tuple(Turn(turn["role"], str(turn["text"])) for turn in data.get("history", ())),
        picture=_text_or_none(data.get("picture")),
        adapter=_text_or_none(data.get("adapter")),
    )


def _concept_from_json(data: dict[str, Any]) -> PromptConcept:
    return PromptConcept(
        name=str(data["name"]),
        info=str(data.get("info", "")),
        category=str(data.get("category", "")),
        where=_text_or_none(data.get("where")),
        certainty=_text_or_none(data.get("certainty")),
        avatar=_text_or_none(data.get("avatar")),
    )


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)
