"""LLaVA checkpoints in their authors' layout, as RAP's was released, in transformers' own LLaVA.

Nothing is believed about such a folder: every weight has to find its place, and every place its weight.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from model_worker.api.hub import checkpoint
from model_worker.api.packs import LlavaWriting, PackError
from model_worker.generation.multimodal.chat_model import ChatModel, Prompted, dtype, loading
from model_worker.generation.multimodal.rap_prompt import IMAGE, STOP, rap_prompt, rap_recognition
from model_worker.perception.embedders import device
from model_worker.perception.torchvision_shim import declare_missing_operators

KEY_MAPPING = {
    r"^model\.vision_tower\.vision_tower\.vision_model\.": "model.vision_tower.",
    r"^model\.mm_projector\.0\.": "model.multi_modal_projector.linear_1.",
    r"^model\.mm_projector\.2\.": "model.multi_modal_projector.linear_2.",
    r"^model\.(?=embed_tokens|layers|norm)": "model.language_model.",
}
"""From the authors' names of weights to transformers'."""
OF_TEXT = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("rms_norm_eps", "max_position_embeddings", "vocab_size", "bos_token_id", "eos_token_id", "hidden_act"),
    *("pad_token_id", "sliding_window", "original_max_position_embeddings"),
)
"""What the language model's configuration is called in the authors' own, which mixes it with theirs."""
ROUND_TO = 64
"""Rows of the embedding, after the image token is added: 32,000 become 32,064."""
TOWER = "model.vision_tower."


def load_llava(writing: LlavaWriting) -> ChatModel:
    """Load a checkpoint in the original layout: seconds to minutes. Raises PackError."""
    declare_missing_operators()
    folder, vision = checkpoint(writing), checkpoint(writing.vision)
    try:
        processor = _processor(folder, vision)
        model = _model(folder, vision, len(processor.tokenizer) - 1, writing.bits)
    except (OSError, RuntimeError, ValueError, KeyError, ImportError) as error:
        raise PackError(f"{writing.repository} isn't an original LLaVA checkpoint: {error}") from error
    colour = tuple(int(255 * item) for item in processor.image_processor.image_mean)

    def prompted(prompts: list[tuple[str, list[Image.Image]]]) -> Prompted:
        pictures = [_squared(picture, colour) for _, shown in prompts for picture in shown]
        texts = [text for text, _ in prompts]
        return Prompted(processor(images=pictures or None, text=texts, padding=True, return_tensors="pt"), pictures)

    return ChatModel(
        model=model,
        tokenizer=processor.tokenizer,
        ask=lambda asked, turns: prompted([rap_prompt(item, writing.conversation, turns) for item in asked]),
        verify=lambda pairs: prompted([rap_recognition(pair, writing.conversation) for pair in pairs]),
        stop=STOP[writing.conversation],
        pixels=lambda picture: processor.image_processor([picture], return_tensors="pt").to(device(), dtype()),
    )


def _processor(folder: Path, vision: Path) -> Any:
    """Return the processor: whole pictures on squares of the vision tower's size, one image token a patch."""
    from transformers import AutoConfig, AutoTokenizer, CLIPImageProcessor, LlavaProcessor

    config = AutoConfig.from_pretrained(vision).vision_config
    size = config.image_size
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    pictures = CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    return LlavaProcessor(  # type: ignore[no-untyped-call]
        pictures,
        tokenizer,
        patch_size=config.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the class token, which the default strategy drops again
    )


def _model(folder: Path, vision: Path, image_token: int, bits: int) -> Any:
    from transformers import AutoConfig, LlavaConfig, LlavaForConditionalGeneration

    original = json.loads((folder / "config.json").read_text())
    tower = AutoConfig.from_pretrained(vision).vision_config
    config = LlavaConfig(
        vision_config=tower,
        text_config=_text_config(original),
        image_token_index=image_token,
        vision_feature_layer=original["mm_vision_select_layer"],
        vision_feature_select_strategy="default",
        image_seq_length=(tower.image_size // tower.patch_size) ** 2,
    )
    loaded: Any = LlavaForConditionalGeneration.from_pretrained(
        folder, config=config, key_mapping=KEY_MAPPING, output_loading_info=True, use_safetensors=True, **loading(bits)
    )
    model, report = loaded
    if _check_report(report):
        _load_tower(model, vision)
    _make_room(model, image_token)
    return model


def _make_room(model: Any, image_token: int) -> None:
    """Add rows for the image token; none of them is ever read, so they are nothing, and not of chance.

    A model that is another one each time it is loaded would refuse its own adapters.
    """
    import torch

    there = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(image_token + 1, pad_to_multiple_of=ROUND_TO, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            layer.weight[there:] = 0


def _text_config(original: dict[str, Any]) -> Any:
    """Return the language model's configuration: a Llama's, or a Phi-3's, whose weights have the same places."""
    from transformers import LlamaConfig, Phi3Config

    given = {name: original[name] for name in OF_TEXT if original.get(name) is not None}
    return Phi3Config(**given) if "phi" in original["model_type"] else LlamaConfig(**given)


def _check_report(report: dict[str, Any]) -> list[str]:
    """Check that every weight found its place; returns those of the vision tower that have to come from elsewhere.

    A wrong mapping only logs, and leaves random weights. Raises ValueError.
    """
    missing = sorted(report["missing_keys"])
    unexpected, mismatched = sorted(report["unexpected_keys"]), sorted(map(str, report["mismatched_keys"]))
    elsewhere = [key for key in missing if key.startswith(TOWER)]
    homeless = [key for key in missing if not key.startswith(TOWER)]
    if homeless or unexpected or mismatched:
        raise ValueError(f"missing {homeless[:3]}, unexpected {unexpected[:3]}, of another shape {mismatched[:3]}")
    return elsewhere


def _load_tower(model: Any, vision: Path) -> None:
    """Take the vision tower from CLIP itself: original checkpoints leave it out when it wasn't trained."""
    from transformers import CLIPVisionModel

    tower = CLIPVisionModel.from_pretrained(vision, dtype=dtype(), use_safetensors=True)
    model.model.vision_tower.load_state_dict(tower.state_dict())


def _squared(picture: Image.Image, colour: tuple[int, ...]) -> Image.Image:
    """Return a picture on a square of CLIP's mean colour, as LLaVA pads ("image_aspect_ratio": "pad")."""
    side = max(picture.size)
    ground = Image.new("RGB", (side, side), colour)
    ground.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return ground
