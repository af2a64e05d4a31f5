"""Two ways into one database: the administrator's for migrations, the app role's for everything else.

``DATABASE_URL`` is the administrator's: it may create tables and roles. The app never works through it: a
superuser isn't bound by row-level security. The app's URL is, in this order:

1. ``KEEPSAKE_APP_DATABASE_URL``: of ``keepsake_app`` with a password of your choice, which migrating gives it, or of a
   login role of your own (``GRANT keepsake_app TO it``). With it neither the bot nor a trainer needs
   ``DATABASE_URL``: migrating is then a step of its own (`keepsake-db migrate`), and so is its secret;
2. ``DATABASE_URL`` with the role ``keepsake_app`` in place of the administrator, and a password derived from
   theirs (HMAC-SHA-256). Every machine that knows ``DATABASE_URL`` derives the same one, so nothing needs to
   be stored. `db.setup.migrate.migrate` gives the role this password. Without an administrator's password
   (a server that lets its machine's users in) the role has none either.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from db.errors import DatabaseSetupError
from db.locks import LOCK_APP_ROLE
from db.setup.redaction import redacted
from db.setup.settings import DatabaseSettings

APP_ROLE = "keepsake_app"

ROLE_IS_BOUND = """
    SELECT NOT (rolsuper OR rolbypassrls) AS bound
      FROM pg_roles
     WHERE rolname = session_user
"""

OTHER_ROLES_ARE_BOUND = """
    SELECT NOT EXISTS (
        SELECT FROM pg_roles
         WHERE (rolsuper OR rolbypassrls) AND pg_has_role(session_user, oid, 'MEMBER')
    ) AS bound
"""


def app_url(database_url: str) -> str:
    """Return the URL that the app connects with, given the administrator's."""
    given = DatabaseSettings.read().app_database_url
    return derived_app_url(database_url) if given is None else given.get_secret_value()


def derived_app_url(database_url: str) -> str:
    """Return the URL of the role ``keepsake_app`` in the administrator's database."""
    parts = urlsplit(database_url)
    place = parts.netloc.rpartition("@")[2]
    password = _app_password(database_url)
    login = APP_ROLE if password is None else f"{APP_ROLE}:{quote(password)}"
    options = [(key, value) for key, value in parse_qsl(parts.query) if key not in {"user", "password"}]
    return urlunsplit(parts._replace(netloc=f"{login}@{place}", query=urlencode(options)))


def open_app_role(database_url: str) -> None:
    """Let the app role log in, unless it can already. Raises DatabaseSetupError when it can't be made to.

    Call it after the migrations, which create the role.
    """
    url = app_url(database_url)
    if why_not_log_in(url) is None:
        return
    if conninfo_to_dict(url).get("user") == APP_ROLE:
        _give_login(database_url, conninfo_to_dict(url).get("password"))
    reason = why_not_log_in(url)
    if reason is not None:
        raise DatabaseSetupError(
            f"The app role can't log in to the database: {reason}. Create a login role yourself, "
            f"GRANT {APP_ROLE} TO it, and set KEEPSAKE_APP_DATABASE_URL."
        )


def _app_password(database_url: str) -> str | None:
    parts = urlsplit(database_url)
    administrator = unquote(parts.password or "") or dict(parse_qsl(parts.query)).get("password", "")
    if not administrator:
        given = DatabaseSettings.read().administrator_password
        administrator = "" if given is None else given.get_secret_value()
    if not administrator:
        return None
    return hmac.new(administrator.encode(), f"keepsake {APP_ROLE}".encode(), hashlib.sha256).hexdigest()


def why_not_log_in(url: str) -> str | None:
    """Return None when the role of this URL can log in and is bound by row-level security, else why not."""
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            for question in (ROLE_IS_BOUND, OTHER_ROLES_ARE_BOUND):
                row = connection.execute(question).fetchone()
                if row is None or not row[0]:
                    return "it is, or may become, a role that bypasses row-level security"
    except psycopg.OperationalError as error:
        return " ".join(redacted(error).split())
    return None


def _give_login(database_url: str, password: object) -> None:
    with psycopg.connect(database_url, connect_timeout=10) as connection:
        connection.execute(LOCK_APP_ROLE)
        command = sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(APP_ROLE))
        if password is not None:
            # Hashed here, so that the password itself never stands in the server's log.
            scrambled = connection.pgconn.encrypt_password(str(password).encode(), APP_ROLE.encode(), b"scram-sha-256")
            command += sql.SQL(" PASSWORD {}").format(sql.Literal(scrambled.decode()))
        connection.execute(command)
