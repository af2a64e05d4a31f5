"""What is set from outside: environment variables, each with a default that works on a laptop; and their table."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from db.setup.settings import DatabaseSettings, EnvironmentSettings, variable
from model_worker.api.settings import WorkerSettings

NOT_SET, HIDDEN = "–", "(hidden)"


def _check_address(text: str) -> str:
    _, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError("it has to be host:port")
    return text


class Settings(WorkerSettings, DatabaseSettings):
    """Where the parts of the bot are. None means that Keepsake brings its own."""

    discord_token: SecretStr | None = variable(
        "DISCORD_TOKEN",
        without="the sandbox in the browser",
        description="the bot's token, from the developer portal",
    )
    metrics: Annotated[str, AfterValidator(_check_address)] | None = variable(
        "KEEPSAKE_METRICS",
        without="nothing is served",
        description="`host:port` where the bot tells Prometheus how far memories have moved; the worker has `/metrics`",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A variable: what is used while it isn't set, what it is, and its value now, secrets hidden."""

    name: str
    without: str
    description: str
    value: str


def settings_table(settings: Settings) -> list[Row]:
    """Return all variables: the bot's own first, then those of the worker, then those of the database."""
    kinds = [kind for kind in type(settings).__mro__ if issubclass(kind, EnvironmentSettings)]
    names = [name for kind in kinds for name in inspect.get_annotations(kind) if name in Settings.model_fields]
    return [_row(settings, name) for name in names]


def as_text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal."""
    lines = [("variable", "now", "without it", "what it is")]
    lines += [(row.name, row.value, _plain(row.without), _plain(row.description)) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "".join("  ".join([*map(str.ljust, line[:3], widths), line[3]]) + "\n" for line in lines)


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the table for the README."""
    lines = ["| variable | without it | what it is |", "| --- | --- | --- |"]
    lines += [f"| `{row.name}` | {row.without} | {row.description} |" for row in rows]
    return "".join(f"{line}\n" for line in lines)


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")


def _row(settings: Settings, name: str) -> Row:
    field, value = Settings.model_fields[name], getattr(settings, name)
    extra = field.json_schema_extra
    return Row(
        name=str(field.validation_alias),
        without=str(extra["without"]) if isinstance(extra, dict) else "",
        description=field.description or "",
        value=NOT_SET if value is None else HIDDEN if isinstance(value, SecretStr) else str(value),
    )
