"""The truth table's rows as evidence."""

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared import parse, parse_watch, verdict
from shared.evidence import Evidence, Memory, Rules
from shared.facts import (
    GUARDRAIL,
    BucketKey,
    BucketState,
    Condition,
    Exemption,
    Expiry,
    Gone,
    GuardrailHealth,
    Last,
    Lifecycle,
    MfaDelete,
    Reading,
    RootState,
    State,
    Trigger,
    TriggerKind,
    Unreadable,
    Verdict,
    Versioning,
    Watched,
)
from shared.finding import Finding, Severity

EVENTS = Path(__file__).parents[2] / "events"
PROTECTED = {"tagged": True, "versioning": "Enabled", "mfa_delete": "Enabled"}


def load(name: str) -> dict[str, Any]:
    """One event of events/."""
    event: dict[str, Any] = json.loads((EVENTS / name).read_text(encoding="utf-8"))
    return event


def rows() -> list[dict[str, Any]]:
    """The rows of events/cases.toml."""
    cases: list[dict[str, Any]] = tomllib.loads((EVENTS / "cases.toml").read_text(encoding="utf-8"))["case"]
    return cases


HERE = BucketKey(account="111122223333", region="us-east-1", name=GUARDRAIL)
TICK = datetime(2026, 9, 25, 9, 0, tzinfo=UTC)


def trigger_of(name: str, *, of_root: bool = False, of_guardrail: bool = False) -> Trigger:
    """Parse as the function that gets this event does; the clocks' ticks are at a fixed time."""
    event = load(name)
    if of_guardrail:
        return parse_watch.guardrail_change(event, HERE, TICK)
    if name == "schedule.tick.json":
        bucket = BucketKey(
            account="111122223333", region="us-east-1", name="" if of_root else "example-protected-bucket"
        )
        return Trigger(kind=TriggerKind.SWEEP, at=TICK, bucket=bucket)
    is_delete = name.startswith(("delete-object", "object-deleted"))
    return parse.version_delete(event) if is_delete else parse.bucket_change(event)


def reading_of(bucket: Any) -> Reading:
    """A row's `bucket`."""
    if bucket == "gone":
        return Gone()
    if "refused" in bucket:
        return Unreadable(
            tagged=bucket["tagged"], action=bucket["refused"], error_code="AccessDenied", error_message="Access Denied"
        )
    return BucketState(
        tagged=bucket["tagged"],
        versioning=Versioning(bucket["versioning"]),
        mfa_delete=MfaDelete(bucket["mfa_delete"]),
        exemption=exemption_of(bucket),
        lifecycle=lifecycle_of(bucket),
    )


def lifecycle_of(bucket: dict[str, Any]) -> Lifecycle | Unreadable | None:
    """`rules` (ids), `expires` (rule -> days), or `rules_refused`; none of them: nobody looked."""
    if bucket.get("rules_refused"):
        action, code = "s3:GetLifecycleConfiguration", "AccessDenied"
        return Unreadable(tagged=True, action=action, error_code=code, error_message="Access Denied")
    if "rules" not in bucket and "expires" not in bucket:
        return None
    expires = bucket.get("expires", {})
    return Lifecycle(rules=(*bucket.get("rules", []), *expires), expiries=expiries_of(expires))


def expiries_of(table: dict[str, int]) -> tuple[Expiry, ...]:
    """Rule -> days."""
    return tuple(Expiry(rule=rule, days=days) for rule, days in table.items())


def last_of(row: dict[str, Any]) -> Last | None:
    """A row's `last`."""
    if "last" not in row:
        return None
    since = datetime.fromisoformat(row["last"]["since"])
    verdict_then = Verdict(row["last"]["verdict"])
    return Last(
        verdict=verdict_then,
        since=since,
        read_at=since,
        first_seen=since,
        exemption=exemption_of(row["last"]),
        gone=row["last"].get("gone", False),
        expiries=expiries_of(row["last"]["expires"]) if "expires" in row["last"] else None,
    )


def exemption_of(table: dict[str, Any]) -> Exemption | None:
    """`exempt = [until, reason]`."""
    return Exemption(until=table["exempt"][0], reason=table["exempt"][1]) if "exempt" in table else None


def finding_of(control: str, trigger: Trigger) -> Finding:
    """An open finding of this control on the trigger's bucket."""
    at = trigger.at - timedelta(hours=2)
    return Finding(
        control=control,
        bucket=trigger.bucket,
        severity=Severity.CRITICAL,
        at=at,
        last_at=at,
        detected_at=at,
        watched_since=at,
        known_since="the first look at this bucket",
        told_at=at,
    )


def health_of(row: dict[str, Any]) -> GuardrailHealth:
    """A row's `health`: what is bad (`blinds`: nothing would be noticed), what is unknown, and the roles' digest."""
    told = row["health"]
    bad = [(name, State.BAD, False) for name in told.get("bad", [])]
    bad += [(name, State.BAD, True) for name in told.get("blinds", [])]
    unknown = [(name, State.UNKNOWN, False) for name in told.get("unknown", [])]
    return GuardrailHealth(
        conditions=tuple(
            Condition(
                about=name.partition("-")[0], state=state, problem=name, meaning=f"{name} it is", mend="mend it",
                blinds=blinds,
            )
            for name, state, blinds in (*bad, *unknown)
        ),
        feeding=tuple(told.get("feeding", [])),
        policies=told.get("policies", "as-deployed"),
        deployed_at=told.get("deployed_at", "2026-01-01T00:00:00+00:00"),
        deploying=told.get("deploying", False),
    )  # fmt: skip


def watched_of(row: dict[str, Any]) -> Watched | None:
    """A row's `watched`: what was known of the guardrail before."""
    return (
        Watched(**row["watched"] | {"feeding": tuple(row["watched"].get("feeding", ()))}) if "watched" in row else None
    )


def evidence_of(row: dict[str, Any]) -> Evidence:
    """A whole row."""
    trigger = trigger_of(row["event"], of_root="root" in row, of_guardrail="health" in row)
    findings = tuple(finding_of(control, trigger) for control in row.get("unresolved", []))
    memory = Memory(rev=1 if "last" in row else 0, last=last_of(row), findings=findings, watched=watched_of(row))
    reading = _reading(row)
    now = trigger.at + timedelta(seconds=row.get("looked_s", 10))
    return Evidence(
        now=now,
        trigger=trigger,
        reading=reading,
        verdict=verdict.of(reading, judged_before=memory.judged, now=now, longest=timedelta(days=90)),
        memory=memory,
        rules=Rules(deploy_principals=frozenset(row.get("deploy_principals", []))),
    )


def _reading(row: dict[str, Any]) -> Reading:
    if "health" in row:
        return health_of(row)
    return RootState(**row["root"]) if "root" in row else reading_of(row.get("bucket", PROTECTED))
