"""Recipes: how a kind of model is trained, one TOML file each. Imports no torch."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from model_worker.api.packs import ImageTextWriting, LlavaWriting, Pack, PackError, TextWriting

FOLDER = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Numbers of a training.

    ``rank``, ``alpha`` and ``dropout`` are LoRA's; ``warm_up`` is a share of the steps, then the learning rate falls
    as a cosine; ``batch`` lessons are taken at once, ``accumulate`` times before each step. A lesson longer than
    ``longest`` tokens is left out. ``check_every`` steps the loss of lessons kept back is measured; after ``patience``
    times without a better one training stops, as it does after ``max_seconds``. ``rounds`` is how often each concept's
    questions are asked in another setting. ``general_share`` of all lessons are plain prompts, answered by the base
    model itself. An owner has ``least_concepts`` before anything is trained, and ``least_changes`` since the last time.

    ``pack`` is whose model the base personalization trains.

    An adapter is put to use when it is better by ``margin`` on the owner's (shares, 0 to 1), and its loss on general
    questions is no more than ``general_tolerance`` above (a share of it).
    """

    name: str
    rank: int
    alpha: int
    dropout: float
    learning_rate: float
    warm_up: float
    epochs: int
    batch: int
    accumulate: int
    longest: int
    max_seconds: float
    check_every: int
    patience: int
    rounds: int
    general_share: float
    least_concepts: int
    least_changes: int
    margin: float
    general_tolerance: float
    pack: str = "starter"
    checkpointing: bool = False
    max_concepts: int = 6


def load_recipe(name: str) -> Recipe:
    """Read a recipe by its name, or by the path of a TOML file. Raises PackError, naming those there are."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(item.stem for item in FOLDER.glob("*.toml")))
        raise PackError(f"There is no recipe “{name}”; there are: {known}, or a TOML file of your own.")
    try:
        return Recipe(name=path.stem, **tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise PackError(f"The recipe {path} can't be used: {error}.") from error


def recipe_of(pack: Pack) -> Recipe:
    """Return the recipe for a pack's writer. Raises PackError when it can't be trained here."""
    if pack.recipe is not None:
        return load_recipe(pack.recipe)
    if isinstance(pack.writing, TextWriting):
        return load_recipe("starter")
    if isinstance(pack.writing, LlavaWriting):
        return load_recipe("rap-llava-owner")
    if isinstance(pack.writing, ImageTextWriting):
        return load_recipe("standard")
    raise PackError(f"The pack “{pack.name}” is written by a server elsewhere: train its adapters there.")
