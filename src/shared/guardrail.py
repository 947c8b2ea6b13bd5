"""The wiring: one Guardrail per cold start, which looks, settles and tells; and what every handler has in common."""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from shared import channels, lifecycle, settings, verdict
from shared.aws.buckets import Buckets, Enrolment, RootUser
from shared.aws.items import Owed
from shared.aws.notes import Notes
from shared.aws.places import Claim
from shared.aws.publish import DeadLetters
from shared.aws.store import Commit, Conflict, Known, NoPlace, Store
from shared.evidence import Evidence, Looked, Memory, Rules
from shared.facts import (
    CHANGE,
    DELETE,
    LIFECYCLE_CALLS,
    BadEvent,
    BucketKey,
    BucketState,
    MfaDelete,
    Reading,
    Trigger,
    TriggerKind,
    Versioning,
)
from shared.finding import Channel, Transition
from shared.report import Report, count, log, logger, summary
from shared.settings import Settings
from shared.telling import PACED, Teller

if TYPE_CHECKING:
    from shared.aws.spokes import Spokes

ATTEMPTS = 5
NOT_OURS = BucketState(tagged=False, versioning=Versioning.NEVER_SET, mfa_delete=MfaDelete.NEVER_SET)
"""Another account's bucket, which somebody of ours called: its own stack looks after it. And the drill's own."""
IN_FLIGHT = timedelta(seconds=30)
"""An event delivered twice at once must not be told twice; Lambda tries a failed one again after a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """One look, written: what was read, what changed, what is owed, and what is remembered of the bucket now."""

    memory: Memory
    reading: Reading | None = None
    transitions: tuple[Transition, ...] = ()
    owed: tuple[Owed, ...] = ()
    claim: Claim | None = None
    duplicates: int = 0
    drill_lags_s: tuple[float, ...] = ()

    @property
    def looked(self) -> Looked:
        """What is known of the bucket now."""
        return Looked(memory=self.memory, reading=self.reading)


class Guardrail:
    """Looks at buckets, settles what was seen, tells of it."""

    def __init__(self, told: Settings, clock: Callable[[], datetime]) -> None:
        self.settings = told
        self.clock = clock
        self.store = Store(told.table_name, timedelta(days=told.history_days))
        self.notes = Notes(told.table_name, self.store.client)
        self.spokes = _spokes(told, clock, self.store)
        self.buckets = Buckets(told.protect_tag_key, told.protect_tag_value, elsewhere=self._s3_of)
        self.dead_letters = DeadLetters(told.dead_letter_url)
        names = self.spokes.name if self.spokes else lambda _account: ""
        self.teller = Teller(told, clock, store=self.store, buckets=self.buckets, names=names)
        self.topic = self.teller.topic
        self.rules = Rules(
            longest_exemption=timedelta(days=told.exemption_max_days),
            window=timedelta(minutes=told.group_window_minutes),
            threshold=told.group_threshold,
            root_key_grace=timedelta(minutes=told.root_key_grace_minutes),
            deploy_principals=frozenset(told.deploy_principals.replace(" ", "").split(",")) - {""},
        )

    @classmethod
    def from_env(cls) -> "Guardrail":
        """Made once per cold start."""
        return cls(settings.from_env(os.environ), lambda: datetime.now(UTC))

    def enrolment(self, place: BucketKey | None = None) -> Enrolment:
        """Which buckets are enrolled. place: in which account and Region; None: in the stack's own."""
        client = self._client("resourcegroupstaggingapi", place)
        return Enrolment(self.settings.protect_tag_key, self.settings.protect_tag_value, client)

    def root(self, place: BucketKey | None = None) -> RootUser:
        """How root is secured. place: as for `enrolment`."""
        return RootUser(self._client("iam", place))

    def _client(self, service: str, place: BucketKey | None) -> Any:
        """A client in a spoke; None where the function's own will do."""
        if place is None or self.spokes is None or self.settings.is_home(place.account, place.region):
            return None
        return self.spokes.client(service, place.account, place.region)

    def _s3_of(self, bucket: BucketKey) -> Any:
        return self._client("s3", bucket)

    def look(self, trigger: Trigger) -> Evidence:
        """Remember, then read live: in this order, so that a commit can tell whether somebody was faster."""
        if self._is_canary(trigger) or not self._looks_after(trigger):
            return self.weigh(trigger, Memory(), NOT_OURS)
        self._overhear(trigger)
        memory = self.store.recall(trigger.bucket, now=self.clock())
        if not trigger.bucket.name:
            return self.weigh(trigger, memory, self.root(trigger.bucket).read(trigger.bucket.account))
        # A first look, and a changed lifecycle, need the lifecycle configuration too; other events save that request.
        is_first = memory.last is None or memory.last.expiries is None
        with_lifecycle = is_first or trigger.event_name in LIFECYCLE_CALLS
        reading = self.buckets.read(trigger.bucket, judged_before=memory.judged, with_lifecycle=with_lifecycle)
        return self.weigh(trigger, memory, reading)

    def weigh(self, trigger: Trigger, memory: Memory, reading: Reading) -> Evidence:
        """Evidence out of what was remembered and read."""
        return weighed(trigger, memory, reading, now=self.clock(), rules=self.rules)

    def settle(self, evidence: Evidence, look: "Look | None" = None, *, gathers: bool = False) -> Report:
        """Write what the evidence changes, and tell of it. look: how to look again, if not at a bucket.

        gathers: a look by the clock, which sends what is minor in a digest at once.
        """
        settled = self.write(evidence, look, claims=True)
        report = Report(
            transitions=settled.transitions,
            lags_s=lags(evidence.trigger, settled.transitions),
            duplicates=settled.duplicates,
            drill_lags_s=settled.drill_lags_s,
        )
        looked = {evidence.trigger.bucket: settled.looked}
        return self.tell(settled.owed, looked, report, gathers=gathers, claim=settled.claim)

    def write(self, evidence: Evidence, look: "Look | None" = None, *, claims: bool = False) -> Settled:
        """Commit, looking again when somebody else settled the bucket meanwhile.

        claims: nothing else is going to be told of, so that the commit itself can take the places for its alerts.

        Events that were all settled before change nothing, but what they still owe is owed by this run.
        Raises Known when some of a group were settled before, Conflict when the bucket never comes to rest.
        """
        if self._is_canary(evidence.trigger):
            return self._note_drill(evidence)
        for attempt in range(ATTEMPTS):
            try:
                return self._write_once(evidence, claims=claims)
            except Conflict:
                time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311  # jitter, no secret
                evidence = (look or self.look)(evidence.trigger)
            except Known as known:
                if len(known.event_ids) < len(evidence.trigger.event_ids):
                    raise
                return self._with_what_is_left(evidence, duplicates=len(known.event_ids))
        raise Conflict(f"{evidence.trigger.bucket.name} was settled by others {ATTEMPTS} times in a row")

    def _looks_after(self, trigger: Trigger) -> bool:
        """Another account's bucket has a stack or a spoke of its own, which gets its own copy of the event."""
        own = (trigger.recipient or trigger.bucket.account) if self.spokes else self.settings.account_id
        return trigger.bucket.account == own

    def _overhear(self, trigger: Trigger) -> None:
        """An event of a spoke's shows that the spoke is there."""
        bucket = trigger.bucket
        if self.spokes and trigger.recipient and not self.settings.is_home(bucket.account, bucket.region):
            self.spokes.overhear(bucket.account, bucket.region)

    def _is_canary(self, trigger: Trigger) -> bool:
        return bool(self.settings.canary_bucket) and trigger.bucket.name == self.settings.canary_bucket

    def _note_drill(self, evidence: Evidence) -> Settled:
        """A call of the drill's came back: it has no verdict, raises nothing, and is told to nobody."""
        trigger = evidence.trigger
        half = DELETE if trigger.kind is TriggerKind.VERSION_DELETE else CHANGE
        is_first = self.notes.note_back(half, trigger.request_id, evidence.now)
        lag = (evidence.now - trigger.at).total_seconds()
        return Settled(memory=evidence.memory, drill_lags_s=(lag,) if is_first else ())

    def _with_what_is_left(self, evidence: Evidence, *, duplicates: int) -> Settled:
        """A retry pays what the first run left, unless that one may still be at it."""
        owed = self.store.owed(evidence.trigger.bucket)
        left = tuple(one for one in owed if evidence.now - one.since > IN_FLIGHT)
        return Settled(memory=evidence.memory, reading=evidence.reading, owed=left, duplicates=duplicates)

    def _write_once(self, evidence: Evidence, *, claims: bool) -> Settled:
        """An event about a judged bucket is always written, so that it counts once and outdates older reads."""
        plan = lifecycle.plan(evidence)
        if not plan.changes and not (evidence.trigger.event_ids and evidence.enrolled):
            return Settled(memory=evidence.memory, reading=evidence.reading)
        transitions = channels.addressed(plan.transitions, evidence.memory, self.settings)
        commit = Commit(
            bucket=evidence.trigger.bucket,
            rev=evidence.memory.rev,
            before=evidence.last,
            last=plan.last,
            watched=plan.watched,
            event_ids=evidence.trigger.event_ids,
            own_ids=evidence.trigger.own_ids,
            transitions=transitions,
            unread=evidence.memory.unread,
            now=evidence.now,
        )
        claim = self._committed(commit, self.teller.ahead(commit.owed) if claims else None)
        return Settled(
            memory=after(evidence.memory, replace(plan, transitions=transitions), commit.written),
            reading=evidence.reading,
            transitions=transitions,
            owed=commit.owed,
            claim=claim,
        )

    def _committed(self, commit: Commit, claim: Claim | None, *, is_first: bool = True) -> Claim | None:
        """Returns the claim whose places were taken; None: they are asked for later.

        One that is refused is made anew once, out of what the refusal tells of the topic.
        """
        try:
            self.store.commit(commit, claim)
        except NoPlace as refused:
            self.teller.know(refused.topic)
            knows = refused.topic is not None and refused.topic.confirmed
            anew = self.teller.ahead(commit.owed) if knows and is_first else None
            return self._committed(commit, anew, is_first=False)
        if claim:
            self.teller.know(claim.taken)
        return claim

    def note_listener(self, *, confirmed: bool) -> bool:
        """Keep what the sweep saw of the topic; returns whether that is news."""
        was = self.store.topic().confirmed
        if was != confirmed:
            self.store.note_listener(confirmed=confirmed)
        return was != confirmed

    def note_unlogged(self, unlogged: tuple[str, ...]) -> None:
        """Keep whose deletes the trails leave out, where every alert reads it anyway."""
        if self.store.topic().unlogged != unlogged:
            self.store.note_unlogged(unlogged)

    def tell(
        self,
        owed: Sequence[Owed],
        looked: Mapping[BucketKey, Looked],
        report: Report,
        *,
        gathers: bool = False,
        paced: Set[Channel] = PACED,
        claim: Claim | None = None,
        all_owed: Sequence[Owed] | None = None,
    ) -> Report:
        """Send what is owed, as far as the pace allows. Returns the report with what became of it."""
        sent = self.teller.tell(owed, looked, gathers=gathers, paced=paced, claim=claim, all_owed=all_owed)
        errors = (*report.errors, *sent.errors)
        return replace(report, sent=sent.paid, still_owed=sent.still_owed, errors=errors, alert_lags_s=sent.lags_s)

    def ends_batch(self, report: Report, useless: Sequence[tuple[str, str]]) -> Report:
        """Keep what of a batch is useless, with its reason; not after errors: then all of it comes again."""
        if not report.errors:
            for body, reason in useless:
                self.dead_letters.put(body, reason)
        return report


def _spokes(told: Settings, clock: Callable[[], datetime], store: Store) -> "Spokes | None":
    if not told.has_spokes:
        return None
    from shared.aws.spokes import Spokes  # noqa: PLC0415  # most stacks have none: nothing for their cold start

    return Spokes(told, clock, store.client)


def weighed(trigger: Trigger, memory: Memory, reading: Reading, *, now: datetime, rules: Rules) -> Evidence:
    """The evidence with its verdict; a new bucket of a deleted one's name was never judged before."""
    unjudged = Evidence(now=now, trigger=trigger, reading=reading, verdict=None, memory=memory, rules=rules)
    before = memory.judged and not unjudged.remade
    return replace(
        unjudged, verdict=verdict.of(reading, judged_before=before, now=now, longest=rules.longest_exemption)
    )


def after(memory: Memory, plan: lifecycle.Plan, written: Set[str] = frozenset()) -> Memory:
    """What is remembered once the plan is written. written: sort keys of the items that it wrote."""
    changed = {t.finding.id: t.finding for t in plan.transitions}
    kept = tuple(finding for finding in memory.findings if finding.id not in changed)
    return Memory(
        rev=memory.rev + 1,
        last=plan.last,
        watched=plan.watched,
        findings=(*kept, *changed.values()),
        unread=tuple(sk for sk in memory.unread if sk not in written),
    )


def lags(trigger: Trigger, transitions: Sequence[Transition]) -> tuple[float, ...]:
    """Seconds from the call to our noticing, of events only."""
    if not trigger.event_ids:
        return ()
    return tuple((t.finding.detected_at - trigger.at).total_seconds() for t in transitions)


type Look = Callable[[Trigger], Evidence]
type Deadline = Callable[[], float]
"""Seconds that the run may still take."""


def _deadline(context: Any) -> Deadline:
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return (lambda: remaining() / 1000) if remaining else (lambda: float("inf"))


@cache
def shared_guardrail() -> Guardrail:
    """The one of this cold start."""
    return Guardrail.from_env()


def entry(run: Callable[[Any, Guardrail, Deadline], Report]) -> Callable[[Any, Any], dict[str, Any]]:
    """Make a Lambda handler: one Guardrail per cold start, useless events to the dead letters, logs and metrics.

    The handler returns what SQS asks for, `batchItemFailures`, and a summary for a person who invokes it by hand.
    """
    if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
        shared_guardrail()  # while it starts, Lambda gives a function a whole CPU; an event only its memory's share

    @wraps(run)
    def handler(event: Any, context: Any) -> dict[str, Any]:
        guard = shared_guardrail()
        logger.append_keys(request_id=getattr(context, "aws_request_id", ""))
        try:
            report = run(event, guard, _deadline(context))
        except BadEvent as bad:
            guard.dead_letters.put(event, str(bad))
            report = Report(rejected=(str(bad),))
        log(report)
        count(report)
        if report.errors:
            raise ExceptionGroup(f"{len(report.errors)} things could not be done; see the log", report.errors)
        return summary(report)

    return handler
