"""Send what is owed: the worst singly, the rest as a digest, never faster than people and SNS can take."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared import pace, render, runbook
from shared.aws.buckets import Buckets
from shared.aws.calling import AWS_ERRORS
from shared.aws.publish import AlertTopic
from shared.aws.store import KEEP_CLOSED, Conflict, KnownTopic, Owed, Store
from shared.controls import PROTECTION
from shared.deeds import VERSION_DELETED
from shared.evidence import Looked, Memory
from shared.facts import BucketKey, BucketState
from shared.finding import ROUTINE, Alert, Severity, Told
from shared.settings import Settings

ATTEMPTS = 10
EVERY = timedelta(seconds=1)
"""The shortest time between two messages on the topic, whoever sends them."""
BELIEVED_S = 300.0
NOBODY = Looked(memory=Memory())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of what was owed: how many are paid, how many are owed on, and what went wrong."""

    paid: int = 0
    still_owed: int = 0
    errors: tuple[Exception, ...] = ()


class Teller:
    """Sends alerts at a pace kept in the table, since functions send side by side."""

    def __init__(
        self, told: Settings, clock: Callable[[], datetime], *, store: Store, topic: AlertTopic, buckets: Buckets
    ) -> None:
        self._settings, self._clock = told, clock
        self._store, self._topic, self._buckets = store, topic, buckets
        self._known: KnownTopic | None = None
        self._known_until = 0.0

    def tell(self, owed: Sequence[Owed], looked: Mapping[BucketKey, Looked], *, gathers: bool = False) -> Sent:
        """Send what may be sent now; the rest stays owed. `gathers`: this run also sends what others left.

        One alert that SNS refuses does not hold up the others; what failed is in `errors` and stays owed.
        """
        if not owed:
            return Sent()
        by_told = {self._told(one, looked): one for one in owed}
        ordered = render.worst_first(list(by_told))
        allotment, listens = self._claim(ordered, gathers=gathers)
        if allotment is None:
            return Sent(still_owed=len(by_told))
        single, rest = _shared_out(ordered, allotment)
        errors: list[Exception] = []
        starts = allotment.begin
        taken: list[Told] = []
        for told in single:
            taken += [told] if self._publish([self._single(told, looked)], starts, errors) else []
            starts += EVERY
        if allotment.digest:
            taken += rest if self._publish(render.digests(rest, self._settings, self._clock()), starts, errors) else []
        paid = sum(self._pay(by_told[told], errors) for told in taken) if listens else 0
        return Sent(paid=paid, still_owed=len(by_told) - paid, errors=tuple(errors))

    def _claim(self, ordered: list[Told], *, gathers: bool) -> tuple[pace.Allotment | None, bool]:
        """Ask for places and note that they are taken, so that two functions at once do not take the same ones.

        None: there is no place now, or too many ask at once; a sweep will send what stays owed.
        """
        criticals, others = (
            sum(_is_critical(t) is wanted for t in ordered if _is_single(t)) for wanted in (True, False)
        )
        rest = len(ordered) - criticals - others
        for attempt in range(ATTEMPTS):
            topic = self._what_is_known()
            allotment, after = pace.allot(
                topic.pace, self._clock(), criticals=criticals, others=others, rest=rest, gathers=gathers, every=EVERY
            )
            if not (allotment.criticals or allotment.others or allotment.digest):
                break
            try:
                self._known = self._store.note_pace(topic, after)
            except Conflict:
                self._known = None
                time.sleep(random.uniform(0.01, 0.05) * attempt)  # noqa: S311  # jitter, no secret
                continue
            return allotment, topic.confirmed
        return None, False

    def _pay(self, owed: Owed, errors: list[Exception]) -> bool:
        """One that cannot be noted as sent will come twice; the others must not for its sake."""
        try:
            self._store.pay(owed)
        except AWS_ERRORS as error:
            errors.append(error)
            return False
        return True

    def _what_is_known(self) -> KnownTopic:
        """A confirmed topic is believed for a while, and the pace as we left it: most events ask for nothing."""
        if self._known is None or not self._known.confirmed or time.monotonic() > self._known_until:
            self._known, self._known_until = self._store.topic(), time.monotonic() + BELIEVED_S
        return self._known

    def _publish(self, alerts: Sequence[Alert], at: datetime, errors: list[Exception]) -> bool:
        """Send when it is its turn; False when one was refused."""
        time.sleep(max(0.0, (at - self._clock()).total_seconds()))
        try:
            for number, alert in enumerate(alerts):
                time.sleep(EVERY.total_seconds() if number else 0)  # the parts of a digest
                self._topic.publish(alert)
        except AWS_ERRORS as error:
            errors.append(error)
            return False
        return True

    def _told(self, owed: Owed, looked: Mapping[BucketKey, Looked]) -> Told:
        """Deletes older than what is kept of them are not claimed to be seen."""
        since = max(owed.finding.watched_since, self._clock() - KEEP_CLOSED)
        lost = _lost(looked.get(owed.finding.bucket, NOBODY).memory, since)
        return Told(finding=owed.finding, change=owed.change, versions_deleted=lost, seen_since=since)

    def _single(self, told: Told, looked: Mapping[BucketKey, Looked]) -> Alert:
        told = replace(told, unlogged=self._what_is_known().unlogged)
        is_protection = told.finding.control in PROTECTION and told.is_bad_news
        if is_protection:
            told = replace(told, obstacles=self._obstacles(told.finding.bucket, looked))
        return render.alert(told, self._settings)

    def _obstacles(self, bucket: BucketKey, looked: Mapping[BucketKey, Looked]) -> str:
        """What stands in the runbook's way. A read for its sake must never hold up the alert."""
        reading = looked.get(bucket, NOBODY).reading
        lifecycle = reading.lifecycle if isinstance(reading, BucketState) else None
        try:
            lifecycle = lifecycle or self._buckets.lifecycle(bucket)
        except AWS_ERRORS as error:
            return runbook.unknown_obstacle(type(error).__name__)
        return runbook.obstacle(bucket, lifecycle)


def _is_single(told: Told) -> bool:
    return told.change not in ROUTINE


def _is_critical(told: Told) -> bool:
    return told.is_bad_news and told.finding.severity is Severity.CRITICAL


def _shared_out(ordered: list[Told], allotment: pace.Allotment) -> tuple[list[Told], list[Told]]:
    """Those that go singly, worst first, and the rest."""
    candidates = [told for told in ordered if _is_single(told)]
    criticals = [told for told in candidates if _is_critical(told)][: allotment.criticals]
    others = [told for told in candidates if not _is_critical(told)][: allotment.others]
    single = [*criticals, *others]
    return single, [told for told in ordered if told not in single]


def _lost(memory: Memory, since: datetime) -> int:
    """How many permanent deletes were seen on the bucket since then.

    S3's own events tell again of deletes that CloudTrail names, so the two are not added up.
    """
    deletes = [f for f in memory.findings if f.control == VERSION_DELETED.id and f.last_at >= since]
    named = sum(f.count for f in deletes if f.principal is None or f.principal.is_named)
    return max(named, sum(f.count for f in deletes) - named)
