"""No command, message or log says the password of a database."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from bot import cli
from db.setup import cli as database_cli
from db.setup.redaction import RedactingFormatter, redacted
from db.setup.settings import is_database_url

SECRET = "s3cret-marker"


@pytest.fixture
def server(postgres_url: str) -> str:
    """Where the tests' database is: the part after the password."""
    parts = urlsplit(postgres_url)
    return f"{parts.path}?{parts.query}"


def wrong_urls(server: str) -> list[str]:
    return [
        f"postgresql://postgres:{SECRET}@nowhere.invalid/keepsake",
        f"postgresql://postgres:{SECRET}@127.0.0.1:9/keepsake",
        f"postgresql://nobody-known:{SECRET}@{server}",
        f"postgresql://postgres:{SECRET}@/no_such_database?{server.partition('?')[2]}",
        f"postgresql://postgres:{SECRET}@[broken/keepsake",
        f"postgresql://postgres:{SECRET}@db:port/keepsake",
        f"postgresql://postgres:{SECRET}%zz@db/keepsake",
        f"postgresql://postgres:{SECRET}/slash@db:5432/keepsake",
        f"postgresql://postgres:with space {SECRET}@db/keepsake",
        f"postgresql://postgres@db/keepsake?password={SECRET}&unknown=1",
    ]


def test_whatever_is_wrong_with_a_database_its_password_is_not_said(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("KEEPSAKE_HOME", str(tmp_path))
    monkeypatch.setenv("WORKER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("KEEPSAKE_WORKER_TOKEN", "long-enough-a-token")
    for url in wrong_urls(server):
        monkeypatch.setenv("DATABASE_URL", url)
        assert database_cli.main(["migrate"]) != 0, url
        assert database_cli.main(["status", "--url", url]) != 0, url
        assert cli.main(["up"]) == 1, url
        assert cli.main(["doctor"]) == 1, url
        said = capfd.readouterr()
        assert said.err, url
        assert SECRET not in said.out + said.err + caplog.text, url


def test_what_libraries_log_is_redacted(caplog: pytest.LogCaptureFixture) -> None:
    url = f"postgresql://anna:{SECRET}@db/keepsake"
    try:
        raise psycopg.OperationalError(f"can't reach {url} or host=db password={SECRET}")
    except psycopg.OperationalError:
        logging.getLogger("a library").exception("while connecting to %s", url)

    [line] = [RedactingFormatter().format(record) for record in caplog.records]

    assert SECRET not in line
    assert "postgresql://anna:***@db/keepsake" in line
    assert "Traceback" in line


def test_a_password_may_hold_what_separates_elsewhere() -> None:
    assert redacted(f"postgres://anna:a@b:{SECRET}@db/x") == "postgres://anna:***@db/x"
    assert redacted("postgresql://anna@db/x") == "postgresql://anna@db/x"
    assert is_database_url("postgresql://anna:a%40b@db:5432,other:5433/x?sslmode=require")
    assert is_database_url("postgresql://postgres:@/keepsake?host=/tmp/somewhere")
