"""RAP-260K's samples (arXiv 2410.13360, section 3.4, and the code its authors released): read as lessons, and written.

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


@dataclass(frozen=True, slots=True)
class Samples:
    """What a data file has to train on.

    Of its ``count`` samples ``crowded`` have more concepts than a prompt may, and ``broken`` can't be used:
    ``problems`` says of the first few of them why.
    """

    lessons: tuple[TrainingSample, ...]
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


def samples_from(file: Path, pictures: Path, max_concepts: int) -> Samples:
    """Read a data file whose paths lead from the folder ``pictures``; its pictures are opened when they are needed.

    Each answer is a lesson, and the turns before it are its history; the picture and the concepts come with its
    question, as in use, where the authors' code has them in the first turn. Their format doesn't say what a lesson's
    ``names`` and ``value`` are.

    Raises SampleError when the file as a whole can't be read.
    """
    entries, root = _entries(file), Path(os.path.realpath(pictures))
    lessons: list[TrainingSample] = []
    problems: list[str] = []
    crowded = broken = 0
    for number, entry in enumerate(entries, start=1):
        if _is_crowded(entry, max_concepts):
            crowded += 1
            continue
        try:
            lessons += _lessons_in(entry, _name_of(number, entry, file), root)
        except SampleError as problem:
            broken += 1
            if broken <= MAX_NAMED:
                problems.append(str(problem))
    return Samples(tuple(lessons), len(entries), crowded, broken, tuple(problems))


def write_samples(lessons: Sequence[TrainingSample], folder: Path) -> None:
    """Write lessons as a data file, ``samples.json``, and their pictures, JPEG named by content.

    Left out is what their format has no place for: where a concept is and how sure that is, the tags of a scene, who is
    really in the picture, and concepts without a picture. A lesson for a writer that doesn't look at pictures would be
    nothing without these: its question is the whole text that such a writer is prompted with.
    """
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    samples = [_written(number, sample, folder) for number, sample in enumerate(lessons, start=1)]
    (folder / SAMPLES).write_text(json.dumps(samples, ensure_ascii=False, indent=1), encoding="utf-8")


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


def _lessons_in(entry: object, sample: str, root: Path) -> list[TrainingSample]:
    given = _object(entry, sample)
    picture = None if given.get("image") is None else _path(given["image"], sample, root)
    extra = {} if given.get("extra") is None else _object(given["extra"], f"{sample}: “extra”")
    concepts = tuple(_concept(_path(path, sample, root), item, sample) for path, item in extra.items())
    plain = GenerateRequest(question="", has_picture=picture is not None, concepts=concepts, picture=picture)
    shown = PicturesOnDisk(root, plain.pictures, sample)
    turns, task = _turns(given, sample), _task(given.get("type"))
    return [
        TrainingSample(
            task,
            GenerationInput(plain.model_copy(update={"question": question.text, "history": turns[: 2 * place]}), shown),
            answer.text,
        )
        for place, (question, answer) in enumerate(zip(turns[::2], turns[1::2], strict=False))
    ]


def _concept(path: str, entry: object, sample: str) -> PromptConcept:
    given = _object(entry, f"{sample}: what belongs to {_shown(path)}")
    name = _text(given, "name", sample).strip("<>")
    category = _text(given, "category", sample) if given.get("category") is not None else ""
    return PromptConcept(name=name, info=_text(given, "info", sample), category=category, avatar=path)


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
    """Return a path within the folder to a file that is there."""
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


def _written(number: int, lesson: TrainingSample, folder: Path) -> dict[str, Any]:
    asked = lesson.asked
    extra: dict[str, dict[str, str]] = {}
    for concept in asked.request.concepts:
        if concept.avatar is not None and concept.avatar in asked.pictures:
            path = _kept(asked.pictures[concept.avatar], folder, extra)
            extra[path] = {"name": concept.name, "info": _without_tokens(concept.info), "category": concept.category}
    shown = None if asked.request.picture is None else asked.pictures.get(asked.request.picture)
    image = {} if shown is None else {"image": _kept(shown, folder, {})}
    return {"id": number, **image, "conversations": _said(lesson, image), "extra": extra, "type": lesson.task.value}


def _said(lesson: TrainingSample, image: Mapping[str, str]) -> list[dict[str, str]]:
    request = lesson.asked.request
    is_told = not lesson.asked.pictures and (request.has_picture or request.concepts)
    question = prompt_for(request, examples=False) if is_told else request.question
    turns = [*request.history, Turn(role="user", text=question), Turn(role="assistant", text=lesson.answer)]
    names = {role: name for name, role in ROLES.items()}
    said = [{"from": names[turn.role], "value": _without_tokens(turn.text)} for turn in turns]
    if image:
        said[0]["value"] = f"{IMAGE}\n{said[0]['value']}"
    return said


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
