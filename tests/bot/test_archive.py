"""Archives: what goes out comes in again; what is hostile or broken is refused, and said."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.archive.reader import read_archive
from bot.archive.schema import (
    Archive,
    ArchivedAnswer,
    ArchivedConcept,
    ArchivedCorrection,
    ArchivedEmbedding,
    ArchivedReference,
    ArchiveError,
    ArchiveProblem,
    ProblemKind,
)
from bot.archive.writer import write_archives
from bot.texts.errors import for_error
from db.geometry import WHOLE, Box
from db.types import Channel, Vector, Verdict
from tests.support.memory import a_jpeg

THEN = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
LARGE = 10_000_000
EXPORTED_BY_0_1 = Path(__file__).parents[1] / "support" / "data" / "exported_by_0_1.zip"


def a_vector(seed: int) -> Vector:
    vector = np.random.default_rng(seed).normal(size=8)
    return (vector / np.linalg.norm(vector)).astype(np.float16).astype(np.float32)


def a_reference(seed: int, *, is_avatar: bool = False, picture: bytes | None = None) -> ArchivedReference:
    jpeg = picture or a_jpeg(seed)
    embedding = ArchivedEmbedding(embedding_id="pack/1", vector=a_vector(seed))
    sha256 = hashlib.sha256(jpeg).hexdigest()
    return ArchivedReference(
        sha256=sha256,
        content=jpeg,
        box=Box(left=0.25, top=0.0, right=1.0, bottom=0.5),
        created_at=THEN,
        is_avatar=is_avatar,
        embeddings=(embedding,),
    )


def a_concept(name: str, *references: ArchivedReference) -> ArchivedConcept:
    return ArchivedConcept(
        name=name,
        info="hates <b>tuna</b> 🐟\nand “quotes”",
        category="cat",
        created_at=THEN,
        times_recognised=7,
        last_seen=THEN + timedelta(days=1),
        learned=Channel(10, 20),
        linked_user=None,
        references=references or (a_reference(1, is_avatar=True),),
    )


def an_archive(*concepts: ArchivedConcept) -> Archive:
    return Archive(concepts=concepts or (a_concept("Mochi"),), exported_at=THEN)


def plain(archive: Archive) -> list[Any]:
    """What an archive says, with vectors that can be compared."""
    return [
        (
            concept.model_copy(update={"references": ()}),
            [
                (
                    ref.model_copy(update={"embeddings": ()}),
                    [(made.embedding_id, made.vector.tolist()) for made in ref.embeddings],
                )
                for ref in concept.references
            ],
        )
        for concept in archive.concepts
    ]


def zipped(files: dict[str, bytes | str], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def whole(**changes: Any) -> dict[str, Any]:
    """The keepsake.json of an archive, changed."""
    [data] = write_archives(an_archive(), LARGE)
    return {**json_in(data), **changes}


def json_in(data: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content: dict[str, Any] = json.loads(archive.read("keepsake.json"))
    return content


def with_concept(**changes: Any) -> dict[str, Any]:
    content = whole()
    content["concepts"][0].update(changes)
    return content


def with_reference(**changes: Any) -> dict[str, Any]:
    content = whole()
    content["concepts"][0]["references"][0].update(changes)
    return content


def packed(content: object) -> bytes:
    jpeg = a_jpeg(1)
    text = content if isinstance(content, str) else json.dumps(content)
    return zipped({"keepsake.json": text, f"pictures/{hashlib.sha256(jpeg).hexdigest()}.jpg": jpeg})


def rap(entries: object, **pictures: bytes) -> bytes:
    files: dict[str, bytes | str] = {"example_database/database.json": json.dumps({"concept_dict": entries})}
    return zipped({**files, **{f"example_database/{name}.png": data for name, data in pictures.items()}})


def test_what_goes_out_comes_in_again() -> None:
    two = a_concept("もち & “Co.”", a_reference(2), a_reference(3, is_avatar=True))
    said = ArchivedCorrection(
        concept_name="Mochi", verdict=Verdict.INCORRECT, embedding_id="pack/1", vector=a_vector(9), created_at=THEN
    )
    answer = ArchivedAnswer(content=a_jpeg(5), created_at=THEN, seen=("Mochi",))
    archive = an_archive(a_concept("Mochi"), two).model_copy(update={"corrections": (said,), "answers": (answer,)})

    [data] = write_archives(archive, LARGE)
    read = read_archive(data)

    assert plain(read) == plain(archive)
    [back] = read.corrections
    assert back.model_copy(update={"vector": said.vector}) == said
    assert back.vector.tolist() == said.vector.tolist()
    assert [data] == write_archives(archive, LARGE)
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        database = json.loads(opened.read("database.json"))
        avatar = database["concept_dict"]["<もち & “Co.”>"]["image"]
        assert opened.read(avatar) == two.references[1].content
        assert database["path_to_concept"][avatar] == "<もち & “Co.”>"
        assert opened.read("answers/1.jpg") == a_jpeg(5)


def test_an_archive_from_before_incorrect_was_the_word_for_it_comes_in_too() -> None:
    said = {"concept": "Mochi", "embedding_id": "pack/1", "vector": "ADw=", "created_at": THEN.isoformat()}

    read = read_archive(packed(whole(corrections=[{**said, "verdict": "not_them"}])))

    assert [correction.verdict for correction in read.corrections] == [Verdict.INCORRECT]


def test_an_archive_that_version_0_1_exported_comes_in_and_goes_out_as_it_was() -> None:
    data = EXPORTED_BY_0_1.read_bytes()

    read = read_archive(data)

    mochi, anna = read.concepts
    assert (mochi.name, mochi.info, mochi.category) == ("Mochi “もち” & Co.", "a tabby\nwho hates tuna 🐟", "cat")
    assert (mochi.created_at, mochi.last_seen) == (THEN, THEN + timedelta(days=1))
    assert (mochi.times_recognised, mochi.learned) == (7, Channel(10, 20))
    assert [reference.is_avatar for reference in mochi.references] == [False, True]
    assert (anna.linked_user, anna.last_seen, anna.learned) == (4711, None, Channel())
    assert [correction.verdict for correction in read.corrections] == [Verdict.RIGHT, Verdict.INCORRECT]
    [again] = write_archives(read, LARGE)
    before, after = json_in(data), json_in(again)
    assert after["concepts"] == before["concepts"]
    assert [item["vector"] for item in after["corrections"]] == [item["vector"] for item in before["corrections"]]
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(io.BytesIO(again)) as new:
        pictures = [name for name in old.namelist() if name.startswith("pictures/")]
        assert len(pictures) == 3
        assert all(old.read(name) == new.read(name) for name in [*pictures, "database.json"])


def test_whatever_is_stored_can_be_taken_out() -> None:
    odd = a_reference(1).model_copy(update={"box": Box(left=0.5, top=0.0, right=0.5, bottom=1.0)})
    nothing = ArchivedEmbedding(embedding_id="pack/0", vector=np.zeros(8, np.float32))
    stored = ArchivedConcept(
        name="x" * 100,
        references=(ArchivedReference(sha256=odd.sha256, content=odd.content, box=odd.box, embeddings=(nothing,)),),
    )

    [data] = write_archives(an_archive(stored), LARGE)

    assert [problem.kind for problem in refused(data)] == [ProblemKind.INVALID_TEXT]


def test_what_is_too_large_for_one_file_comes_in_several_and_together_it_is_all() -> None:
    big = [a_reference(seed, picture=a_jpeg(seed) + bytes(300_000)) for seed in range(6)]
    archive = an_archive(a_concept("Mochi", *big[:4]), a_concept("Rex", *big[4:]))

    parts = write_archives(archive, 1_000_000)

    assert len(parts) > 1
    assert all(len(part) <= 1_000_000 for part in parts)
    pictures: dict[str, list[bytes]] = {}
    for part in parts:
        for concept in read_archive(part).concepts:
            pictures.setdefault(concept.name, []).extend(ref.content for ref in concept.references)
    assert pictures == {concept.name: [ref.content for ref in concept.references] for concept in archive.concepts}


def test_a_memory_of_rap_comes_in() -> None:
    entries = {
        "<bo>": {"name": "bo", "image": "example_database/bo.png", "info": "<bo> is a Shiba Inu.", "category": "dog"},
        "<duck>": {"name": "duck", "image": ["elsewhere/duck.png"], "info": "", "category": "toy"},
    }
    read = read_archive(rap(entries, bo=a_jpeg(1), duck=a_jpeg(2)))
    bo, duck = read.concepts
    assert (bo.name, bo.info, bo.category) == ("bo", "bo is a Shiba Inu.", "dog")
    assert bo.references[0].content == a_jpeg(1)
    assert bo.references[0].box == WHOLE
    assert duck.references[0].content == a_jpeg(2)


BO = {"name": "bo", "image": "bo.png", "info": "", "category": "dog"}


def refused(data: bytes) -> tuple[ArchiveProblem, ...]:
    with pytest.raises(ArchiveError) as raised:
        read_archive(data)
    assert for_error(raised.value).count("\n") == len(raised.value.problems) - 1
    return raised.value.problems


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", ProblemKind.NOT_A_ZIP),
        (b"PK\x03\x04 and then nothing", ProblemKind.NOT_A_ZIP),
        (packed(whole())[:-40], ProblemKind.NOT_A_ZIP),
        (json.dumps({"concept_dict": {"<bo>": BO}}).encode(), ProblemKind.WITHOUT_PICTURES),
        (b"{not json", ProblemKind.FILE_NOT_JSON),
        (zipped({"readme.txt": "hello"}), ProblemKind.NO_MEMORY),
        (zipped({"keepsake.json": "[" * 100_000}), ProblemKind.NESTED_TOO_DEEPLY),
        (packed("{"), ProblemKind.FILE_NOT_JSON),
        (packed([1, 2]), ProblemKind.UNKNOWN_VERSION),
        (packed(whole(version=2)), ProblemKind.UNKNOWN_VERSION),
        (packed(whole(concepts=[])), ProblemKind.EMPTY),
        (packed(whole(concepts={})), ProblemKind.NOT_A_LIST),
        (packed(whole(concepts=[1])), ProblemKind.NOT_AN_OBJECT),
        (packed(with_concept(name="")), ProblemKind.INVALID_TEXT),
        (packed(with_concept(name="x" * 65)), ProblemKind.INVALID_TEXT),
        (packed(with_concept(name=7)), ProblemKind.NOT_TEXT),
        (packed(with_concept(name="@everyone")), ProblemKind.INVALID_TEXT),
        (packed(with_concept(info="y" * 1001)), ProblemKind.INVALID_TEXT),
        (packed(with_concept(category="z" * 65)), ProblemKind.INVALID_TEXT),
        (packed(with_concept(times_recognised=-1)), ProblemKind.INVALID_COUNT),
        (packed(with_concept(times_recognised=10**30)), ProblemKind.INVALID_COUNT),
        (packed(with_concept(references=[])), ProblemKind.NO_PICTURE),
        (packed(with_reference(picture="0" * 64)), ProblemKind.PICTURE_MISSING),
        (packed(with_reference(picture="../../etc/passwd")), ProblemKind.PICTURE_MISSING),
        (packed(with_reference(picture=None)), ProblemKind.NO_PICTURE),
        (packed(with_reference(box=None)), ProblemKind.NOT_AN_OBJECT),
        (packed(with_reference(box={"left": 0, "top": 0, "right": 2, "bottom": 1})), ProblemKind.INVALID_BOX),
        (packed(with_reference(box={"left": 0.5, "top": 0, "right": 0.5, "bottom": 1})), ProblemKind.INVALID_BOX),
        (
            packed(with_reference(box={"left": float("nan"), "top": 0, "right": 1, "bottom": 1})),
            ProblemKind.INVALID_BOX,
        ),
        (packed(with_reference(embeddings=[{"embedding_id": "p", "vector": "AAAA"}])), ProblemKind.INVALID_EMBEDDING),
        (
            packed(with_reference(embeddings=[{"embedding_id": "p", "vector": "/3//f/9/"}])),
            ProblemKind.INVALID_EMBEDDING,
        ),
        (packed(with_reference(embeddings=[{"embedding_id": "p\0", "vector": "x"}])), ProblemKind.NOT_TEXT),
        (packed(with_reference(embeddings=[{"embedding_id": "p\ud800", "vector": "x"}])), ProblemKind.NOT_TEXT),
        (packed(with_reference(embeddings={})), ProblemKind.NOT_A_LIST),
        (packed(whole(corrections={})), ProblemKind.NOT_A_LIST),
        (packed(whole(corrections=[7])), ProblemKind.NOT_AN_OBJECT),
        (packed(with_concept(times_recognised=True)), ProblemKind.INVALID_COUNT),
        (
            packed(whole(concepts=[*whole()["concepts"], *with_concept(name="MOCHI")["concepts"]])),
            ProblemKind.SAME_NAME,
        ),
        (packed(whole(corrections=[{"concept": "Mochi", "verdict": "maybe"}])), ProblemKind.INVALID_VERDICT),
        (rap({}), ProblemKind.EMPTY),
        (rap([]), ProblemKind.NOT_A_DICTIONARY),
        (rap({"<bo>": 5}), ProblemKind.NOT_AN_OBJECT),
        (rap({"<bo>": BO}), ProblemKind.PICTURE_MISSING),
        (rap({"<bo>": {**BO, "image": None}}, bo=a_jpeg(1)), ProblemKind.NO_PICTURE),
        (rap({"<bo>": BO, "<BO>": {**BO, "name": "BO"}}, bo=a_jpeg(1)), ProblemKind.NAMED_TWICE),
    ],
)
def test_what_cannot_be_used_is_refused_and_said(data: bytes, kind: ProblemKind) -> None:
    assert [problem.kind for problem in refused(data)] == [kind]


def test_a_picture_has_to_be_the_one_its_name_says() -> None:
    name = hashlib.sha256(a_jpeg(1)).hexdigest()
    [problem] = refused(zipped({"keepsake.json": json.dumps(whole()), f"pictures/{name}.jpg": a_jpeg(2)}))
    assert (problem.kind, problem.concept) == (ProblemKind.PICTURE_CHANGED, "Mochi")


def test_all_problems_are_said_at_once_but_no_more_than_ten() -> None:
    wrong = [{**whole()["concepts"][0], "name": f"name {number} {'x' * 65}"} for number in range(30)]
    assert len(refused(packed(whole(concepts=wrong)))) == 10


def test_a_zip_bomb_is_not_unpacked() -> None:
    bomb = zipped({"keepsake.json": b"0" * 60_000_000}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    [problem] = refused(bomb)
    assert (problem.kind, problem.file) == (ProblemKind.FILE_TOO_LARGE, "keepsake.json")


def test_a_zip_whose_sizes_are_lies_is_refused() -> None:
    bomb = bytearray(zipped({"keepsake.json": b"0" * 60_000_000}, zipfile.ZIP_DEFLATED))
    place = bomb.rfind(b"PK\x01\x02")
    bomb[place + 24 : place + 28] = struct.pack("<I", 100)  # the size it says it has
    with pytest.raises(ArchiveError):
        read_archive(bytes(bomb))


def test_encrypted_doubled_and_countless_files_are_refused() -> None:
    encrypted = bytearray(packed(whole()))
    place = encrypted.find(b"PK\x01\x02")
    encrypted[place + 8] |= 1
    assert [problem.kind for problem in refused(bytes(encrypted))] == [ProblemKind.ENCRYPTED]

    doubled = zipped({"keepsake.json": "{}", "keepsake.jsom": "{}"}).replace(b"keepsake.jsom", b"keepsake.json")
    assert [problem.kind for problem in refused(doubled)] == [ProblemKind.DUPLICATE_FILES]

    [problem] = refused(zipped({f"{number}.txt": "" for number in range(20_001)}))
    assert (problem.kind, problem.count, problem.max_count) == (ProblemKind.TOO_MANY_FILES, 20_001, 20_000)


def test_times_that_cannot_be_are_now() -> None:
    for moment in ("9999-12-31T23:59:59+00:00", "yesterday", 5, "0001-01-01T00:00:00+14:00"):
        [concept] = read_archive(packed(with_concept(created_at=moment))).concepts
        assert abs(datetime.now(UTC) - concept.created_at) < timedelta(minutes=1)


VALID = packed(whole())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("name", "info", "category", "created_at", "times_recognised", "last_seen", "learned", "linked_user")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_broken_bytes_are_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    broken = bytearray(VALID)
    for place in data.draw(st.lists(st.integers(0, len(broken) - 1), min_size=1, max_size=8)):
        broken[place] = data.draw(st.integers(0, 255))
    try:
        read_archive(bytes(broken))
    except ArchiveError as problem:
        assert problem.problems


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(KEYS), JSON)
def test_any_json_is_read_or_refused_and_nothing_else(key: str, value: object) -> None:
    try:
        read = read_archive(packed(with_concept(**{key: value})))
    except ArchiveError as problem:
        assert problem.problems
    else:
        assert isinstance(read, Archive)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(("picture", "box", "created_at", "is_avatar", "embeddings")), JSON)
def test_any_reference_is_read_or_refused_and_nothing_else(key: str, value: object) -> None:
    try:
        read_archive(packed(with_reference(**{key: value})))
    except ArchiveError as problem:
        assert problem.problems
