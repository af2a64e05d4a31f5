"""RAP-260K's samples (arXiv 2410.13360, section 3.4, and the code its authors released): read and written.

A data file is a JSON list of
``{id, image, conversations: [{from: human|gpt, value}], extra: {crop path: {name, info, category}}, type}``. All paths
lead from one folder; ``extra`` are the concepts that retrieval found, right or wrong. Text-only samples have no
``image``, plain ones no ``extra``. Nothing is believed about such a file: it comes from somewhere else.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from model_worker.api.errors import ImageError
from model_worker.api.images import LARGEST_BYTES, decode_picture, encode_jpeg
from model_worker.api.protocol import GenerateRequest, PromptConcept, Turn
from model_worker.finetune.data.samples import Task, TrainingSample
from model_worker.generation.multimodal.rap_prompt import IMAGE
from model_worker.generation.starter.prompt import prompt_for
from model_worker.generation.types import GenerationInput

SAMPLES, PICTURES = "samples.json", "pictures"
"""What `write_samples` calls its file, and its folder of pictures."""
MAX_NAMED = 10
"""Samples that can't be used, by name; the rest are only counted."""
NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
ROLES = {"human": "user", "gpt": "assistant"}


class SampleError(ValueError):
    """A sample, or a whole data file, that can't be used; the text is a sentence that names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RapData:
    """What a data file has to train on: a sample for each answer in it.

    Of its ``count`` entries ``crowded`` have more concepts than a prompt may, and ``broken`` can't be used:
    ``problems`` says of the first few of them why.
    """

    samples: tuple[TrainingSample, ...]
    count: int
    crowded: int
    broken: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PicturesOnDisk(Mapping[str, Image.Image]):
    """A sample's pictures by their paths in ``folder``: opened each time one is read, and not kept.

    Reading one raises SampleError when it can't be opened; ``sample`` says whose it is.
    """

    folder: Path
    paths: tuple[str, ...]
    sample: str

    def __getitem__(self, path: str) -> Image.Image:
        if path not in self.paths:
            raise KeyError(path)
        try:
            with (self.folder / path).open("rb") as file:
                return decode_picture(file.read(LARGEST_BYTES + 1))
        except (OSError, ImageError) as error:
            raise SampleError(f"{self.sample}: the picture {_shown(path)} can't be opened. {error}") from error

    def __contains__(self, path: object) -> bool:
        return path in self.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def read_samples(file: Path, pictures: Path, max_concepts: int) -> RapData:
    """Read a data file whose paths lead from the folder ``pictures``; its pictures are opened when they are needed.

    Each answer is a sample, and the turns before it are its history; the picture and the concepts come with its
    question, as in use, where the authors' code has them in the first turn. Their format doesn't say what a sample's
    ``names`` are, and what is ``expected``.

    Raises SampleError when the file as a whole can't be read.
    """
    entries, root = _entries(file), Path(os.path.realpath(pictures))
    samples: list[TrainingSample] = []
    problems: list[str] = []
    crowded = broken = 0
    for number, entry in enumerate(entries, start=1):
        if _is_crowded(entry, max_concepts):
            crowded += 1
            continue
        try:
            samples += _samples_in(entry, _name_of(number, entry, file), root)
        except SampleError as problem:
            broken += 1
            if broken <= MAX_NAMED:
                problems.append(str(problem))
    return RapData(samples=tuple(samples), count=len(entries), crowded=crowded, broken=broken, problems=tuple(problems))


def write_samples(samples: Sequence[TrainingSample], folder: Path) -> None:
    """Write samples as a data file, ``samples.json``, and their pictures, JPEG named by content.

    Left out is what their format has no place for: where a concept is and how sure that is, the tags of a scene, who is
    really in the picture, and concepts without a picture. A sample for a writer that doesn't look at pictures would be
    nothing without these: its question is the whole text that such a writer is prompted with.
    """
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    entries = [_written(number, sample, folder) for number, sample in enumerate(samples, start=1)]
    (folder / SAMPLES).write_text(json.dumps(entries, ensure_ascii=False, indent=1), encoding="utf-8")


def _entries(file: Path) -> list[object]:
    try:
        content: object = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SampleError(f"{file} can't be read: {error}.") from error
    except RecursionError as error:
        raise SampleError(f"{file} is nested too deeply to be samples.") from error
    except ValueError as error:
        raise SampleError(f"{file} isn't JSON, or not all of it arrived: {error}.") from error
    if not isinstance(content, list):
        raise SampleError(f"{file} isn't a list of samples.")
    return content


def _is_crowded(entry: object, max_concepts: int) -> bool:
    extra = entry.get("extra") if isinstance(entry, dict) else None
    return isinstance(extra, dict) and len(extra) > max_concepts


def _name_of(number: int, entry: object, file: Path) -> str:
    given = entry.get("id") if isinstance(entry, dict) else None
    known = f" (id {_shown(str(given))})" if isinstance(given, str | int) else ""
    return f"Sample {number}{known} of {file.name}"


def _samples_in(entry: object, name: str, root: Path) -> list[TrainingSample]:
    given = _object(entry, name)
    picture = None if given.get("image") is None else _path(given["image"], name, root)
    extra = {} if given.get("extra") is None else _object(given["extra"], f"{name}: “extra”")
    concepts = tuple(_concept(_path(path, name, root), item, name) for path, item in extra.items())
    plain = GenerateRequest(question="", has_picture=picture is not None, concepts=concepts, picture=picture)
    pictures = PicturesOnDisk(root, plain.pictures, name)
    turns, task = _turns(given, name), _task(given.get("type"))
    samples = []
    for place in range(0, len(turns) - 1, 2):
        question, answer = turns[place : place + 2]
        request = plain.model_copy(update={"question": question.text, "history": turns[:place]})
        samples.append(TrainingSample(task=task, prompt=GenerationInput(request, pictures), answer=answer.text))
    return samples


def _concept(path: str, entry: object, sample: str) -> PromptConcept:
    given = _object(entry, f"{sample}: what belongs to {_shown(path)}")
    return PromptConcept(
        name=_text(given, "name", sample).strip("<>"),
        info=_text(given, "info", sample),
        category=_text(given, "category", sample) if given.get("category") is not None else "",
        avatar=path,
    )


def _turns(given: dict[str, Any], sample: str) -> tuple[Turn, ...]:
    """Return the turns from the first of a human on, each answered; image tokens are left to the prompt."""
    entries = given.get("conversations")
    if not isinstance(entries, list):
        raise SampleError(f"{sample} lacks “conversations”, or they are no list.")
    turns = [_turn(entry, sample) for entry in entries]
    turns = list(itertools.dropwhile(lambda turn: turn.role != "user", turns))
    if len(turns) < 2:
        raise SampleError(f"{sample} has no question with an answer.")
    if any(turn.role != ("user", "assistant")[place % 2] for place, turn in enumerate(turns)):
        raise SampleError(f"{sample}: human and gpt don't take turns.")
    turns[0] = Turn(role="user", text=turns[0].text.replace(f"{IMAGE}\n", "").replace(IMAGE, ""))
    return tuple(turns)


def _turn(entry: object, sample: str) -> Turn:
    given = _object(entry, f"{sample}: a turn")
    role = ROLES.get(_text(given, "from", sample))
    if role is None:
        raise SampleError(f"{sample}: a turn is neither from human nor from gpt.")
    return Turn(role="user" if role == "user" else "assistant", text=_text(given, "value", sample))


def _task(kind: object) -> Task:
    """Return the task that a sample's type says in its words; a question where it says none."""
    words = re.findall(r"[a-z]+", kind.casefold()) if isinstance(kind, str) else []
    return next((task for task in Task if any(word.startswith(task.value) for word in words)), Task.QUESTION)


def _path(given: object, sample: str, root: Path) -> str:
    """Return a path within the folder to a file that is there. Links are followed first: they may lead out of it."""
    if not isinstance(given, str) or not _is_plain(given):
        raise SampleError(f"{sample}: a picture's path isn't text.")
    whole = os.path.realpath(root / given)
    if not Path(whole).is_relative_to(root):
        raise SampleError(f"{sample}: the picture {_shown(given)} leads out of the folder of pictures.")
    if not os.path.isfile(whole):
        raise SampleError(f"{sample}: the picture {_shown(given)} isn't in the folder of pictures.")
    return given


def _object(given: object, what: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise SampleError(f"{what} isn't written as it should be.")
    return given


def _text(given: dict[str, Any], key: str, sample: str) -> str:
    text = given.get(key)
    if not isinstance(text, str) or not _is_plain(text):
        raise SampleError(f"{sample} lacks “{key}”, or it isn't text.")
    return text


def _is_plain(text: str) -> bool:
    return NOT_TEXT.search(text) is None


def _shown(text: str) -> str:
    printable = "".join(word for word in text if word.isprintable())
    return f"“{printable[:80]}”"


def _written(number: int, sample: TrainingSample, folder: Path) -> dict[str, Any]:
    prompt = sample.prompt
    extra: dict[str, dict[str, str]] = {}
    for concept in prompt.request.concepts:
        if concept.avatar is not None and concept.avatar in prompt.pictures:
            path = _kept(prompt.pictures[concept.avatar], folder, extra)
            extra[path] = {"name": concept.name, "info": _without_tokens(concept.info), "category": concept.category}
    shown = None if prompt.request.picture is None else prompt.pictures.get(prompt.request.picture)
    image = {} if shown is None else {"image": _kept(shown, folder, {})}
    turns = _written_turns(sample, has_image=bool(image))
    return {"id": number, **image, "conversations": turns, "extra": extra, "type": sample.task.value}


def _written_turns(sample: TrainingSample, *, has_image: bool) -> list[dict[str, str]]:
    """Return a sample's conversation; for a writer that gets what was seen as text, with that text as question."""
    request = sample.prompt.request
    is_text = not sample.prompt.pictures and (request.has_picture or request.concepts)
    question = prompt_for(request, examples=False) if is_text else request.question
    turns = [*request.history, Turn(role="user", text=question), Turn(role="assistant", text=sample.answer)]
    names = {role: name for name, role in ROLES.items()}
    written = [{"from": names[turn.role], "value": _without_tokens(turn.text)} for turn in turns]
    if has_image:
        written[0]["value"] = f"{IMAGE}\n{written[0]['value']}"
    return written


def _kept(picture: Image.Image, folder: Path, taken: Mapping[str, Any]) -> str:
    """Save a picture; returns its path, which may not be one of those taken: two concepts may have the same picture."""
    jpeg = encode_jpeg(picture)
    name = hashlib.sha256(jpeg).hexdigest()
    path = next(item for again in itertools.count() if (item := f"{PICTURES}/{name}{'-' * again}.jpg") not in taken)
    (folder / path).write_bytes(jpeg)
    return path


def _without_tokens(text: str) -> str:
    """Return a text in which nothing asks for a picture: to the authors' code each image token is one."""
    return text.replace(IMAGE, "‹image›")
