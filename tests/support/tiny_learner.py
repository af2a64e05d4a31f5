"""A tiny multimodal model that can learn: it has seen a little of the world, and nobody that a test tells it about."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from db.geometry import WHOLE
from model_worker.api.packs import Pack
from model_worker.finetune.data.dataset import PICTURE, dataset_of
from model_worker.finetune.data.material import TrainingConcept, View
from model_worker.finetune.data.samples import TrainingSample
from model_worker.finetune.training.multimodal_trainable import MultimodalTrainable
from model_worker.finetune.training.trainable import encode_batch, loss_of
from tests.support.tiny_models import save_llava_of

Colour = tuple[int, int, int]

TAUGHT: dict[str, Colour] = {"White": (255, 255, 255), "Black": (0, 0, 0), "Cyan": (0, 255, 255), "Pink": (255, 0, 255)}
"""What the model knows from the start; tests tell it about other colours."""
ROUNDS, AT_ONCE, STEPS, LEARNING_RATE = 60, 32, 500, 3e-3
WITHOUT_RECALL = 0.3
"""The share of samples in which nothing is recalled: it has to look."""


def picture_of(colour: Colour, seed: int) -> Image.Image:
    """Return a picture of a colour, with noise of its own."""
    noise = np.random.default_rng(seed).normal(0, 12, (40, 40, 3))
    return Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))


def concept_of_colour(name: str, colour: Colour, seeds: tuple[int, ...]) -> TrainingConcept:
    """Return a concept that is nothing but a colour, with a picture for each seed."""
    views = tuple(View(picture_of(colour, seed), WHOLE) for seed in seeds)
    return TrainingConcept(name=name, info="", category="", views=views)


def save_learner(folder: Path) -> None:
    """Save a LLaVA with random weights: words are its tokens, and its weights of chance are far from zero.

    Its conversation has no system message, which is longer than all the rest; words it doesn't know are one token.
    """
    sees = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    writes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    template = (
        "{% for message in messages if message['role'] != 'system' %}{{ message['role'] }}: "
        "{% for part in message['content'] %}{% if part['type'] == 'image' %} <image> {% else %}{{ part['text'] }} "
        "{% endif %}{% endfor %}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    writes_far = {**writes, "max_position_embeddings": 1024, "initializer_range": 0.12}
    save_llava_of(folder, _words_tokenizer(), sees, writes_far, template)


def teach_to_look(pack: Pack, folder: Path) -> None:
    """Train all of the saved model on other colours than tests use, as a model from a hub would have been: 20 s.

    Weights of pure chance can't be taught to look by LoRA alone; what an adapter adds is who somebody is.
    """
    trainable = MultimodalTrainable(pack)
    model = trainable.model
    concepts = [concept_of_colour(name, colour, seeds=(1, 2, 3)) for name, colour in TAUGHT.items()]
    samples = dataset_of(concepts, sees_pictures=True, rounds=ROUNDS, max_concepts=1, seed=5).training
    chance = random.Random(0)
    mixed = [_without_recall(sample) if chance.random() < WITHOUT_RECALL else sample for sample in samples]
    batches = [encode_batch(trainable, mixed[start : start + AT_ONCE]) for start in range(0, len(mixed), AT_ONCE)]
    model.requires_grad_(True).train(True)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS, pct_start=0.04)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(model, batches[step % len(batches)], "cpu").backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)


def _without_recall(sample: TrainingSample) -> TrainingSample:
    pictures = {name: picture for name, picture in sample.prompt.pictures.items() if name == PICTURE}
    request = sample.prompt.request.model_copy(update={"concepts": ()})
    return replace(sample, prompt=replace(sample.prompt, request=request, pictures=pictures))


def _words_tokenizer() -> Any:
    """A tokenizer of words: those of the prompt, and of what is answered to it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = (
        "assistant : user The picture the user asks about Recognised in it nobody you told Name Notes nothing was said "
        "Question Is Red Blue Green Gold White Black Cyan Pink in this picture ? Yes No , isn ' t . Give a caption of "
        "the image A and at on left right top bottom middle probably almost certainly very maybe ( ) ; Where Tell me I "
        "Answer with one word"
    )
    special = ["<s>", "</s>", "<pad>", "<image>", "<unk>"]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys([*special, *known.split()]))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    split = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    backend.pre_tokenizer = pre_tokenizers.Sequence(split)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )
