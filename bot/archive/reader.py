"""Reading a memory from a zip file: nothing in it is believed before it is checked."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bot.archive.schema import (
    MAX_PROBLEMS,
    READING,
    VERSION,
    Archive,
    ArchivedConcept,
    ArchivedCorrection,
    ArchivedReference,
    ArchiveError,
    ArchiveProblem,
    InvalidEntryError,
    ProblemKind,
    RapConcept,
)
from db.geometry import WHOLE
from db.names import InvalidTextError, check_name, name_key
from model_worker.api.images import LARGEST_BYTES

MAX_ENTRIES = 20_000
"""Files in one archive."""
MAX_BYTES = 120_000_000
"""Of all files in one archive, once they are unpacked: pictures don't get much larger by that."""
LARGEST_JSON = 40_000_000
"""Bytes: the embeddings of a full memory, which aren't read, are most of it."""
MAX_VALUES = 2_000_000
"""In one JSON: each takes some hundred bytes of memory, however short it is in the file."""
SEPARATORS = (b",", b"[", b"{", b":")
"""There are at least as many of these as there are values; those in texts count, too."""
STRUCTURE = {
    "model_type": ProblemKind.NOT_AN_OBJECT,
    "dataclass_type": ProblemKind.NOT_AN_OBJECT,
    "tuple_type": ProblemKind.NOT_A_LIST,
}
FIELDS = {
    "picture": ProblemKind.NO_PICTURE,
    "image": ProblemKind.NO_PICTURE,
    "box": ProblemKind.INVALID_BOX,
    "times_recognised": ProblemKind.INVALID_COUNT,
    "verdict": ProblemKind.INVALID_VERDICT,
}
"""What is wrong when such a field can't be read; everywhere else it is text that is missing, or isn't text."""
Given = TypeVar("Given")
Made = TypeVar("Made")
Entry = TypeVar("Entry", bound=BaseModel)


def read_archive(data: bytes) -> Archive:
    """Read what `write_archives` wrote, or a zip with a RAP memory file and its pictures.

    Raises ArchiveError with everything that is wrong, up to ten things.
    """
    try:
        return _read(data)
    except RecursionError as error:
        raise ArchiveError.of(ProblemKind.NESTED_TOO_DEEPLY) from error


class _Unpacked:
    """The files of a zip, read one at a time and never more of them than allowed."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
            raise ArchiveError.of(ProblemKind.NOT_A_ZIP) from error
        entries = self._zip.infolist()
        if len(entries) > MAX_ENTRIES:
            raise ArchiveError.of(ProblemKind.TOO_MANY_FILES, count=len(entries), max_count=MAX_ENTRIES)
        self._entries = {entry.filename: entry for entry in entries if not entry.is_dir()}
        if len(self._entries) != sum(not entry.is_dir() for entry in entries):
            raise ArchiveError.of(ProblemKind.DUPLICATE_FILES)
        self._left = MAX_BYTES

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def read(self, name: str, largest: int) -> bytes:
        """Return a file. Raises ArchiveError when it is larger than it may be, encrypted or broken."""
        entry = self._entries[name]
        if entry.flag_bits & 1:
            raise ArchiveError.of(ProblemKind.ENCRYPTED)
        limit = min(largest, self._left)
        try:
            with self._zip.open(entry) as file:
                content = file.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, EOFError, ValueError, RuntimeError) as e:
            raise ArchiveError.of(ProblemKind.FILE_BROKEN, file=name) from e
        except Exception as error:  # other decompressors have their own errors
            raise ArchiveError.of(ProblemKind.FILE_NOT_UNPACKED, file=name) from error
        if len(content) > limit:
            raise ArchiveError.of(ProblemKind.FILE_TOO_LARGE, file=name)
        self._left -= len(content)
        return content


class _ProblemError(Exception):
    """Something that can't be used in one entry of a file; the entries after it are read all the same."""

    def __init__(self, problem: ArchiveProblem) -> None:
        super().__init__(problem)
        self.problem = problem


def _read(data: bytes) -> Archive:
    if data.lstrip()[:1] in {b"{", b"["}:
        _json(data, "")
        raise ArchiveError.of(ProblemKind.WITHOUT_PICTURES)
    unpacked = _Unpacked(data)
    if "keepsake.json" in unpacked.names:
        return _read_whole(unpacked)
    for name in sorted(unpacked.names, key=lambda text: (text.count("/"), text)):
        if name.lower().endswith(".json"):
            content = _json(unpacked.read(name, LARGEST_JSON), name)
            if isinstance(content, dict) and "concept_dict" in content:
                return _read_rap(unpacked, name, content)
    raise ArchiveError.of(ProblemKind.NO_MEMORY)


def _read_whole(unpacked: _Unpacked) -> Archive:
    content = _json(unpacked.read("keepsake.json", LARGEST_JSON), "keepsake.json")
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ArchiveError.of(ProblemKind.UNKNOWN_VERSION)
    pictures = _Pictures(unpacked)
    found, problems = _collected(_list_in(content, "concepts"), lambda item: _concept(item, pictures))
    corrections, more = _collected(_list_in(content, "corrections"), _correction)
    concepts, twins = _joined(found)
    return _checked(Archive(concepts=concepts, corrections=tuple(corrections)), [*problems, *more, *twins])


def _concept(given: object, pictures: _Pictures) -> ArchivedConcept:
    concept = _entry(ArchivedConcept, given, _name_in(given, "name"))
    references = tuple(pictures.of(reference, concept.name) for reference in concept.references)
    return concept.model_copy(update={"references": references})


def _correction(given: object) -> ArchivedCorrection:
    return _entry(ArchivedCorrection, given, _name_in(given, "concept"))


def _name_in(given: object, key: str) -> str:
    """Return the name that an entry is about, empty where there is none that can be shown."""
    try:
        return check_name(given[key]) if isinstance(given, dict) and isinstance(given.get(key), str) else ""
    except InvalidTextError:
        return ""


def _entry(kind: type[Entry], given: object, concept: str) -> Entry:
    """Return an entry, read and checked. Raises _ProblemError with the first thing that is wrong with it."""
    try:
        return kind.model_validate(given, context=READING)
    except ValidationError as error:
        raise _ProblemError(_problem_of(error.errors(include_url=False)[0], concept)) from error


def _problem_of(details: ErrorDetails, concept: str) -> ArchiveProblem:
    names = [name for name in details["loc"] if isinstance(name, str)]
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, InvalidEntryError):
        return ArchiveProblem(kind=cause.kind, concept=concept, cause=cause.cause)
    kind = STRUCTURE.get(details["type"])
    if kind is None or "image" in names:
        kind = next((FIELDS[name] for name in names if name in FIELDS), ProblemKind.NOT_TEXT)
    return ArchiveProblem(kind=kind, concept=concept, field=names[-1] if names else "")


def _joined(found: Iterable[ArchivedConcept]) -> tuple[tuple[ArchivedConcept, ...], list[ArchiveProblem]]:
    """Join concepts of one name; two names that only look different to a computer are a problem."""
    joined: dict[str, ArchivedConcept] = {}
    problems = []
    for concept in found:
        known = joined.get(name_key(concept.name))
        if known is None:
            joined[name_key(concept.name)] = concept
        elif known.name == concept.name:
            joined[name_key(concept.name)] = known.model_copy(
                update={"references": known.references + concept.references}
            )
        else:
            problems.append(ArchiveProblem(kind=ProblemKind.SAME_NAME, concept=known.name, other=concept.name))
    return tuple(joined.values()), problems


def _read_rap(unpacked: _Unpacked, place: str, content: dict[str, Any]) -> Archive:
    """Read a memory file as RAP's own code writes it; its paths are relative to where that was started."""
    pictures = _Pictures(unpacked)
    entries = content["concept_dict"]
    if not isinstance(entries, dict):
        raise ArchiveError.of(ProblemKind.NOT_A_DICTIONARY, field="concept_dict")
    found, problems = _collected(entries.items(), lambda pair: _rap_concept(pair[0], pair[1], place, pictures))
    keys: dict[str, str] = {}
    for concept in found:
        other = keys.setdefault(name_key(concept.name), concept.name)
        if other is not concept.name:
            problems.append(ArchiveProblem(kind=ProblemKind.NAMED_TWICE, concept=concept.name))
    return _checked(Archive(concepts=tuple(found)), problems)


def _rap_concept(key: str, given: object, place: str, pictures: _Pictures) -> ArchivedConcept:
    """Return an entry of a RAP memory file; there a name stands in brackets, which ours can't have."""
    entry = _entry(RapConcept, given, key.strip("<>"))
    written = (entry.name or key).strip("<>")
    name = _name_in({"name": written}, "name") or written
    shown = [pictures.found(path, place, name) for path in entry.image]
    concept = {
        "name": name,
        "info": entry.info.replace(key, name).replace(f"<{name}>", name),
        "category": entry.category,
        "references": [
            ArchivedReference(
                sha256=hashlib.sha256(picture).hexdigest(), content=picture, box=WHOLE, is_avatar=number == 0
            )
            for number, picture in enumerate(shown)
        ],
    }
    return _entry(ArchivedConcept, concept, name)


class _Pictures:
    """The pictures of a zip, each read once."""

    def __init__(self, unpacked: _Unpacked) -> None:
        self._unpacked = unpacked
        self._names = set(unpacked.names)
        self._read: dict[str, bytes] = {}

    def of(self, reference: ArchivedReference, concept: str) -> ArchivedReference:
        """Return a reference of our own zip with its picture, which has to be the one that its name says."""
        picture = self._get(f"pictures/{reference.sha256}.jpg", concept)
        if hashlib.sha256(picture).hexdigest() != reference.sha256:
            raise _ProblemError(ArchiveProblem(kind=ProblemKind.PICTURE_CHANGED, concept=concept))
        return reference.model_copy(update={"content": picture})

    def found(self, path: str, place: str, concept: str) -> bytes:
        """Return the picture that a RAP memory file means by a path."""
        plain = posixpath.normpath(path.replace("\\", "/")).lstrip("/")
        folder = posixpath.dirname(place)
        for start in (folder, posixpath.dirname(folder), ""):
            name = posixpath.normpath(posixpath.join(start, plain))
            if name in self._names:
                return self._get(name, concept)
        alike = [name for name in self._names if posixpath.basename(name) == posixpath.basename(plain)]
        return self._get(alike[0] if len(alike) == 1 else plain, concept)

    def _get(self, name: str, concept: str) -> bytes:
        if name not in self._names:
            raise _ProblemError(ArchiveProblem(kind=ProblemKind.PICTURE_MISSING, concept=concept))
        if name not in self._read:
            self._read[name] = self._unpacked.read(name, LARGEST_BYTES)
        return self._read[name]


def _collected(given: Iterable[Given], make: Callable[[Given], Made]) -> tuple[list[Made], list[ArchiveProblem]]:
    """Make something of each; what can't be made is a problem, up to ten of them."""
    made: list[Made] = []
    problems: list[ArchiveProblem] = []
    for item in given:
        try:
            made.append(make(item))
        except _ProblemError as wrong:
            problems.append(wrong.problem)
        except ArchiveError as wrong:
            problems += wrong.problems
        if len(problems) >= MAX_PROBLEMS:
            break
    return made, problems


def _checked(archive: Archive, problems: Sequence[ArchiveProblem]) -> Archive:
    found = [
        *problems,
        *(
            ArchiveProblem(kind=ProblemKind.NO_PICTURE, concept=concept.name)
            for concept in archive.concepts
            if not concept.references
        ),
    ]
    if not found and not archive.concepts:
        found = [ArchiveProblem(kind=ProblemKind.EMPTY)]
    if found:
        raise ArchiveError(tuple(found[:MAX_PROBLEMS]))
    return archive


def _json(data: bytes, file: str) -> object:
    if len(data) > LARGEST_JSON:
        raise ArchiveError.of(ProblemKind.FILE_TOO_LARGE, file=file)
    if sum(map(data.count, SEPARATORS)) > MAX_VALUES:
        raise ArchiveError.of(ProblemKind.TOO_MUCH, file=file)
    try:
        content: object = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise ArchiveError.of(ProblemKind.FILE_NOT_JSON, file=file) from error
    return content


def _list_in(given: Mapping[str, Any], key: str) -> list[object]:
    found = given.get(key, [])
    if not isinstance(found, list):
        raise ArchiveError.of(ProblemKind.NOT_A_LIST, field=key)
    return found
