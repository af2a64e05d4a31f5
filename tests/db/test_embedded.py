"""The Postgres that comes along: private, and of whoever knows its password."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from db.roles import app_url
from db.setup.embedded import EmbeddedPostgres
from db.setup.migrate import migrate
from db.setup.private import keep_private, modes_kept


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of Keepsake's below one that nobody else may walk into."""
    made = tmp_path / "private" / "keepsake"
    made.mkdir(parents=True)
    for folder in (made, made.parent):
        folder.chmod(0o700)
    return made


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(home / "postgres")
    yield embedded
    embedded.stop()


def test_it_lets_nobody_in_without_the_password_and_opens_no_folder(server: EmbeddedPostgres, home: Path) -> None:
    url = server.start()
    migrate(url)

    for without in (re.sub("postgres:[^@]+@", "postgres@", url), re.sub("postgres:[^@]+@", "keepsake_app@", url)):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(without)
    with psycopg.connect(app_url(url)) as app:
        assert app.execute("SELECT current_user").fetchone() == ("keepsake_app",)
    assert mode(home / "postgres.password") == 0o600
    assert [mode(folder) for folder in (home, home.parent, home / "postgres")] == [0o700] * 3
    server.stop()
    assert [mode(folder) for folder in (home, home.parent)] == [0o700] * 2
    assert not (home / "postgres" / "postmaster.pid").exists(), "it was stopped as it should be"


def test_what_an_older_version_made_starts_and_then_asks_for_a_password(server: EmbeddedPostgres, home: Path) -> None:
    url = server.start()
    with psycopg.connect(url, autocommit=True) as administrator:
        administrator.execute("CREATE TABLE kept AS SELECT 7 AS number")
        administrator.execute("ALTER ROLE postgres PASSWORD NULL")
    server.stop()
    (home / "postgres" / "pg_hba.conf").write_text("local all all trust\n")
    (home / "postgres.password").unlink()

    url = server.start()

    with psycopg.connect(url) as administrator:
        assert administrator.execute("SELECT number FROM kept").fetchone() == (7,)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(re.sub("postgres:[^@]+@", "postgres@", url))


def test_its_log_names_nothing_that_people_wrote(server: EmbeddedPostgres, home: Path) -> None:
    with psycopg.connect(server.start(), autocommit=True) as administrator:
        administrator.execute("CREATE TABLE told (name text PRIMARY KEY)")
        for _ in range(2):
            with contextlib.suppress(psycopg.errors.UniqueViolation):
                administrator.execute("INSERT INTO told VALUES ('a name of Anna''s')")
    log = (home / "postgres" / "log").read_text()
    assert "duplicate key" in log
    assert "a name of Anna" not in log


@pytest.mark.skipif(os.name != "posix", reason="only where there is a root")
def test_two_that_start_at_once_leave_no_folder_open(home: Path) -> None:
    first_is_in, first_may_go = threading.Event(), threading.Event()

    def first() -> None:
        with modes_kept([home, home.parent]):
            first_is_in.set()
            first_may_go.wait(10)

    def second() -> None:
        with modes_kept([home.parent, home]):
            assert mode(home) == 0o755

    with ThreadPoolExecutor(2) as threads:
        earlier = threads.submit(first)
        first_is_in.wait(10)
        later = threads.submit(second)
        with pytest.raises(TimeoutError):
            later.result(0.2)
        first_may_go.set()
        earlier.result(10)
        later.result(10)

    assert [mode(folder) for folder in (home, home.parent)] == [0o700] * 2


def test_what_was_open_in_keepsakes_folder_is_closed_and_nothing_else(tmp_path: Path) -> None:
    ours, strangers = tmp_path / "worker.log", tmp_path / "letter.txt"
    checkpoint = tmp_path / "finetune" / "user:1" / "weights"
    checkpoint.parent.mkdir(parents=True)
    for file in (ours, strangers, checkpoint):
        file.touch()
        file.chmod(0o644)
    tmp_path.chmod(0o755)

    keep_private(tmp_path)
    made_later = tmp_path / "trainer.log"
    made_later.touch()

    assert [mode(path) for path in (ours, checkpoint, made_later)] == [0o600] * 3
    assert [mode(path) for path in (tmp_path, checkpoint.parent, checkpoint.parents[1])] == [0o700] * 3
    assert mode(strangers) == 0o644
