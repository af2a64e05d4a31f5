"""Zero-shot detectors of transformers: boxes around what has a name, for models that differ in how they say so."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image

from db.geometry import Box
from model_worker.api.hub import checkpoint
from model_worker.api.packs import Detector, PackError
from model_worker.perception.embedders import device
from model_worker.perception.torchvision_shim import use_own_nms
from model_worker.perception.windows import suppress

OVERLAP = 0.8
"""Of two boxes, the smaller of which lies in the other by more than this share, one is enough."""

CATEGORY_TOKENS = 96

Detect = Callable[[Image.Image, Sequence[str]], list[tuple[Box, float]]]
"""From an RGB picture, and what to look for beside the general things, to boxes and how sure the detector is of each
(0 to 1), the surest first.
"""


def load_detector(detector: Detector) -> Detect:
    """Load a detector: seconds. Raises PackError."""
    use_own_nms()
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    folder = checkpoint(detector)
    try:
        processor: Any = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
        model = AutoModelForZeroShotObjectDetection.from_pretrained(folder, use_safetensors=True)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise PackError(f"{detector.repository} isn't a detector that transformers can load: {error}") from error
    model.train(False)
    torch.nn.Module.to(model, device())

    def detect(picture: Image.Image, categories: Sequence[str]) -> list[tuple[Box, float]]:
        things = list(dict.fromkeys([*_as_things(categories, processor.tokenizer), *detector.things]))
        inputs = processor(images=picture, text=[things], truncation=True, return_tensors="pt").to(device())
        with torch.inference_mode():
            outputs = model(**inputs)
        found = _found(processor, outputs, inputs, things, picture, detector.confidence)
        boxes = [_fractions(box, picture) for box in found["boxes"].tolist()]
        scores = [float(score) for score in found["scores"]]
        sound = [index for index, box in enumerate(boxes) if box.left < box.right and box.top < box.bottom]
        boxes, scores = [boxes[index] for index in sound], [scores[index] for index in sound]
        return [(boxes[index], scores[index]) for index in suppress(boxes, scores, OVERLAP, detector.max_regions)]

    return detect


def _found(
    processor: Any, outputs: Any, inputs: Any, things: Sequence[str], picture: Image.Image, confidence: float
) -> dict[str, torch.Tensor]:
    """Return boxes in pixels and scores; each family's post-processing takes some of these."""
    offered = {
        "outputs": outputs,
        "input_ids": inputs.get("input_ids"),
        "threshold": confidence,
        "text_threshold": confidence,
        "nms_threshold": OVERLAP,
        "target_sizes": [(picture.height, picture.width)],
        "text_labels": [list(things)],
    }
    process = processor.post_process_grounded_object_detection
    wanted = {name: offered[name] for name in inspect.signature(process).parameters if name in offered}
    [found] = process(**wanted)
    result: dict[str, torch.Tensor] = found
    return result


def _as_things(categories: Sequence[str], tokenizer: Any) -> list[str]:
    """Return categories as detectors take them: lower-case words without what ends a thing in their prompts.

    There is room for some: Grounding DINO reads all things as one text of 256 tokens.
    """
    things: list[str] = []
    room = CATEGORY_TOKENS
    for category in categories:
        thing = " ".join("".join(text if text.isalnum() else " " for text in category.lower()).split())
        room -= len(tokenizer(thing)["input_ids"])
        if thing and room >= 0:
            things.append(thing)
    return things


def _fractions(box: Sequence[float], picture: Image.Image) -> Box:
    left, top, right, bottom = box
    across, down = picture.width, picture.height
    return Box(
        left=min(max(left / across, 0.0), 1.0),
        top=min(max(top / down, 0.0), 1.0),
        right=min(max(right / across, 0.0), 1.0),
        bottom=min(max(bottom / down, 0.0), 1.0),
    )
