"""RAP's data format: read and written, hostile files, the sheet, and a base training on a data file."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from db.geometry import WHOLE
from model_worker.api.packs import Pack, load_pack
from model_worker.api.protocol import GenerateRequest, PromptConcept, Turn
from model_worker.api.recipes import load_recipe
from model_worker.finetune.data import rap_format, sheet
from model_worker.finetune.data.dataset import dataset_of
from model_worker.finetune.data.material import TrainingConcept, View
from model_worker.finetune.data.rap_format import RapData, SampleError, read_samples, write_samples
from model_worker.finetune.data.samples import Task, TrainingSample
from model_worker.finetune.data.sheet import draw_sheet
from model_worker.finetune.training.progress import ProgressCallback
from model_worker.generation.multimodal.rap_prompt import rap_prompt
from model_worker.generation.starter.prompt import prompt_for
from model_worker.generation.types import GenerationInput
from tests.support import tiny_models


def noise(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    noise(seed).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder as the authors have it: pictures of RefCOCO, and crops of them."""
    folder = tmp_path / "data"
    for number, name in enumerate(("image/94268.jpg", "crop/94268_0.jpg", "crop/94268_1.jpg", "crop/94268_2.jpg")):
        (folder / "refcoco" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refcoco" / name).write_bytes(jpeg(number))
    (tmp_path / "outside.jpg").write_bytes(jpeg(9))
    return folder


def crop(number: int, name: str) -> dict[str, Any]:
    return {f"refcoco/crop/94268_{number}.jpg": {"name": name, "info": f"info of {name}", "category": "person"}}


def entry(**changed: Any) -> dict[str, Any]:
    return {
        "id": 156,
        "image": "refcoco/image/94268.jpg",
        "conversations": [
            {"from": "human", "value": "<image>\nDoes <D> wear shoes?"},
            {"from": "gpt", "value": "Yes."},
        ],
        "extra": crop(0, "Dior"),
        "type": "basic",
        **changed,
    }


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in entry().items() if name != key}


def said(*values: str, first: str = "human") -> list[dict[str, str]]:
    roles = ("human", "gpt") if first == "human" else ("gpt", "human")
    return [{"from": roles[place % 2], "value": value} for place, value in enumerate(values)]


def read(folder: Path, *entries: object, max_concepts: int = 2) -> RapData:
    (folder / "rap.json").write_text(json.dumps(entries))
    return read_samples(folder / "rap.json", folder, max_concepts)


def test_a_sample_is_prompted_as_the_authors_code_does(data: Path) -> None:
    [sample] = read(data, entry()).samples
    text, shown = rap_prompt(sample.prompt, "v1", 8)
    assert text.endswith(
        "USER: <image>\n[1.<image>\n Name: <Dior>, Info: info of Dior\n]Does <D> wear shoes? ASSISTANT:"
    )
    assert [picture.tobytes() for picture in shown] == [
        Image.open(data / "refcoco" / name).tobytes() for name in ("image/94268.jpg", "crop/94268_0.jpg")
    ]
    assert sample.prompt.request.concepts[0].category == "person"
    assert (sample.answer, sample.task) == ("Yes.", Task.QUESTION)


def test_each_answer_is_a_sample_with_the_turns_before_it(data: Path) -> None:
    turns = said("<image>\nWho?", "Dior.", "What does he play?", "Frisbee.", "And then?")
    first, second = read(data, entry(conversations=turns)).samples
    assert (first.prompt.request.question, first.prompt.request.history, first.answer) == ("Who?", (), "Dior.")
    assert (second.prompt.request.question, second.answer) == ("What does he play?", "Frisbee.")
    assert second.prompt.request.history == (Turn(role="user", text="Who?"), Turn(role="assistant", text="Dior."))
    assert second.prompt.request.picture == first.prompt.request.picture is not None


def test_what_comes_before_the_first_question_is_left_out(data: Path) -> None:
    [sample] = read(data, entry(conversations=said("Hello!", "Who?\n<image>", "Dior.", first="gpt"))).samples
    assert (sample.prompt.request.question, sample.prompt.request.history) == ("Who?\n", ())


def test_plain_samples_have_neither_picture_nor_concepts(data: Path) -> None:
    plain = {"id": "x", "conversations": said("Why is the sky blue?", "Because.")}
    [sample] = read(data, plain).samples
    assert sample.prompt.request == GenerateRequest(question="Why is the sky blue?", has_picture=False)
    assert not sample.prompt.pictures


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("caption", Task.CAPTION),
        ("Captions_noise", Task.CAPTION),
        ("negative recognition", Task.RECOGNITION),
        ("rap_grounding_100k", Task.GROUNDING),
        ("description", Task.DESCRIPTION),
        ("general", Task.GENERAL),
        ("text", Task.TEXT),
        ("qa", Task.QUESTION),
        ("context", Task.QUESTION),
        (None, Task.QUESTION),
        (7, Task.QUESTION),
    ],
)
def test_the_task_is_in_the_words_of_the_type(data: Path, kind: object, task: Task) -> None:
    assert read(data, entry(type=kind)).samples[0].task is task


def test_samples_with_too_many_concepts_are_left_out_and_counted(data: Path) -> None:
    two = {**crop(0, "A"), **crop(1, "B")}
    three = {**two, **crop(2, "C")}
    found = read(data, entry(extra=two), entry(extra=three), max_concepts=2)
    assert (len(found.samples), found.count, found.crowded, found.broken) == (1, 2, 1, 0)
    assert len(read(data, entry(extra=two), entry(extra=three), max_concepts=3).samples) == 2


def test_pictures_are_opened_when_they_are_read_and_not_kept(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    decode = rap_format.decode_picture
    monkeypatch.setattr(rap_format, "decode_picture", lambda given: opened.append(len(given)) or decode(given))
    [sample] = read(data, entry()).samples
    shown, path = sample.prompt.pictures, "refcoco/image/94268.jpg"
    assert list(shown) == [path, "refcoco/crop/94268_0.jpg"]
    assert len(shown) == 2
    assert path in shown
    assert "refcoco/crop/94268_1.jpg" not in shown
    assert shown.get("refcoco/crop/94268_1.jpg") is None
    assert not opened
    assert shown[path].size == shown[path].size == (64, 48)
    assert len(opened) == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("a sample", "isn't written as it should be"),
        (without("conversations"), "lacks “conversations”"),
        (entry(conversations={}), "lacks “conversations”"),
        (entry(conversations=[]), "no question with an answer"),
        (entry(conversations=said("Who?")), "no question with an answer"),
        (entry(conversations=["Who?"]), "a turn isn't written as it should be"),
        (entry(conversations=[{"from": "human"}]), "lacks “value”"),
        (entry(conversations=[{"from": "system", "value": "x"}]), "neither from human nor from gpt"),
        (entry(conversations=[*said("A?"), *said("B?", "C.")]), "don't take turns"),
        (entry(conversations=said("A\ud800?", "C.")), "lacks “value”, or it isn't text"),
        (entry(extra=[]), "“extra” isn't written as it should be"),
        (entry(extra={"refcoco/crop/94268_0.jpg": "Dior"}), "what belongs to “refcoco/crop/94268_0.jpg”"),
        (entry(extra={"refcoco/crop/94268_0.jpg": {"info": ""}}), "lacks “name”"),
        (entry(extra={"refcoco/crop/94268_0.jpg": {"name": "D", "info": 5}}), "lacks “info”"),
        (entry(extra={"refcoco/crop/7.jpg": {"name": "D", "info": ""}}), "“refcoco/crop/7.jpg” isn't in the folder"),
        (entry(image="refcoco/image/1.jpg"), "“refcoco/image/1.jpg” isn't in the folder"),
        (entry(image="refcoco"), "isn't in the folder"),
        (entry(image=""), "isn't in the folder"),
        (entry(image="../outside.jpg"), "leads out of the folder"),
        (entry(image="refcoco/../../outside.jpg"), "leads out of the folder"),
        (entry(image="/etc/hostname"), "leads out of the folder"),
        (entry(image="refcoco/link.jpg"), "leads out of the folder"),
        (entry(image="a\x00b"), "path isn't text"),
        (entry(image=["refcoco/image/94268.jpg"]), "path isn't text"),
        (entry(image="x" * 5000), "isn't in the folder"),
    ],
)
def test_a_sample_that_cannot_be_used_is_named_and_loses_no_other(data: Path, wrong: Any, words: str) -> None:
    (data / "refcoco" / "link.jpg").symlink_to(data.parent / "outside.jpg")
    found = read(data, entry(id=1), wrong, entry(id=3))
    assert (len(found.samples), found.count, found.broken) == (2, 3, 1)
    [problem] = found.problems
    assert problem.startswith("Sample 2")
    assert "of rap.json" in problem
    assert words in problem
    assert len(problem) < 300


def test_of_many_that_cannot_be_used_the_first_are_named_and_all_counted(data: Path) -> None:
    found = read(data, *(entry(id=f"no\n{number}", image="nowhere.jpg") for number in range(30)), entry())
    assert (len(found.samples), found.broken, len(found.problems)) == (1, 30, rap_format.MAX_NAMED)
    assert found.problems[0].startswith("Sample 1 (id “no0”) of rap.json: the picture “nowhere.jpg”")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "isn't JSON"),
        (b"[{]", "isn't JSON"),
        (json.dumps([entry()]).encode()[:-20], "isn't JSON"),
        (b"\xff\xfe\x00", "isn't JSON"),
        (b"[" + b"9" * 5000 + b"]", "isn't JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (json.dumps(entry()).encode(), "isn't a list of samples"),
        (None, "can't be read"),
    ],
)
def test_a_file_that_is_no_data_file_says_so(data: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (data / "rap.json").write_bytes(content)
    with pytest.raises(SampleError, match=words) as problem:
        read_samples(data / "rap.json", data, 2)
    assert "rap.json" in str(problem.value)


@pytest.mark.parametrize("broken", [b"", b"not a picture", jpeg(1)[:-500], None])
def test_a_picture_that_cannot_be_opened_names_itself_and_its_sample(data: Path, broken: bytes | None) -> None:
    [sample] = read(data, entry()).samples
    path = "refcoco/crop/94268_0.jpg"
    (data / path).unlink()
    if broken is not None:
        (data / path).write_bytes(broken)
    with pytest.raises(SampleError, match=rf"Sample 1 \(id “156”\) of rap.json: the picture “{path}” can't be"):
        _ = sample.prompt.pictures[path]


def concepts() -> list[TrainingConcept]:
    infos = {"Minka": "a tabby cat who loves tuna", "Tom": "my cat, who hates tuna; adopted in 2019", "Cup": ""}
    return [
        TrainingConcept(
            name=name,
            info=info,
            category="cat" if info else "cup",
            views=tuple(View(noise(10 * n + more), WHOLE) for more in range(2)),
        )
        for n, (name, info) in enumerate(infos.items())
    ]


def compared(sample: TrainingSample) -> tuple[object, ...]:
    request, pictures = sample.prompt.request, sample.prompt.pictures
    names = [request.picture, *(concept.avatar for concept in request.concepts)]
    return (
        sample.task,
        request.question,
        request.has_picture,
        sample.answer,
        [(concept.name, concept.info, concept.category) for concept in request.concepts],
        [None if name is None else pictures[name].size for name in names],
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    samples = dataset_of(concepts(), sees_pictures=True, rounds=1, max_concepts=2, seed=3).training
    write_samples(samples, tmp_path)
    found = read_samples(tmp_path / "samples.json", tmp_path, 2)
    assert (found.count, found.broken, found.crowded) == (len(samples), 0, 0)
    assert [compared(sample) for sample in found.samples] == [compared(sample) for sample in samples]
    assert {sample.task for sample in found.samples} >= {Task.CAPTION, Task.RECOGNITION, Task.GROUNDING, Task.TEXT}
    pictures = list((tmp_path / "pictures").iterdir())
    assert pictures
    assert [file.stem for file in pictures] == [hashlib.sha256(file.read_bytes()).hexdigest() for file in pictures]


def test_two_concepts_with_one_picture_stay_two(tmp_path: Path) -> None:
    concepts = (
        PromptConcept(name="Ann", info="left", avatar="both"),
        PromptConcept(name="Ben", info="right", avatar="both"),
    )
    request = GenerateRequest(question="Who?", has_picture=False, concepts=concepts)
    sample = TrainingSample(task=Task.TEXT, prompt=GenerationInput(request, {"both": noise(1)}), answer="Two.")
    write_samples([sample], tmp_path)
    [found] = read_samples(tmp_path / "samples.json", tmp_path, 2).samples
    assert compared(found) == compared(sample)


def test_earlier_turns_are_written_and_image_tokens_are_only_where_pictures_are(tmp_path: Path) -> None:
    request = GenerateRequest(
        question="And <image> now?",
        has_picture=True,
        concepts=(PromptConcept(name="Ann", info="an <image>", avatar="a"), PromptConcept(name="Unseen")),
        history=(Turn(role="user", text="Hi"), Turn(role="assistant", text="Hello <image>!")),
        picture="p",
    )
    prompt = GenerationInput(request, {"p": noise(1), "a": noise(2)})
    write_samples([TrainingSample(task=Task.QUESTION, prompt=prompt, answer="No.")], tmp_path)
    text = (tmp_path / "samples.json").read_text()
    assert text.count("<image>") == 1
    assert "<image>\\nHi" in text
    first, last = read_samples(tmp_path / "samples.json", tmp_path, 2).samples
    assert (first.prompt.request.question, first.answer) == ("Hi", "Hello ‹image›!")
    assert (last.prompt.request.question, len(last.prompt.request.history), last.answer) == (
        "And ‹image› now?",
        2,
        "No.",
    )
    assert [concept.name for concept in last.prompt.request.concepts] == ["Ann"]


def test_samples_of_a_writer_that_does_not_look_are_written_as_it_is_prompted(tmp_path: Path) -> None:
    samples = dataset_of(concepts(), sees_pictures=False, rounds=1, max_concepts=2, seed=3).training
    prompt = GenerationInput(GenerateRequest(question="Why?", has_picture=False))
    plain = TrainingSample(task=Task.GENERAL, prompt=prompt, answer="Because.")
    write_samples([*samples, plain], tmp_path)
    *found, last = read_samples(tmp_path / "samples.json", tmp_path, 2).samples
    assert [item.prompt.request.question for item in found] == [
        prompt_for(sample.prompt.request, examples=False) for sample in samples
    ]
    assert compared(last) == compared(plain)
    assert not list((tmp_path / "pictures").iterdir())


def test_a_sheet_shows_some_samples_of_each_task_also_those_with_broken_pictures(data: Path, tmp_path: Path) -> None:
    broken = read(data, entry()).samples
    (data / "refcoco/image/94268.jpg").write_bytes(b"no picture")
    prompt = GenerationInput(GenerateRequest(question="Why?" * 99, has_picture=False))
    plain = [TrainingSample(task=Task.GENERAL, prompt=prompt, answer="Because. " * 99)] * 50
    made = dataset_of(concepts(), sees_pictures=True, rounds=1, max_concepts=2, seed=3).training
    draw_sheet([*broken, *plain, *made], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as drawn:
        assert drawn.width == sheet.COLUMNS * sheet.WIDTH
        assert 500 < drawn.height < 10 * sheet.HEIGHT
        assert len(drawn.convert("RGB").getcolors(10_000_000) or []) > 1000
    chosen = sheet._some_of_each([*broken, *plain, *made])
    assert len(chosen) == sheet.MAX_SAMPLES
    assert {item.task for item in chosen} == {item.task for item in [*broken, *plain, *made]}
    assert len(chosen) == len(sheet._some_of_each(plain))
    draw_sheet([], tmp_path / "none.png")
    with Image.open(tmp_path / "none.png") as empty:
        assert empty.size == (drawn.width, 1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_models.save_llava(folder / "tiny" / "llava")
    return folder


@pytest.fixture
def pack(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Pack:
    monkeypatch.setenv("KEEPSAKE_WEIGHTS", str(weights))
    return load_pack("standard").model_copy(update={"writer": tiny_models.writing("llava", longest_answer=8)})


@pytest.mark.slow
def test_a_base_training_goes_over_what_can_be_used_and_says_what_could_not(
    pack: Pack, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from model_worker.finetune.jobs.base import train_base
    from model_worker.generation.adapters.file import adapter_id
    from model_worker.generation.multimodal.writer import ImageTextWriter

    (data / "refcoco/crop/94268_2.jpg").write_bytes(b"no picture")
    crowd = {**crop(0, "A"), **crop(1, "B"), **crop(2, "C")}
    entries = [entry(), entry(extra=crop(1, "Ann")), entry(id="broken", extra=crop(2, "Ben"))]
    (data / "rap.json").write_text(json.dumps([*entries, entry(extra=crowd), entry(image="nowhere.jpg")]))
    recipe = load_recipe("rap-llava").model_copy(update={"rank": 4, "alpha": 8, "batch": 2})
    heard: list[tuple[str, int, int]] = []
    progress = ProgressCallback(lambda *step: heard.append(step))

    numbers = train_base(data / "rap.json", data, tmp_path / "out", recipe=recipe, pack=pack, seed=0, progress=progress)

    assert {
        name: numbers[name] for name in ("samples", "crowded", "broken", "training_samples", "left_out", "steps")
    } == {
        "samples": 5,
        "crowded": 1,
        "broken": 1,
        "training_samples": 3,
        "left_out": 1,
        "steps": 2,
    }
    assert heard == [("training", 1, 2), ("training", 2, 2)]
    assert "Sample 3 (id “broken”) of rap.json: the picture “refcoco/crop/94268_2.jpg” can't be opened" in caplog.text
    assert "“nowhere.jpg” isn't in the folder of pictures" in caplog.text
    adapter = (tmp_path / "out" / "adapter.safetensors").read_bytes()
    manifest = ImageTextWriter(pack.writer).adapters.take(adapter_id(adapter), adapter)  # type: ignore[arg-type]
    assert manifest.data == hashlib.sha256((data / "rap.json").read_bytes()).hexdigest()
    assert (manifest.recipe, manifest.pack, manifest.rank) == ("rap-llava", "standard", 4)
    assert manifest.metrics["left_out"] == 1


@pytest.mark.slow
def test_a_base_training_on_nothing_says_so(pack: Pack, data: Path, tmp_path: Path) -> None:
    from model_worker.finetune.jobs.base import train_base

    recipe = load_recipe("rap-llava").model_copy(update={"rank": 4, "batch": 2})
    (data / "rap.json").write_text(json.dumps([entry(image="nowhere.jpg")]))
    with pytest.raises(SampleError, match=r"nothing to train on. Sample 1 \(id “156”\) of rap.json"):
        train_base(data / "rap.json", data, tmp_path / "out", recipe=recipe, pack=pack, seed=0)
    (data / "rap.json").write_text(json.dumps([entry()]))
    with pytest.raises(ValueError, match="None of the samples fits"):
        train_base(
            data / "rap.json",
            data,
            tmp_path / "out",
            recipe=recipe.model_copy(update={"longest": 20}),
            pack=pack,
            seed=0,
        )
    assert not (tmp_path / "out" / "adapter.safetensors").exists()
