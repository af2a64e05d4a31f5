"""Recipes: how a kind of model is trained, one TOML file each. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from model_worker.api.packs import (
    ImageTextWriting,
    LlavaWriting,
    Pack,
    PackError,
    Share,
    Table,
    TextWriting,
    read_table,
)

FOLDER = Path(__file__).parents[1] / "recipes"


class Recipe(Table):
    """Numbers of a training.

    ``rank``, ``alpha`` and ``dropout`` are LoRA's; ``warm_up`` is a share of the steps, then the learning rate falls
    as a cosine; ``batch`` samples are taken at once, ``accumulate`` times before each step. A sample longer than
    ``longest`` tokens is left out. ``check_every`` steps the loss of samples kept back is measured; after ``patience``
    times without a better one training stops, as it does after ``max_seconds``. ``rounds`` is how often each concept's
    questions are asked in another setting, with ``max_concepts`` in it. ``general_share`` of all samples are plain
    prompts, answered by the base model itself. An owner has ``min_concepts`` before anything is trained, and
    ``min_changes`` since the last time.

    ``pack`` is whose model the base personalization trains.

    An adapter is put to use when it is better by ``margin`` on the owner's (a difference of shares, -1 to 1: below zero
    it may be worse by that), and its loss on general questions is no more than ``general_tolerance`` above (a share).
    """

    name: str
    rank: PositiveInt
    alpha: PositiveInt
    dropout: float = Field(ge=0, lt=1)
    learning_rate: PositiveFloat
    warm_up: Share
    epochs: PositiveInt
    batch: PositiveInt
    accumulate: PositiveInt
    longest: PositiveInt
    max_seconds: PositiveFloat
    check_every: PositiveInt
    patience: PositiveInt
    rounds: PositiveInt
    general_share: float = Field(ge=0, lt=1)
    min_concepts: NonNegativeInt
    min_changes: NonNegativeInt
    margin: float = Field(ge=-1, le=1)
    general_tolerance: NonNegativeFloat
    pack: str = "starter"
    checkpointing: bool = False
    max_concepts: PositiveInt = 6


def load_recipe(name: str) -> Recipe:
    """Read a recipe by its name, or by the path of a TOML file.

    Raises PackError, naming those there are, or what is wrong in its file.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(item.stem for item in FOLDER.glob("*.toml")))
        raise PackError(f"There is no recipe “{name}”; there are: {known}, or a TOML file of your own.")
    return read_table(Recipe, path, what="recipe")


def recipe_of(pack: Pack) -> Recipe:
    """Return the recipe for a pack's writer. Raises PackError when it can't be trained here."""
    if pack.recipe is not None:
        return load_recipe(pack.recipe)
    if isinstance(pack.writer, TextWriting):
        return load_recipe("starter")
    if isinstance(pack.writer, LlavaWriting):
        return load_recipe("rap-llava-owner")
    if isinstance(pack.writer, ImageTextWriting):
        return load_recipe("standard")
    raise PackError(f"The pack “{pack.name}” is written by a server elsewhere: train its adapters there.")
