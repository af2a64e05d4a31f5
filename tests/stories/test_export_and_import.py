"""A memory that was exported and imported into an empty instance is the same memory: real parts, hash by hash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
import numpy as np
import psycopg
import pytest

from bot.archive.schema import ArchiveError
from bot.demo import pictures
from bot.errors import ArchiveBusyError
from bot.service import feedback, importing, memories, permissions, privacy
from bot.service.app import Actor, App
from bot.service.ask import Question, ask
from bot.service.remember import add_picture, remember
from db import archives
from db.errors import RateLimitedError
from db.pool import open_pool, viewing
from db.roles import app_url
from db.setup.migrate import migrate
from db.types import Verdict
from tests.support.served import RunningWorker

pytestmark = pytest.mark.slow

ANNA = Actor(user_id=1)
LARGEST = 10_000_000


async def remembered(app: App) -> None:
    """Two concepts, one with two pictures and the second as its avatar, recognised, corrected."""
    cat, cup = pictures.png(pictures.cat()), pictures.png(pictures.cup())
    done = await remember(app, ANNA, "Mochi “もち” & Co.", cat, "a tabby\nwho hates tuna 🐟", "cat")
    await remember(app, ANNA, "The cup", cup)
    await add_picture(app, ANNA, done.concept, pictures.png(pictures.cat_again()))
    card = await memories.card(app, ANNA, done.concept.owner_id, done.concept.concept_id)
    await memories.choose_avatar(app, ANNA, done.concept, card.references[1].reference_id)
    reply = await ask(app, ANNA, Question(text="Who is this?", picture=pictures.png(pictures.cat_and_cup())))
    assert reply.context.answer_id is not None
    answer = await feedback.answer_of(app, ANNA, reply.context.answer_id)
    for match, verdict in zip(reply.context.recalled.recognised, (Verdict.RIGHT, Verdict.INCORRECT), strict=True):
        await feedback.judge(app, ANNA, answer, match.region, verdict)


async def everything(pool: asyncpg.Pool) -> tuple[list[object], list[object], list[np.ndarray]]:
    """All that makes a memory, without the ids that a database gives; the vectors apart."""
    async with viewing(pool, ANNA.viewer) as connection:
        whole = await archives.whole_concepts(connection, ANNA.viewer.personal)
        corrections = await archives.corrections_of(connection, ANNA.viewer.personal)
    concepts: list[object] = [
        (
            concept.concept.name,
            concept.concept.info,
            concept.concept.category,
            concept.concept.created_at,
            concept.concept.times_recognised,
            concept.concept.last_seen,
            [
                (ref.picture_sha256, ref.picture, ref.width, ref.height, ref.box, ref.created_at, ref.is_avatar)
                for ref in concept.references
            ],
        )
        for concept in whole
    ]
    said: list[object] = [
        (correction.concept_name, correction.verdict, correction.embedding_id, correction.created_at)
        for correction in corrections
    ]
    ordered = [
        made.vector
        for concept in whole
        for ref in concept.references
        for made in concept.embeddings
        if made.reference_id == ref.reference_id
    ]
    return concepts, said, [*ordered, *(correction.vector for correction in corrections)]


def sends(data: bytes) -> Callable[[], Awaitable[bytes]]:
    """Return how a file that somebody sent is fetched."""

    async def fetch() -> bytes:
        return data

    return fetch


async def test_export_then_import_into_an_empty_instance_gives_the_same_memory(
    app: App, empty_database_url: str, running_worker: RunningWorker
) -> None:
    await remembered(app)
    files = await privacy.export(app, ANNA, LARGEST)
    assert [file.name for file in files] == ["keepsake.zip"]
    migrate(empty_database_url)
    pool = await open_pool(app_url(empty_database_url), largest=2)
    elsewhere = App(pool=pool, worker=app.worker)
    try:
        plan = await importing.plan_import(elsewhere, ANNA, sends(files[0].data))
        assert (len(plan.new), plan.pictures, plan.known) == (2, 3, ())
        with psycopg.connect(empty_database_url) as administrator:
            assert administrator.execute("SELECT count(*) FROM concept").fetchone() == (0,)
        assert await importing.carry_out(elsewhere, ANNA, plan) == 2

        before, after = await everything(app.pool), await everything(pool)
        assert after[0] == before[0]
        assert (len(before[1]), after[1]) == (2, []), "corrections go by vectors, and no file is believed about those"
        assert (len(before[2]), len(after[2])) == (5, 3)
        assert all(float(vector @ other) > 0.9999 for vector, other in zip(before[2], after[2], strict=False))

        again = await importing.plan_import(elsewhere, ANNA, sends(files[0].data))
        assert (again.new, len(again.known)) == ((), 2)
    finally:
        pool.terminate()


async def test_no_file_is_even_fetched_for_who_imported_too_often(app: App) -> None:
    fetched = 0

    async def fetch() -> bytes:
        nonlocal fetched
        fetched += 1
        return b"no archive"

    for _ in range(permissions.IMPORTS.burst):
        with pytest.raises(ArchiveError):
            await importing.plan_import(app, ANNA, fetch)
    with pytest.raises(RateLimitedError):
        await importing.plan_import(app, ANNA, fetch)

    assert fetched == permissions.IMPORTS.burst


async def test_nobody_imports_two_files_at_once(app: App) -> None:
    async def fetch() -> bytes:
        with pytest.raises(ArchiveBusyError):
            await importing.plan_import(app, ANNA, sends(b"another"))
        return b"no archive"

    with pytest.raises(ArchiveError):
        await importing.plan_import(app, ANNA, fetch)


async def test_a_memory_too_large_for_one_file_comes_in_several(app: App) -> None:
    await remembered(app)
    files = await privacy.export(app, ANNA, 350_000)
    assert len(files) > 1
    assert all(len(file.data) <= 350_000 for file in files)
    await privacy.erase(app, ANNA)
    plan = await importing.plan_import(app, ANNA, sends(files[0].data))
    assert plan.new


async def test_what_was_shared_is_exported_apart(app: App) -> None:
    here = Actor(user_id=1, server_id=10)
    await remember(app, here, "The cup", pictures.png(pictures.cup()), share=True)
    await remember(app, Actor(user_id=2, server_id=10), "The cat", pictures.png(pictures.cat()), share=True)
    files = await privacy.export(app, ANNA, LARGEST)
    assert [file.name for file in files] == ["keepsake.zip", "keepsake-shared-10.zip"]
    plan = await importing.plan_import(app, ANNA, sends(files[1].data))
    assert plan.new == ("The cup",)
