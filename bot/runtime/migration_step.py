"""Migrating as a step of its own: whoever runs on afterwards has never known the administrator's password."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from bot.runtime.services import ServiceError
from db.errors import DatabaseSetupError
from db.roles import app_url
from db.setup.migrate import migrate
from db.setup.redaction import redacted
from db.setup.settings import environment_of_app


def migrate_and_start_again(database_url: str, arguments: Sequence[str]) -> None:
    """Migrate through the administrator's URL, and start the command line anew, in this process, with the app's alone.

    Forgetting the URL would not do: what a process was started with can be read from it until it ends.

    Raises ServiceError.
    """
    try:
        applied = migrate(database_url)
    except DatabaseSetupError as problem:
        raise ServiceError(redacted(f"database: {problem}")) from problem
    sys.stdout.write(f"database: {len(applied)} migrations applied\n" if applied else "")
    sys.stdout.flush()
    command = [sys.executable, "-m", "bot.cli", *arguments]
    os.execve(sys.executable, command, environment_of_app(app_url(database_url)))  # noqa: S606 (this very program)
