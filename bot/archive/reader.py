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
)
from db.names import InvalidTextError, check_category, check_info, check_name, name_key
from db.types import NO_CHANNEL, Box, Channel, StoredCorrection, Vector, Verdict
from model_worker.api.images import LARGEST_BYTES
from model_worker.api.protocol import unpack_vector

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
WHOLE = Box(0.0, 0.0, 1.0, 1.0)
Given = TypeVar("Given")
Made = TypeVar("Made")


def read_archive(data: bytes) -> Archive:
    """Read what `write_archives` wrote, or a zip with a RAP memory file and its pictures.

    Raises ArchiveError with everything that is wrong, up to ten things.
    """
    try:
        return _read(data)
    except RecursionError as error:
        raise ArchiveError(["That file is nested too deeply to be a memory."]) from error


class _Unpacked:
    """The files of a zip, read one at a time and never more of them than allowed."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
            raise ArchiveError(["That isn't a zip file that I can read, or not all of it arrived."]) from error
        entries = self._zip.infolist()
        if len(entries) > MAX_ENTRIES:
            raise ArchiveError([f"That zip has {len(entries):,} files; I take at most {MAX_ENTRIES:,}."])
        self._entries = {entry.filename: entry for entry in entries if not entry.is_dir()}
        if len(self._entries) != sum(not entry.is_dir() for entry in entries):
            raise ArchiveError(["That zip has two files of one name."])
        self._left = MAX_BYTES

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def read(self, name: str, largest: int) -> bytes:
        """Return a file. Raises ArchiveError when it is larger than it may be, encrypted or broken."""
        entry = self._entries[name]
        if entry.flag_bits & 1:
            raise ArchiveError(["That zip is encrypted."])
        limit = min(largest, self._left)
        try:
            with self._zip.open(entry) as file:
                content = file.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, EOFError, ValueError, RuntimeError) as e:
            raise ArchiveError([f"The file {_shown(name)} in that zip is broken."]) from e
        except Exception as error:  # other decompressors have their own errors
            raise ArchiveError([f"The file {_shown(name)} in that zip can't be unpacked."]) from error
        if len(content) > limit:
            raise ArchiveError([f"The file {_shown(name)} in that zip is too large, or all of them together are."])
        self._left -= len(content)
        return content


class _InvalidEntryError(ValueError):
    """Something in a file that can't be used; the text is a sentence."""


def _read(data: bytes) -> Archive:
    if data.lstrip()[:1] in {b"{", b"["}:
        _json(data, "That file")
        raise ArchiveError(["That file only names pictures: put it into a zip, together with them."])
    unpacked = _Unpacked(data)
    if "keepsake.json" in unpacked.names:
        return _read_whole(unpacked)
    for name in sorted(unpacked.names, key=lambda text: (text.count("/"), text)):
        if name.lower().endswith(".json"):
            content = _json(unpacked.read(name, LARGEST_JSON), f"The file {_shown(name)}")
            if isinstance(content, dict) and "concept_dict" in content:
                return _read_rap(unpacked, name, content)
    raise ArchiveError(["There is no memory in that zip: neither one that I exported, nor one of RAP."])


def _read_whole(unpacked: _Unpacked) -> Archive:
    content = _json(unpacked.read("keepsake.json", LARGEST_JSON), "The file keepsake.json")
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ArchiveError(["That zip is of a version of me that I don't know."])
    pictures = _Pictures(unpacked)
    found, problems = _collected(
        _list_in(content, "concepts"), lambda item: _concept(_object(item, "A concept"), pictures)
    )
    corrections, more = _collected(_list_in(content, "corrections"), lambda item: _correction(_object(item, "That")))
    concepts, twins = _joined(found)
    return _checked(Archive(concepts, tuple(corrections), (), False, False, _now()), [*problems, *more, *twins])


def _concept(given: dict[str, Any], pictures: _Pictures) -> ArchivedConcept:
    name = _cleaned(check_name, given.get("name"), "A name")
    about = f"“{name}”"
    references = tuple(
        _reference(_object(item, f"A picture of {about}"), about, pictures)
        for item in _list_in(given, "references", about)
    )
    learned = given.get("learned")
    place = learned if isinstance(learned, dict) else {}
    return ArchivedConcept(
        name=name,
        info=_cleaned(check_info, given.get("info", ""), f"The info of {about}"),
        category=_cleaned(check_category, given.get("category", ""), f"The category of {about}"),
        created_at=_time(given.get("created_at")) or _now(),
        times_recognised=_count(given.get("times_recognised", 0), about),
        last_seen=_time(given.get("last_seen")),
        learned=Channel(_id(place.get("server_id")), _id(place.get("channel_id"))),
        linked_user=_id(given.get("linked_user")),
        references=references,
    )


def _reference(given: dict[str, Any], about: str, pictures: _Pictures) -> ArchivedReference:
    sha256 = given.get("picture")
    if not isinstance(sha256, str):
        raise _InvalidEntryError(f"A picture of {about} has no name.")
    return ArchivedReference(
        picture=pictures.whole(sha256, about),
        picture_sha256=sha256,
        box=_box(given.get("box"), about),
        created_at=_time(given.get("created_at")) or _now(),
        is_avatar=given.get("is_avatar") is True,
        embeddings=tuple(
            ArchivedEmbedding(
                _text(_object(item, about).get("embedding_id"), about),
                _vector(_object(item, about).get("vector"), about),
            )
            for item in _list_in(given, "embeddings", about)
        ),
    )


def _correction(given: dict[str, Any]) -> StoredCorrection:
    name = _cleaned(check_name, given.get("concept"), "A name in a correction")
    about = f"a correction of “{name}”"
    try:
        written = _text(given.get("verdict"), about)
        verdict = FORMER_VERDICTS.get(written) or Verdict(written)
    except ValueError as error:
        raise _InvalidEntryError(f"In {about} stands neither right nor incorrect.") from error
    return StoredCorrection(
        name,
        verdict,
        _text(given.get("embedding_id"), about),
        _vector(given.get("vector"), about),
        _time(given.get("created_at")) or _now(),
    )


def _joined(found: Iterable[ArchivedConcept]) -> tuple[tuple[ArchivedConcept, ...], list[str]]:
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
            problems.append(f"“{known.name}” and “{concept.name}” are the same name to me.")
    return tuple(joined.values()), problems


def _read_rap(unpacked: _Unpacked, place: str, content: dict[str, Any]) -> Archive:
    """Read a memory file as RAP's own code writes it; its paths are relative to where that was started."""
    pictures = _Pictures(unpacked)
    entries = content["concept_dict"]
    if not isinstance(entries, dict):
        raise ArchiveError(["In that memory file, “concept_dict” isn't a dictionary."])
    found, problems = _collected(
        list(entries.items()), lambda pair: _rap_concept(pair[0], _object(pair[1], f"“{pair[0]}”"), place, pictures)
    )
    keys: dict[str, str] = {}
    for concept in found:
        other = keys.setdefault(name_key(concept.name), concept.name)
        if other is not concept.name:
            problems.append(f"“{concept.name}” is in that memory file twice.")
    return _checked(Archive(tuple(found), (), (), False, False, _now()), problems)


def _rap_concept(key: str, given: dict[str, Any], place: str, pictures: _Pictures) -> ArchivedConcept:
    """Return an entry of a RAP memory file; there a name stands in brackets, which ours can't have."""
    name = _cleaned(check_name, str(given.get("name", key)).strip("<>"), "A name")
    about = f"“{name}”"
    images = given.get("image")
    paths = images if isinstance(images, list) else [images]
    shown = [pictures.found(path, place, about) for path in paths]
    info = _text(given.get("info", ""), about).replace(key, name).replace(f"<{name}>", name)
    return ArchivedConcept(
        name=name,
        info=_cleaned(check_info, info, f"The info of {about}"),
        category=_cleaned(check_category, given.get("category", ""), f"The category of {about}"),
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

    def whole(self, sha256: str, about: str) -> bytes:
        """Return a picture of our own zip; it has to be the one that its name says."""
        picture = self._get(f"pictures/{sha256}.jpg", about)
        if hashlib.sha256(picture).hexdigest() != sha256:
            raise _InvalidEntryError(f"A picture of {about} isn't the one that its name says.")
        return picture

    def found(self, path: object, place: str, about: str) -> bytes:
        """Return the picture that a RAP memory file means by a path."""
        if not isinstance(path, str):
            raise _InvalidEntryError(f"{about} has no picture.")
        plain = posixpath.normpath(path.replace("\\", "/")).lstrip("/")
        folder = posixpath.dirname(place)
        for start in (folder, posixpath.dirname(folder), ""):
            name = posixpath.normpath(posixpath.join(start, plain))
            if name in self._names:
                return self._get(name, about)
        alike = [name for name in self._names if posixpath.basename(name) == posixpath.basename(plain)]
        if len(alike) == 1:
            return self._get(alike[0], about)
        raise _InvalidEntryError(f"The picture of {about} isn't in the zip.")

    def _get(self, name: str, about: str) -> bytes:
        if name not in self._names:
            raise _InvalidEntryError(f"A picture of {about} isn't in the zip.")
        if name not in self._read:
            self._read[name] = self._unpacked.read(name, LARGEST_BYTES)
        return self._read[name]


def _collected(given: Iterable[Given], make: Callable[[Given], Made]) -> tuple[list[Made], list[str]]:
    """Make something of each; what can't be made is a problem, up to ten of them."""
    made: list[Made] = []
    problems: list[str] = []
    for item in given:
        try:
            made.append(make(item))
        except (_InvalidEntryError, ArchiveError) as wrong:
            problems.append(str(wrong))
            if len(problems) >= MAX_PROBLEMS:
                break
    return made, problems


def _checked(archive: Archive, problems: Sequence[str]) -> Archive:
    without = [f"“{concept.name}” has no picture." for concept in archive.concepts if not concept.references]
    found = [*problems, *without]
    if not found and not archive.concepts:
        found = ["There is nothing in that memory."]
    if found:
        raise ArchiveError(found)
    return archive


def _json(data: bytes, what: str) -> object:
    if len(data) > LARGEST_JSON:
        raise ArchiveError([f"{what} is too large."])
    try:
        content: object = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise ArchiveError([f"{what} isn't JSON that I can read."]) from error
    return content


def _object(given: object, about: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise _InvalidEntryError(f"{about} isn't written as it should be.")
    return given


def _list_in(given: dict[str, Any], key: str, about: str = "That memory") -> list[Any]:
    found = given.get(key, [])
    if not isinstance(found, list):
        if about == "That memory":
            raise ArchiveError([f"In that memory, “{key}” isn't a list."])
        raise _InvalidEntryError(f"{about}: “{key}” isn't a list.")
    return found


def _text(given: object, about: str) -> str:
    if not isinstance(given, str) or "\x00" in given or _has_surrogate(given):
        raise _InvalidEntryError(f"{about}: something that should be text isn't.")
    return given


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _cleaned(check: Callable[[str], str], given: object, about: str) -> str:
    if not isinstance(given, str):
        raise _InvalidEntryError(f"{about} isn't text.")
    try:
        return check(given)
    except InvalidTextError as problem:
        raise _InvalidEntryError(f"{about}: {problem}") from problem


def _box(given: object, about: str) -> Box:
    sides = [_object(given, f"A box of {about}").get(side) for side in ("left", "top", "right", "bottom")]
    numbers = [float(side) for side in sides if isinstance(side, int | float) and abs(side) <= 1]
    if len(numbers) != len(sides):
        raise _InvalidEntryError(f"A box of {about} isn't within its picture.")
    left, top, right, bottom = numbers
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise _InvalidEntryError(f"A box of {about} isn't within its picture.")
    return Box(left, top, right, bottom)


def _vector(given: object, about: str) -> Vector:
    try:
        vector = unpack_vector(_text(given, about))
    except ValueError as error:
        raise _InvalidEntryError(f"An embedding of {about} can't be read.") from error
    norm = float(np.linalg.norm(vector)) if 0 < len(vector) <= LONGEST_VECTOR else 0.0
    if not 0.5 <= norm <= 2:
        raise _InvalidEntryError(f"An embedding of {about} isn't one.")
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


def _count(given: object, about: str) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= LARGEST_COUNT:
        raise _InvalidEntryError(f"{about} has a count that can't be.")
    return given


def _id(given: object) -> int | None:
    is_id = isinstance(given, int) and not isinstance(given, bool) and 0 < given < 2**63
    return given if is_id and isinstance(given, int) else None


def _now() -> datetime:
    return datetime.now(UTC)


def _shown(name: str) -> str:
    printable = "".join(text for text in name if text.isprintable())
    return f"“{printable[:60]}”"
