"""Adapters of several owners on one model: each answers its own requests, and nobody else's."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from bot.demo.pictures import cat, cup
from model_worker.api.protocol import GenerateRequest, PromptConcept
from model_worker.generation.adapters import loaded as adapters_module
from model_worker.generation.adapters.errors import AdapterError
from model_worker.generation.adapters.file import AdapterFile, Manifest, adapter_id, read_adapter, write_adapter
from model_worker.generation.multimodal.writer import ImageTextWriter
from model_worker.generation.pair import ImagePair
from model_worker.generation.types import GenerationInput
from tests.support.tiny_models import save_llava, save_qwen3_vl, writing

pytestmark = pytest.mark.slow

CAT, CUP = cat(), cup()
RANK = 4


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_llava(folder / "tiny" / "llava")
    save_qwen3_vl(folder / "tiny" / "qwen3_vl")
    return folder


@pytest.fixture(params=["llava", "qwen3_vl"])
def writer(request: pytest.FixtureRequest, weights: Path, monkeypatch: pytest.MonkeyPatch) -> ImageTextWriter:
    monkeypatch.setenv("KEEPSAKE_WEIGHTS", str(weights))
    return ImageTextWriter(writing(request.param))


def adapter_for(writer: ImageTextWriter, seed: int, **changed: object) -> AdapterFile:
    """Weights of chance, large enough to be heard in every answer."""
    torch.manual_seed(seed)
    weights = {}
    for name, (width, height) in writer.adapters._modules.items():
        weights[f"base_model.model.{name}.lora_A.weight"] = torch.randn(RANK, width)
        weights[f"base_model.model.{name}.lora_B.weight"] = torch.randn(height, RANK)
    manifest = Manifest(
        base=writer.adapters.base,
        data="0" * 64,
        recipe="test",
        pack="tiny",
        rank=RANK,
        alpha=RANK,
        modules=writer.adapters.modules,
        metrics={"score": 1.0},
    )
    return AdapterFile(replace(manifest, **changed), weights)  # type: ignore[arg-type]


def held(writer: ImageTextWriter, seed: int) -> str:
    data = write_adapter(adapter_for(writer, seed))
    writer.adapters.take(adapter_id(data), data)
    return adapter_id(data)


def asked(question: str, adapter: str | None, *, references: int = 1) -> GenerationInput:
    concepts = tuple(
        PromptConcept(name=f"Mochi {n}", info="my cat", category="cat", avatar=f"r{n}") for n in range(references)
    )
    request = GenerateRequest(question=question, has_picture=True, concepts=concepts, picture="p", adapter=adapter)
    return GenerationInput(request, {"p": CUP, **{f"r{n}": CAT for n in range(references)}})


def write(writer: ImageTextWriter, batch: list[GenerationInput]) -> list[str]:
    said = [""] * len(batch)
    for pieces in writer.write(batch, [threading.Event() for _ in batch]):
        for index, piece in pieces:
            said[index] += piece
    return said


def test_owners_share_a_batch_and_each_hears_their_own_adapter(writer: ImageTextWriter) -> None:
    before = write(writer, [asked("Who is this?", None)])
    anna, bo = held(writer, 1), held(writer, 2)
    batch = [asked("Who is this?", text, references=2) for text in (anna, None, bo)]

    together = write(writer, batch)

    assert len(set(together)) == 3
    assert together == [write(writer, [item])[0] for item in batch]
    assert write(writer, [asked("Who is this?", None)]) == before, "who has no adapter hears none"


def test_verification_is_always_the_base_models(writer: ImageTextWriter) -> None:
    pair = ImagePair(region=CUP, reference=CAT, name="Mochi")
    before = writer.verify([pair])
    write(writer, [asked("Who is this?", held(writer, 1))])
    assert writer.verify([pair]) == before


def test_only_the_language_model_is_changed(writer: ImageTextWriter) -> None:
    assert writer.adapters.modules
    assert not [
        module
        for module in writer.adapters.modules
        if "vision" in module or "visual" in module or "projector" in module
    ]


def test_an_unknown_adapter_is_answered_by_the_base(writer: ImageTextWriter) -> None:
    assert write(writer, [asked("Who?", "f" * 64)]) == write(writer, [asked("Who?", None)])


def test_more_owners_than_the_model_holds_take_turns(writer: ImageTextWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters_module, "MAX_IN_MODEL", 2)
    names = [held(writer, seed) for seed in range(5)]
    alone = [write(writer, [asked("Who?", name)])[0] for name in names]
    assert [write(writer, [asked("Who?", name)])[0] for name in names] == alone
    assert write(writer, [asked("Who?", name) for name in names]) == alone
    assert len(set(alone)) > 2


def test_what_is_held_is_bounded_and_what_was_let_go_may_come_again(
    writer: ImageTextWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = held(writer, 1)
    monkeypatch.setattr(adapters_module, "MAX_BYTES", 1)
    second = held(writer, 2)
    assert first not in writer.adapters
    assert second in writer.adapters
    assert held(writer, 1) == first


def test_the_one_let_go_is_the_one_asked_for_longest_ago(
    writer: ImageTextWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = held(writer, 11), held(writer, 12)
    size = sum(weight.numel() * 2 for weight in adapter_for(writer, 11).weights.values())  # bfloat16
    monkeypatch.setattr(adapters_module, "MAX_BYTES", 2 * size)
    write(writer, [asked("Who?", first)])
    third = held(writer, 13)
    assert [text in writer.adapters for text in (first, second, third)] == [True, False, True]


@pytest.mark.parametrize("wrong", ["base", "module", "shape", "missing", "nan"])
def test_an_adapter_that_does_not_fit_is_refused_and_the_base_answers(writer: ImageTextWriter, wrong: str) -> None:
    made = adapter_for(writer, 1)
    name = next(iter(made.weights))
    if wrong == "base":
        made = adapter_for(writer, 1, base="0" * 64)
    elif wrong == "module":
        made = adapter_for(writer, 1, modules=("model.vision_tower.encoder.layers.0.self_attn.q_proj",))
    elif wrong == "shape":
        made.weights[name] = torch.zeros(RANK, 3)
    elif wrong == "missing":
        del made.weights[name]
    else:
        made.weights[name] = torch.full_like(made.weights[name], float("nan"))
    before = write(writer, [asked("Who?", None)])

    data = write_adapter(made)
    with pytest.raises(AdapterError):
        writer.adapters.take(adapter_id(data), data)

    assert write(writer, [asked("Who?", adapter_id(data))]) == before


def test_any_damage_is_refused_and_never_more_than_that(writer: ImageTextWriter) -> None:
    data = write_adapter(adapter_for(writer, 1))
    for broken in (
        b"",
        b"no adapter",
        data[:100],
        data[:-7],
        b"\xff" * 8 + data[8:],
        save(load(data)),
        save(load(data), {"keepsake": "{}"}),
        save(load(data), {"keepsake": "[" * 5000}),
    ):
        with pytest.raises(AdapterError):
            read_adapter(broken)


def test_an_adapter_says_what_it_was_made_of_and_nothing_of_its_content(writer: ImageTextWriter) -> None:
    manifest = read_adapter(write_adapter(adapter_for(writer, 1))).manifest
    assert manifest == adapter_for(writer, 1).manifest


def test_a_models_fingerprint_is_its_weights(writer: ImageTextWriter, weights: Path) -> None:
    again = ImageTextWriter(writer._writing)
    assert again.adapters.base == writer.adapters.base
    next(again.model.parameters()).data.mul_(1.5)
    assert adapters_module.fingerprint(again.model) != writer.adapters.base
