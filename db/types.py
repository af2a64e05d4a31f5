"""The words of the house as types: what rows of the memory look like outside SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from db.geometry import Box

Vector = NDArray[np.float32]
"""One embedding: shape ``(dimensions,)``, float32."""

OwnerId = NewType("OwnerId", str)
"""``user:<snowflake>`` or ``server:<snowflake>``: whose memory a row belongs to."""


def user_owner(user_id: int) -> OwnerId:
    """Return the owner id of a user's personal memory."""
    return OwnerId(f"user:{user_id}")


def server_owner(server_id: int) -> OwnerId:
    """Return the owner id of a server's shared memory."""
    return OwnerId(f"server:{server_id}")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is asking, and where: the only thing that decides what may be recalled.

    What they may change goes by their ``roles`` on the server, and by ``is_admin``: whether they govern its memory.
    """

    user_id: int
    server_id: int | None = None
    roles: frozenset[int] = frozenset()
    is_admin: bool = False

    @property
    def personal(self) -> OwnerId:
        """The owner id of this viewer's own memory."""
        return user_owner(self.user_id)

    @property
    def server_memory(self) -> OwnerId | None:
        """The owner id of the current server's memory, None outside servers."""
        return None if self.server_id is None else server_owner(self.server_id)


def viewer_of(owner: OwnerId) -> Viewer:
    """Return a viewer who sees an owner's memory: the user, or nobody in particular on the server."""
    kind, _, number = owner.partition(":")
    return Viewer(int(number)) if kind == "user" else Viewer(0, int(number))


@dataclass(frozen=True, slots=True)
class Region:
    """A box in a picture with its embedding.

    ``objectness`` is 0 to 1: how likely the box holds one whole thing.
    """

    box: Box
    embedding: Vector
    objectness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How a pack's similarity becomes a match probability, and from where on it is a match.

    ``probability = sigmoid(slope * similarity + offset)``; matches have at least ``threshold``.
    """

    embedding_id: str
    slope: float
    offset: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Channel:
    """Where something was said: a channel, of a server or of direct messages."""

    server_id: int | None = None
    channel_id: int | None = None


NO_CHANNEL = Channel()


@dataclass(frozen=True, slots=True)
class Embedded:
    """An embedding, and the id of those that it can be compared with."""

    embedding_id: str
    vector: Vector


@dataclass(frozen=True, slots=True)
class Source:
    """The message that a picture was taken from: who wrote it, and its id; None where an imported file didn't say."""

    author: int | None
    message: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReference:
    """One picture of a concept to be stored: a JPEG, the region that is the thing, its embedding.

    ``former`` is its embedding by the pack that its owner's memory still goes by, where that is another one;
    ``created_at`` is when it was remembered; None is now. ``source`` is the message it was taken from; None: it was
    uploaded.
    """

    picture: bytes
    picture_sha256: str
    width: int
    height: int
    box: Box
    embedding_id: str
    embedding: Vector
    created_at: datetime | None = None
    former: Embedded | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConcept:
    """What `/remember` gives: a concept and its first reference, stored in one transaction.

    ``linked_user`` is the Discord account of the person it is, if they were named.
    """

    owner_id: OwnerId
    name: str
    info: str
    category: str
    created_by: int
    reference: NewReference
    learned: Channel = NO_CHANNEL
    linked_user: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """A remembered person, pet or thing; ``is_person`` is as `db.persons` says."""

    owner_id: OwnerId
    concept_id: UUID
    name: str
    info: str
    category: str
    created_by: int
    created_at: datetime
    references: int
    times_recognised: int = 0
    last_seen: datetime | None = None
    learned: Channel = NO_CHANNEL
    linked_user: int | None = None
    is_person: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether it belongs to a server's memory."""
        return self.owner_id.startswith("server:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One picture of a concept as it is stored: the JPEG, where in it the thing is, whether it is the avatar.

    ``source`` is the message it was taken from; None: it was uploaded.
    """

    reference_id: UUID
    picture: bytes
    picture_sha256: str
    width: int
    height: int
    box: Box
    created_by: int
    created_at: datetime
    is_avatar: bool
    source: Source | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A concept found in a region of a picture."""

    concept: Concept
    region: int
    box: Box
    similarity: float
    probability: float


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """What recall found for one question: concepts named in the text, then those in the picture."""

    mentioned: tuple[Concept, ...]
    recognised: tuple[Match, ...]


class InPublic(StrEnum):
    """What a user lets the bot say of their private memory, at their own asking, where others can read."""

    NOTHING = "nothing"
    NAMES = "names"
    EVERYTHING = "everything"


class Verdict(StrEnum):
    """What a viewer said about a recognition."""

    RIGHT = "right"
    INCORRECT = "incorrect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What an answer showed in one region of its picture: a concept, or something that was not recognised.

    ``probability`` is the recognition's, None when nothing was recognised.
    """

    region: int
    box: Box
    embedding_id: str
    embedding: Vector
    concept: Concept | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCorrection:
    """What a user said about a recognition of one of their own concepts, by its name."""

    concept_name: str
    verdict: Verdict
    embedding_id: str
    vector: Vector
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it was stored for its buttons: the picture (JPEG) and what was seen in it, by region.

    ``source`` is the message that the picture was taken from; None: it was uploaded.
    """

    answer_id: UUID
    picture: bytes
    picture_sha256: str
    width: int
    height: int
    created_at: datetime
    sightings: tuple[Sighting, ...]
    source: Source | None

    def sighting(self, region: int) -> Sighting | None:
        """Return what was seen in a region, None when the answer has no such region."""
        return next((sighting for sighting in self.sightings if sighting.region == region), None)


class WhoMayShare(StrEnum):
    """Who may put something into a server's memory."""

    EVERYONE = "everyone"
    ROLES = "roles"
    ADMINS = "admins"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the admins of a server govern its memory.

    ``allowed_channels`` empty means all; a denied channel is denied whatever else is allowed. ``retention_days``
    is how long answers given on the server are kept, 0 never. While ``trains``, adapters are trained on the memory,
    between the hours ``quiet_from`` and ``quiet_to`` (UTC; the same twice means at any time).
    """

    who_may_share: WhoMayShare = WhoMayShare.EVERYONE
    sharing_roles: tuple[int, ...] = ()
    needs_approval: bool = False
    allowed_channels: tuple[int, ...] = ()
    denied_channels: tuple[int, ...] = ()
    max_per_member: int = 100
    max_per_server: int = 1000
    retention_days: int = 30
    locked: bool = False
    trains: bool = True
    quiet_from: int = 2
    quiet_to: int = 6


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A concept that was forgotten and can still be brought back."""

    owner_id: OwnerId
    concept_id: UUID
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A concept that its owner wants to share with a server (``owner_id``), undecided.

    ``person`` is whose account it is linked to, and ``agreed_at`` when they agreed, which comes first. ``seen`` stands
    for what of it is shown to whoever decides: when it is another one, something has changed.
    """

    owner_id: OwnerId
    proposal_id: UUID
    concept: Concept
    person: int | None
    seen: str
    created_at: datetime
    expires_at: datetime
    agreed_at: datetime | None = None

    @property
    def waits_for_person(self) -> bool:
        """Whether who is linked to it hasn't agreed yet; then the admins don't see it."""
        return self.person is not None and self.agreed_at is None

    @property
    def proposed_by(self) -> int:
        """Whose memory the concept is in."""
        return int(self.concept.owner_id.removeprefix("user:"))


@dataclass(frozen=True, slots=True)
class Linked:
    """A concept that is linked to somebody's account: its name where it is shared, none in another's own memory."""

    owner_id: OwnerId
    concept_id: UUID
    name: str

    @property
    def is_shared(self) -> bool:
        """Whether it belongs to a server's memory."""
        return self.owner_id.startswith("server:")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who changed what in a server's memory; ``actor`` 0 is the bot, or somebody who took their data away.

    The latter go by a ``pseudonym`` where they governed. ``subject`` is what the concept is called, while it is there.
    """

    at: datetime
    actor: int
    pseudonym: str
    action: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is stored about a user, in counts: their own, and what is shared or linked to them in servers.

    ``copies`` are pictures of their messages that others keep.
    """

    concepts: int
    references: int
    pictures: int
    picture_bytes: int
    answers: int
    corrections: int
    forgotten: int
    adapters: int
    shared: int
    linked: int
    copies: int


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows of each table an erasure deleted, and how many servers it touched."""

    rows: dict[str, int]
    servers: int
