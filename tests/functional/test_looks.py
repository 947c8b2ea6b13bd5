"""Looks at the guardrail's own parts, where AWS answers what moto and the embedded cloud never do."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import MagicMock

import boto3
from botocore.exceptions import ClientError

from shared.aws import health, policies, wiring
from shared.aws.parts import Part, Stack
from shared.facts import State
from tests.functional.conftest import Stage

BUS = "AWS::Events::EventBus"


def part(logical_id: str, kind: str, name: str) -> Part:
    at = datetime(2026, 9, 25, tzinfo=UTC)
    return Part(logical_id=logical_id, kind=kind, name=name, changed_at=at, changing=False)


def stack_of(stage: Stage, clients: Any, *parts: Part) -> Stack:
    by_id = {each.logical_id: each for each in parts}
    return Stack(settings=stage.guard.settings, clients=clients, parts=by_id, enrolled=())


def test_what_cloudformation_is_only_beginning_to_make_and_what_a_newer_version_brings_stops_no_look(
    stage: Stage,
) -> None:
    clients = MagicMock()
    clients().get_event_source_mapping.return_value = {"State": "Enabled"}
    nameless = [part(f"New{kind[-8:]}", kind, "") for kind in ("AWS::Events::Rule", "AWS::Lambda::Function")]
    newer = part("NightlySchedule", "AWS::Scheduler::Schedule", "nightly")
    mapping = part("NewerMapping", "AWS::Lambda::EventSourceMapping", "0000")
    stack = stack_of(stage, clients, *nameless, newer, mapping)
    looks = [health._functions, wiring.rules, wiring.schedules]
    found = [each for look in looks for each in look(stack)]
    assert [(each.about, each.state) for each in found] == [("function", State.FINE)]
    assert not clients().describe_rule.called


def test_a_region_that_was_switched_off_again_is_said_and_holds_up_no_other(stage: Stage) -> None:
    answer = ClientError({"Error": {"Code": "UnrecognizedClientException", "Message": "no"}}, "GetResources")

    class Tagging:
        def __init__(self, region: str | None) -> None:
            self.region = region

        def get_paginator(self, _name: str) -> Any:
            return self

        def paginate(self, **_: Any) -> Iterator[Any]:
            if self.region == "af-south-1":
                raise answer
            yield {"ResourceTagMappingList": [{"ResourceARN": "arn:aws:s3:::vault", "Tags": []}]}

    def clients(service: str, region: str | None = None) -> Any:
        made = MagicMock()
        if service == "s3":
            buckets = [{"Name": "a", "BucketRegion": "af-south-1"}, {"Name": "b", "BucketRegion": "eu-west-1"}]
            made.get_paginator().paginate.return_value = [{"Buckets": buckets}]
        if service == "cloudformation":
            made.describe_stacks.side_effect = ClientError(
                {"Error": {"Code": "ValidationError", "Message": "stack does not exist"}}, "DescribeStacks"
            )
        return Tagging(region) if service == "resourcegroupstaggingapi" else made

    unknown, uncovered = health._regions(stack_of(stage, clients))
    assert (unknown.state, uncovered.state) == (State.UNKNOWN, State.BAD)
    assert "af-south-1 does not answer" in unknown.meaning
    assert "1 enrolled bucket(s) in eu-west-1" in uncovered.meaning


def test_a_changed_policy_of_a_bus_changes_the_digest_whoever_changed_it(stage: Stage) -> None:
    events: Any = boto3.client("events")
    events.create_event_bus(Name="findings")
    stack = stack_of(stage, lambda service, _region=None: boto3.client(service), part("Bus", BUS, "findings"))
    before = policies.digest(stack)
    assert policies.digest(stack) == before
    events.put_permission(EventBusName="findings", Action="events:PutEvents", Principal="*", StatementId="anybody")
    assert policies.digest(stack) != before
