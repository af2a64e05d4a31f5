"""Writing a memory into zip files."""

from __future__ import annotations

import io
import zipfile

from pydantic import BaseModel

from bot.archive.schema import Archive, ArchivedAnswer, ArchivedConcept, ArchivedReference, RapConcept, RapMemory
from bot.texts.archives import README

ROOM_FOR_JSON = 200_000
"""Bytes a part keeps free for what is not a picture, before it is measured."""
BYTES_A_NUMBER = 4
"""Of an embedding, as text, with some room."""
ZIP_TIME = (2000, 1, 1, 0, 0, 0)


def write_archives(archive: Archive, largest: int) -> list[bytes]:
    """Return a memory as zip files of at most ``largest`` bytes each, which can be imported in any order.

    A concept whose pictures don't fit into one is continued in the next; one picture alone may be larger.
    """
    parts = [_written(part) for part in _divided(archive, largest - ROOM_FOR_JSON)]
    if any(len(part) > largest for part in parts) and largest > 4 * ROOM_FOR_JSON:
        parts = [_written(part) for part in _divided(archive, largest // 2)]
    return parts


def _divided(archive: Archive, room: int) -> list[Archive]:
    """Divide a memory into parts whose pictures fit; everything in it is in exactly one of them."""
    parts: list[Archive] = []
    empty = archive.model_copy(update={"concepts": (), "corrections": (), "answers": ()})
    current, used = empty, 0

    def make_room(size: int) -> None:
        nonlocal current, used
        if used and used + size > room:
            parts.append(current)
            current, used = empty, 0
        used += size

    for concept in archive.concepts:
        said = tuple(correction for correction in archive.corrections if correction.concept_name == concept.name)
        for number, reference in enumerate(concept.references):
            mine = said if number == 0 else ()
            vectors = [made.vector for made in reference.embeddings] + [correction.vector for correction in mine]
            make_room(len(reference.content) + sum(BYTES_A_NUMBER * len(vector) for vector in vectors))
            concepts = _with_reference(current.concepts, concept, reference)
            corrections = current.corrections + mine
            current = current.model_copy(update={"concepts": concepts, "corrections": corrections})
    for answer in archive.answers:
        make_room(len(answer.content))
        current = current.model_copy(update={"answers": (*current.answers, _named(answer, len(current.answers) + 1))})
    return [*parts, current]


def _with_reference(
    known: tuple[ArchivedConcept, ...], concept: ArchivedConcept, reference: ArchivedReference
) -> tuple[ArchivedConcept, ...]:
    if known and known[-1].name == concept.name:
        concept, known = known[-1], known[:-1]
        return (*known, concept.model_copy(update={"references": (*concept.references, reference)}))
    return (*known, concept.model_copy(update={"references": (reference,)}))


def _named(answer: ArchivedAnswer, number: int) -> ArchivedAnswer:
    return answer.model_copy(update={"picture": f"answers/{number}.jpg"})


def _written(archive: Archive) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as zipped:

        def put(name: str, content: bytes, *, squeezed: bool = False) -> None:
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED if squeezed else zipfile.ZIP_STORED
            zipped.writestr(entry, content)

        put("README.txt", README.encode())
        put("database.json", _as_json(_rap_memory(archive)), squeezed=True)
        put("keepsake.json", _as_json(archive), squeezed=True)
        pictures = {_path(ref): ref.content for concept in archive.concepts for ref in concept.references}
        pictures |= {answer.picture: answer.content for answer in archive.answers}
        for path, picture in pictures.items():
            put(path, picture)
    return file.getvalue()


def _as_json(content: BaseModel) -> bytes:
    return content.model_dump_json(by_alias=True, indent=1).encode()


def _rap_memory(archive: Archive) -> RapMemory:
    """Return the memory file as RAP's own code reads it."""
    shown = {f"<{concept.name}>": (concept, _path(_avatar(concept))) for concept in archive.concepts}
    return RapMemory(
        concept_dict={
            key: RapConcept(name=concept.name, image=(path,), info=concept.info, category=concept.category)
            for key, (concept, path) in shown.items()
        },
        path_to_concept={path: key for key, (_, path) in shown.items()},
    )


def _avatar(concept: ArchivedConcept) -> ArchivedReference:
    return next((ref for ref in concept.references if ref.is_avatar), concept.references[0])


def _path(reference: ArchivedReference) -> str:
    return f"pictures/{reference.sha256}.jpg"
