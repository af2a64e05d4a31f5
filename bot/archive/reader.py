"""Reading a memory from a zip file: nothing in it is believed before it is checked."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

from bot.archive.schema import (
    MAX_PROBLEMS,
    VERSION,
    Archive,
    ArchivedConcept,
    ArchivedEmbedding,
    ArchivedReference,
    ArchiveError,
    ArchiveProblem,
    ProblemKind,
)
from bot.archive.vectors import unpack_vector
from db.geometry import WHOLE, Box
from db.names import InvalidTextError, check_category, check_info, check_name, name_key
from db.types import NO_CHANNEL, Channel, StoredCorrection, Vector, Verdict
from model_worker.api.images import LARGEST_BYTES

FORMER_VERDICTS = {"not_them": Verdict.INCORRECT}
"""What older archives call it."""
MAX_ENTRIES = 20_000
"""Files in one archive."""
MAX_BYTES = 600_000_000
"""Of all files in one archive, once they are unpacked."""
LARGEST_JSON = 50_000_000
"""Bytes."""
LONGEST_VECTOR = 8192
LARGEST_COUNT = 2_000_000_000
Given = TypeVar("Given")
Made = TypeVar("Made")


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


class _InvalidEntryError(Exception):
    """Something in a file that can't be used; what comes after it is read all the same."""

    def __init__(
        self, kind: ProblemKind, concept: str = "", *, field: str = "", cause: InvalidTextError | None = None
    ) -> None:
        super().__init__(kind)
        self.problem = ArchiveProblem(kind=kind, concept=concept, field=field, cause=cause)


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
    found, problems = _collected(_list_in(content, "concepts"), lambda item: _concept(_object(item), pictures))
    corrections, more = _collected(_list_in(content, "corrections"), lambda item: _correction(_object(item)))
    concepts, twins = _joined(found)
    return _checked(Archive(concepts, tuple(corrections), (), False, False, _now()), [*problems, *more, *twins])


def _concept(given: dict[str, Any], pictures: _Pictures) -> ArchivedConcept:
    name = _cleaned(check_name, given.get("name"))
    references = tuple(_reference(_object(item, name), name, pictures) for item in _list_in(given, "references", name))
    learned = given.get("learned")
    place = learned if isinstance(learned, dict) else {}
    return ArchivedConcept(
        name=name,
        info=_cleaned(check_info, given.get("info", ""), name),
        category=_cleaned(check_category, given.get("category", ""), name),
        created_at=_time(given.get("created_at")) or _now(),
        times_recognised=_count(given.get("times_recognised", 0), name),
        last_seen=_time(given.get("last_seen")),
        learned=Channel(_id(place.get("server_id")), _id(place.get("channel_id"))),
        linked_user=_id(given.get("linked_user")),
        references=references,
    )


def _reference(given: dict[str, Any], concept: str, pictures: _Pictures) -> ArchivedReference:
    sha256 = given.get("picture")
    if not isinstance(sha256, str):
        raise _InvalidEntryError(ProblemKind.NO_PICTURE, concept)
    return ArchivedReference(
        picture=pictures.whole(sha256, concept),
        picture_sha256=sha256,
        box=_box(given.get("box"), concept),
        created_at=_time(given.get("created_at")) or _now(),
        is_avatar=given.get("is_avatar") is True,
        embeddings=tuple(
            ArchivedEmbedding(
                _text(_object(item, concept).get("embedding_id"), concept),
                _vector(_object(item, concept).get("vector"), concept),
            )
            for item in _list_in(given, "embeddings", concept)
        ),
    )


def _correction(given: dict[str, Any]) -> StoredCorrection:
    name = _cleaned(check_name, given.get("concept"))
    try:
        written = _text(given.get("verdict"), name)
        verdict = FORMER_VERDICTS.get(written) or Verdict(written)
    except ValueError as error:
        raise _InvalidEntryError(ProblemKind.INVALID_VERDICT, name) from error
    return StoredCorrection(
        concept_name=name,
        verdict=verdict,
        embedding_id=_text(given.get("embedding_id"), name),
        vector=_vector(given.get("vector"), name),
        created_at=_time(given.get("created_at")) or _now(),
    )


def _joined(found: Iterable[ArchivedConcept]) -> tuple[tuple[ArchivedConcept, ...], list[ArchiveProblem]]:
    """Join concepts of one name; two names that only look different to a computer are a problem."""
    joined: dict[str, ArchivedConcept] = {}
    problems = []
    for concept in found:
        known = joined.get(name_key(concept.name))
        if known is None:
            joined[name_key(concept.name)] = concept
        elif known.name == concept.name:
            joined[name_key(concept.name)] = replace(known, references=known.references + concept.references)
        else:
            problems.append(ArchiveProblem(kind=ProblemKind.SAME_NAME, concept=known.name, other=concept.name))
    return tuple(joined.values()), problems


def _read_rap(unpacked: _Unpacked, place: str, content: dict[str, Any]) -> Archive:
    """Read a memory file as RAP's own code writes it; its paths are relative to where that was started."""
    pictures = _Pictures(unpacked)
    entries = content["concept_dict"]
    if not isinstance(entries, dict):
        raise ArchiveError.of(ProblemKind.NOT_A_DICTIONARY, field="concept_dict")
    found, problems = _collected(
        list(entries.items()), lambda pair: _rap_concept(pair[0], _object(pair[1], pair[0]), place, pictures)
    )
    keys: dict[str, str] = {}
    for concept in found:
        other = keys.setdefault(name_key(concept.name), concept.name)
        if other is not concept.name:
            problems.append(ArchiveProblem(kind=ProblemKind.NAMED_TWICE, concept=concept.name))
    return _checked(Archive(tuple(found), (), (), False, False, _now()), problems)


def _rap_concept(key: str, given: dict[str, Any], place: str, pictures: _Pictures) -> ArchivedConcept:
    """Return an entry of a RAP memory file; there a name stands in brackets, which ours can't have."""
    name = _cleaned(check_name, str(given.get("name", key)).strip("<>"))
    images = given.get("image")
    paths = images if isinstance(images, list) else [images]
    shown = [pictures.found(path, place, name) for path in paths]
    info = _text(given.get("info", ""), name).replace(key, name).replace(f"<{name}>", name)
    return ArchivedConcept(
        name=name,
        info=_cleaned(check_info, info, name),
        category=_cleaned(check_category, given.get("category", ""), name),
        created_at=_now(),
        times_recognised=0,
        last_seen=None,
        learned=NO_CHANNEL,
        linked_user=None,
        references=tuple(
            ArchivedReference(picture, hashlib.sha256(picture).hexdigest(), WHOLE, _now(), number == 0)
            for number, picture in enumerate(shown)
        ),
    )


class _Pictures:
    """The pictures of a zip, each read once."""

    def __init__(self, unpacked: _Unpacked) -> None:
        self._unpacked = unpacked
        self._names = set(unpacked.names)
        self._read: dict[str, bytes] = {}

    def whole(self, sha256: str, concept: str) -> bytes:
        """Return a picture of our own zip; it has to be the one that its name says."""
        picture = self._get(f"pictures/{sha256}.jpg", concept)
        if hashlib.sha256(picture).hexdigest() != sha256:
            raise _InvalidEntryError(ProblemKind.PICTURE_CHANGED, concept)
        return picture

    def found(self, path: object, place: str, concept: str) -> bytes:
        """Return the picture that a RAP memory file means by a path."""
        if not isinstance(path, str):
            raise _InvalidEntryError(ProblemKind.NO_PICTURE, concept)
        plain = posixpath.normpath(path.replace("\\", "/")).lstrip("/")
        folder = posixpath.dirname(place)
        for start in (folder, posixpath.dirname(folder), ""):
            name = posixpath.normpath(posixpath.join(start, plain))
            if name in self._names:
                return self._get(name, concept)
        alike = [name for name in self._names if posixpath.basename(name) == posixpath.basename(plain)]
        if len(alike) == 1:
            return self._get(alike[0], concept)
        raise _InvalidEntryError(ProblemKind.PICTURE_MISSING, concept)

    def _get(self, name: str, concept: str) -> bytes:
        if name not in self._names:
            raise _InvalidEntryError(ProblemKind.PICTURE_MISSING, concept)
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
        except _InvalidEntryError as wrong:
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
    try:
        content: object = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise ArchiveError.of(ProblemKind.FILE_NOT_JSON, file=file) from error
    return content


def _object(given: object, concept: str = "") -> dict[str, Any]:
    if not isinstance(given, dict):
        raise _InvalidEntryError(ProblemKind.NOT_AN_OBJECT, concept)
    return given


def _list_in(given: dict[str, Any], key: str, concept: str = "") -> list[Any]:
    found = given.get(key, [])
    if not isinstance(found, list):
        if not concept:
            raise ArchiveError.of(ProblemKind.NOT_A_LIST, field=key)
        raise _InvalidEntryError(ProblemKind.NOT_A_LIST, concept, field=key)
    return found


def _text(given: object, concept: str) -> str:
    if not isinstance(given, str) or "\x00" in given or _has_surrogate(given):
        raise _InvalidEntryError(ProblemKind.NOT_TEXT, concept)
    return given


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _cleaned(check: Callable[[str], str], given: object, concept: str = "") -> str:
    if not isinstance(given, str):
        raise _InvalidEntryError(ProblemKind.NOT_TEXT, concept)
    try:
        return check(given)
    except InvalidTextError as error:
        raise _InvalidEntryError(ProblemKind.INVALID_TEXT, concept, cause=error) from error


def _box(given: object, concept: str) -> Box:
    sides = [_object(given, concept).get(side) for side in ("left", "top", "right", "bottom")]
    numbers = [float(side) for side in sides if isinstance(side, int | float) and abs(side) <= 1]
    if len(numbers) != len(sides):
        raise _InvalidEntryError(ProblemKind.INVALID_BOX, concept)
    left, top, right, bottom = numbers
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise _InvalidEntryError(ProblemKind.INVALID_BOX, concept)
    return Box(left=left, top=top, right=right, bottom=bottom)


def _vector(given: object, concept: str) -> Vector:
    try:
        vector = unpack_vector(_text(given, concept))
    except ValueError as error:
        raise _InvalidEntryError(ProblemKind.INVALID_EMBEDDING, concept) from error
    norm = float(np.linalg.norm(vector)) if 0 < len(vector) <= LONGEST_VECTOR else 0.0
    if not 0.5 <= norm <= 2:
        raise _InvalidEntryError(ProblemKind.INVALID_EMBEDDING, concept)
    return vector


def _time(given: object) -> datetime | None:
    """Return a moment; None when there is none, or it isn't one, or it is still to come."""
    if not isinstance(given, str):
        return None
    try:
        moment = datetime.fromisoformat(given)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment <= _now() else None


def _count(given: object, concept: str) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= LARGEST_COUNT:
        raise _InvalidEntryError(ProblemKind.INVALID_COUNT, concept)
    return given


def _id(given: object) -> int | None:
    is_id = isinstance(given, int) and not isinstance(given, bool) and 0 < given < 2**63
    return given if is_id and isinstance(given, int) else None


def _now() -> datetime:
    return datetime.now(UTC)
