"""Packs: a named set of models, their sizes and thresholds, one TOML file each. Imports no torch.

Those of the house are in `packs/`; `KEEPSAKE_PACKS` names a folder with more. A file there is a pack, and the types
here are its tables: what a file may say, pydantic checks by them.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from db.types import Calibration
from model_worker.api.settings import WorkerSettings

FOLDER = Path(__file__).parents[1] / "packs"
DEFAULT = "starter"
MAX_REGIONS = 64
"""Regions of a picture, the whole of it among them, whatever the pack: each costs an embedding and a search."""


class PackError(Exception):
    """A pack that doesn't exist, can't be read or can't be loaded; the text says what to do."""


class Table(BaseModel):
    """A table of a TOML file. What it doesn't know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


TableType = TypeVar("TableType", bound=Table)


def _beside_file(path: Path, info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder", "")) / path


def _recipe_beside_file(name: str, info: ValidationInfo) -> str:
    return str(_beside_file(Path(name), info)) if name.endswith(".toml") else name


Share = Annotated[float, Field(ge=0, le=1)]
Trust = Annotated[float, Field(ge=0.5, le=1.5)]
"""What a region's embedding is multiplied with; the database takes none that is further from length 1."""
WindowSide = Annotated[float, Field(gt=0, le=1)]
Bits = Literal[4, 8, 16]
PathBesideFile = Annotated[Path, AfterValidator(_beside_file)]
"""A file, given in a pack relative to the pack's own file."""
RecipeName = Annotated[str, AfterValidator(_recipe_beside_file)]
"""A recipe's name, or a TOML file beside the pack's."""


class Weights(Table):
    """A file of weights inside an installed package, with its SHA-256."""

    package: str
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def path(self) -> Path | None:
        """Where the file is, None when the package isn't installed."""
        specification = find_spec(self.package)
        if specification is None or specification.origin is None:
            return None
        return Path(specification.origin).parent / self.file


class HubModel(Table):
    """A model of the Hugging Face hub: its repository, how large it is, and whose terms come with it.

    ``revision`` is the commit to take; without one, what came first is kept to (`model_worker.api.hub_pins`).
    """

    repository: str = Field(min_length=1)
    revision: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")
    megabytes: NonNegativeInt
    licence: str


class OnePass(Table):
    """Regions and embeddings from the same feature maps, as the starter pack makes them.

    ``whole`` and ``panel`` are longest sides in pixels; ``mean`` is the file of the mean embedding, ``mean_share``
    how much of it is taken off.
    """

    kind: Literal["one-pass"] = "one-pass"
    embedding_id: str
    whole: tuple[PositiveInt, ...] = Field(min_length=1)
    panel: PositiveInt
    mean: PathBesideFile
    mean_share: Share


class OpenClip(HubModel):
    """An embedder of open_clip, by its name and the tag of its weights there."""

    kind: Literal["open_clip"] = "open_clip"
    embedding_id: str
    name: str
    tag: str


class VisionBackbone(HubModel):
    """An embedder of transformers: DINOv2, DINOv3, SigLIP 2 and their like."""

    kind: Literal["transformers"] = "transformers"
    embedding_id: str


class Windows(Table):
    """Regions from geometry alone: panels of a collage, and windows (shares of the picture's shorter side).

    The trusts are what a one-pass embedder multiplies its embeddings of windows and panels by.
    """

    kind: Literal["windows"] = "windows"
    panels: Annotated[NonNegativeInt, Field(lt=MAX_REGIONS)]
    windows: tuple[WindowSide, ...]
    window_trust: Trust = 1.0
    panel_trust: Trust = 1.0


class Detector(HubModel):
    """Regions from a zero-shot detector, which is asked for the owner's categories and these ``things`` in general."""

    kind: Literal["zero-shot"] = "zero-shot"
    things: tuple[str, ...]
    confidence: Share
    max_regions: Annotated[PositiveInt, Field(lt=MAX_REGIONS)]


class MatchCurve(Table):
    """How a similarity becomes a match probability; see `db.types.Calibration`."""

    slope: float
    offset: float
    threshold: Share


class TextWriting(Table):
    """The starter's text model, which is told in words what was found."""

    kind: Literal["text"] = "text"


class ImageTextWriting(HubModel):
    """A multimodal model that sees references and picture. Lengths are tokens; ``bits`` is what a weight takes."""

    kind: Literal["image-text"] = "image-text"
    context: PositiveInt
    longest_answer: PositiveInt
    bits: Bits = 16


class LlavaWriting(HubModel):
    """A LLaVA checkpoint in its authors' layout, with RAP's prompt. ``vision`` is the CLIP that it was made with."""

    kind: Literal["llava"] = "llava"
    vision: HubModel
    conversation: Literal["v0", "v1", "phi3"]
    context: PositiveInt
    longest_answer: PositiveInt
    bits: Bits = 16


class ServedWriting(Table):
    """A model behind a server that speaks OpenAI's chat completions: vLLM, SGLang, and others."""

    kind: Literal["served"] = "served"
    url: str
    model: str
    longest_answer: PositiveInt


class Verification(Table):
    """When the writer is asked whether a region shows what recall took it for.

    It is where the match probability is in ``uncertain``: the lowest and what it has to be below; the writer confirms
    what is ``accept`` or more probable to itself.
    """

    uncertain: tuple[float, float]
    accept: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        lowest, highest = self.uncertain
        if not 0 < lowest < highest <= 1:
            raise ValueError("“uncertain” has to be two probabilities, [lowest, highest]")
        return self

    @property
    def lowest(self) -> float:
        """The match probability from which on the writer is asked."""
        return self.uncertain[0]

    @property
    def highest(self) -> float:
        """The match probability from which on it isn't asked any more."""
        return self.uncertain[1]


Embedding = Annotated[OnePass | OpenClip | VisionBackbone, Field(discriminator="kind")]
Regions = Annotated[Windows | Detector, Field(discriminator="kind")]
Writing = Annotated[TextWriting | ImageTextWriting | LlavaWriting | ServedWriting, Field(discriminator="kind")]


class Pack(Table):
    """Models by name, and the numbers that go with them. ``memory_gb`` is what they need, GPU or not.

    ``recipe`` is how its adapters are trained: a name or a TOML file; None is what suits its kind of writer.
    """

    name: str
    about: str
    memory_gb: PositiveFloat
    embedder: Embedding
    regions: Regions
    calibration: MatchCurve
    writer: Writing
    verification: Verification | None = None
    weights: tuple[Weights, ...] = ()
    recipe: RecipeName | None = None

    @model_validator(mode="after")
    def _check_parts_fit(self) -> Self:
        if isinstance(self.embedder, OnePass) and not isinstance(self.regions, Windows):
            raise ValueError("a one-pass embedder takes its regions from windows")
        if self.verification is not None and not isinstance(self.writer, ImageTextWriting | LlavaWriting):
            raise ValueError(
                f"a writer of kind {self.writer.kind} can't verify: its model has to see pictures, and run here"
            )
        return self

    @property
    def embedding_id(self) -> str:
        """What its embeddings are known by: only those of the same id can be compared."""
        return self.embedder.embedding_id

    @property
    def match_calibration(self) -> Calibration:
        """How similarities of its embeddings become match probabilities."""
        return Calibration(
            embedding_id=self.embedding_id,
            slope=self.calibration.slope,
            offset=self.calibration.offset,
            threshold=self.calibration.threshold,
        )

    @property
    def hub_models(self) -> tuple[HubModel, ...]:
        """What has to be here from the hub."""
        found = [part for part in (self.embedder, self.regions, self.writer) if isinstance(part, HubModel)]
        return (*found, self.writer.vision) if isinstance(self.writer, LlavaWriting) else tuple(found)


def pack_files() -> dict[str, Path]:
    """Return the packs there are: their names and files. One's own go before those of the house."""
    own = WorkerSettings.read().packs
    folders = [FOLDER] if own is None else [FOLDER, own]
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.toml"))}


def load_pack(name: str = DEFAULT) -> Pack:
    """Read a pack by its name. Raises PackError, naming the packs that exist, or what is wrong in its file."""
    files = pack_files()
    if name not in files:
        known = ", ".join(sorted(files))
        raise PackError(f"There is no pack “{name}”. Set KEEPSAKE_PACK to one of: {known}.")
    return read_table(Pack, files[name], what="pack")


def pack_that_makes(embedding_id: str) -> Pack | None:
    """Return the pack whose embeddings have this id; None when there is none (any more)."""
    for name in pack_files():
        try:
            pack = load_pack(name)
        except PackError:
            continue
        if pack.embedding_id == embedding_id:
            return pack
    return None


def weights_problems(pack: Pack) -> list[str]:
    """Return a sentence for each file of weights that is missing or was changed; reads all of them."""
    return [problem for weights in pack.weights if (problem := _problem_of(weights)) is not None]


def read_table(kind: type[TableType], file: Path, *, what: str) -> TableType:
    """Read a TOML file that is named after what it describes.

    Raises PackError, which names the file and each field that is wrong; ``what`` it calls the file.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise PackError(f"The {what} {file} isn't TOML: {error}.") from error
    try:
        return kind.model_validate({**data, "name": file.stem}, context={"folder": file.parent})
    except ValidationError as error:
        problems = "; ".join(
            f"{field}: {problem['msg']}" if (field := _field_name(problem["loc"], data)) else problem["msg"]
            for problem in error.errors()
        )
        raise PackError(f"The {what} {file} can't be used: {problems}.") from error


def _field_name(location: Sequence[int | str], data: Mapping[str, Any]) -> str:
    """Return a field's place in a file, such as “writer.bits”: what pydantic says, without the kind of a table."""
    place: Any = data
    named: list[str] = []
    for index, step in enumerate(location):
        is_there = step in place if isinstance(place, dict) else isinstance(place, list) and isinstance(step, int)
        if is_there or index == len(location) - 1:
            named.append(str(step))
        if is_there:
            place = place[step]
    return ".".join(named)


def _problem_of(weights: Weights) -> str | None:
    path = weights.path
    if path is None or not path.is_file():
        return f"{weights.package} has no {weights.file}: install it again (`make install`)."
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != weights.sha256:
        return f"{path.name} isn't the file it should be (its SHA-256 differs): install {weights.package} again."
    return None
