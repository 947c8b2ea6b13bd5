"""Evidence -> the findings that hold and the controls that clear."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.controls import CONTROLS
from shared.deeds import EXCEPTION_SET, VERSION_DELETE_DENIED, is_proof
from shared.evidence import Control, Evidence
from shared.facts import (
    BucketState,
    Cause,
    Condition,
    Expiry,
    Gone,
    GuardrailHealth,
    RootState,
    TriggerKind,
    Verdict,
    Versioning,
)
from shared.finding import Finding, Status
from shared.predicates import believable, mfa_delete_on
from shared.quoting import quoted
from shared.states import (
    EXCEPTION_INVALID,
    LIFECYCLE_EXPIRES_VERSIONS,
    MFA_DELETE_MISSING,
    PROTECTION_TAG_REMOVED,
    ROOT_MFA_ABSENT,
    STATE_UNVERIFIABLE,
    new_expiries,
    unreadable,
    why_exception_invalid,
)
from shared.watch import GUARDRAIL_BLIND, GUARDRAIL_TAMPERED, policies_changed, tampered

STICKY = timedelta(days=30)
"""How long a bucket stays judged after it lost the protection tag, if nobody acknowledges that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the evidence says: findings that hold, the ids of controls that clear, whether the bucket is gone.

    `let_go`: it has been without the protection tag for so long, or so knowingly, that it is not ours any more.
    """

    holding: tuple[Finding, ...]
    clearing: frozenset[str]
    gone: bool
    remade: bool
    let_go: bool


def judge(e: Evidence) -> Judgement:
    """Evaluate every control."""
    return Judgement(
        holding=tuple(_finding(control, e) for control in CONTROLS if control.holds(e)),
        clearing=frozenset(control.id for control in CONTROLS if control.clears and control.clears(e)),
        gone=isinstance(e.reading, Gone),
        remade=e.remade,
        let_go=any(_is_over(finding, e) for finding in e.memory.findings),
    )


def _is_over(finding: Finding, e: Evidence) -> bool:
    """Enrolment is sticky for this long after the tag was removed, or until somebody acknowledges it."""
    untagged = finding.control == PROTECTION_TAG_REMOVED.id and finding.is_open and PROTECTION_TAG_REMOVED.holds(e)
    return untagged and (finding.status is Status.ACKNOWLEDGED or e.now - finding.detected_at > STICKY)


def _finding(control: Control, e: Evidence) -> Finding:
    since, known_since = _watched_since(control, e)
    done_by = e.trigger if control.done_by(e) and believable(e) else None
    deed = e.trigger if control.clears is None else None
    error = unreadable(e) if control is STATE_UNVERIFIABLE else deed
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
        mfa_delete_on=mfa_delete_on(e),
        window=window(e.trigger.at, e.rules.window) if deed else "",
        count=deed.count if deed else 1,
        unnamed=deed.count if deed and deed.kind is TriggerKind.VERSION_DELETE and not deed.objects else 0,
        versioning_on=not isinstance(e.reading, BucketState) or e.reading.versioning is Versioning.ENABLED,
        objects=deed.objects if deed else (),
        cause=deed.cause if deed else Cause.NONE,
        error_code=error.error_code if error else "",
        error_message=error.error_message if error else "",
        principal=done_by.principal if done_by else None,
        source_ip=done_by.source_ip if done_by else "",
        user_agent=done_by.user_agent if done_by else "",
        event_name=done_by.event_name if done_by else "",
        expiries=new_expiries(e) if control is LIFECYCLE_EXPIRES_VERSIONS else (),
        is_proof=control is VERSION_DELETE_DENIED and is_proof(e),
        conditions=_conditions(control, e),
        resources=done_by.resources if deed and done_by else (),
    )


def _conditions(control: Control, e: Evidence) -> tuple[Condition, ...]:
    """What of the guardrail the control is about."""
    if not isinstance(e.reading, GuardrailHealth):
        return ()
    return {GUARDRAIL_BLIND: e.reading.troubles, STATE_UNVERIFIABLE: e.reading.unknown}.get(control, ())


def _detail(control: Control, e: Evidence) -> str:
    """What the control wants said beside who, when and where."""
    if isinstance(e.reading, GuardrailHealth):
        return _guardrail_detail(control, e.reading, e)
    refused = unreadable(e)
    if control is STATE_UNVERIFIABLE and refused:
        return f"needs {refused.action}, for the guardrail's roles"
    if control is EXCEPTION_INVALID:
        return why_exception_invalid(e) or ""
    if control is EXCEPTION_SET and isinstance(e.reading, BucketState):
        now = e.reading.exemption
        return f"until {quoted(now.until)}, because {quoted(now.reason)}" if now else "removed"
    if control is MFA_DELETE_MISSING and e.last and e.last.verdict is Verdict.EXEMPT:
        return "its exception has ended"
    if control is LIFECYCLE_EXPIRES_VERSIONS:
        return _expiry_detail(new_expiries(e))
    if control is ROOT_MFA_ABSENT and isinstance(e.reading, RootState):
        return _device_detail(e.reading)
    return ""


def _guardrail_detail(control: Control, health: GuardrailHealth, e: Evidence) -> str:
    if control is STATE_UNVERIFIABLE:
        return "; ".join(each.meaning for each in health.unknown)
    if control is GUARDRAIL_TAMPERED:
        what = [e.trigger.event_name] if tampered(e) else []
        if policies_changed(e):
            what.append("the policies of its roles, topics, queues or buses are not what they were")
        return "; ".join(what) or "an update through CloudFormation that no event told of"
    return ""


def _expiry_detail(expiries: tuple[Expiry, ...]) -> str:
    soonest = sorted(expiries, key=lambda each: each.days)
    named = [f"rule {quoted(each.rule, 80)} after {each.days} day(s)" for each in soonest[:5]]
    return ", ".join(named + [f"and {len(soonest) - 5} more"] * (len(soonest) > 5))


def _device_detail(root: RootState) -> str:
    if root.device:
        return "root has a device, but no authenticator app: a passkey shows no codes, a hardware token does"
    if root.password or root.access_key:
        return "root has no MFA device at all"
    return "root has neither password, key nor device: they must be restored first (Organizations, root access)"


def _watched_since(control: Control, e: Evidence) -> tuple[datetime, str]:
    """Since when permanent deletes would have been noticed as this finding's loss, and why since then."""
    if control.done_by(e) and believable(e):
        return e.trigger.at, "the change"
    if e.remade:
        return e.now, "the first look at this new bucket (one of that name was deleted)"
    if e.last is None:
        return e.now, "the first look at this bucket"
    if e.last.verdict is Verdict.PROTECTED:
        return e.last.read_at, "when it was recorded as protected"
    return e.last.first_seen, "the first look at this bucket"


def window(at: datetime, length: timedelta) -> str:
    """The start of the window that this time falls into, as it stands in a finding's id."""
    start = at.timestamp() // length.total_seconds() * length.total_seconds()
    return datetime.fromtimestamp(start, tz=at.tzinfo).strftime("%Y-%m-%dT%H:%MZ")


def window_end(start: str, length: timedelta) -> datetime:
    """When a window, as `window` writes it, is over."""
    return datetime.fromisoformat(start) + length
