"""Send what is owed, to each channel that is owed it.

Mail and chat: the worst singly, the rest as a digest, never faster than people and SNS can take. The others at once.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import batched

from shared import pace, render, render_chat, runbook
from shared.aws.buckets import Buckets
from shared.aws.calling import AWS_ERRORS, is_malformed
from shared.aws.items import KEEP_CLOSED, Owed
from shared.aws.places import Claim, KnownTopic
from shared.aws.publish import AlertTopic, Bus, ChatTopic, NotTaken, Outlet, PagerTopic, SecurityHub
from shared.aws.store import Conflict, Store
from shared.controls import BY_ID, PROTECTION
from shared.deeds import VERSION_DELETED
from shared.evidence import Looked, Memory
from shared.facts import BucketKey, BucketState
from shared.finding import ROUTINE, Alert, Change, Channel, Severity, Told
from shared.settings import Settings

ATTEMPTS = 10
EVERY = timedelta(seconds=1)
"""The shortest time between two messages on the topic, whoever sends them."""
BELIEVED_S = 300.0
NOBODY = Looked(memory=Memory())
PACED = frozenset({Channel.MAIL, Channel.CHAT})


class UnknownControl(Exception):
    """Owed by another version, as before a rollback: it has no words for it here, and stays owed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of what was owed: how many were mailed, how many are owed on, and what went wrong.

    `lags_s`: of mails that tell for the first time of what an event told, the seconds since it happened.
    """

    paid: int = 0
    still_owed: int = 0
    errors: tuple[Exception, ...] = ()
    lags_s: tuple[float, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Run:
    """What the channels took of each that is owed, and what went wrong. `paced`: of mail and chat, those it may use.

    first: since when a channel waits for a change of a finding that it did not take in this run.
    """

    taken: dict[Owed, set[Channel]]
    paced: Set[Channel]
    gathers: bool
    claim: Claim | None
    errors: list[Exception] = field(default_factory=list)
    first: dict[tuple[Channel, str], datetime] = field(default_factory=dict)

    def note(self, ones: Sequence[Owed], channel: Channel) -> None:
        for one in ones:
            self.taken[one].add(channel)

    def leave(self, ones: Iterable[Owed], channels: Iterable[Channel] | None = None) -> None:
        """These stay owed, to the channels named or to all of their own."""
        for one in ones:
            for channel in channels or one.to:
                since = self.first.get((channel, one.finding.id), one.since)
                self.first[channel, one.finding.id] = min(since, one.since)

    def is_turn_of(self, one: Owed, channel: Channel) -> bool:
        """Whether the channel has had what came before: an end that overtakes its beginning closes nothing."""
        return self.first.get((channel, one.finding.id), one.since) >= one.since


class Teller:
    """Sends what is owed. Mail and chat go at a pace kept in the table, since functions send side by side."""

    def __init__(
        self,
        told: Settings,
        clock: Callable[[], datetime],
        *,
        store: Store,
        buckets: Buckets,
        names: Callable[[str], str] = lambda _account: "",
    ) -> None:
        self._settings, self._clock, self._names = told, clock, names
        self._store, self._buckets = store, buckets
        self.topic = AlertTopic(told.alert_topic_arn)
        self._chat = ChatTopic(told.chat_topic_arn, self.topic.client) if told.chat_topic_arn else None
        self._pager = PagerTopic(told, self._settings_of, self.topic.client) if told.pager_topic_arn else None
        self._bus = Bus(told, self._settings_of) if told.event_bus_name else None
        self._hub = SecurityHub(told, self._settings_of) if told.security_hub else None
        self._known: KnownTopic | None = None
        self._known_until = 0.0

    def ahead(self, owed: Sequence[Owed]) -> Claim | None:
        """Places for these, which the commit that owes them may take; None where they must be asked for after it."""
        mine = [Told(finding=one.finding, change=one.change) for one in owed if PACED & {*one.to}]
        criticals, others = _wanted(mine)
        topic, now = self._believed(), self._clock()
        known = topic.pace if topic else pace.Pace()
        allotment, after = pace.allot(
            known, now, criticals=criticals, others=others, rest=0, gathers=False, every=EVERY
        )
        is_enough = allotment.criticals + allotment.others == len(mine) > 0
        return Claim(topic=topic, allotment=allotment, pace=after) if is_enough else None

    def know(self, topic: KnownTopic | None) -> None:
        """Believe this of the topic for a while; None: ask again."""
        self._known, self._known_until = topic, time.monotonic() + BELIEVED_S

    def tell(
        self,
        owed: Sequence[Owed],
        looked: Mapping[BucketKey, Looked],
        *,
        gathers: bool = False,
        paced: Set[Channel] = PACED,
        claim: Claim | None = None,
        all_owed: Sequence[Owed] | None = None,
    ) -> Sent:
        """Send what may be sent now; the rest stays owed. `gathers`: this run also sends what others left.

        One message that is refused does not hold up the others; what failed is in `errors` and stays owed.
        paced: of mail and chat, those that may be sent to in this run.
        claim: the places that the commit took for these.
        all_owed: these and what else is owed; None: it is asked for where it matters.
        """
        told = {one: self._told(one, looked) for one in owed if one.finding.control in BY_ID}
        run = _Run(taken={one: set() for one in owed}, paced=paced, gathers=gathers, claim=claim)
        run.errors += [UnknownControl(one.finding.control) for one in owed if one not in told]
        self._leave_to_others(owed, all_owed, run)
        by_pace = {one: it for one, it in told.items() if paced & {*one.to}}
        with _going_on(run.errors):
            self._pass_on(Channel.PAGER, self._pager, told, run)
        with _going_on(run.errors):
            self._send_paced(by_pace, looked, run)
        with _going_on(run.errors):
            self._pass_on(Channel.BUS, self._bus, told, run)
        with _going_on(run.errors):
            self._pass_on(Channel.SECURITY_HUB, self._hub, told, run)
        done = [one for one in owed if self._pay(one, run)]
        mailed = [one for one in done if Channel.MAIL in run.taken[one]]
        now = self._clock()
        lags = (now - one.finding.at for one in mailed if one.change is Change.OPENED and one.finding.event_name)
        return Sent(
            paid=len(mailed),
            still_owed=len(owed) - len(done),
            errors=tuple(run.errors),
            lags_s=tuple(lag.total_seconds() for lag in lags),
        )

    def drill(self) -> None:
        """A marked message down every channel but Security Hub, where it would be a finding."""
        now = self._clock()
        alert = render.drill_alert(self._settings, now)
        chat, pager, bus = self._chat, self._pager, self._bus
        steps: list[Callable[[], None]] = [lambda: self.topic.publish(alert)]
        steps += [lambda: chat.publish(render_chat.digest(alert, now))] if chat else []
        steps += [lambda: pager.drill(now)] if pager else []
        steps += [lambda: bus.drill(now)] if bus else []
        errors: list[Exception] = []
        for step in steps:
            with _going_on(errors):
                step()
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(steps)} channels did not take the drill", errors)

    def _pass_on(self, channel: Channel, outlet: Outlet | None, told: Mapping[Owed, Told], run: "_Run") -> None:
        """Send at once what a channel without a pace is owed. A channel that is no more is owed nothing."""
        mine = [one for one in told if channel in one.to]
        if outlet is None:
            run.note(mine, channel)
            return
        for batch in batched(mine, outlet.at_once, strict=False):
            self._send([one for one in batch if run.is_turn_of(one, channel)], channel, outlet, told, run)

    def _send(
        self, ones: Sequence[Owed], channel: Channel, outlet: Outlet, told: Mapping[Owed, Told], run: "_Run"
    ) -> None:
        """Send them in one request; where that is no good, each by itself, so that one does not hold up the others."""
        if not ones:
            return
        try:
            refused = outlet.send([told[one] for one in ones])
        except Exception as error:  # noqa: BLE001  # raised by the run in the end
            if len(ones) > 1 and (is_malformed(error) or not isinstance(error, AWS_ERRORS)):
                for one in ones:
                    self._send([one], channel, outlet, told, run)
                return
            run.errors.append(error)
            run.leave(ones, [channel])
            return
        run.errors += [NotTaken(why) for why in refused.values()]
        run.leave([ones[number] for number in refused], [channel])
        run.note([one for number, one in enumerate(ones) if number not in refused], channel)

    def _leave_to_others(self, owed: Sequence[Owed], all_owed: Sequence[Owed] | None, run: "_Run") -> None:
        """Note what else is owed: earlier changes of the same findings, which another run sends, or left."""
        if all_owed is None:
            later = {one.finding.bucket for one in owed if one.change is not Change.OPENED and {*one.to} - PACED}
            try:
                all_owed = [one for bucket in later for one in self._store.owed(bucket)]
            except AWS_ERRORS as error:  # what is to be told now must not wait for it
                run.errors.append(error)
                return
        mine = {one.sk for one in owed}
        run.leave(one for one in all_owed if one.sk not in mine)

    def _send_paced(self, told: Mapping[Owed, Told], looked: Mapping[BucketKey, Looked], run: "_Run") -> None:
        if not told:
            return
        owed_by = {it: one for one, it in told.items()}
        ordered = render.worst_first(list(owed_by))
        allotment, listens = (run.claim.allotment, True) if run.claim else self._claim(ordered, gathers=run.gathers)
        if allotment is None:
            return
        single, rest = _shared_out(ordered, allotment)
        starts = allotment.begin
        for it in single:
            with _going_on(run.errors):
                self._wait(starts)
                alert = self._single(it, looked)
                self._mail([alert], [owed_by[it]], run, listens=listens)
                of_account = self._settings_of(it.finding.bucket.account)
                lines = [render_chat.message(it, alert, of_account, home=self._settings)] if self._chat else []
                self._to_chat(lines, [owed_by[it]], run)
            starts += EVERY
        if allotment.digest:
            self._wait(starts)
            alerts, fit = self._digests(rest, run)
            ones = [owed_by[it] for it in fit]
            self._mail(alerts, ones, run, listens=listens)
            lines = [render_chat.digest(alert, self._clock()) for alert in alerts] if self._chat else []
            self._to_chat(lines, ones, run)

    def _digests(self, rest: Sequence[Told], run: "_Run") -> tuple[Sequence[Alert], Sequence[Told]]:
        """The messages, and what they tell: one whose line cannot be made stays owed, and holds up no other."""
        try:
            return render.digests(list(rest), self._settings, self._clock(), self._settings_of), rest
        except Exception as error:  # noqa: BLE001  # raised by the run in the end
            fit = [it for it in rest if self._digests([it], run)[1]] if len(rest) > 1 else []
            if 0 < len(fit) < len(rest):
                return self._digests(fit, run)
            run.errors.append(error)
            return (), ()

    def _mail(self, alerts: Sequence[Alert], ones: Sequence[Owed], run: "_Run", *, listens: bool) -> None:
        """Mail is taken when somebody listens; until then SNS accepts it and drops it."""
        mine = [one for one in ones if Channel.MAIL in run.paced & {*one.to}]
        if mine and self._publish(self.topic.publish, alerts, run) and listens:
            run.note(mine, Channel.MAIL)

    def _to_chat(self, messages: Sequence[str], ones: Sequence[Owed], run: "_Run") -> None:
        mine = [one for one in ones if Channel.CHAT in run.paced & {*one.to}]
        if mine and (self._chat is None or self._publish(self._chat.publish, messages, run)):
            run.note(mine, Channel.CHAT)

    def _claim(self, ordered: list[Told], *, gathers: bool) -> tuple[pace.Allotment | None, bool]:
        """Ask for places and note that they are taken, so that two functions at once do not take the same ones.

        None: there is no place now, or too many ask at once; a sweep will send what stays owed.
        """
        criticals, others = _wanted(ordered)
        rest = len(ordered) - criticals - others
        for attempt in range(ATTEMPTS):
            topic = self._what_is_known()
            allotment, after = pace.allot(
                topic.pace, self._clock(), criticals=criticals, others=others, rest=rest, gathers=gathers, every=EVERY
            )
            if not (allotment.criticals or allotment.others or allotment.digest):
                break
            try:
                self._known = self._store.note_pace(topic, after, self._clock())
            except Conflict:
                self._known = None
                time.sleep(random.uniform(0.01, 0.05) * attempt)  # noqa: S311  # jitter, no secret
                continue
            return allotment, topic.confirmed
        return None, False

    def _pay(self, owed: Owed, run: "_Run") -> bool:
        """Whether nothing is owed any more. One that cannot be noted as sent comes twice; the others must not."""
        left = tuple(channel for channel in owed.to if channel not in run.taken[owed])
        if left == owed.to:
            return False
        try:
            self._store.pay(owed, left)
        except AWS_ERRORS as error:
            run.errors.append(error)
            return False
        return not left

    def _what_is_known(self) -> KnownTopic:
        """A confirmed topic is believed for a while, and the pace as we left it: most events ask for nothing."""
        topic = self._believed()
        if topic is None:
            topic = self._store.topic()
            self.know(topic)
        return topic

    def _believed(self) -> KnownTopic | None:
        known = self._known
        return known if known and known.confirmed and time.monotonic() <= self._known_until else None

    def _wait(self, at: datetime) -> None:
        """Until it is this message's turn."""
        time.sleep(max(0.0, (at - self._clock()).total_seconds()))

    def _publish[M](self, publish: Callable[[M], None], messages: Sequence[M], run: "_Run") -> bool:
        """Send the parts of one message, one after the other; False when one was refused."""
        try:
            for number, message in enumerate(messages):
                time.sleep(EVERY.total_seconds() if number else 0)
                publish(message)
        except AWS_ERRORS as error:
            run.errors.append(error)
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
        return render.alert(told, self._settings_of(told.finding.bucket.account), self._settings)

    def _settings_of(self, account: str) -> Settings:
        """What alerts say of an account, this one or another."""
        is_own = account == self._settings.account_id
        return self._settings if is_own else self._settings.of_account(account, self._names(account))

    def _obstacles(self, bucket: BucketKey, looked: Mapping[BucketKey, Looked]) -> str:
        """What stands in the runbook's way. A read for its sake must never hold up the alert."""
        reading = looked.get(bucket, NOBODY).reading
        lifecycle = reading.lifecycle if isinstance(reading, BucketState) else None
        try:
            lifecycle = lifecycle or self._buckets.lifecycle(bucket)
        except AWS_ERRORS as error:
            return runbook.unknown_obstacle(type(error).__name__)
        return runbook.obstacle(bucket, lifecycle)


def _wanted(told: Sequence[Told]) -> tuple[int, int]:
    """How many want to go singly: critical ones, and others."""
    single = [_is_critical(one) for one in told if _is_single(one)]
    return single.count(True), single.count(False)


@contextmanager
def _going_on(errors: list[Exception]) -> Iterator[None]:
    """What cannot be made or sent stays owed, and holds up nothing else; the run fails in the end."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # as above
        errors.append(error)


def _is_single(told: Told) -> bool:
    """What is low or for information only waits for a digest; for the runbook's proof somebody is waiting."""
    is_minor = told.finding.severity in {Severity.LOW, Severity.INFO} and not told.finding.is_proof
    return told.change not in ROUTINE and not is_minor


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
