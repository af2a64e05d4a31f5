"""The environment as typed settings: a class for what a part reads, a field for each variable, with its meaning."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

CONNECTION_VARIABLES = ("PGHOST", "PGPORT", "PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLNEGOTIATION")
"""What a database's client reads by itself beside its URL, and who it is: no secrets."""

OF_ADMINISTRATOR = frozenset(["DATABASE_URL", "PGPASSWORD"])


class InvalidSettingError(Exception):
    """An environment variable has a value that can't be used; the text says which, and why."""


class EnvironmentSettings(BaseSettings):
    """Settings of which each is one environment variable; an empty one counts as not set."""

    model_config = SettingsConfigDict(
        case_sensitive=True, env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    @classmethod
    def read(cls) -> Self:
        """Read the environment. Raises InvalidSettingError."""
        try:
            return cls()
        except ValidationError as error:
            problems = [_sentence(details) for details in error.errors(include_url=False)]
            raise InvalidSettingError("\n".join(problems)) from None  # pydantic's own text shows secrets


def variable(name: str, *, without: str, description: str, default: Any = None) -> Any:
    """Return the field of an environment variable; ``without`` says what is used while it isn't set."""
    return Field(default, validation_alias=name, description=description, json_schema_extra={"without": without})


def _check_postgres_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("it has to begin with postgresql://")
    if not is_database_url(url.get_secret_value()):
        raise ValueError(
            "it isn't a URL of Postgres (in a password, write what isn't a letter or digit as %20 and so on)"
        )
    return url


def environment_of_app(app_url: str) -> dict[str, str]:
    """Return this process's environment with the app's URL of the database instead of the administrator's."""
    passed_on = {name: value for name, value in os.environ.items() if name not in OF_ADMINISTRATOR}
    return {**passed_on, "KEEPSAKE_APP_DATABASE_URL": app_url}


def is_database_url(url: str) -> bool:
    """Whether Postgres's clients can read a URL: of one that they can't, their errors show parts, as the password."""
    try:
        urlsplit(url)
        ports = str(conninfo_to_dict(url).get("port") or "").split(",")  # one for each host, or one for all
        return all(port.isdecimal() or not port for port in ports)
    except (psycopg.ProgrammingError, ValueError):
        return False


PostgresUrl = Annotated[SecretStr, AfterValidator(_check_postgres_url)]
"""A secret, as there may be a password in it."""


class DatabaseSettings(EnvironmentSettings):
    """How the database is reached."""

    database_url: PostgresUrl | None = variable(
        "DATABASE_URL",
        without="the embedded Postgres",
        description="an administrator's URL of a server with pgvector 0.8 (`keepsake-db migrate` prepares it)",
    )
    app_database_url: PostgresUrl | None = variable(
        "KEEPSAKE_APP_DATABASE_URL",
        without="`DATABASE_URL` with the role `keepsake_app`",
        description="the URL of `keepsake_app` with a password of your choice, or of a role of yours that was "
        "granted it; with it bot and trainer need no `DATABASE_URL`, and `keepsake-db migrate` is a step of its own",
    )
    administrator_password: SecretStr | None = variable(
        "PGPASSWORD",
        without="the password in `DATABASE_URL`",
        description="the administrator's password, where the URL has none",
    )
    people: Literal["on", "off"] = variable(
        "KEEPSAKE_PEOPLE",
        default="on",
        without="`on`",
        description="`off`: people are neither remembered nor shared, and those that were are named no more",
    )


def _sentence(details: ErrorDetails) -> str:
    reason = details["msg"].removeprefix("Value error, ").replace("Input should", "it has to").partition(", unable")[0]
    return f"{details['loc'][0]} can't be used: {reason}."
