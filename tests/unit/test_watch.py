"""Who is named for a change of the guardrail itself, and who is not."""

from dataclasses import replace
from typing import Any

import pytest

from shared.evidence import Memory, Rules
from shared.finding import Finding
from shared.judgement import judge
from tests.unit.cases import evidence_of

MAIN = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main"
THEN = "2026-01-01T00:00:00+00:00"
WATCHED = {"feeding": [MAIN], "policies": "as-deployed", "deployed_at": THEN, "accounted": THEN}
POLICIES = "the policies of its roles, topics, queues or buses are not what they were"


def found(event: str, health: dict[str, Any], control: str = "guardrail-tampered", **row: Any) -> Finding:
    """The one finding of the control."""
    evidence = evidence_of({"event": event, "health": health, "watched": WATCHED} | row)
    [finding] = [each for each in judge(evidence).holding if each.control == control]
    return finding


@pytest.mark.parametrize("woken_by", ["put-bucket-notification.done.json", "start-logging.done.json"])
def test_whoever_only_woke_us_is_not_blamed_for_policies_that_somebody_else_changed(woken_by: str) -> None:
    finding = found(woken_by, {"policies": "other"})
    assert (finding.principal, finding.event_name, finding.resources) == (None, "", ())
    assert finding.detail == POLICIES


def test_whoever_stops_a_trail_that_never_fed_us_is_not_blamed_either() -> None:
    other = WATCHED | {"feeding": [MAIN.replace("main", "other")]}
    finding = found("stop-logging.done.json", {"policies": "other"}, watched=other)
    assert (finding.principal, finding.detail) == (None, POLICIES)


def test_changed_policies_are_told_beside_the_call_that_woke_us() -> None:
    finding = found("update-function-code.our-function.json", {"policies": "other"})
    assert finding.principal
    assert finding.detail == f"{finding.event_name}; {POLICIES}"


def test_a_deployment_that_no_event_told_of_is_not_put_down_to_whoever_woke_us() -> None:
    late = {"deployed_at": "2026-09-25T08:25:00+00:00"}
    finding = found("put-bucket-notification.done.json", late, "guardrail-changed")
    assert (finding.principal, finding.event_name) == (None, "")


def test_a_deployment_is_told_though_what_is_known_of_the_guardrail_cannot_be_read() -> None:
    row = {"event": "execute-change-set.done.json", "health": {"deployed_at": "2026-09-25T09:14:30+00:00"}}
    unread = replace(evidence_of(row), memory=Memory(rev=3, hides_last=True, unread=("it",)))
    assert "guardrail-changed" in {each.control for each in judge(unread).holding}
    named = replace(unread, rules=Rules(deploy_principals=frozenset({"arn:aws:iam::111122223333:role/Pipeline"})))
    assert "guardrail-tampered" in {each.control for each in judge(named).holding}
    first = replace(unread, memory=Memory())
    assert not {each.control for each in judge(first).holding} & {"guardrail-changed", "guardrail-tampered"}
