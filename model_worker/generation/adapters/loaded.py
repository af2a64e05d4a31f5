"""Adapters of many owners on one model: held as they come, put into the model when they are asked for.

A batch may mix them, and rows without one are the base model's (peft's mixed batches; for that they change the
language model only). An adapter is named by its content, so a new one never takes the place of one in use.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from model_worker.generation.adapters.errors import AdapterError
from model_worker.generation.adapters.file import AdapterFile, Manifest, fingerprint, read_adapter

MAX_BYTES = 512 * 1024 * 1024
MAX_IN_MODEL = 16
BASE = "__base__"
"""peft's name for no adapter."""
LINEAR = (
    *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    *("qkv_proj", "gate_up_proj"),
)
"""What linear layers of language models are called: those that LoRA changes in the paper."""


class Adapters:
    """The adapters of one model. ``take`` may be called from any thread, the rest from the one that computes."""

    def __init__(self, model: Any) -> None:
        self.base = fingerprint(model)
        self._model = model
        self._modules = language_modules(model)
        self._peft: Any = None
        self._held: OrderedDict[str, AdapterFile] = OrderedDict()
        self._in_model: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, name: str) -> bool:
        return name in self._held

    @property
    def modules(self) -> tuple[str, ...]:
        """The layers that an adapter may change: the language model's linear ones."""
        return tuple(sorted(self._modules))

    def take(self, name: str, data: bytes) -> Manifest:
        """Hold an adapter, so that requests may name it. Raises AdapterError when it doesn't fit this model."""
        adapter = read_adapter(data)
        if adapter.manifest.base != self.base:
            raise AdapterError("That adapter was made for another model.")
        self._check_fits(adapter)
        with self._lock:
            self._held[name] = adapter
            self._held.move_to_end(name)
            while len(self._held) > 1 and sum(map(_size, self._held.values())) > MAX_BYTES:
                self._held.popitem(last=False)
        return adapter.manifest

    def held(self, wanted: Sequence[str | None]) -> list[str | None]:
        """Return which of the wanted adapters are here, and keep these the longest; None is the base model."""
        with self._lock:
            here = [text if text in self._held else None for text in wanted]
            for text in here:
                if text is not None:
                    self._held.move_to_end(text)
        return here

    def generate(self, wanted: Sequence[str | None], **inputs: Any) -> Any:
        """Call the model's ``generate`` with an adapter for each row, None for the base model's.

        Nothing else may call it: what is in the model once is otherwise part of every answer.
        """
        here = self._put_into_model([text for text in wanted if text is not None])
        if self._peft is None:
            return self._model.generate(**inputs)
        return self._peft.generate(**inputs, adapter_names=[text if text in here else BASE for text in wanted])

    @contextlib.contextmanager
    def answering_for(self, name: str | None) -> Iterator[Any]:
        """Give the model to be called itself, with one adapter in it or none."""
        if name is not None:
            self._put_into_model([name])
            self._peft.set_adapter(name)
            yield self._peft
        elif self._peft is None:
            yield self._model
        else:
            with self._peft.disable_adapter():
                yield self._peft

    def new(self, name: str, rank: int, alpha: int, dropout: float) -> Any:
        """Put an untrained adapter into the model; returns the model as peft has it, with only that to be trained."""
        from peft import LoraConfig

        self._add(name, LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(self.modules)))
        self._peft.set_adapter(name)
        return self._peft

    def remove(self, name: str) -> None:
        """Take an adapter out of the model; with the last one the model is again as it was loaded."""
        self._in_model.pop(name, None)
        others = [item for item in self._peft.peft_config if item != name]
        if others:
            self._peft.set_adapter(others[0], inference_mode=True)
            self._peft.delete_adapter(name)
        else:
            self._peft.unload()
            self._peft = None

    def _put_into_model(self, wanted: Sequence[str]) -> set[str]:
        """Put adapters into the model, in place of those used longest ago; returns which are in it."""
        for name in dict.fromkeys(wanted):
            adapter = self._held.get(name)
            if name not in self._in_model and adapter is not None:
                self._load(name, adapter)
            if name in self._in_model:
                self._in_model.move_to_end(name)
        for name in list(self._in_model)[: max(0, len(self._in_model) - MAX_IN_MODEL)]:
            if name not in wanted:
                self.remove(name)
        return set(self._in_model)

    def _load(self, name: str, adapter: AdapterFile) -> None:
        from peft import LoraConfig, set_peft_model_state_dict

        manifest = adapter.manifest
        config = LoraConfig(
            r=manifest.rank, lora_alpha=manifest.alpha, target_modules=list(manifest.modules), inference_mode=True
        )
        self._add(name, config)
        set_peft_model_state_dict(self._peft, adapter.weights, adapter_name=name)
        self._peft.train(False)
        self._in_model[name] = None

    def _add(self, name: str, config: Any) -> None:
        from peft import PeftModel

        with torch.inference_mode(False):  # peft couldn't add one to be trained beside one made in that mode
            if self._peft is None:
                self._peft = PeftModel(self._model, config, adapter_name=name)
            else:
                self._peft.add_adapter(name, config)

    def _check_fits(self, adapter: AdapterFile) -> None:
        """Check that every weight has its place and its shape. Raises AdapterError."""
        manifest = adapter.manifest
        foreign = sorted(set(manifest.modules) - set(self._modules))
        if foreign:
            raise AdapterError(f"That adapter changes “{foreign[0]}”, which isn't the language model's.")
        expected: dict[str, tuple[int, ...]] = {}
        for name in manifest.modules:
            width, height = self._modules[name]
            expected[f"base_model.model.{name}.lora_A.weight"] = (manifest.rank, width)
            expected[f"base_model.model.{name}.lora_B.weight"] = (height, manifest.rank)
        if {name: tuple(weight.shape) for name, weight in adapter.weights.items()} != expected:
            raise AdapterError("That adapter's weights don't have the names and shapes that it says.")


def language_modules(model: Any) -> dict[str, tuple[int, int]]:
    """Return the linear layers of a model's language part: their names, with the sizes of what goes in and comes out.

    Never those of what sees: peft can't mix adapters in a batch there.
    """
    decoder = model.get_decoder()
    inside = {id(module) for module in decoder.modules()}
    return {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if id(module) in inside and name.rpartition(".")[2] in LINEAR and isinstance(module, torch.nn.Linear)
    }


def _size(adapter: AdapterFile) -> int:
    return sum(weight.nbytes for weight in adapter.weights.values())
