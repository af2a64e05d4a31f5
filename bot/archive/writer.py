"""Writing a memory into zip files."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, replace

from bot.archive.schema import VERSION, Archive, ArchivedConcept, ArchivedReference
from bot.archive.vectors import pack_vector
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
    empty = replace(archive, concepts=(), corrections=(), answers=())
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
            make_room(len(reference.picture) + sum(BYTES_A_NUMBER * len(vector) for vector in vectors))
            current = replace(
                current,
                concepts=_with_reference(current.concepts, concept, reference),
                corrections=current.corrections + mine,
            )
    for answer in archive.answers:
        make_room(len(answer.picture))
        current = replace(current, answers=(*current.answers, answer))
    return [*parts, current]


def _with_reference(
    known: tuple[ArchivedConcept, ...], concept: ArchivedConcept, reference: ArchivedReference
) -> tuple[ArchivedConcept, ...]:
    if known and known[-1].name == concept.name:
        return (*known[:-1], replace(known[-1], references=(*known[-1].references, reference)))
    return (*known, replace(concept, references=(reference,)))


def _written(archive: Archive) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as zipped:

        def put(name: str, content: bytes, *, squeezed: bool = False) -> None:
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED if squeezed else zipfile.ZIP_STORED
            zipped.writestr(entry, content)

        put("README.txt", README.encode())
        put("database.json", _as_json(_rap_memory(archive)), squeezed=True)
        put("keepsake.json", _as_json(_whole_memory(archive)), squeezed=True)
        pictures = {ref.picture_sha256: ref.picture for concept in archive.concepts for ref in concept.references}
        for sha256, picture in pictures.items():
            put(f"pictures/{sha256}.jpg", picture)
        for number, answer in enumerate(archive.answers, start=1):
            put(f"answers/{number}.jpg", answer.picture)
    return file.getvalue()


def _as_json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def _rap_memory(archive: Archive) -> dict[str, object]:
    """Return the memory file as RAP's own code reads it."""
    return {
        "concept_dict": {
            f"<{concept.name}>": {
                "name": concept.name,
                "image": _path(_avatar(concept)),
                "info": concept.info,
                "category": concept.category,
            }
            for concept in archive.concepts
        },
        "path_to_concept": {_path(_avatar(concept)): f"<{concept.name}>" for concept in archive.concepts},
    }


def _whole_memory(archive: Archive) -> dict[str, object]:
    return {
        "version": VERSION,
        "exported_at": archive.exported_at.isoformat(),
        "may_train": archive.may_train,
        "objects": archive.objects,
        "concepts": [_concept_to_json(concept) for concept in archive.concepts],
        "corrections": [
            {
                "concept": correction.concept_name,
                "verdict": correction.verdict.value,
                "embedding_id": correction.embedding_id,
                "vector": pack_vector(correction.vector),
                "created_at": correction.created_at.isoformat(),
            }
            for correction in archive.corrections
        ],
        "answers": [
            {"picture": f"answers/{number}.jpg", "created_at": answer.created_at.isoformat(), "seen": list(answer.seen)}
            for number, answer in enumerate(archive.answers, start=1)
        ],
    }


def _concept_to_json(concept: ArchivedConcept) -> dict[str, object]:
    return {
        "name": concept.name,
        "info": concept.info,
        "category": concept.category,
        "created_at": concept.created_at.isoformat(),
        "times_recognised": concept.times_recognised,
        "last_seen": None if concept.last_seen is None else concept.last_seen.isoformat(),
        "learned": asdict(concept.learned),
        "linked_user": concept.linked_user,
        "references": [
            {
                "picture": ref.picture_sha256,
                "box": asdict(ref.box),
                "created_at": ref.created_at.isoformat(),
                "is_avatar": ref.is_avatar,
                "embeddings": [
                    {"embedding_id": made.embedding_id, "vector": pack_vector(made.vector)} for made in ref.embeddings
                ],
            }
            for ref in concept.references
        ],
    }


def _avatar(concept: ArchivedConcept) -> ArchivedReference:
    return next((ref for ref in concept.references if ref.is_avatar), concept.references[0])


def _path(reference: ArchivedReference) -> str:
    return f"pictures/{reference.picture_sha256}.jpg"
