"""History -> spans: how each bucket stood, from when to when, and by whom it came about. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from shared import exemption
from shared.aws.history import Past, Stood
from shared.controls import PROTECTION
from shared.deeds import BUCKET_DELETED, EXCEPTION_SET
from shared.facts import Exemption, Last, Principal, Verdict
from shared.finding import NEWS, Change, Finding, Severity
from shared.states import EXCEPTION_INVALID, PROTECTION_TAG_REMOVED, READ_LIFECYCLE, STATE_UNVERIFIABLE
from shared.watch import GUARDRAIL_BLIND

LONG_AGO = datetime.min.replace(tzinfo=UTC)
_CHANGES_A_STATE = {
    *PROTECTION, BUCKET_DELETED.id, EXCEPTION_SET.id, EXCEPTION_INVALID.id, PROTECTION_TAG_REMOVED.id,
    STATE_UNVERIFIABLE.id,
}  # fmt: skip
"""Who is named in one of these brought the new state about; who was only refused something did not."""

NEVER_LOOKED = "no look is known from before"
UNREAD = "an entry of the history that this version cannot read"
TOO_OLD = "older than the history that is kept"
BLIND = "the guardrail was blind"
STOPPED = "the guardrail has not looked at itself since"
RAN_OUT = "the exception ended"
UNDONE = "it was on again when the guardrail looked"


class Standing(StrEnum):
    """How a bucket stood: a verdict, or why it has none."""

    PROTECTED = "protected"
    EXEMPT = "exempt"
    UNPROTECTED = "unprotected"
    SUSPENDED = "suspended"
    UNVERIFIABLE = "unverifiable"
    NOT_OBSERVED = "not observed"
    NOT_ENROLLED = "not enrolled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A bucket stood so from `start` to `end`.

    `start` is when it came about, if an event said so, else when it was seen. `by`: who did it, if anybody is known;
    `event_ids`: CloudTrail's ids of the calls that made us look; `why`: what else is known of it.
    """

    standing: Standing
    start: datetime
    end: datetime
    by: Principal | None = None
    event_ids: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time in which no change would have been noticed."""

    start: datetime
    end: datetime
    why: str


def spans(
    past: Sequence[Past],
    last: Last | None,
    known: Mapping[str, Finding],
    *,
    since: datetime,
    until: datetime,
    kept_since: datetime,
    gaps: Sequence[Gap] = (),
) -> tuple[Span, ...]:
    """How one bucket stood from `since` to `until`, without a hole.

    past: its commits, oldest first. last, known: what is remembered of it and its findings by id. kept_since: older
    history is not kept.
    """
    turns = [turn for turn in _turns(past, last, known, kept_since) if turn.start < until]
    ended = [_until(turn, later, until) for turn, later in zip(turns, [*turns[1:], None], strict=True)]
    cut = [piece for span in ended for piece in _without(span, gaps)]
    clipped = (replace(one, start=max(one.start, since), end=min(one.end, until)) for one in cut)
    return tuple(_merged(one for one in clipped if one.start < one.end))


def standing_at(found: Sequence[Span], at: datetime) -> Span | None:
    """How it stood at a moment; the end of the last span belongs to it."""
    return next((one for one in reversed(found) if one.start <= at <= one.end), None)


def _turns(past: Sequence[Past], last: Last | None, known: Mapping[str, Finding], kept_since: datetime) -> list[Span]:
    """Every change of standing, each open-ended, in order."""
    turns = _beginning(past, last, kept_since)
    unreadable = False
    for each in past:
        unreadable = _unreadable(each, before=unreadable)
        turns += _expired(turns, each.at)
        turns += _undone(each, known)
        turns.append(_turn(each, known, unreadable=unreadable))
    turns += _expired(turns, datetime.max.replace(tzinfo=UTC))
    return _in_order(turns)


def _beginning(past: Sequence[Past], last: Last | None, kept_since: datetime) -> list[Span]:
    """Before the first commit: nothing is known, or what that commit says was known until then."""
    unknown = _open(Standing.NOT_OBSERVED, LONG_AGO, why=NEVER_LOOKED)
    if past and (past[0].before is None or past[0].unread):
        return [unknown]
    if past:
        start = min(kept_since, past[0].at)
        return [replace(unknown, why=TOO_OLD), _open(_standing(past[0].before), start, why=TOO_OLD, of=past[0].before)]
    if last is None:
        return [unknown]
    stood = Stood(verdict=last.verdict, exemption=last.exemption, gone=last.gone)
    return [replace(unknown, why=TOO_OLD), _open(_standing(stood), last.since, why=TOO_OLD, of=stood)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn(Span):
    """A span whose end is not known yet; `exempt`: the exception that it rests on."""

    exempt: Exemption | None = None


def _open(standing: Standing, start: datetime, *, why: str = "", of: Stood | None = None) -> _Turn:
    exempt = of.exemption if of and standing is Standing.EXEMPT else None
    return _Turn(standing=standing, start=start, end=start, why=why, exempt=exempt)


def _turn(past: Past, known: Mapping[str, Finding], *, unreadable: bool) -> _Turn:
    if past.unread:
        return _open(Standing.NOT_OBSERVED, past.at, why=UNREAD)
    standing = _standing(past.after)
    if any(t.change is Change.BUCKET_DELETED for t in past.transitions) and past.after is None:
        standing = Standing.DELETED
    elif unreadable and standing is not Standing.DELETED:
        standing = Standing.UNVERIFIABLE
    news = [_with_who(t.finding, known) for t in past.transitions if t.change in NEWS]
    news = [finding for finding in news if finding.control in _CHANGES_A_STATE]
    by = next((finding.principal for finding in news if finding.principal), None)
    at = min((f.at for f in news if f.principal and not f.undone and f.at < past.at), default=past.at)
    exempt = past.after.exemption if past.after and standing is Standing.EXEMPT else None
    return _Turn(standing=standing, start=at, end=at, by=by, event_ids=past.event_ids, why=_why(past), exempt=exempt)


def _why(past: Past) -> str:
    if past.after and past.after.verdict is Verdict.EXEMPT and past.after.exemption:
        return f"exempt until {past.after.exemption.until}: {past.after.exemption.reason}"
    if past.before is None and any(t.finding.control == BUCKET_DELETED.id for t in past.transitions) and past.after:
        return "deleted and made again"
    refused = next((t.finding for t in past.transitions if _is_refusal(t.finding) and t.finding.is_open), None)
    return refused.detail if refused else ""


def _with_who(finding: Finding, known: Mapping[str, Finding]) -> Finding:
    """A sweep may find what an event tells of later: then the finding, not its history, says who did it, and when."""
    now = known.get(finding.id)
    if finding.principal or now is None or now.principal is None or now.detected_at != finding.detected_at:
        return finding
    return replace(finding, principal=now.principal, at=now.at)


def _standing(stood: Stood | None) -> Standing:
    if stood is None:
        return Standing.NOT_ENROLLED
    return Standing.DELETED if stood.gone else Standing(stood.verdict.value)


def _is_refusal(finding: Finding) -> bool:
    """The bucket's state could not be read; where only its lifecycle configuration could not, it has its verdict."""
    return finding.control == STATE_UNVERIFIABLE.id and READ_LIFECYCLE not in finding.detail


def _unreadable(past: Past, *, before: bool) -> bool:
    """A verdict is not overwritten by a refused read: that the bucket could not be read is told by its finding."""
    for each in past.transitions:
        if each.finding.control == STATE_UNVERIFIABLE.id:
            before = each.finding.is_open and _is_refusal(each.finding)
    return before


def _undone(past: Past, known: Mapping[str, Finding]) -> list[_Turn]:
    """Turned off and on again before the look: unprotected in between, as far as is known."""
    return [
        _Turn(
            standing=Standing.UNPROTECTED,
            start=f.at,
            end=f.at,
            by=f.principal,
            event_ids=past.event_ids,
            why=UNDONE,
        )
        for t in past.transitions
        if t.change in NEWS and t.finding.control in PROTECTION and (f := _with_who(t.finding, known)).undone
    ]


def _expired(turns: Sequence[Span], until: datetime) -> list[_Turn]:
    """An exception ends by itself; the next look only says so."""
    latest = turns[-1]
    exempt = latest.exempt if isinstance(latest, _Turn) else None
    end = exemption.end_of(exempt) if exempt else None
    return [_open(Standing.UNPROTECTED, end, why=RAN_OUT)] if end is not None and latest.start < end < until else []


def _in_order(turns: list[Span]) -> list[Span]:
    """No turn begins before the one that was known before it."""
    ordered: list[Span] = []
    for turn in turns:
        start = max(turn.start, ordered[-1].start) if ordered else turn.start
        ordered.append(replace(turn, start=start))
    return ordered


def _until(turn: Span, later: Span | None, until: datetime) -> Span:
    return Span(
        standing=turn.standing,
        start=turn.start,
        end=min(later.start, until) if later else until,
        by=turn.by,
        event_ids=turn.event_ids,
        why=turn.why,
    )


def _merged(found: Iterable[Span]) -> Iterator[Span]:
    """Looks that changed nothing of the standing are no spans of their own."""
    current: Span | None = None
    for one in found:
        is_same = current is not None and current.standing is one.standing
        if current is None or not is_same or (one.standing is Standing.NOT_OBSERVED and current.why != one.why):
            if current is not None:
                yield current
            current = one
        else:
            current = replace(current, end=one.end, why=one.why if one.standing is Standing.EXEMPT else current.why)
    if current is not None:
        yield current


def _without(span: Span, gaps: Sequence[Gap]) -> list[Span]:
    """The span with the gaps cut out, each as what it is: not observed."""
    pieces, rest = [], span
    for gap in sorted(gaps, key=lambda each: each.start):
        start, end = max(gap.start, rest.start), min(gap.end, rest.end)
        if start >= end or span.standing is Standing.NOT_OBSERVED:
            continue
        pieces += [replace(rest, end=start)] if rest.start < start else []
        pieces.append(Span(standing=Standing.NOT_OBSERVED, start=start, end=end, why=gap.why))
        rest = replace(rest, start=end)
    return [*pieces, rest]


def blind_gaps(
    past: Iterable[Past], known: Mapping[str, Finding], *, last_look: datetime | None, stale: timedelta, now: datetime
) -> tuple[Gap, ...]:
    """When no change would have been noticed: by the guardrail's own history, and since it stopped looking at itself.

    That a critical finding became a lesser one is not in its history; the finding itself says so as long as it is open.
    """
    gaps: list[Gap] = []
    start: datetime | None = None
    for at, finding in _blind_steps(past, known):
        is_blind = finding.is_open and finding.severity is Severity.CRITICAL
        if is_blind and start is None:
            start = min(finding.at, at) if finding.principal else at
        elif not is_blind and start is not None:
            gaps.append(Gap(start=start, end=at, why=BLIND))
            start = None
    if start is not None:
        gaps.append(Gap(start=start, end=now, why=BLIND))
    if last_look is not None and now - last_look > stale:
        gaps.append(Gap(start=last_look, end=now, why=STOPPED))
    return tuple(_joined(gaps))


def _blind_steps(past: Iterable[Past], known: Mapping[str, Finding]) -> list[tuple[datetime, Finding]]:
    steps = [(each.at, t.finding) for each in past for t in each.transitions if t.finding.control == GUARDRAIL_BLIND.id]
    latest = (f for f in known.values() if f.control == GUARDRAIL_BLIND.id and f.changed_at)
    steps += [(f.changed_at, f) for f in latest if f.changed_at and (not steps or f.changed_at > steps[-1][0])]
    return steps


def _joined(gaps: list[Gap]) -> Iterator[Gap]:
    """Gaps that overlap, as one after the other."""
    end = LONG_AGO
    for gap in sorted(gaps, key=lambda each: each.start):
        if gap.end > end:
            yield replace(gap, start=max(gap.start, end))
            end = gap.end


def open_at(past: Iterable[Past], at: datetime, keep_deeds: timedelta) -> list[Finding]:
    """The findings that were open at a moment, as history has them; a deed goes by itself after `keep_deeds`."""
    latest: dict[str, tuple[datetime, Finding]] = {}
    for each in past:
        if each.at <= at:
            latest |= {t.finding.id: (each.at, t.finding) for t in each.transitions}
    return [f for seen, f in latest.values() if f.is_open and not (f.is_deed and seen + keep_deeds <= at)]
