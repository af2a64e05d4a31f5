"""Packs: a named set of models, their sizes and thresholds, read from `packs/<name>.toml`. Imports no torch."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from db.models import Calibration

FOLDER = Path(__file__).parent / "packs"
DEFAULT = "starter"


class PackProblem(Exception):  # noqa: N818 (it says what is the matter)
    """A pack that doesn't exist or can't be read; the text says what to do."""


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
class Pack:
    """Models by name, and the numbers that go with them.

    ``whole`` and ``panel`` are longest sides in pixels, ``windows`` shares of a picture's shorter side;
    ``mean`` is the file of the mean embedding, ``mean_share`` how much of it is taken off.
    """

    name: str
    embedder: str
    embedding_id: str
    whole: tuple[int, ...]
    panel: int
    mean: Path
    mean_share: float
    panels: int
    windows: tuple[float, ...]
    window_trust: float
    panel_trust: float
    calibration: Calibration
    writer: str
    weights: tuple[Weights, ...]


def load_pack(name: str = DEFAULT) -> Pack:
    """Read a pack by its name. Raises PackProblem, naming the packs that exist."""
    path = FOLDER / f"{name}.toml"
    known = sorted(file.stem for file in FOLDER.glob("*.toml"))
    if name not in known:
        raise PackProblem(f"There is no pack “{name}”. Set KEEPSAKE_PACK to one of: {', '.join(known)}.")
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    embedder, regions = data["embedder"], data["regions"]
    return Pack(
        name=name,
        embedder=embedder["name"],
        embedding_id=embedder["embedding_id"],
        whole=tuple(embedder["whole"]),
        panel=embedder["panel"],
        mean=FOLDER / embedder["mean"],
        mean_share=embedder["mean_share"],
        panels=regions["panels"],
        windows=tuple(regions["windows"]),
        window_trust=regions["window_trust"],
        panel_trust=regions["panel_trust"],
        calibration=Calibration(embedder["embedding_id"], **data["calibration"]),
        writer=data["writer"]["name"],
        weights=tuple(Weights(**weights) for weights in data["weights"]),
    )


def weights_problems(pack: Pack) -> list[str]:
    """Return a sentence for each file of weights that is missing or was changed; reads all of them."""
    return [problem for weights in pack.weights if (problem := _problem_of(weights)) is not None]


def _problem_of(weights: Weights) -> str | None:
    path = weights.path
    if path is None or not path.is_file():
        return f"{weights.package} has no {weights.file}: install it again (`make install`)."
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != weights.sha256:
        return f"{path.name} isn't the file it should be (its SHA-256 differs): install {weights.package} again."
    return None
