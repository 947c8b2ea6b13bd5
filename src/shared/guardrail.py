"""The wiring: one Guardrail per cold start, which looks, settles and tells; and what every handler has in common."""

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import BotoCoreError, ClientError

from shared import lifecycle, render, runbook, settings, verdict
from shared.aws.buckets import Buckets, Enrolment
from shared.aws.publish import AlertTopic, DeadLetters
from shared.aws.store import KEEP_CLOSED, Commit, Conflict, Known, Owed, Store
from shared.controls import PROTECTION, VERSION_DELETED
from shared.evidence import Evidence, Memory
from shared.facts import BadEvent, BucketKey, Reading, Trigger, Unreadable
from shared.finding import Alert, Transition
from shared.settings import Settings

SINGLE_ALERTS = 5
"""More than this in one run go out as one digest: above 10 messages a second SNS switches an e-mail off."""
ATTEMPTS = 5
IN_FLIGHT = timedelta(seconds=30)
"""An event delivered twice at once must not be told twice; Lambda tries a failed one again after a minute."""
PACE_S = 0.2
"""Seconds between two messages of one run."""
LISTENER_S = 300.0
AWS_ERRORS = (ClientError, BotoCoreError)

logger = Logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did; `failed_messages` are ids of SQS messages to be delivered again, `errors` make the run fail."""

    transitions: tuple[Transition, ...] = ()
    lags_s: tuple[float, ...] = ()
    duplicates: int = 0
    ignored: int = 0
    rejected: tuple[str, ...] = ()
    sent: int = 0
    still_owed: int = 0
    failed_messages: tuple[str, ...] = ()
    errors: tuple[Exception, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """One look, written: what was read, what changed, what is owed, and what is remembered of the bucket now."""

    memory: Memory
    reading: Reading | None = None
    transitions: tuple[Transition, ...] = ()
    owed: tuple[Owed, ...] = ()
    duplicates: int = 0


class Guardrail:
    """Looks at buckets, settles what was seen, tells of it."""

    def __init__(self, told: Settings, clock: Callable[[], datetime]) -> None:
        self.settings = told
        self.clock = clock
        self.store = Store(told.table_name)
        self.buckets = Buckets(told.protect_tag_key, told.protect_tag_value)
        self.topic = AlertTopic(told.alert_topic_arn)
        self.dead_letters = DeadLetters(told.dead_letter_url)
        self._listens_until = 0.0
        self._next_send = 0.0

    @classmethod
    def from_env(cls) -> "Guardrail":
        """Made once per cold start."""
        return cls(settings.from_env(os.environ), lambda: datetime.now(UTC))

    def enrolment(self) -> Enrolment:
        """Only the sweep asks for it."""
        return Enrolment(self.settings.protect_tag_key, self.settings.protect_tag_value)

    def look(self, trigger: Trigger) -> Evidence:
        """Remember, then read live: in this order, so that a commit can tell whether somebody was faster."""
        memory = self.store.recall(trigger.bucket, now=self.clock())
        reading = self.buckets.read(trigger.bucket, judged_before=memory.judged)
        return self.weigh(trigger, memory, reading)

    def weigh(self, trigger: Trigger, memory: Memory, reading: Reading) -> Evidence:
        """Evidence out of what was remembered and read."""
        now, longest = self.clock(), timedelta(days=self.settings.exemption_max_days)
        return Evidence(
            now=now,
            trigger=trigger,
            reading=reading,
            verdict=verdict.of(reading, judged_before=_is_same_bucket(memory), now=now, longest=longest),
            memory=memory,
            longest_exemption=longest,
        )

    def settle(self, evidence: Evidence) -> Report:
        """Write what the evidence changes, and tell of it."""
        settled = self.write(evidence)
        report = Report(
            transitions=settled.transitions,
            lags_s=lags(evidence.trigger, settled.transitions),
            duplicates=settled.duplicates,
        )
        return self.tell(settled.owed, {evidence.trigger.bucket: settled.memory}, report)

    def write(self, evidence: Evidence) -> Settled:
        """Commit, looking again when somebody else settled the bucket meanwhile.

        Events that were all settled before change nothing, but what they still owe is owed by this run.
        Raises Known when some of a group were settled before, Conflict when the bucket never comes to rest.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._write_once(evidence)
            except Conflict:
                time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311  # jitter, no secret
                evidence = self.look(evidence.trigger)
            except Known as known:
                if len(known.event_ids) < len(evidence.trigger.event_ids):
                    raise
                return self._with_what_is_left(evidence, duplicates=len(known.event_ids))
        raise Conflict(f"{evidence.trigger.bucket.name} was settled by others {ATTEMPTS} times in a row")

    def _with_what_is_left(self, evidence: Evidence, *, duplicates: int) -> Settled:
        """A retry pays what the first run left, unless that one may still be at it."""
        owed = self.store.owed(evidence.trigger.bucket)
        left = tuple(one for one in owed if evidence.now - one.since > IN_FLIGHT)
        return Settled(memory=evidence.memory, reading=evidence.reading, owed=left, duplicates=duplicates)

    def _write_once(self, evidence: Evidence) -> Settled:
        """An event about a judged bucket is always written, so that it counts once and outdates older reads."""
        plan = lifecycle.plan(evidence)
        if not plan.changes and not (evidence.trigger.event_ids and evidence.enrolled):
            return Settled(memory=evidence.memory, reading=evidence.reading)
        commit = Commit(
            bucket=evidence.trigger.bucket,
            rev=evidence.memory.rev,
            last=plan.last,
            event_ids=evidence.trigger.event_ids,
            transitions=plan.transitions,
            now=evidence.now,
        )
        owed = self.store.commit(commit)
        memory = _after(evidence.memory, plan)
        return Settled(memory=memory, reading=evidence.reading, transitions=plan.transitions, owed=owed)

    def tell(self, owed: Sequence[Owed], memories: Mapping[BucketKey, Memory], report: Report) -> Report:
        """Send what is owed: the worst five singly, the rest as a digest. Returns the report with what became of it.

        One alert that SNS refuses does not hold up the others; what failed is in `errors` and stays owed.
        """
        if not owed:
            return report
        by_told = {self._told(one, memories): one for one in owed}
        ordered = render.worst_first(list(by_told))
        single, rest = ordered[:SINGLE_ALERTS], ordered[SINGLE_ALERTS:]
        errors: list[Exception] = []
        taken = [told for told in single if self._publish([self._single(told)], errors)]
        taken += rest if self._publish(render.digests(rest, self.settings, self.clock()), errors) else []
        listens = self._somebody_listens()
        for told in taken if listens else []:
            self.store.pay(by_told[told])
        paid = len(taken) if listens else 0
        return replace(report, sent=paid, still_owed=len(by_told) - paid, errors=(*report.errors, *errors))

    def _publish(self, alerts: Sequence[Alert], errors: list[Exception]) -> bool:
        """Send some alerts at a pace that SNS takes; False when one was refused."""
        try:
            for alert in alerts:
                time.sleep(max(0.0, self._next_send - time.monotonic()))
                self._next_send = time.monotonic() + PACE_S
                self.topic.publish(alert)
        except AWS_ERRORS as error:
            errors.append(error)
            return False
        return True

    def _somebody_listens(self) -> bool:
        """As the sweep saw it; a yes is believed for a while, so that most events ask for nothing."""
        if time.monotonic() > self._listens_until and self.store.has_listener():
            self._listens_until = time.monotonic() + LISTENER_S
        return time.monotonic() <= self._listens_until

    def note_listener(self, *, confirmed: bool) -> bool:
        """Keep what the sweep saw; returns whether that is news."""
        was = self.store.has_listener()
        if was != confirmed:
            self.store.note_listener(confirmed=confirmed)
        self._listens_until = time.monotonic() + LISTENER_S if confirmed else 0.0
        return was != confirmed

    def _told(self, owed: Owed, memories: Mapping[BucketKey, Memory]) -> render.Told:
        """Deletes older than what is kept of them are not claimed to be seen."""
        since = max(owed.finding.watched_since, self.clock() - KEEP_CLOSED)
        lost = _lost(memories.get(owed.finding.bucket, Memory()), since)
        return render.Told(finding=owed.finding, change=owed.change, versions_deleted=lost, seen_since=since)

    def _single(self, told: render.Told) -> Alert:
        return render.alert(self._with_obstacles(told), self.settings)

    def _with_obstacles(self, told: render.Told) -> render.Told:
        """A read for the runbook's sake must never hold up the alert."""
        if told.finding.control not in PROTECTION or not render.is_bad_news(told):
            return told
        bucket = told.finding.bucket
        try:
            rules = self.buckets.lifecycle_rules(bucket)
        except AWS_ERRORS as error:
            return replace(told, obstacles=runbook.unknown_obstacle(type(error).__name__))
        if isinstance(rules, Unreadable):
            return replace(told, obstacles=runbook.unknown_obstacle(f"{rules.error_code}, {rules.action}"))
        return replace(told, obstacles=runbook.lifecycle_obstacle(bucket, rules) if rules else "")


def _is_same_bucket(memory: Memory) -> bool:
    """Judged before, and not deleted since: a new bucket of that name starts anew."""
    return memory.judged and not (memory.last and memory.last.gone)


def _after(memory: Memory, plan: lifecycle.Plan) -> Memory:
    changed = {t.finding.id: t.finding for t in plan.transitions}
    kept = tuple(finding for finding in memory.findings if finding.id not in changed)
    return Memory(rev=memory.rev + 1, last=plan.last, findings=(*kept, *changed.values()))


def _lost(memory: Memory, since: datetime) -> int:
    """How many permanent deletes were seen on the bucket since then.

    S3's own events tell again of deletes that CloudTrail names, so the two are not added up.
    """
    deletes = [f for f in memory.findings if f.control == VERSION_DELETED.id and f.last_at >= since]
    named = sum(f.count for f in deletes if f.principal is None or f.principal.is_named)
    return max(named, sum(f.count for f in deletes) - named)


def lags(trigger: Trigger, transitions: Sequence[Transition]) -> tuple[float, ...]:
    """Seconds from the call to our noticing, of events only."""
    if not trigger.event_ids:
        return ()
    return tuple((t.finding.detected_at - trigger.at).total_seconds() for t in transitions)


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

    @wraps(run)
    def handler(event: Any, context: Any) -> dict[str, Any]:
        guard = shared_guardrail()
        logger.append_keys(request_id=getattr(context, "aws_request_id", ""))
        try:
            report = run(event, guard, _deadline(context))
        except BadEvent as bad:
            guard.dead_letters.put(event, str(bad))
            report = Report(rejected=(str(bad),))
        _log(report)
        _count(report)
        if report.errors:
            raise ExceptionGroup(f"{len(report.errors)} things could not be done; see the log", report.errors)
        return _summary(report)

    return handler


def _log(report: Report) -> None:
    for reason in report.rejected:
        logger.warning("event rejected", extra={"reason": reason})
    for transition in report.transitions:
        finding = transition.finding
        logger.info(
            "transition",
            extra={
                "transition": transition.change.value,
                "control": finding.control,
                "severity": finding.severity.value,
                "finding_id": finding.short_id,
                "bucket": finding.bucket.name,
                "account": finding.bucket.account,
                "region": finding.bucket.region,
                "principal": finding.principal.id if finding.principal else None,
                "event_name": finding.event_name,
            },
        )
    for error in report.errors:
        logger.error("not done", extra={"error": type(error).__name__, "reason": str(error), "about": _notes(error)})
    if report.still_owed and not report.errors:
        logger.warning("alerts stay owed: the topic has no confirmed subscription", extra={"owed": report.still_owed})


def _notes(error: Exception) -> list[str]:
    return list(getattr(error, "__notes__", []))


def _count(report: Report) -> None:
    counts = {
        "FindingOpened": sum(t.change.value in {"opened", "reopened"} for t in report.transitions),
        "BucketUnverifiable": sum(t.finding.control == "state-unverifiable" for t in report.transitions),
        "AlertPublished": report.sent,
        "AlertOwed": report.still_owed,
        "EventDuplicate": report.duplicates,
        "EventIgnored": report.ignored,
        "EventRejected": len(report.rejected),
    }
    metrics = Metrics()
    for name, count in counts.items():
        if count:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    for lag in report.lags_s:
        metrics.add_metric(name="DetectionLag", unit=MetricUnit.Seconds, value=max(0.0, lag))
    if any(counts.values()) or report.lags_s:
        metrics.flush_metrics()


def _summary(report: Report) -> dict[str, Any]:
    return {
        "transitions": [f"{t.change.value} {t.finding.control} {t.finding.bucket.name}" for t in report.transitions][
            :100
        ],
        "sent": report.sent,
        "still_owed": report.still_owed,
        "duplicates": report.duplicates,
        "ignored": report.ignored,
        "rejected": list(report.rejected),
        "batchItemFailures": [{"itemIdentifier": message_id} for message_id in report.failed_messages],
    }
