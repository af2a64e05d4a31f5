"""Tiny models with random weights, saved in the hub's own layout: what a hub would give, but for its size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from model_worker.api.packs import Bits, HubModel, ImageTextWriting
from model_worker.perception.torchvision_shim import declare_missing_operators

declare_missing_operators()

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def writing(name: str, *, context: int = 4000, longest_answer: int = 12, bits: Bits = 16) -> ImageTextWriting:
    """What a pack says of the writer that is saved in ``tiny/<name>``."""
    return ImageTextWriting(**hub_model(name).model_dump(), context=context, longest_answer=longest_answer, bits=bits)


def hub_model(name: str) -> HubModel:
    return HubModel(repository=f"tiny/{name}", megabytes=1, licence="none")


def save_open_clip(folder: Path) -> None:
    """A CLIP of open_clip, 32 pixels, 16 dimensions."""
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(1)
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    model = open_clip.CLIP(**{**config, "vision_cfg": config["vision_cfg"], "text_cfg": config["text_cfg"]})
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")


def save_dinov2(folder: Path) -> None:
    """A DINOv2 of transformers, 28 pixels, 16 dimensions."""
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(2)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14, mlp_ratio=2
    )
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)


def save_siglip(folder: Path) -> None:
    """A SigLIP of transformers, 32 pixels, 16 dimensions."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    torch.manual_seed(3)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config={**small, "vocab_size": 64, "max_position_embeddings": 8},
        vision_config={**small, "image_size": 32, "patch_size": 8},
    )
    SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def save_owlv2(folder: Path) -> None:
    """An OWLv2 of transformers, 64 pixels."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    torch.manual_seed(4)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Owlv2Config(
        text_config={**small, "vocab_size": 600, "max_position_embeddings": 16},
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    Owlv2ForObjectDetection(config).save_pretrained(folder)
    tokenizer = _clip_tokenizer(folder, longest=16)
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 64, "width": 64}), tokenizer).save_pretrained(folder)


def save_grounding_dino(folder: Path) -> None:
    """A Grounding DINO of transformers, with a tiny Swin and a tiny BERT."""
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    torch.manual_seed(5)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "cat", "cup", "dog", "a", "thing"]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join([*words, *LETTERS, *(f"##{text}" for text in LETTERS)]))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    bert = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    swin = SwinConfig(
        image_size=64,
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, d_model=32, encoder_layers=1, decoder_layers=2, num_queries=10,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_text_len=256,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    processor = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(processor, tokenizer).save_pretrained(folder)


def _clip_tokenizer(folder: Path, longest: int) -> object:
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = [*LETTERS, *(f"{text}</w>" for text in LETTERS)]
    vocabulary = {token: number for number, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=longest)


def save_omdet(folder: Path) -> None:
    """An OmDet-Turbo of transformers, with a tiny Swin and a tiny CLIP for its words."""
    from transformers import (
        CLIPTextConfig,
        DetrImageProcessor,
        OmDetTurboConfig,
        OmDetTurboForObjectDetection,
        OmDetTurboProcessor,
        SwinConfig,
    )

    torch.manual_seed(6)
    text = CLIPTextConfig(
        vocab_size=600, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=77, projection_dim=32, pad_token_id=1, bos_token_id=52, eos_token_id=53,
    )  # fmt: skip
    swin = SwinConfig(
        image_size=64, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = OmDetTurboConfig(
        text_config=text, backbone_config=swin, use_timm_backbone=False, backbone=None, use_pretrained_backbone=False,
        image_size=64, vision_features_channels=[16, 16, 16], encoder_hidden_dim=16, encoder_in_channels=[32, 64, 128],
        encoder_projection_indices=[2], encoder_attention_heads=2, encoder_dim_feedforward=32, encoder_layers=1,
        class_embed_dim=32, num_queries=10, decoder_num_heads=2, decoder_hidden_dim=16, decoder_dim_feedforward=32,
        decoder_num_layers=1, decoder_num_points=2, task_encoder_hidden_dim=32, text_projection_in_dim=32,
        text_projection_out_dim=32, csp_activation="silu", apply_layernorm_after_vision_backbone=False,
    )  # fmt: skip
    OmDetTurboForObjectDetection(config).save_pretrained(folder)
    tokenizer = _clip_tokenizer(folder, longest=77)
    processor = DetrImageProcessor(size={"height": 64, "width": 64}, do_pad=False)
    OmDetTurboProcessor(processor, tokenizer).save_pretrained(folder)


def save_llava(folder: Path, width: int = 32) -> None:
    """A LLaVA of transformers: a tiny CLIP sees, a tiny Llama writes; 28 pixels, 4 tokens an image."""
    small = {"hidden_size": width, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    template = (
        "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    save_llava_of(folder, _letters_tokenizer(["<image>"]), small, {**small, "max_position_embeddings": 4096}, template)


def save_llava_of(folder: Path, tokenizer: Any, sees: dict[str, Any], writes: dict[str, Any], template: str) -> None:
    """A LLaVA of transformers with a tokenizer and a conversation of one's own."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    torch.manual_seed(7)
    text = LlamaConfig(**writes, vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=1, pad_token_id=2)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sees, image_size=28, patch_size=14),
        text_config=text,
        image_token_index=3,
        image_seq_length=4,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor = CLIPImageProcessor(size={"height": 28, "width": 28}, do_center_crop=False)
    LlavaProcessor(
        processor, tokenizer, patch_size=14, vision_feature_select_strategy="default", chat_template=template,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip


def save_qwen3_vl(folder: Path, side: int = 128) -> None:
    """A Qwen3-VL of transformers, as the pack `standard` has it: pictures of any size, features for deeper layers."""
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    torch.manual_seed(9)
    own = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = _letters_tokenizer(own)
    start, end, image, video = tokenizer.convert_tokens_to_ids(own[2:])
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]},
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32,
            "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=image, video_token_id=video, vision_start_token_id=start, vision_end_token_id=end,
    )  # fmt: skip
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    pixels = {"shortest_edge": 32 * 32, "longest_edge": side * side}
    pictures = Qwen2VLImageProcessor(patch_size=16, merge_size=2, size=pixels)
    template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}"
        "{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    videos = Qwen3VLVideoProcessor(patch_size=16, merge_size=2)
    Qwen3VLProcessor(pictures, tokenizer, videos, chat_template=template).save_pretrained(folder)


def save_original_llava(folder: Path, vision: Path, *, with_tower: bool, phi: bool = False) -> None:
    """A LLaVA in its authors' layout (their names of weights, their config.json), and the CLIP it was made with."""
    from safetensors.torch import save_file
    from transformers import (
        CLIPConfig,
        CLIPModel,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        Phi3Config,
    )

    torch.manual_seed(8)
    tokenizer = _letters_tokenizer([])
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    tower = CLIPVisionConfig(**small, image_size=56, patch_size=14)
    kind = Phi3Config if phi else LlamaConfig
    llama = kind(**small, vocab_size=len(tokenizer), max_position_embeddings=4096, pad_token_id=2)
    CLIPModel(
        CLIPConfig(text_config={**small, "vocab_size": 64}, vision_config=tower.to_dict(), projection_dim=16)
    ).save_pretrained(vision)
    model = LlavaForConditionalGeneration(
        LlavaConfig(vision_config=tower, text_config=llama, image_token_index=3, vision_feature_layer=-2)
    )
    theirs = {
        "model.vision_tower.": "model.vision_tower.vision_tower.vision_model.",
        "model.multi_modal_projector.linear_1.": "model.mm_projector.0.",
        "model.multi_modal_projector.linear_2.": "model.mm_projector.2.",
        "model.language_model.": "model.",
    }
    weights = {}
    for name, weight in model.state_dict().items():
        start = next((ours for ours in theirs if name.startswith(ours)), "")
        if with_tower or start != "model.vision_tower.":
            weights[theirs.get(start, "") + name.removeprefix(start)] = weight.clone()
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    original = {
        **{name: getattr(llama, name) for name in ("hidden_size", "intermediate_size", "num_hidden_layers")},
        **{name: getattr(llama, name) for name in ("num_attention_heads", "num_key_value_heads", "rms_norm_eps")},
        "vocab_size": len(tokenizer),
        "pad_token_id": 2,
        "max_position_embeddings": 4096,
        "model_type": "llava_phi" if phi else "llava_llama",
        "architectures": ["LlavaPhiForCausalLM" if phi else "LlavaLlamaForCausalLM"],
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_projector_type": "mlp2x_gelu",
        "image_aspect_ratio": "pad",
    }
    (folder / "config.json").write_text(json.dumps(original))
    tokenizer.save_pretrained(folder)


def _letters_tokenizer(additional: list[str]) -> Any:
    """A tokenizer of bytes: <s>, </s>, <pad>, what is additional, then one token a byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "</s>", "<pad>", *additional]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={text: n for n, text in enumerate([*special, *alphabet])}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=additional,
    )
