"""`keepsake-db`: migrate a database, or say what it still needs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from db.errors import DatabaseSetupError
from db.setup.migrate import migrate, status
from db.setup.settings import DatabaseSettings, InvalidSettingError, is_database_url


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 a problem or migrations pending, 2 misuse."""
    options = _parser().parse_args(arguments)
    try:
        url = options.url or _url_of_environment()
    except InvalidSettingError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    if url is None:
        sys.stderr.write("Which database? Give --url, or set DATABASE_URL.\n")
        return 2
    if not is_database_url(url):
        sys.stderr.write("--url isn't a URL of Postgres.\n")
        return 2
    try:
        return _migrate(url) if options.command == "migrate" else _status(url)
    except DatabaseSetupError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="keepsake-db", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("migrate", "apply the migrations that are missing"),
        ("status", "list the migrations"),
    ):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument("--url", help="the administrator's URL (default: $DATABASE_URL)")
    return parser


def _url_of_environment() -> str | None:
    url = DatabaseSettings.read().database_url
    return None if url is None else url.get_secret_value()


def _migrate(url: str) -> int:
    applied = migrate(url)
    for name in applied:
        sys.stdout.write(f"applied {name}\n")
    if not applied:
        sys.stdout.write("The database is up to date.\n")
    return 0


def _status(url: str) -> int:
    state = status(url)
    for name in state.applied:
        sys.stdout.write(f"applied {name}\n")
    for name in state.pending:
        sys.stdout.write(f"pending {name}\n")
    return 1 if state.pending else 0


if __name__ == "__main__":
    sys.exit(main())
