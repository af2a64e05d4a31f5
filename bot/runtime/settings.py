"""What is set from outside: environment variables, each with a default that works on a laptop."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the parts are. None means that Keepsake brings its own."""

    home: Path
    pack: str
    discord_token: str | None
    database_url: str | None
    worker_url: str | None
    worker_token: str | None
    metrics: str | None


def read_settings() -> Settings:
    """Read the settings from the environment."""
    return Settings(
        home=Path(os.environ.get("KEEPSAKE_HOME", ".keepsake")),
        pack=os.environ.get("KEEPSAKE_PACK", "starter"),
        discord_token=os.environ.get("DISCORD_TOKEN") or None,
        database_url=os.environ.get("DATABASE_URL") or None,
        worker_url=os.environ.get("WORKER_URL") or None,
        worker_token=os.environ.get("KEEPSAKE_WORKER_TOKEN") or None,
        metrics=os.environ.get("KEEPSAKE_METRICS") or None,
    )
