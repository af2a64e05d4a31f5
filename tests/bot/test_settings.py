"""The settings: read from the environment in one place, explained everywhere alike, refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot import cli
from bot.runtime.settings import HIDDEN, Settings, as_markdown, settings_table
from db.roles import app_url
from db.setup import cli as database_cli
from db.setup.settings import InvalidSettingError
from model_worker import cli as worker_cli
from model_worker.api.settings import WorkerSettings
from model_worker.server.auth import require_token

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)


def test_the_readme_has_the_table_that_the_settings_make() -> None:
    _, _, rest = README.read_text(encoding="utf-8").partition("<!-- settings -->\n")
    table, _, _ = rest.partition("<!-- /settings -->")
    assert table.strip() == as_markdown(settings_table(Settings.read())).strip()


def test_without_any_variable_everything_is_brought_along() -> None:
    settings = Settings.read()
    assert (settings.home, settings.pack) == (Path(".keepsake"), "starter")
    assert settings.database_url is settings.worker_url is settings.discord_token is None


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("KEEPSAKE_PACK", "")
    settings = Settings.read()
    assert (settings.database_url, settings.pack) == (None, "starter")


def test_the_command_shows_every_variable_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEEPSAKE_PACK", "standard")
    secrets = {
        "DISCORD_TOKEN": "s3cret",
        "DATABASE_URL": "postgresql://anna:s3cret@db/keepsake",
        "KEEPSAKE_APP_DATABASE_URL": "postgresql://app:s3cret@db/keepsake",
        "PGPASSWORD": "s3cret",
        "KEEPSAKE_WORKER_TOKEN": "s3cret" * 3,
        "KEEPSAKE_WRITER_KEY": "s3cret",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)

    assert cli.main(["settings"]) == 0

    shown = capsys.readouterr().out
    lines = {line.split()[0]: line for line in shown.splitlines()}
    assert set(lines) == {"variable", *(str(field.validation_alias) for field in Settings.model_fields.values())}
    assert " standard " in lines["KEEPSAKE_PACK"]
    assert all(HIDDEN in lines[name] for name in secrets)
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("KEEPSAKE_METRICS", "everywhere", "KEEPSAKE_METRICS can't be used: it has to be host:port."),
        ("KEEPSAKE_METRICS", "0.0.0.0:99999", "KEEPSAKE_METRICS can't be used: it has to be host:port."),
        (
            "KEEPSAKE_WORKER_TOKEN",
            "s3cret",
            "KEEPSAKE_WORKER_TOKEN can't be used: it has to have 16 characters or more.",
        ),
        ("WORKER_URL", "worker:8410", "WORKER_URL can't be used: it has to begin with http:// or https://."),
        ("DATABASE_URL", "mysql://s3cret@db", "DATABASE_URL can't be used: it has to begin with postgresql://."),
        ("KEEPSAKE_TRAINING_GPU_GB", "lots", "KEEPSAKE_TRAINING_GPU_GB can't be used: it has to be a valid number."),
        ("KEEPSAKE_TRAINING_GPU_GB", "-1", "KEEPSAKE_TRAINING_GPU_GB can't be used: it has to be greater than 0."),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)

    assert cli.main(["up"]) == 1

    assert capsys.readouterr().err == f"{sentence}\n"


def test_the_worker_and_the_database_say_it_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEEPSAKE_TRAINING_GPU_GB", "lots")
    monkeypatch.setenv("WORKER_URL", "nowhere")
    monkeypatch.setenv("DATABASE_URL", "nowhere")

    assert worker_cli.main(["serve"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert database_cli.main(["status"]) == 2
    assert capsys.readouterr().err.splitlines() == ["DATABASE_URL can't be used: it has to begin with postgresql://."]


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("", "KEEPSAKE_WORKER_TOKEN is empty: give it a value, or leave it out for a new token.\n"),
        ("s3cret", "KEEPSAKE_WORKER_TOKEN can't be used: it has to have 16 characters or more.\n"),
    ],
)
def test_the_worker_serves_nobody_with_a_token_that_can_be_guessed(
    token: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEEPSAKE_WORKER_TOKEN", token)

    assert worker_cli.main(["serve", "--port", "0"]) == 1

    assert capsys.readouterr().err == sentence
    with pytest.raises(ValueError, match="16 characters"):
        require_token(token)


def test_a_secret_is_not_in_the_error_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://s3cret@db")
    with pytest.raises(InvalidSettingError) as raised:
        Settings.read()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_the_apps_own_login_goes_before_the_one_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPSAKE_APP_DATABASE_URL", "postgresql://own@db.example/keepsake")
    assert app_url("postgresql://admin@db.example/keepsake") == "postgresql://own@db.example/keepsake"


def test_an_address_may_end_in_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_URL", "http://worker:8410/")
    assert WorkerSettings.read().worker_url == "http://worker:8410"
