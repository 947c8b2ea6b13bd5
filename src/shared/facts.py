"""What we observe: a bucket, an event, a principal, and what we last knew."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class BadEvent(Exception):
    """The event is not what we subscribed to; trying it again is useless. The text is the reason."""


class Versioning(StrEnum):
    """`Status` of GetBucketVersioning; a bucket that never had versioning answers without it."""

    ENABLED = "Enabled"
    SUSPENDED = "Suspended"
    NEVER_SET = "never set"


class MfaDelete(StrEnum):
    """`MFADelete` of GetBucketVersioning. DISABLED only says that somebody once sent it, not that it was ever on."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    NEVER_SET = "never set"


class Verdict(StrEnum):
    """What an enrolled bucket is. A bucket that is not enrolled has no verdict (None)."""

    PROTECTED = "protected"
    UNPROTECTED = "unprotected"
    SUSPENDED = "suspended"
    EXEMPT = "exempt"
    UNVERIFIABLE = "unverifiable"


class Outcome(StrEnum):
    """What became of a request: done, refused by authorization, or failed for another reason."""

    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


class Cause(StrEnum):
    """Why a request was refused, as far as its own error says so; never guessed."""

    NONE = "none"
    MFA = "mfa"
    OBJECT_LOCK = "object-lock"
    POLICY = "policy"
    UNKNOWN = "unknown"


VERSIONING_CALL = "PutBucketVersioning"
TAGGING_CALLS = frozenset({"PutBucketTagging", "DeleteBucketTagging", "TagResource", "UntagResource", "PutBucketAbac"})
LIFECYCLE_CALLS = frozenset({"PutBucketLifecycle", "DeleteBucketLifecycle"})
"""PutBucketLifecycleConfiguration is recorded under the name of its predecessor."""
BUCKET_CALLS = (
    TAGGING_CALLS
    | LIFECYCLE_CALLS
    | {
        VERSIONING_CALL,
        "CreateBucket",
        "DeleteBucket",
        "PutBucketPolicy",
        "DeleteBucketPolicy",
    }
)
"""CloudTrail's names of the calls that change a bucket's state, enrolment, exception, lifecycle or readability."""


class TriggerKind(StrEnum):
    """What woke us."""

    BUCKET_CHANGE = "bucket-change"
    VERSION_DELETE = "version-delete"
    GUARDRAIL_CHANGE = "guardrail-change"
    SWEEP = "sweep"


REQUESTER = "Requester"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who did it. `id` is the role or user, never the session; `session` is the session's name or empty."""

    kind: str
    id: str
    account: str = ""
    session: str = ""

    @property
    def is_named(self) -> bool:
        """False for S3's own events, which know the account of the requester and no more."""
        return self.kind != REQUESTER

    @property
    def is_root(self) -> bool:
        """True for the root user of an account (CloudTrail's `userIdentity.type`)."""
        return self.kind == "Root"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """One version of one object; `version_id` may be `null` for what was written before versioning."""

    key: str
    version_id: str


GUARDRAIL = "(guardrail)"
"""Stands where a bucket's name stands, for the guardrail itself; no bucket can be called that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketKey:
    """Which bucket: names are unique in a partition, the account and Region say where its state is kept.

    Without a name it stands for the account itself, whose root user is looked at; named `GUARDRAIL`, for the guardrail.
    """

    account: str
    region: str
    name: str

    @property
    def is_bucket(self) -> bool:
        """False for the account itself and for the guardrail."""
        return self.name not in {"", GUARDRAIL}


SPOKE = "spoke"
"""What a condition of a spoke is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoke:
    """An account and Region that forwards its events here. `heard_at`: when its last hello came, aware UTC.

    `leads`: it lies in the hub's Region, which spoke.yaml needs in every account, and is the one that is asked about
    what an account has once: its root user and its name.
    """

    account: str
    region: str
    heard_at: datetime
    leads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The parsed event that woke us, or the sweep's tick.

    `event_ids` are what dedupe counts by: one for an event, several for a group of version deletes, none for a sweep.
    `at` and `last_at` are aware UTC, whole seconds, as CloudTrail writes them; they differ for groups only.
    `objects` holds the first few of the versions named; `count` is how many requests there were.
    `restores`: what was deleted is a delete marker, so that an object came back.
    `own_ids`: the ids that S3's own events of the same deletes have or will have; `joins`: how many of them have told.
    `resources`: what of the guardrail a call changed, as the request names it.
    `recipient`: the account whose event it is, by the envelope or the record; empty for a sweep.
    """

    kind: TriggerKind
    at: datetime
    bucket: BucketKey
    event_ids: tuple[str, ...] = ()
    event_name: str = ""
    request_id: str = ""
    last_at: datetime | None = None
    principal: Principal | None = None
    source_ip: str = ""
    user_agent: str = ""
    outcome: Outcome = Outcome.DONE
    error_code: str = ""
    error_message: str = ""
    cause: Cause = Cause.NONE
    asked_status: Versioning = Versioning.NEVER_SET
    asked_mfa_delete: MfaDelete = MfaDelete.NEVER_SET
    objects: tuple[ObjectVersion, ...] = ()
    count: int = 1
    restores: bool = False
    own_ids: tuple[str, ...] = ()
    joins: int = 0
    resources: tuple[str, ...] = ()
    recipient: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """The two tags of an exception as they stand on a bucket, valid or not (exemption.py judges them)."""

    until: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """What a bucket's tags say to us: whether it carries the protection tag, and its exception, if any.

    `near`: a tag that looks like the protection tag and is not, as `key=value`; empty if there is none.
    """

    tagged: bool
    exemption: Exemption | None = None
    near: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """A lifecycle rule that deletes versions for good, this many days after they stopped being current."""

    rule: str
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """A bucket's lifecycle configuration: the ids of all rules, and those that delete versions."""

    rules: tuple[str, ...] = ()
    expiries: tuple[Expiry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """The read was refused. `action` is the IAM action that is missing or denied."""

    tagged: bool
    action: str
    error_code: str
    error_message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketState:
    """A bucket as S3 answers now. `tagged`: it carries the protection tag. `lifecycle`: None if nobody looked."""

    tagged: bool
    versioning: Versioning
    mfa_delete: MfaDelete
    exemption: Exemption | None = None
    lifecycle: Lifecycle | Unreadable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """There is no bucket of that name in this account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootState:
    """The account's root user, as IAM tells anybody who may ask.

    `codes`: a device of root's is known that shows six-digit codes. A hardware token is in no list: then `device` only.
    """

    access_key: bool
    password: bool
    device: bool
    codes: bool


class State(StrEnum):
    """What a look at one part of the guardrail says."""

    FINE = "fine"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One part of the guardrail: what was looked at, what that means, and what mends it: a command where there is one.

    `problem` is the same for the same trouble, whatever it befell; empty when all is fine. `blinds`: with this, no
    change of a bucket would be noticed when it happens.
    """

    about: str
    state: State
    meaning: str
    mend: str = ""
    problem: str = ""
    blinds: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailHealth:
    """Can we see, and be heard? What a look at the guardrail itself found.

    `feeding`: ARNs of the trails that log what the rules wait for. `policies`: a digest of the policies of our roles,
    topics, queues and buses, empty if they may not be read. `deployed_at`: when CloudFormation last changed the stack.
    `canary_logged`: a trail logs the deletes of the drill's bucket. `deploying`: CloudFormation is at it right now.
    `unlogged`: whose deletes the trails leave out, and which trail does; None if nobody could look.
    """

    conditions: tuple[Condition, ...]
    feeding: tuple[str, ...] = ()
    policies: str = ""
    deployed_at: str = ""
    deploying: bool = False
    canary_logged: bool = False
    unlogged: tuple[str, ...] | None = None

    @property
    def troubles(self) -> tuple[Condition, ...]:
        """What is bad, the blinding ones first."""
        bad = [each for each in self.conditions if each.state is State.BAD]
        return tuple(sorted(bad, key=lambda each: not each.blinds))

    @property
    def unknown(self) -> tuple[Condition, ...]:
        """What could not be told."""
        return tuple(each for each in self.conditions if each.state is State.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What we last knew of the guardrail itself, to tell a change from how it always was.

    `accounted`: the last change of the stack by CloudFormation that somebody was told of, or that was its making.
    """

    feeding: tuple[str, ...] = ()
    policies: str = ""
    deployed_at: str = ""
    accounted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """When the guardrail last looked at itself, and whether a trail then logged the deletes of the drill's bucket."""

    at: datetime
    canary_logged: bool


CHANGE, DELETE = "change", "delete"
"""The two halves of a drill."""
CALLED = "called"
"""Stands for a request id until S3 has answered: the event may be faster than our note of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """The last drill: when, the request ids of its two calls (empty: left out), and when each came back as an event."""

    at: datetime
    change_id: str
    delete_id: str
    change_back: datetime | None = None
    delete_back: datetime | None = None

    def id_of(self, half: str) -> str:
        """The request id of a half."""
        return self.change_id if half == CHANGE else self.delete_id

    def back_of(self, half: str) -> datetime | None:
        """When a half came back; None: it did not."""
        return self.change_back if half == CHANGE else self.delete_back

    @property
    def missing(self) -> tuple[str, ...]:
        """The halves that were called and have not come back."""
        return tuple(half for half in (CHANGE, DELETE) if self.id_of(half) and self.back_of(half) is None)

    @property
    def lags(self) -> dict[str, timedelta]:
        """How long each half that came back took."""
        backs = {half: self.back_of(half) for half in (CHANGE, DELETE)}
        return {half: back - self.at for half, back in backs.items() if back is not None}


type Reading = BucketState | Unreadable | Gone | RootState | GuardrailHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The verdict we last stored, since when it holds and when it was read; when we first saw the bucket.

    `gone`: the bucket was deleted since. It is kept so that late events still find an enrolled bucket.
    `expiries`: the rules that delete versions, as they were accepted; None as long as nobody looked.
    """

    verdict: Verdict
    since: datetime
    read_at: datetime
    first_seen: datetime
    exemption: Exemption | None = None
    gone: bool = False
    expiries: tuple[Expiry, ...] | None = None
