"""Evidence -> the findings that hold and the controls that clear."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.controls import (
    CONTROLS,
    EXCEPTION_INVALID,
    EXCEPTION_SET,
    PROTECTION_TAG_REMOVED,
    believable,
    why_exception_invalid,
)
from shared.evidence import Control, Evidence
from shared.facts import BucketState, Cause, Gone, MfaDelete, Unreadable, Verdict
from shared.finding import Finding
from shared.quoting import quoted

STICKY = timedelta(days=30)
"""How long a bucket stays judged after it lost the protection tag."""
WINDOW = timedelta(hours=1)
"""Deeds of one principal on one bucket within one window are one finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the evidence says: findings that hold, the ids of controls that clear, whether the bucket is gone.

    `let_go`: it has been without the protection tag for so long that it is not ours any more.
    """

    holding: tuple[Finding, ...]
    clearing: frozenset[str]
    gone: bool
    let_go: bool


def judge(e: Evidence) -> Judgement:
    """Evaluate every control."""
    return Judgement(
        holding=tuple(_finding(control, e) for control in CONTROLS if control.holds(e)),
        clearing=frozenset(control.id for control in CONTROLS if control.clears and control.clears(e)),
        gone=isinstance(e.reading, Gone),
        let_go=any(_is_over(finding, e) for finding in e.memory.findings),
    )


def _is_over(finding: Finding, e: Evidence) -> bool:
    """Enrolment is sticky for this long after the tag was removed."""
    untagged = finding.control == PROTECTION_TAG_REMOVED.id and finding.is_open and PROTECTION_TAG_REMOVED.holds(e)
    return untagged and e.now - finding.detected_at > STICKY


def _finding(control: Control, e: Evidence) -> Finding:
    since, known_since = _watched_since(control, e)
    refused = e.reading if isinstance(e.reading, Unreadable) else None
    done_by = e.trigger if control.done_by(e) and believable(e) else None
    deed = e.trigger if control.clears is None else None
    error = refused or deed
    return Finding(
        control=control.id,
        bucket=e.trigger.bucket,
        severity=control.severity(e),
        at=done_by.at if done_by else e.now,
        last_at=(done_by.last_at or done_by.at) if done_by else e.now,
        detected_at=e.now,
        watched_since=since,
        known_since=known_since,
        detail=_detail(control, e),
        undone=e.verdict is Verdict.PROTECTED,
        mfa_delete_on=isinstance(e.reading, BucketState) and e.reading.mfa_delete is MfaDelete.ENABLED,
        window=window(e.trigger.at) if deed else "",
        count=deed.count if deed else 1,
        objects=deed.objects if deed else (),
        cause=deed.cause if deed else Cause.NONE,
        error_code=error.error_code if error else "",
        error_message=error.error_message if error else "",
        principal=done_by.principal if done_by else None,
        source_ip=done_by.source_ip if done_by else "",
        user_agent=done_by.user_agent if done_by else "",
        event_name=done_by.event_name if done_by else "",
    )


def _detail(control: Control, e: Evidence) -> str:
    """What the control wants said beside who, when and where."""
    if isinstance(e.reading, Unreadable):
        return f"needs {e.reading.action}, for the guardrail's roles"
    if control is EXCEPTION_INVALID:
        return why_exception_invalid(e) or ""
    if control is EXCEPTION_SET and isinstance(e.reading, BucketState):
        now = e.reading.exemption
        return f"until {quoted(now.until)}, because {quoted(now.reason)}" if now else "removed"
    return ""


def _watched_since(control: Control, e: Evidence) -> tuple[datetime, str]:
    """Since when permanent deletes would have been noticed as this finding's loss, and why since then."""
    if control.done_by(e) and believable(e):
        return e.trigger.at, "the change"
    if e.memory.last and e.memory.last.gone and e.last is None:
        return e.now, "the first look at this new bucket (one of that name was deleted)"
    if e.last is None:
        return e.now, "the first look at this bucket"
    if e.last.verdict is Verdict.PROTECTED:
        return e.last.read_at, "when it was recorded as protected"
    return e.last.first_seen, "the first look at this bucket"


def window(at: datetime) -> str:
    """The start of the window that this time falls into, as it stands in a finding's id."""
    start = at.timestamp() // WINDOW.total_seconds() * WINDOW.total_seconds()
    return datetime.fromtimestamp(start, tz=at.tzinfo).strftime("%Y-%m-%dT%H:%MZ")
