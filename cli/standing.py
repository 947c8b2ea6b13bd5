"""How the guardrail itself stands, for `guardrail status`: four requests at most."""

from collections.abc import Mapping, Sequence
from typing import Any

from cli.doctor import STALE
from cli.stack import Stack
from shared.evidence import Memory
from shared.facts import GUARDRAIL, BucketKey
from shared.finding import Finding
from shared.unread import listed
from shared.watch import GUARDRAIL_BLIND


def standing(stack: Stack, memories: Mapping[BucketKey, Memory]) -> dict[str, Any]:
    """What cannot be mailed when nobody listens: whether the guardrail sees, by its last look, and is heard."""
    if not stack.exists:
        return {"sees_and_is_heard": True, "last_look": None, "heard": None, "findings": [], "not_seen": []}
    key = BucketKey(account=stack.settings.account_id, region=stack.settings.aws_region, name=GUARDRAIL)
    findings = [f for f in memories.get(key, Memory()).findings if f.is_open]
    look, heard = stack.guard.notes.look(), stack.guard.topic.has_listener()
    is_fresh = look is not None and stack.guard.clock() - look.at <= STALE
    is_blind = any(f.control == GUARDRAIL_BLIND.id for f in findings)
    return {
        "sees_and_is_heard": heard and is_fresh and not is_blind,
        "last_look": look.at.isoformat() if look else None,
        "heard": heard,
        "not_seen": list(stack.guard.store.topic().unlogged),
        "findings": [finding_entry(f) | {"conditions": [c.meaning for c in f.conditions]} for f in findings],
    }


def standing_lines(health: Mapping[str, Any], command: str) -> list[str]:
    """What is wrong with the guardrail itself; nothing if all is well. `command`: how this stack's is called."""
    if health["sees_and_is_heard"]:
        return []
    lines = [] if health["heard"] else ["nobody has confirmed a subscription: alerts wait, nobody is told"]
    if not any(finding["control"] == GUARDRAIL_BLIND.id for finding in health["findings"]):
        since = health["last_look"] or "it was deployed"
        lines += [f"the guardrail has not looked at itself since {since}"] * (not lines)
    lines += [f"blind: {meaning}" for finding in health["findings"] for meaning in finding["conditions"]]
    return [*lines, f"{command} doctor says what mends it"]


def not_seen_lines(health: Mapping[str, Any]) -> list[str]:
    """Whose deletes no trail logs, by somebody's choice; that is no fault of the guardrail's."""
    return [f"not seen: deletes by {each}" for each in health["not_seen"]]


def unread_lines(found: Sequence[str]) -> list[str]:
    """What of the table this version cannot read: what it says is neither shown here nor told."""
    return [f"cannot be read by this version: {listed(found, len(found))}"] if found else []


def finding_entry(finding: Finding) -> dict[str, Any]:
    """A finding in the JSON form of the command."""
    return {
        "id": finding.short_id,
        "control": finding.control,
        "severity": finding.severity.value,
        "status": finding.status.value,
        "at": finding.at.isoformat(),
        "count": finding.count,
        "principal": finding.principal.id if finding.principal else None,
        "acknowledged_by": finding.acknowledged_by or None,
    }
