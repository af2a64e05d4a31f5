"""What is printed or logged never has a database's password in it, and a log says of no owner who it is."""

from __future__ import annotations

import logging
import re

HIDDEN = "***"
IN_URL = re.compile(r"(postgres(?:ql)?://[^:/@\s]*:)\S+(?=@)")
IN_OPTIONS = re.compile(r"(password=)[^\s&'\"]+", re.IGNORECASE)

OWNER = re.compile(r"\b(user|server):\d+")


def redacted(text: object) -> str:
    """Return a text, or what an error says, with the passwords of the URLs in it hidden (RFC 3986, section 3.2.1)."""
    return IN_OPTIONS.sub(rf"\g<1>{HIDDEN}", IN_URL.sub(rf"\g<1>{HIDDEN}", str(text)))


class RedactingFormatter(logging.Formatter):
    """Formats what is logged, tracebacks too, without passwords and owners: libraries log URLs and jobs as they come.

    A log is not searched when somebody deletes everything.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines, of a record."""
        return OWNER.sub(rf"\g<1>:{HIDDEN}", redacted(super().format(record)))


def log_warnings() -> None:
    """Log warnings and worse to stderr, as every command of Keepsake does."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
