"""What we conclude: findings, what happens to them, and the alerts that tell of it."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.facts import BucketKey, Cause, ObjectVersion, Principal


class Severity(StrEnum):
    """Worst first; the order of members is the order of sending."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Status(StrEnum):
    """Open, or closed by what ended it."""

    OPEN = "open"
    RESOLVED = "resolved"
    SUPERSEDED = "superseded"
    BUCKET_DELETED = "bucket-deleted"
    EXPIRED = "expired"


class Change(StrEnum):
    """What happened to a finding in one step. `TELLS` are sent; the others are stored only."""

    OPENED = "opened"
    REOPENED = "reopened"
    ENRICHED = "enriched"
    RESOLVED = "resolved"
    SUPERSEDED = "superseded"
    BUCKET_DELETED = "bucket-deleted"
    EXPIRED = "expired"


TELLS = frozenset({Change.OPENED, Change.REOPENED, Change.RESOLVED, Change.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One control failing for one bucket (and, for deeds, one principal and window).

    `at` is when it happened (the event's time, else the time of the read), `last_at` when it last did,
    `detected_at` when we saw it; all aware UTC. `watched_since` is where "was anything lost" begins to count.
    `undone`: it was on again when we looked; `mfa_delete_on`: MFA delete itself was on (versioning may be suspended).
    `known_since` says what `watched_since` is: the turn-off, the last look that saw protection, the first look.
    """

    control: str
    bucket: BucketKey
    severity: Severity
    at: datetime
    last_at: datetime
    detected_at: datetime
    watched_since: datetime
    known_since: str
    detail: str = ""
    status: Status = Status.OPEN
    changed_at: datetime | None = None
    principal: Principal | None = None
    window: str = ""
    source_ip: str = ""
    user_agent: str = ""
    event_name: str = ""
    error_code: str = ""
    error_message: str = ""
    cause: Cause = Cause.NONE
    objects: tuple[ObjectVersion, ...] = ()
    count: int = 1
    undone: bool = False
    mfa_delete_on: bool = False

    @property
    def id(self) -> str:
        """`account#region#bucket#control[#principal#window]`."""
        parts = [self.bucket.account, self.bucket.region, self.bucket.name, self.control]
        if self.window:
            parts += [self.principal.id if self.principal else "", self.window]
        return "#".join(parts)

    @property
    def short_id(self) -> str:
        """The id as people see it: 8 hex digits."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:8]

    @property
    def is_open(self) -> bool:
        """Not closed by anything yet."""
        return self.status is Status.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A finding after its change, and what the change was."""

    finding: Finding
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message: a subject of at most 99 ASCII characters, a text for people, a JSON text for programs."""

    subject: str
    text: str
    json: str
    attributes: dict[str, str] = field(default_factory=dict)
