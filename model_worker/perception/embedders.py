"""Embedders of whole crops: open_clip's models and transformers' vision backbones, behind one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from model_worker.api.hub import checkpoint
from model_worker.api.packs import OpenClip, PackError, VisionBackbone
from model_worker.perception.pooling import Floats
from model_worker.perception.torchvision_shim import declare_missing_operators

GROUND = (128, 128, 128)

Embed = Callable[[Sequence[Image.Image]], Floats]
"""From RGB pictures to unit vectors: shape ``(pictures, dimensions)``, float32."""


def load_embedder(embedder: OpenClip | VisionBackbone) -> Embed:
    """Load an embedder: seconds. Raises PackError."""
    declare_missing_operators()
    return _open_clip(embedder) if isinstance(embedder, OpenClip) else _transformers(embedder)


def device() -> str:
    """Return where models run here: cuda, mps or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def squared(picture: Image.Image) -> Image.Image:
    """Return a picture on a grey square: a transform that crops to the centre then loses nothing of it."""
    side = max(picture.size)
    ground = Image.new("RGB", (side, side), GROUND)
    ground.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return ground


def check_activation(embedder: OpenClip) -> None:
    """Check that open_clip's model computes the activation that the tag's weights were trained with.

    open_clip itself only warns, and computes the wrong one. Raises PackError, naming the right model.
    """
    import open_clip

    config = open_clip.get_model_config(embedder.name)
    trained = open_clip.get_pretrained_cfg(embedder.name, embedder.tag)
    if config is None:
        raise PackError(f"open_clip has no model “{embedder.name}”.")
    if not trained:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(embedder.name)) or "none"
        raise PackError(f"open_clip has no weights “{embedder.tag}” for {embedder.name}; it has: {known}.")
    if bool(trained.get("quick_gelu", False)) != bool(config.get("quick_gelu", False)):
        right = f"{embedder.name}-quickgelu" if trained.get("quick_gelu") else embedder.name.removesuffix("-quickgelu")
        raise PackError(
            f"The weights “{embedder.tag}” were trained with another activation than {embedder.name} computes: "
            f"the model's right name is {right}."
        )


def _open_clip(embedder: OpenClip) -> Embed:
    import open_clip

    check_activation(embedder)
    place = f"local-dir:{checkpoint(embedder)}"
    try:
        model, _, transform = open_clip.create_model_and_transforms(place, device=device())
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        raise PackError(f"{embedder.repository} isn't a model that open_clip can load: {error}") from error
    model.train(False)

    def embed(pictures: Sequence[Image.Image]) -> Floats:
        inputs = torch.stack([transform(squared(picture)) for picture in pictures]).to(device())
        with torch.inference_mode():
            return _unit(model.encode_image(inputs))

    return embed


def _transformers(embedder: VisionBackbone) -> Embed:
    from transformers import AutoImageProcessor, AutoModel

    folder = checkpoint(embedder)
    try:
        processor: Any = AutoImageProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
        model = AutoModel.from_pretrained(folder, use_safetensors=True)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise PackError(f"{embedder.repository} isn't a model that transformers can load: {error}") from error
    model.train(False)
    torch.nn.Module.to(model, device())

    def embed(pictures: Sequence[Image.Image]) -> Floats:
        inputs = processor(images=[squared(picture) for picture in pictures], return_tensors="pt").to(device())
        with torch.inference_mode():
            return _unit(_pooled(model, inputs))

    return embed


def _pooled(model: Any, inputs: Any) -> torch.Tensor:
    """Return one vector a picture: a contrastive model's projected one, else what the backbone pools."""
    if hasattr(model, "get_image_features"):
        found = model.get_image_features(**inputs)
        return found if isinstance(found, torch.Tensor) else found.pooler_output
    output = model(**inputs)
    pooled: torch.Tensor | None = getattr(output, "pooler_output", None)
    return output.last_hidden_state[:, 0] if pooled is None else pooled


def _unit(vectors: torch.Tensor) -> Floats:
    found: Floats = torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy().astype(np.float32)
    return found
