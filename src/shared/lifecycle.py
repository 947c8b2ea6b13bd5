"""Stored findings and a judgement -> what changes. One step for events and sweeps alike."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from shared import expiry
from shared.controls import BY_ID, PROTECTION
from shared.deeds import BUCKET_DELETED, VERSION_DELETE_DENIED, VERSION_DELETED
from shared.evidence import Evidence
from shared.facts import (
    BucketState,
    Cause,
    Gone,
    GuardrailHealth,
    Last,
    ObjectVersion,
    TriggerKind,
    Verdict,
    Watched,
)
from shared.finding import OBJECTS_KEPT, Change, Finding, Severity, Status, Transition
from shared.judgement import Judgement, judge, window, window_end
from shared.quoting import quoted
from shared.states import (
    EXCEPTION_INVALID,
    LIFECYCLE_EXPIRES_VERSIONS,
    PROTECTION_TAG_REMOVED,
    ROOT_MFA_ABSENT,
    STATE_UNVERIFIABLE,
    VERSIONING_SUSPENDED,
    accepted_expiries,
)
from shared.watch import deploy_is_accounted, unseen_deploy

REMIND_AFTER = {
    Severity.CRITICAL: timedelta(hours=4),
    Severity.HIGH: timedelta(days=1),
    Severity.MEDIUM: timedelta(days=7),
}
"""How long after it was last told an open finding is told of again; low ones never."""

DUE_AT_ONCE = 15
"""So many findings of a bucket one sweep tells again: a transaction takes 100 items. The next sweep takes the rest."""

_NEW_BY_DETAIL = {STATE_UNVERIFIABLE.id, EXCEPTION_INVALID.id}
_EXPIRED = {PROTECTION_TAG_REMOVED.id: Change.EXPIRED}
"""Of the findings of a bucket that is let go, the one that tells of it; the others end with it."""
_GROWING = {VERSION_DELETE_DENIED.id, VERSION_DELETED.id}
"""Deeds that are told again the moment they cross the threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one look changes: findings, and what we remember of the bucket."""

    transitions: tuple[Transition, ...]
    last: Last | None
    changes: bool
    watched: Watched | None = None


def plan(e: Evidence) -> Plan:
    """What this evidence changes. `changes` is False when there is nothing to write."""
    judgement = judge(e)
    transitions = _step(judgement, e)
    last = None if judgement.let_go else _remembered(e)
    watched = _watched(e)
    changes = bool(transitions) or last != e.last or watched != e.memory.watched
    return Plan(transitions=transitions, last=last, changes=changes, watched=watched)


def _watched(e: Evidence) -> Watched | None:
    """What is now known of the guardrail itself; what could not be read, and a trail that was stopped, stay known."""
    if not isinstance(e.reading, GuardrailHealth):
        return e.memory.watched
    known = e.memory.watched or Watched()
    return Watched(
        feeding=e.reading.feeding or known.feeding,
        policies=e.reading.policies or known.policies,
        deployed_at=e.reading.deployed_at or known.deployed_at,
        accounted=e.reading.deployed_at if deploy_is_accounted(e) or unseen_deploy(e) else known.accounted,
    )


def acknowledge(finding: Finding, *, by: str, why: str, now: datetime) -> Transition:
    """A person has seen it: a state is not reminded of any more, a deed is closed."""
    status = replace(finding, status=Status.ACKNOWLEDGED, acknowledged_by=by, why=why, changed_at=now, told_at=now)
    return Transition(finding=status, change=Change.ACKNOWLEDGED)


def _remembered(e: Evidence) -> Last | None:
    """An unreadable bucket keeps what we last knew of it: what happened meanwhile shows when it can be read again."""
    if isinstance(e.reading, Gone):
        return replace(e.last, gone=True) if e.last else None
    if e.verdict is None or e.verdict is Verdict.UNVERIFIABLE:
        return e.last
    exemption = e.reading.exemption if isinstance(e.reading, BucketState) else None
    expiries = accepted_expiries(e)
    if e.last and e.last.verdict is e.verdict:
        is_same = (e.last.exemption, e.last.expiries) == (exemption, expiries)
        return e.last if is_same else replace(e.last, exemption=exemption, expiries=expiries, read_at=e.now)
    return Last(
        verdict=e.verdict,
        since=e.now,
        read_at=e.now,
        first_seen=e.last.first_seen if e.last else e.now,
        exemption=exemption,
        expiries=expiries,
    )


def _step(judgement: Judgement, e: Evidence) -> tuple[Transition, ...]:
    """What the judgement changes.

    A control that both holds and clears (turned off and on again before we looked) opens now; the next look, at which
    it no longer holds, resolves it.
    """
    stored = e.memory.findings
    if judgement.gone or judgement.remade:
        return _step_of_a_deleted(judgement, e)
    if judgement.let_go:
        states = [finding for finding in stored if finding.is_open and not finding.is_deed]
        return tuple(_close(f, _EXPIRED.get(f.control, Change.SUPERSEDED), e.now) for f in states)
    staying = [f for f in stored if f.is_open and not _ends(f, judgement)]
    ranked = _ranked(judgement, staying)
    holding = _strongest_only(judgement.holding, ranked)
    changes = _held(tuple(holding), e)
    ruling = next((control for control in PROTECTION if any(f.control == control for f in (*holding, *ranked))), None)
    changes += [_end(f, ruling, e) for f in stored if f.is_open and _leaves(f, judgement, ruling)]
    return (*changes, *_told_again(staying, {change.finding.id for change in changes}, e))


def _step_of_a_deleted(judgement: Judgement, e: Evidence) -> tuple[Transition, ...]:
    """Its states end with it, never as resolved; a new bucket of its name is judged as if never seen."""
    stored = e.memory.findings
    states = [_close(f, Change.BUCKET_DELETED, e.now) for f in stored if f.is_open and not f.is_deed]
    closed = {transition.finding.id: transition.finding for transition in states}
    known = {finding.id: closed.get(finding.id, finding) for finding in stored}
    if judgement.gone:  # what held of it and holds on (it was turned off, then deleted) is told beside its end
        known |= {f.id: f for f in stored if f.id in {seen.id for seen in judgement.holding}}
    holding = _strongest_only(judgement.holding, [])
    told = [change for seen in holding if (change := _seen(known.get(seen.id), seen, e))]
    named = any(t.finding.control == BUCKET_DELETED.id and t.finding.principal for t in told)
    nameless = [f for f in stored if f.control == BUCKET_DELETED.id and f.is_open and f.principal is None]
    states += [_close(f, Change.SUPERSEDED, e.now) for f in nameless if named]
    again = {change.finding.id for change in told}
    ended = [transition for transition in states if transition.finding.id not in again]
    already = again | {transition.finding.id for transition in ended}
    return (*told, *ended, *_told_again([f for f in stored if f.is_deed], already, e))


def _ranked(judgement: Judgement, staying: list[Finding]) -> list[Finding]:
    """A turn-off that somebody acknowledged does not hide that versioning is suspended now."""
    suspended = any(seen.control == VERSIONING_SUSPENDED.id for seen in judgement.holding)
    return [f for f in staying if not (suspended and f.status is Status.ACKNOWLEDGED)] if suspended else staying


def _held(holding: tuple[Finding, ...], e: Evidence) -> list[Transition]:
    by_id = {finding.id: finding for finding in e.memory.findings}
    seen_now = [change for seen in holding if (change := _seen(by_id.get(seen.id), seen, e))]
    return seen_now + _joined(e)


def _joined(e: Evidence) -> list[Transition]:
    """What S3's own events told, without a name, passes to the finding that names who did it."""
    start = window(e.trigger.at, e.rules.window)
    found = (f for f in e.memory.findings if f.control == VERSION_DELETED.id and f.is_open and f.window == start)
    nameless = next((f for f in found if f.principal and not f.principal.is_named), None)
    if nameless is None or not e.trigger.joins:
        return []
    if nameless.count <= e.trigger.joins:
        return [_close(nameless, Change.SUPERSEDED, e.now)]
    fewer = replace(nameless, count=nameless.count - e.trigger.joins, changed_at=e.now)
    return [Transition(finding=fewer, change=Change.ENRICHED)]


def _ends(finding: Finding, judgement: Judgement) -> bool:
    held = any(seen.id == finding.id for seen in judgement.holding)
    return finding.control in judgement.clearing and not held


def _strongest_only(holding: tuple[Finding, ...], staying: list[Finding]) -> list[Finding]:
    present = {finding.control for finding in (*holding, *staying)}
    strongest = next((control for control in PROTECTION if control in present), None)
    return [f for f in holding if f.control not in PROTECTION or f.control == strongest]


def _leaves(finding: Finding, judgement: Judgement, ruling: str | None) -> bool:
    outranked = finding.control in PROTECTION and ruling is not None and finding.control != ruling
    return outranked or _ends(finding, judgement)


def _end(finding: Finding, ruling: str | None, e: Evidence) -> Transition:
    """Never "resolved" while the bucket is still not protected: by another of the three, or by an exception."""
    if finding.control in PROTECTION and ruling is not None:
        return _close(finding, Change.SUPERSEDED, e.now)
    if finding.control in PROTECTION and e.verdict is Verdict.EXEMPT and isinstance(e.reading, BucketState):
        exempt = e.reading.exemption
        why = f"until {quoted(exempt.until)}, because {quoted(exempt.reason)}" if exempt else ""
        return _close(replace(finding, detail=why), Change.EXEMPTED, e.now)
    return _close(finding, Change.RESOLVED, e.now)


def _close(finding: Finding, change: Change, now: datetime) -> Transition:
    return Transition(finding=replace(finding, status=Status(change.value), changed_at=now), change=change)


def _told(finding: Finding, change: Change, e: Evidence) -> Transition:
    """The finding, told of now."""
    told = replace(finding, changed_at=e.now, told_at=e.now, told_count=finding.count)
    return Transition(finding=told, change=change)


def _seen(stored: Finding | None, seen: Finding, e: Evidence) -> Transition | None:
    if stored is None:
        return _opened(seen, Change.OPENED, e)
    if stored.is_deed and not stored.is_proof and seen.detail == stored.detail:
        return _more(stored, seen, e)
    if not stored.is_open or stored.is_deed or _is_worse(stored, seen):
        return _opened(seen, Change.REOPENED, e)
    enriched = _enrich(stored, seen)
    if enriched == stored:
        return None
    return Transition(finding=replace(enriched, changed_at=e.now), change=Change.ENRICHED)


def _is_worse(stored: Finding, seen: Finding) -> bool:
    """What was told, or acknowledged, was that and no more: more of it is news."""
    order = list(Severity)
    if order.index(seen.severity) < order.index(stored.severity):
        return True
    if seen.control == LIFECYCLE_EXPIRES_VERSIONS.id:
        return bool(expiry.worse(seen.expiries, stored.expiries))
    if seen.conditions:  # of the guardrail itself: one thing more that is wrong, or that nobody could look at
        return bool({each.problem for each in seen.conditions} - {each.problem for each in stored.conditions})
    return seen.control in _NEW_BY_DETAIL and seen.detail != stored.detail


def _opened(seen: Finding, change: Change, e: Evidence) -> Transition:
    """Told at once, or after the control's grace period (by the sweep), or never by itself."""
    if seen.is_proof:
        proof = replace(seen, status=Status.ACKNOWLEDGED, acknowledged_by="the guardrail", why="the runbook's proof")
        return _told(proof, change, e)
    if BY_ID[seen.control].grace(e.rules) == timedelta():
        return _told(seen, change, e)
    return Transition(finding=replace(seen, changed_at=e.now), change=change)


def _more(stored: Finding, seen: Finding, e: Evidence) -> Transition:
    """A deed counts on, and is told again when it crosses the threshold, or goes on after it was acknowledged."""
    objects: tuple[ObjectVersion, ...] = (*stored.objects, *(o for o in seen.objects if o not in stored.objects))
    more = replace(
        stored,
        count=stored.count + seen.count,
        unnamed=stored.unnamed + seen.unnamed,
        objects=objects[:OBJECTS_KEPT],
        resources=tuple(dict.fromkeys((*stored.resources, *seen.resources)))[:OBJECTS_KEPT],
        at=min(stored.at, seen.at),
        last_at=max(stored.last_at, seen.last_at),
        cause=stored.cause if stored.cause is seen.cause else Cause.UNKNOWN,
    )
    if not stored.is_open:
        return _told(replace(more, status=Status.OPEN, acknowledged_by="", why=""), Change.REOPENED, e)
    if stored.control in _GROWING and stored.count < e.rules.threshold <= more.count:
        return _told(replace(more, severity=Severity.HIGH), Change.GREW, e)
    return Transition(finding=replace(more, changed_at=e.now), change=Change.ENRICHED)


def _enrich(stored: Finding, seen: Finding) -> Finding:
    """A state keeps up with what is so; one that the sweep found learns who did it when the event comes late."""
    if seen.control in {LIFECYCLE_EXPIRES_VERSIONS.id, ROOT_MFA_ABSENT.id}:
        stored = replace(stored, detail=seen.detail, severity=seen.severity, expiries=seen.expiries)
    if seen.conditions:
        stored = replace(stored, severity=seen.severity, conditions=seen.conditions, detail=seen.detail)
    if stored.principal is None and seen.principal is not None:
        return replace(
            stored, at=seen.at, principal=seen.principal, source_ip=seen.source_ip, user_agent=seen.user_agent,
            event_name=seen.event_name,
        )  # fmt: skip
    return stored


def _told_again(staying: list[Finding], already: set[str], e: Evidence) -> list[Transition]:
    """What the sweep says of findings that stay: graces that are over, reminders, the sum when a window is over."""
    if e.trigger.kind is not TriggerKind.SWEEP:
        return []
    due = ((f, change) for f in staying if f.id not in already and (change := _due(f, e)))
    return [_told(finding, change, e) for finding, change in islice(due, DUE_AT_ONCE)]


def _due(finding: Finding, e: Evidence) -> Change | None:
    if finding.status is not Status.OPEN:
        return None
    if finding.is_deed:
        is_over = e.now >= window_end(finding.window, e.rules.window)
        return Change.SUMMED if is_over and finding.count > finding.told_count else None
    if finding.told_at is None:
        grace = BY_ID[finding.control].grace(e.rules)
        return Change.OPENED if grace is not None and e.now - finding.at >= grace else None
    interval = REMIND_AFTER.get(finding.severity)
    return Change.REMINDED if interval and e.now - finding.told_at >= interval else None
