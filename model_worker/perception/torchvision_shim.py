"""Makes ``import torchvision`` work where its compiled operators are missing.

The torchvision wheels of some platforms don't fit the CPU build of torch: importing them (timm, open_clip and
transformers do) fails because ``torchvision::nms`` doesn't exist. Declaring the operators is enough for the
import. The one that is ever called, by the post-processing of some detectors, has an implementation here.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

_DECLARED: list[torch.library.Library] = []


def declare_missing_operators() -> None:
    """Declare torchvision's two import-time operators, unless torchvision itself can. Harmless twice."""
    if _DECLARED or _torchvision_works():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            signature = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(signature)  # type: ignore[no-untyped-call]
    library.impl("nms", nms, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    _DECLARED.append(library)


def use_own_nms() -> None:
    """Let torchvision call our non-maximum suppression where it has none of its own."""
    declare_missing_operators()
    if _DECLARED:
        from torchvision import extension

        extension._has_ops = lambda: True  # it asks this, not whether the operator is there


def _torchvision_works() -> bool:
    """Whether torchvision's own binary operators load beside this torch."""
    specification = find_spec("torchvision")
    if specification is None or specification.origin is None:
        return False
    for library in Path(specification.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        except (OSError, RuntimeError):
            continue
        if hasattr(torch.ops.torchvision, "nms"):
            return True
    return False


def nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Non-maximum suppression: return the indices of the boxes that stay, the best score first.

    ``dets`` has the shape ``(boxes, 4)``: left, top, right, bottom. Some detectors' post-processing calls it.
    """
    areas = (dets[:, 2] - dets[:, 0]).clamp(min=0) * (dets[:, 3] - dets[:, 1]).clamp(min=0)
    left = scores.argsort(descending=True)
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        top_left = torch.maximum(dets[best, :2], dets[left, :2])
        bottom_right = torch.minimum(dets[best, 2:], dets[left, 2:])
        common = (bottom_right - top_left).clamp(min=0).prod(dim=1)
        left = left[common / (areas[best] + areas[left] - common).clamp(min=1e-9) <= iou_threshold]
    return torch.tensor(kept, dtype=torch.int64, device=dets.device)
