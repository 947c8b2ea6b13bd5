"""Stored findings and a judgement -> what changes. One step for events and sweeps alike."""

from dataclasses import dataclass, replace
from datetime import datetime

from shared.controls import BY_ID, PROTECTION, PROTECTION_TAG_REMOVED
from shared.evidence import Evidence
from shared.facts import BucketState, Gone, Last, ObjectVersion, Verdict
from shared.finding import Change, Finding, Status, Transition
from shared.judgement import Judgement, judge

OBJECTS_KEPT = 10
"""How many of the versions named are kept with a finding; the count goes on."""


_EXPIRED = {PROTECTION_TAG_REMOVED.id: Change.EXPIRED}
"""Of the findings of a bucket that is let go, the one that tells of it; the others end with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one look changes: findings, and what we remember of the bucket."""

    transitions: tuple[Transition, ...]
    last: Last | None
    changes: bool


def plan(e: Evidence) -> Plan:
    """What this evidence changes. `changes` is False when there is nothing to write."""
    judgement = judge(e)
    transitions = step(e.memory.findings, judgement, now=e.now)
    last = None if judgement.let_go else _remembered(e)
    return Plan(transitions=transitions, last=last, changes=bool(transitions) or last != e.last)


def _remembered(e: Evidence) -> Last | None:
    """An unreadable bucket keeps what we last knew of it: what happened meanwhile shows when it can be read again."""
    if isinstance(e.reading, Gone):
        return replace(e.last, gone=True) if e.last else None
    if e.verdict is None or e.verdict is Verdict.UNVERIFIABLE:
        return e.last
    exemption = e.reading.exemption if isinstance(e.reading, BucketState) else None
    if e.last and e.last.verdict is e.verdict and e.last.exemption == exemption:
        return e.last
    same = e.last is not None and e.last.verdict is e.verdict
    return Last(
        verdict=e.verdict,
        since=e.last.since if e.last and same else e.now,
        read_at=e.now,
        first_seen=e.last.first_seen if e.last else e.now,
        exemption=exemption,
    )


def step(stored: tuple[Finding, ...], judgement: Judgement, *, now: datetime) -> tuple[Transition, ...]:
    """What the judgement changes.

    A control that both holds and clears (turned off and on again before we looked) opens now; the next look, at which
    it no longer holds, resolves it.
    """
    if judgement.gone:
        ended = [_close(f, Change.BUCKET_DELETED, now) for f in stored if f.is_open and BY_ID[f.control].clears]
        by_id = {finding.id: finding for finding in stored}
        told = [change for seen in judgement.holding if (change := _seen(by_id.get(seen.id), seen, now))]
        again = {change.finding.id for change in told}
        return (*told, *(transition for transition in ended if transition.finding.id not in again))
    if judgement.let_go:
        states = [finding for finding in stored if finding.is_open and BY_ID[finding.control].clears]
        return tuple(_close(f, _EXPIRED.get(f.control, Change.SUPERSEDED), now) for f in states)
    by_id = {finding.id: finding for finding in stored}
    staying = [f for f in stored if f.is_open and not _ends(f, judgement)]
    holding = _strongest_only(judgement.holding, staying)
    changes = [change for seen in holding if (change := _seen(by_id.get(seen.id), seen, now))]
    ruling = next((control for control in PROTECTION if any(f.control == control for f in (*holding, *staying))), None)
    changes += [_end(f, ruling, now) for f in stored if f.is_open and _leaves(f, judgement, ruling)]
    return tuple(changes)


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


def _end(finding: Finding, ruling: str | None, now: datetime) -> Transition:
    """Never "resolved" while another of the three says that the bucket is still not protected."""
    still_bad = finding.control in PROTECTION and ruling is not None
    return _close(finding, Change.SUPERSEDED if still_bad else Change.RESOLVED, now)


def _close(finding: Finding, change: Change, now: datetime) -> Transition:
    return Transition(finding=replace(finding, status=Status(change.value), changed_at=now), change=change)


def _seen(stored: Finding | None, seen: Finding, now: datetime) -> Transition | None:
    if stored is None:
        return Transition(finding=replace(seen, changed_at=now), change=Change.OPENED)
    if not stored.is_open:
        return Transition(finding=replace(seen, changed_at=now), change=Change.REOPENED)
    enriched = _enrich(stored, seen)
    return None if enriched == stored else Transition(finding=replace(enriched, changed_at=now), change=Change.ENRICHED)


def _enrich(stored: Finding, seen: Finding) -> Finding:
    """A deed counts on; a state that the sweep found learns who did it when the event comes late."""
    if BY_ID[stored.control].clears is None:
        objects: tuple[ObjectVersion, ...] = (*stored.objects, *(o for o in seen.objects if o not in stored.objects))
        return replace(
            stored,
            count=stored.count + seen.count,
            objects=objects[:OBJECTS_KEPT],
            at=min(stored.at, seen.at),
            last_at=max(stored.last_at, seen.last_at),
        )
    if stored.principal is None and seen.principal is not None:
        return replace(
            stored, at=seen.at, principal=seen.principal, source_ip=seen.source_ip, user_agent=seen.user_agent,
            event_name=seen.event_name,
        )  # fmt: skip
    return stored
