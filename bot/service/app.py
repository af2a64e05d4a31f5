"""What every use case takes first: the app that it is done with, and the actor who does it."""

from __future__ import annotations

from dataclasses import dataclass, field

import asyncpg

from bot.archive.bounded import ArchiveReader
from bot.service.worker_client import WorkerClient
from db.types import Channel, OwnerId, Viewer


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The parts that the product is made of.

    ``min_concepts_to_train`` is how many concepts a training takes (None: the model can't be trained).

    Whatever is done with it raises DatabaseUnavailableError, WorkerUnavailableError, WorkerBusyError and
    WorkerRefusedError.
    """

    pool: asyncpg.Pool
    worker: WorkerClient
    min_concepts_to_train: int | None = None
    archives: ArchiveReader = field(default_factory=ArchiveReader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts where: a user, in a channel of a server (None elsewhere), with their roles there.

    ``is_admin`` is whether they govern the server's memory.
    """

    user_id: int
    server_id: int | None = None
    channel_id: int | None = None
    roles: frozenset[int] = frozenset()
    is_admin: bool = False

    @property
    def viewer(self) -> Viewer:
        """What the database goes by: the rows that this actor may see, and what they may change."""
        return Viewer(self.user_id, self.server_id, self.roles, self.is_admin)

    @property
    def personal_memory(self) -> OwnerId:
        """Whose memory the actor's own is."""
        return self.viewer.personal

    @property
    def server_memory(self) -> OwnerId | None:
        """Whose memory that of the server is; None where there is no server."""
        return self.viewer.server_memory

    @property
    def channel(self) -> Channel:
        """Where they act."""
        return Channel(self.server_id, self.channel_id)
