"""Scene tags: what the ImageNet classifier sees, in words a person would use."""

from __future__ import annotations

from functools import cache

import torch

from model_worker.api.protocol import Tag

MOST = 5
LEAST_PROBABLE = 0.05


def tags_from(probabilities: torch.Tensor) -> tuple[Tag, ...]:
    """Return the most probable tags, best first; none when the classifier has no idea.

    ``probabilities`` has the shape ``(1000,)``.
    """
    best = torch.topk(probabilities, MOST)
    found = zip(best.values.tolist(), best.indices.tolist(), strict=True)
    return tuple(
        Tag(label=_labels()[index], probability=round(value, 4)) for value, index in found if value >= LEAST_PROBABLE
    )


@cache
def _labels() -> tuple[str, ...]:
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    return tuple(info.index_to_description(index).split(",")[0] for index in range(1000))
