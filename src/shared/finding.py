"""What we conclude: findings, what happens to them, and the alerts that tell of it."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.facts import BucketKey, Cause, Condition, Expiry, ObjectVersion, Principal

OBJECTS_KEPT = 10
"""How many of the versions named are kept with a finding; the count goes on."""


class Severity(StrEnum):
    """Worst first; the order of members is the order of sending."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class Status(StrEnum):
    """Open, acknowledged by a person, or closed by what ended it."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    EXEMPTED = "exempted"
    SUPERSEDED = "superseded"
    BUCKET_DELETED = "bucket-deleted"
    EXPIRED = "expired"


class Change(StrEnum):
    """What happened to a finding in one step. `TELLS` are sent; the others are stored only.

    grew: deeds crossed the threshold within their window; summed: their number, when the window was over.
    """

    OPENED = "opened"
    REOPENED = "reopened"
    ENRICHED = "enriched"
    GREW = "grew"
    SUMMED = "summed"
    REMINDED = "reminded"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    EXEMPTED = "exempted"
    SUPERSEDED = "superseded"
    BUCKET_DELETED = "bucket-deleted"
    EXPIRED = "expired"


NEWS = frozenset({Change.OPENED, Change.REOPENED, Change.GREW})
"""Bad news: sent with its runbook."""
ROUTINE = frozenset({Change.REMINDED, Change.SUMMED})
"""Sent in a digest only."""
TELLS = NEWS | ROUTINE | {Change.RESOLVED, Change.EXEMPTED, Change.EXPIRED, Change.ACKNOWLEDGED}


class Channel(StrEnum):
    """Where people and programs are told, in the order of sending; mail and chat share one pace."""

    PAGER = "pager"
    MAIL = "mail"
    CHAT = "chat"
    BUS = "bus"
    SECURITY_HUB = "security-hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One control failing for one bucket (and, for deeds, one principal and window).

    `at` is when it happened (the event's time, else the time of the read), `last_at` when it last did,
    `detected_at` when we saw it; all aware UTC. `watched_since` is where "was anything lost" begins to count.
    `unnamed`: how many of the `count` were batches that name neither keys nor versions.
    `undone`: it was on again when we looked; `mfa_delete_on`: MFA delete itself was on (versioning may be suspended).
    `known_since` says what `watched_since` is: the turn-off, the last look that saw protection, the first look.
    `told_at` is when it was last told of (None: not yet), `told_count` the count that was told then.
    `is_proof`: the runbook's own proof, acknowledged by itself; else `acknowledged_by` is the ARN of who did.
    `conditions`: what blinds the guardrail; `resources`: what of it somebody changed.
    `paged`: an incident of it is open on the pager, or is being opened.
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
    unnamed: int = 0
    versioning_on: bool = True
    undone: bool = False
    mfa_delete_on: bool = False
    told_at: datetime | None = None
    told_count: int = 0
    expiries: tuple[Expiry, ...] = ()
    conditions: tuple[Condition, ...] = ()
    resources: tuple[str, ...] = ()
    is_proof: bool = False
    acknowledged_by: str = ""
    why: str = ""
    paged: bool = False

    @property
    def id(self) -> str:
        """`account#region#bucket#control[#principal#window]`."""
        parts = [self.bucket.account, self.bucket.region, self.bucket.name, self.control]
        if self.window:
            parts += [self.principal.id if self.principal else "", self.window]
        return "#".join(parts)

    @property
    def digest(self) -> str:
        """The id in 64 hex digits, for those who take no longer one."""
        return hashlib.sha256(self.id.encode()).hexdigest()

    @property
    def short_id(self) -> str:
        """The id as people see it: 8 hex digits."""
        return self.digest[:8]

    @property
    def is_deed(self) -> bool:
        """Something done that cannot be undone: it has a window, and no state that could end."""
        return bool(self.window)

    @property
    def is_open(self) -> bool:
        """Not closed: a state that was acknowledged goes on until it ends, an acknowledged deed is closed."""
        return self.status is Status.OPEN or (self.status is Status.ACKNOWLEDGED and not self.is_deed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A finding after its change, what the change was, and the channels that are to hear of it."""

    finding: Finding
    change: Change
    to: tuple[Channel, ...] = ()

    @property
    def is_told(self) -> bool:
        """Whether somebody is to be told. What was never told of ends untold as well."""
        return self.change in TELLS and self.finding.told_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One thing to tell: a finding as it was after a change, with what was known when it is sent.

    `versions_deleted` counts permanent deletes seen on the bucket since `seen_since`, which is `finding.watched_since`
    or, when that is longer ago than deletes are kept, later.
    `obstacles` is the runbook's paragraph about a lifecycle configuration (empty where no runbook needs it).
    `unlogged`: whose deletes the trails leave out, and which trail does, so that they are not seen.
    """

    finding: Finding
    change: Change
    versions_deleted: int = 0
    seen_since: datetime | None = None
    obstacles: str = ""
    unlogged: tuple[str, ...] = ()

    @property
    def is_bad_news(self) -> bool:
        """Opened, open again or grown, as against resolved, acknowledged or closed."""
        return self.change in NEWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message: a subject of at most 99 ASCII characters, a text for people, a JSON text for programs."""

    subject: str
    text: str
    json: str
    attributes: dict[str, str] = field(default_factory=dict)
