"""Fixtures for all tests: one real Postgres a session, freshly emptied for each test that asks for it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
from psycopg import sql

from bot.service.app import App
from bot.service.worker_client import WorkerClient
from db.pool import open_pool
from db.roles import app_url
from db.setup.embedded import EmbeddedPostgres
from db.setup.migrate import migrate
from tests.support.served import RunningWorker
from tests.support.tables import OWNED_TABLES


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The administrator's URL of an embedded server's (unmigrated) database, of this test session alone."""
    directory = Path(tempfile.mkdtemp(prefix="keepsake-test-"))
    directory.chmod(0o711)  # the server reads its settings once more below
    server = EmbeddedPostgres(directory / "postgres")
    try:
        url = server.start()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """The administrator's URL of a database that nothing was ever done to."""
    name = f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    yield postgres_url.replace("/keepsake?", f"/{name}?")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> str:
    migrate(postgres_url)
    return postgres_url


@pytest.fixture
def database_url(migrated_url: str) -> str:
    """What DATABASE_URL would be: the administrator's URL of a migrated database, emptied for this test."""
    with psycopg.connect(migrated_url) as connection:
        tables = [sql.SQL(row[0]) for row in connection.execute(OWNED_TABLES)]
        connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(tables)))
    return migrated_url


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool as the bot has it: connected as the app role to an empty memory."""
    opened = await open_pool(app_url(database_url), largest=4)
    yield opened
    opened.terminate()


@pytest.fixture(scope="session")
def running_worker() -> Iterator[RunningWorker]:
    """The real worker process with the real weights, once a session."""
    token = secrets.token_urlsafe(16)
    with subprocess.Popen(
        [sys.executable, "-m", "model_worker.cli", "serve", "--port", "0", "--with-parent"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "KEEPSAKE_WORKER_TOKEN": token},
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[1]
            _wait_for(url, token)
            yield RunningWorker(url, token)
        finally:
            process.terminate()


def _wait_for(url: str, token: str) -> None:
    request = urllib.request.Request(f"{url}/health", headers={"Authorization": f"Bearer {token}"})
    deadline = time.monotonic() + 240
    while True:
        with urllib.request.urlopen(request) as answer:
            if json.load(answer)["state"] == "ready":
                return
        assert time.monotonic() < deadline, "the models did not load"
        time.sleep(0.2)


@pytest.fixture
async def app(pool: asyncpg.Pool, running_worker: RunningWorker) -> AsyncIterator[App]:
    """The app as the bot has it: an empty memory, the real worker."""
    client = WorkerClient(running_worker.url, running_worker.token)
    yield App(pool=pool, worker=client, min_concepts_to_train=3)
    await client.close()


@pytest.fixture
async def without_worker(pool: asyncpg.Pool) -> AsyncIterator[App]:
    """The app where no worker can be reached."""
    client = WorkerClient("http://127.0.0.1:9", "nobody is there")
    yield App(pool=pool, worker=client)
    await client.close()
