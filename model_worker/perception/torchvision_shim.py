"""Makes ``import torchvision`` work where its compiled operators are missing.

The torchvision wheels of some platforms don't fit the CPU build of torch: importing them (timm, open_clip and
transformers do) fails because ``torchvision::nms`` doesn't exist. Declaring the operators is enough for the
import; Keepsake has its own non-maximum suppression and never calls them.
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
    _DECLARED.append(library)


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
