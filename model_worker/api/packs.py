"""Packs: a named set of models, their sizes and thresholds, one TOML file each. Imports no torch.

Those of the house are in `packs/`; `KEEPSAKE_PACKS` names a folder with more. A file there is a pack.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from db.types import Calibration
from model_worker.api.settings import WorkerSettings

FOLDER = Path(__file__).parents[1] / "packs"
DEFAULT = "starter"


class PackError(Exception):
    """A pack that doesn't exist, can't be read or can't be loaded; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights inside an installed package, with its SHA-256."""

    package: str
    file: str
    sha256: str

    @property
    def path(self) -> Path | None:
        """Where the file is, None when the package isn't installed."""
        specification = find_spec(self.package)
        if specification is None or specification.origin is None:
            return None
        return Path(specification.origin).parent / self.file


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the Hugging Face hub: its repository, how large it is, and whose terms come with it."""

    repository: str
    megabytes: int
    licence: str


@dataclass(frozen=True, slots=True)
class OnePass:
    """Regions and embeddings from the same feature maps, as the starter pack makes them.

    ``whole`` and ``panel`` are longest sides in pixels, ``windows`` shares of a picture's shorter side;
    ``mean`` is the file of the mean embedding, ``mean_share`` how much of it is taken off.
    """

    whole: tuple[int, ...]
    panel: int
    mean: Path
    mean_share: float
    panels: int
    windows: tuple[float, ...]
    window_trust: float
    panel_trust: float


@dataclass(frozen=True, slots=True)
class OpenClip:
    """An embedder of open_clip, by its name and the tag of its weights there."""

    name: str
    tag: str
    hub: HubModel


@dataclass(frozen=True, slots=True)
class VisionBackbone:
    """An embedder of transformers: DINOv2, DINOv3, SigLIP 2 and their like."""

    hub: HubModel


@dataclass(frozen=True, slots=True)
class Windows:
    """Regions from geometry alone: panels of a collage, and windows (shares of the picture's shorter side)."""

    panels: int
    windows: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Detector:
    """Regions from a zero-shot detector, which is asked for the owner's categories and these ``things`` in general."""

    hub: HubModel
    things: tuple[str, ...]
    confidence: float
    most: int


@dataclass(frozen=True, slots=True)
class Crops:
    """Regions first, then an embedding of each, cut out."""

    embedder: OpenClip | VisionBackbone
    regions: Windows | Detector


@dataclass(frozen=True, slots=True)
class TextWriting:
    """The starter's text model, which is told what was seen."""


@dataclass(frozen=True, slots=True)
class ImageTextWriting:
    """A multimodal model that sees references and picture. Lengths are tokens; ``bits`` a weight takes: 16, 8 or 4."""

    hub: HubModel
    context: int
    longest_answer: int
    bits: int = 16


@dataclass(frozen=True, slots=True)
class LlavaWriting:
    """A LLaVA checkpoint in its authors' layout, with RAP's prompt. ``vision`` is the CLIP that it was made with."""

    hub: HubModel
    vision: HubModel
    conversation: str
    context: int
    longest_answer: int
    bits: int = 16


@dataclass(frozen=True, slots=True)
class ServedWriting:
    """A model behind a server that speaks OpenAI's chat completions: vLLM, SGLang, and others."""

    url: str
    model: str
    longest_answer: int


@dataclass(frozen=True, slots=True)
class Verification:
    """When the writer is asked whether a region shows what recall took it for.

    It is where the match probability is ``lowest`` or more, and below ``highest``; it confirms what is ``accept`` or
    more probable to itself.
    """

    lowest: float
    highest: float
    accept: float


Writing = TextWriting | ImageTextWriting | LlavaWriting | ServedWriting


@dataclass(frozen=True, slots=True)
class Pack:
    """Models by name, and the numbers that go with them. ``memory_gb`` is what they need, GPU or not.

    ``recipe`` is how its adapters are trained: a name or a TOML file; None is what suits its kind of writer.
    """

    name: str
    about: str
    memory_gb: float
    embedding_id: str
    perception: OnePass | Crops
    calibration: Calibration
    writing: Writing
    verification: Verification | None
    weights: tuple[Weights, ...]
    recipe: str | None = None

    @property
    def hub_models(self) -> tuple[HubModel, ...]:
        """What has to be here from the hub."""
        found = []
        if isinstance(self.perception, Crops):
            found.append(self.perception.embedder.hub)
            if isinstance(self.perception.regions, Detector):
                found.append(self.perception.regions.hub)
        if isinstance(self.writing, ImageTextWriting | LlavaWriting):
            found.append(self.writing.hub)
        if isinstance(self.writing, LlavaWriting):
            found.append(self.writing.vision)
        return tuple(found)


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
    try:
        return _pack_from(name, files[name])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PackError(f"The pack {files[name]} isn't TOML: {error}.") from error
    except KeyError as error:
        raise PackError(f"The pack {files[name]} lacks {error}.") from error
    except (TypeError, ValueError) as error:
        raise PackError(f"The pack {files[name]} can't be used: {error}.") from error


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


def _pack_from(name: str, file: Path) -> Pack:
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    embedding_id = data["embedder"]["embedding_id"]
    return Pack(
        name=name,
        about=data["about"],
        memory_gb=float(data["memory_gb"]),
        embedding_id=embedding_id,
        perception=_perception_from(data["embedder"], data["regions"], file.parent),
        calibration=Calibration(embedding_id=embedding_id, **data["calibration"]),
        writing=_writing_from(data["writer"]),
        verification=_verification_from(data.get("verification"), data["writer"]["kind"]),
        weights=tuple(Weights(**weights) for weights in data.get("weights", [])),
        recipe=_recipe_from(data.get("recipe"), file.parent),
    )


def _recipe_from(name: str | None, folder: Path) -> str | None:
    return str(folder / name) if name is not None and name.endswith(".toml") else name


def _perception_from(embedder: Mapping[str, Any], regions: Mapping[str, Any], folder: Path) -> OnePass | Crops:
    if embedder["kind"] == "one-pass":
        return OnePass(
            whole=tuple(embedder["whole"]),
            panel=embedder["panel"],
            mean=folder / embedder["mean"],
            mean_share=embedder["mean_share"],
            panels=regions["panels"],
            windows=tuple(regions["windows"]),
            window_trust=regions["window_trust"],
            panel_trust=regions["panel_trust"],
        )
    return Crops(_embedder_from(embedder), _regions_from(regions))


def _embedder_from(data: Mapping[str, Any]) -> OpenClip | VisionBackbone:
    if data["kind"] == "open_clip":
        return OpenClip(data["name"], data["tag"], _hub_from(data))
    if data["kind"] == "transformers":
        return VisionBackbone(_hub_from(data))
    raise ValueError(f"an embedder is one-pass, open_clip or transformers, not {data['kind']}")


def _regions_from(data: Mapping[str, Any]) -> Windows | Detector:
    if data["kind"] == "windows":
        return Windows(data["panels"], tuple(data["windows"]))
    if data["kind"] == "zero-shot":
        return Detector(_hub_from(data), tuple(data["things"]), data["confidence"], data["most"])
    raise ValueError(f"regions come from windows or zero-shot, not {data['kind']}")


def _writing_from(data: Mapping[str, Any]) -> Writing:
    if data["kind"] == "text":
        return TextWriting()
    if data["kind"] == "image-text":
        return ImageTextWriting(_hub_from(data), data["context"], data["longest_answer"], _bits_from(data))
    if data["kind"] == "llava":
        if data["conversation"] not in {"v0", "v1", "phi3"}:
            raise ValueError(f"a conversation is v0, v1 or phi3, not {data['conversation']}")
        return LlavaWriting(
            *(_hub_from(data), _hub_from(data["vision"]), data["conversation"]),
            *(data["context"], data["longest_answer"], _bits_from(data)),
        )
    if data["kind"] == "served":
        return ServedWriting(data["url"], data["model"], data["longest_answer"])
    raise ValueError(f"a writer is text, image-text, llava or served, not {data['kind']}")


def _verification_from(data: Mapping[str, Any] | None, writer: str) -> Verification | None:
    if data is None:
        return None
    if writer not in {"image-text", "llava"}:
        raise ValueError(f"a writer of kind {writer} can't verify: it has to look at pictures here")
    (lowest, highest), accept = data["uncertain"], data["accept"]
    if not 0 < lowest < highest <= 1 or not 0 < accept < 1:
        raise ValueError("verification needs probabilities: uncertain = [lowest, highest] and accept")
    return Verification(float(lowest), float(highest), float(accept))


def _bits_from(data: Mapping[str, Any]) -> int:
    bits = data.get("bits", 16)
    if bits not in {4, 8, 16}:
        raise ValueError(f"a weight has 16, 8 or 4 bits, not {bits}")
    return int(bits)


def _hub_from(data: Mapping[str, Any]) -> HubModel:
    return HubModel(data["repository"], data["megabytes"], data["licence"])


def _problem_of(weights: Weights) -> str | None:
    path = weights.path
    if path is None or not path.is_file():
        return f"{weights.package} has no {weights.file}: install it again (`make install`)."
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != weights.sha256:
        return f"{path.name} isn't the file it should be (its SHA-256 differs): install {weights.package} again."
    return None
