"""Migrating is a step of its own: the bot that runs on has never known the administrator's password."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from bot import cli
from db.roles import app_url
from db.setup.migrate import status

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows can't start another program in the same process")


def test_the_bot_that_runs_on_is_given_the_app_roles_url_alone(empty_database_url: str, tmp_path: Path) -> None:
    administrators = urlsplit(empty_database_url).password
    assert administrators
    environment = {
        **os.environ,
        "DATABASE_URL": empty_database_url,
        "PGPASSWORD": administrators,
        "DISCORD_TOKEN": "no-token",
        "WORKER_URL": "http://127.0.0.1:1",
        "KEEPSAKE_WORKER_TOKEN": "sixteen-characters",
        "KEEPSAKE_HOME": str(tmp_path / "home"),
    }
    bot = subprocess.Popen(
        [sys.executable, "-m", "bot.cli", "up"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        given = environment_once_without(bot.pid, "DATABASE_URL")
        said, complained = bot.communicate(timeout=60)
    finally:
        bot.kill()

    assert administrators not in str(given)
    assert given["KEEPSAKE_APP_DATABASE_URL"] == app_url(empty_database_url)
    assert given["DISCORD_TOKEN"] == "no-token"
    assert status(empty_database_url).pending == ()
    assert b"database: ready" in said, complained
    assert administrators.encode() not in said + complained


def environment_once_without(pid: int, name: str) -> dict[str, str]:
    """Wait until a process has no such variable, and return its environment."""
    for _ in range(600):
        given = psutil.Process(pid).environ()
        if given and name not in given:
            return given
        time.sleep(0.02)
    raise AssertionError(f"it has {name} still")


def test_a_database_that_cannot_be_migrated_is_said_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres:s3cret-of-ours@127.0.0.1:1/keepsake")
    monkeypatch.setenv("KEEPSAKE_HOME", str(tmp_path))

    assert cli.main(["up"]) == 1

    assert "could not be migrated" in (said := capsys.readouterr().err)
    assert "s3cret" not in said
