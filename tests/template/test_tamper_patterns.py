"""The tamper rules: each takes what happens to our own parts, and nothing else."""

import itertools
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.parse_watch import CALLS
from tests.template.cloudformation import (
    AT_MOST_64,
    EVERYTHING,
    MADE_BY_SAM,
    Deployment,
    Template,
    kinds,
    of_type,
    patterns_of,
    physical_names,
    written,
)
from tests.template.conftest import STACK, RulesThatTake
from tests.template.events import Event, by_cloudtrail

CLOUDFORMATION = "cloudformation.amazonaws.com"
PERSON = "203.0.113.9"
QUOTA = 2048
LONGEST_STACK_NAME = 27
"""With a longer one the names of some rules, at most 64 characters, do not begin with all of ${AWS::StackName}."""

NAME = {"name": "{name}"}
FUNCTION = {
    "name": "{name}",
    "name with alias": "{name}:live",
    "ARN": "arn:aws:lambda:us-east-1:111122223333:function:{name}",
    "ARN with qualifier": "arn:aws:lambda:us-east-1:111122223333:function:{name}:$LATEST",
    "partial ARN": "111122223333:function:{name}",
    "partial ARN with qualifier": "111122223333:function:{name}:$LATEST",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Calls of one service on resources of one type, named by one member of the request; the rules that must take them.

    elsewhere: the rules that take the same call on somebody else's part.
    """

    service: str
    calls: tuple[str, ...]
    kind: str
    member: str
    rules: frozenset[str]
    forms: tuple[tuple[str, str], ...] = tuple(NAME.items())
    is_list: bool = False
    elsewhere: frozenset[str] = frozenset()


def row(rule: str, service: str, kind: str, member: str, calls: str, forms: dict[str, str] = NAME) -> Row:
    """A row of the usual kind."""
    return Row(
        service=service,
        calls=tuple(calls.split()),
        kind=kind,
        member=member,
        rules=frozenset({rule}),
        forms=tuple(forms.items()),
        is_list=member.endswith("Names"),
    )


def of_our_trail(member: str, calls: str) -> Row:
    """Every trail is looked at; only our own is told straight away."""
    return Row(
        service="cloudtrail",
        calls=tuple(calls.split()),
        kind="AWS::CloudTrail::Trail",
        member=member,
        rules=frozenset({"TrailTamperRule", "OwnTrailTamperRule"}),
        elsewhere=frozenset({"TrailTamperRule"}),
        forms=(("name", "{name}"), ("ARN", "arn:aws:cloudtrail:us-east-1:111122223333:trail/{name}")),
    )


TABLE = NAME | {"ARN": "arn:aws:dynamodb:us-east-1:111122223333:table/{name}"}
KEY = NAME | {"ARN": "arn:aws:kms:us-east-1:111122223333:key/{name}"}
SUBSCRIPTION = {"subscription": "{name}:12345678-1234-4123-8123-123456789012"}
ROWS = (
    row("RuleTamperRule", "events", "AWS::Events::Rule", "name", "DisableRule DeleteRule PutRule"),
    row("TargetTamperRule", "events", "AWS::Events::Rule", "rule", "PutTargets RemoveTargets"),
    row(
        "FunctionTamperRule",
        "lambda",
        "AWS::Serverless::Function",
        "functionName",
        "UpdateFunctionCode20150331v2 UpdateFunctionConfiguration20150331v2 DeleteFunction20150331 "
        "PutFunctionConcurrency20171031 PutFunctionEventInvokeConfig UpdateFunctionEventInvokeConfig "
        "DeleteFunctionEventInvokeConfig AddPermission20150331v2 RemovePermission20150331v2",
        FUNCTION,
    ),
    row(
        "FunctionTamperRule",
        "lambda",
        "AWS::Lambda::EventSourceMapping",
        "uUID",
        "UpdateEventSourceMapping20150331 DeleteEventSourceMapping20150331",
    ),
    row("ScheduleTamperRule", "scheduler", "AWS::Scheduler::Schedule", "name", "UpdateSchedule DeleteSchedule"),
    row(
        "QueueTamperRule",
        "sqs",
        "AWS::SQS::Queue",
        "queueUrl",
        "DeleteQueue PurgeQueue SetQueueAttributes AddPermission RemovePermission",
    ),
    row(
        "TableTamperRule",
        "dynamodb",
        "AWS::DynamoDB::Table",
        "tableName",
        "DeleteTable UpdateTable UpdateTimeToLive UpdateContinuousBackups",
        TABLE,
    ),
    row("KeyTamperRule", "kms", "AWS::KMS::Key", "keyId", "DisableKey ScheduleKeyDeletion PutKeyPolicy", KEY),
    row("AlarmTamperRule", "monitoring", "AWS::CloudWatch::Alarm", "alarmNames", "DeleteAlarms DisableAlarmActions"),
    row("AlarmTamperRule", "monitoring", "AWS::CloudWatch::Alarm", "alarmName", "PutMetricAlarm"),
    row(
        "TopicTamperRule",
        "sns",
        "AWS::SNS::Topic",
        "topicArn",
        "DeleteTopic SetTopicAttributes AddPermission RemovePermission",
    ),
    row(
        "TopicTamperRule",
        "sns",
        "AWS::SNS::Topic",
        "subscriptionArn",
        "Unsubscribe SetSubscriptionAttributes",
        SUBSCRIPTION,
    ),
    row(
        "RoleTamperRule",
        "iam",
        "AWS::IAM::Role",
        "roleName",
        "PutRolePolicy DeleteRolePolicy AttachRolePolicy DetachRolePolicy UpdateAssumeRolePolicy DeleteRole "
        "PutRolePermissionsBoundary DeleteRolePermissionsBoundary",
    ),
    row("BusTamperRule", "events", "AWS::Events::EventBus", "eventBusName", "PutPermission RemovePermission"),
    row("BusTamperRule", "events", "AWS::Events::EventBus", "name", "DeleteEventBus UpdateEventBus"),
    of_our_trail("name", "StopLogging DeleteTrail UpdateTrail"),
    of_our_trail("trailName", "PutEventSelectors"),
)

NOT_TOLD_OF = {
    "AWS::CloudWatch::Dashboard": "shows what is told elsewhere",
    "AWS::Events::EventBusPolicy": "PutPermission and RemovePermission name the bus",
    "AWS::IAM::ManagedPolicy": "what people may do; no part of the guardrail has it",
    "AWS::IAM::Policy": "inline in the roles, and named by them",
    "AWS::Lambda::Permission": "named by the function",
    "AWS::Logs::LogGroup": "a log that is gone is made again, or its loss fails the function",
    "AWS::S3::Bucket": "the drill's says so by what does not come back; the trail's holds what was told already",
    "AWS::S3::BucketPolicy": "as the bucket",
    "AWS::SNS::Subscription": "named by its topic",
    "AWS::SNS::TopicPolicy": "an attribute of the topic",
    "AWS::SQS::QueuePolicy": "an attribute of the queue",
}
"""Types without a tamper rule of their own, and why."""

PLACE = EVERYTHING | {"AWS::StackName": STACK}
OUR_NAMES = physical_names(PLACE)


def asked(row: Row, form: str, name: str) -> dict[str, Any]:
    """The request's member that names the part."""
    text = form.format(
        name=name.rpartition("|")[2]
    )  # a rule of another bus is referred to by both, and called by its own
    return {row.member: [text, "somebody-elses"] if row.is_list else text}


def somebody_elses(name: str) -> str:
    """The same part of a stack whose name begins as ours does; another id where a name has none."""
    other = name.replace(f"{STACK}-", f"{STACK}-two-")
    return other if other != name else "99999999-1234-4123-8123-123456789012"


def cases() -> Iterator[Any]:
    """Each row with each of our parts of its type, in each form."""
    for each in ROWS:
        for part in (name for name, kind in kinds().items() if kind == each.kind):
            for form, text in each.forms:
                yield pytest.param(each, part, text, id=f"{min(each.rules)}-{each.member}-{part}-{form}")


@pytest.mark.parametrize(("row", "part", "form"), list(cases()))
def test_a_call_on_our_own_part_is_taken_by_exactly_the_rules_it_should(
    row: Row, part: str, form: str, rules_that_take: RulesThatTake
) -> None:
    for call in row.calls:
        request = asked(row, form, OUR_NAMES[part])
        event = by_cloudtrail(call, row.service, requestParameters=request, sourceIPAddress=PERSON)
        # switched off, that rule would not take its own event
        watched = {"TargetTamperRule"} if (part, row.member) == ("RuleTamperRule", "name") else set()
        assert rules_that_take(event) == row.rules | watched, call


@pytest.mark.parametrize(("row", "part", "form"), [pytest.param(*case.values, id=case.id) for case in cases()])
def test_the_same_call_on_somebody_elses_part_or_refused_or_by_cloudformation_is_not(
    row: Row, part: str, form: str, rules_that_take: RulesThatTake
) -> None:
    ours, theirs = asked(row, form, OUR_NAMES[part]), asked(row, form, somebody_elses(OUR_NAMES[part]))
    for call in row.calls:
        elsewhere = by_cloudtrail(call, row.service, requestParameters=theirs, sourceIPAddress=PERSON)
        assert rules_that_take(elsewhere) == row.elsewhere, call
        deployed = by_cloudtrail(call, row.service, requestParameters=ours, sourceIPAddress=CLOUDFORMATION)
        assert not rules_that_take(deployed), call
        detail: dict[str, Any] = {"requestParameters": ours, "sourceIPAddress": PERSON, "errorCode": "AccessDenied"}
        assert not rules_that_take(by_cloudtrail(call, row.service, **detail)), call


# ---- the stack itself ------------------------------------------------------------------------------------------------

STACK_ARN = "arn:aws:cloudformation:us-east-1:111122223333:stack/{name}/12345678-1234-4123-8123-123456789012"


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        ("UpdateStack", "DeployRule"),
        ("ExecuteChangeSet", "DeployRule"),
        ("DeleteStack", "StackDeletionRule"),
    ],
)
@pytest.mark.parametrize("form", ["{name}", STACK_ARN])
@pytest.mark.parametrize("source", [PERSON, CLOUDFORMATION])  # a nested stack, or one of a stack set
def test_a_deployment_is_taken_by_name_and_by_arn_whoever_does_it(
    call: str, rule: str, form: str, source: str, rules_that_take: RulesThatTake
) -> None:
    def event(name: str, **detail: Any) -> Event:
        request = {"stackName": form.format(name=name)}
        return by_cloudtrail(call, "cloudformation", requestParameters=request, sourceIPAddress=source, **detail)

    assert rules_that_take(event(STACK)) == {rule}
    assert not rules_that_take(event(STACK, errorCode="AccessDenied"))
    assert not rules_that_take(event(f"{STACK}-two"))
    assert not rules_that_take(event(STACK[:-1]))


def test_a_change_set_named_by_its_arn_alone_is_not_seen_as_the_limits_say(
    rules_that_take: RulesThatTake,
) -> None:
    # StackName may be left out then (CloudFormation API reference, ExecuteChangeSet); the ARN names no stack
    change_set = "arn:aws:cloudformation:us-east-1:111122223333:changeSet/x/12345678-1234-4123-8123-123456789012"
    request = {"changeSetName": change_set}
    event = by_cloudtrail("ExecuteChangeSet", "cloudformation", requestParameters=request, sourceIPAddress=PERSON)
    assert not rules_that_take(event)


# ---- nothing is forgotten --------------------------------------------------------------------------------------------


def test_every_type_of_part_has_a_tamper_rule_or_a_reason_why_not() -> None:
    assert set(kinds().values()) - {each.kind for each in ROWS} == NOT_TOLD_OF.keys()


def test_the_mapping_that_the_tamper_rule_names_is_the_one_that_sam_makes(translated: Template) -> None:
    assert of_type(translated, "AWS::Lambda::EventSourceMapping").keys() == MADE_BY_SAM.keys() | {"SpokeMapping"}


def called(node: Any) -> Iterator[str]:
    """The values of every eventName below a node of a pattern, without the API's date."""
    for name, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if name == "eventName":
            yield from ((each if isinstance(each, str) else each["prefix"]).removesuffix("20") for each in value)
        else:
            yield from called(value)


def test_the_function_can_read_exactly_the_calls_that_the_rules_bring_it(
    everything: Template, patterns: dict[str, Template]
) -> None:
    brought: dict[str, set[str]] = {}
    for name, rule in of_type(everything, "AWS::Events::Rule").items():
        if "HealthFunction.Arn" in {target["Arn"] for target in rule["Targets"]}:
            (source,) = patterns[name]["detail"]["eventSource"]
            brought.setdefault(source, set()).update(called(patterns[name]))
    assert brought == CALLS


def test_what_is_told_past_our_code_comes_to_the_function_too(
    everything: Template, patterns: dict[str, Template]
) -> None:
    rules = of_type(everything, "AWS::Events::Rule")
    only = {name for name, rule in rules.items() if {target["Arn"] for target in rule["Targets"]} == {"SilenceTopic"}}
    assert only == {"OwnTrailTamperRule"}
    assert set(called(patterns["OwnTrailTamperRule"])) <= set(called(patterns["TrailTamperRule"]))


def test_a_stopped_trail_is_told_past_our_code_only_where_it_is_the_stacks_own_as_the_readme_says(
    everything: Template, root: Path
) -> None:
    rules = of_type(everything, "AWS::Events::Rule")
    assert [target["Arn"] for target in rules["TrailTamperRule"]["Targets"]] == ["HealthFunction.Arn"]
    assert "past its own code too unless the trail is yours" in " ".join((root / "README.md").read_text().split())


@pytest.mark.parametrize(
    ("partition", "region"),
    [
        ("aws", "us-east-1"),
        ("aws-us-gov", "us-gov-west-1"),
        ("aws-cn", "cn-north-1"),
        ("aws-eusc", "eusc-de-east-1"),
    ],
)
def test_roles_are_watched_by_events_where_a_partition_has_iams_and_nowhere_else(
    template: Template, partition: str, region: str
) -> None:
    place = EVERYTHING | {"AWS::Partition": partition, "AWS::Region": region}
    assert "RoleTamperRule" in patterns_of(Deployment(template, place))
    assert "RoleTamperRule" not in patterns_of(Deployment(template, place | {"AWS::Region": f"{region}-elsewhere"}))


# ---- what EventBridge takes ------------------------------------------------------------------------------------------

SUFFIX, YES_NO = "1A2B3C4D5E6F7", ("yes", "no")  # pragma: allowlist secret - made up
RULES = sorted(patterns_of(Deployment(written(), EVERYTHING)))
PARTITIONS = [("aws", "us-east-1"), ("aws", "ap-southeast-2"), ("aws-us-gov", "us-gov-west-1")]


def sizes(template: Template, length: int, **parameters: str) -> dict[str, int]:
    """The longest that each rule's pattern gets in any of the places, written with blanks."""
    found: dict[str, int] = {}
    for partition, region in PARTITIONS:
        place = {"AWS::StackName": "s" * length, "AWS::Partition": partition, "AWS::Region": region}
        deployment = Deployment(template, EVERYTHING | place | parameters, physical_names(place, SUFFIX))
        for rule, pattern in patterns_of(deployment).items():
            found[rule] = max(found.get(rule, 0), len(json.dumps(pattern)))
    return found


@pytest.mark.parametrize("length", [20, LONGEST_STACK_NAME, 40])
@pytest.mark.parametrize("rule", RULES)
def test_a_pattern_fits_the_quota_with_names_as_long_as_they_get(template: Template, length: int, rule: str) -> None:
    assert sizes(template, length)[rule] <= QUOTA


@pytest.mark.parametrize("length", [20, LONGEST_STACK_NAME, 40])
def test_without_the_drill_every_pattern_fits(template: Template, length: int) -> None:
    found = sizes(template, length, Drill="no")
    assert found.keys() == set(RULES)
    assert max(found.values()) <= QUOTA


def test_no_list_in_a_pattern_is_ever_empty(template: Template) -> None:
    # EventBridge refuses a pattern with an empty list, and with it the whole deployment
    for watch, drill, trail, region in itertools.product(YES_NO, YES_NO, ("none", "all"), ("us-east-1", "eu-west-1")):
        chosen = {"WatchVersionDeletes": watch, "Drill": drill, "Trail": trail, "AWS::Region": region}
        for rule, pattern in patterns_of(Deployment(template, chosen)).items():
            assert "[]" not in json.dumps(pattern), (rule, chosen)


def test_names_begin_with_the_stacks_up_to_a_length_and_no_further() -> None:
    # what begins with ${AWS::StackName}- hangs on it: two of the tamper rules, the function's permission, its role
    def cut(length: int) -> set[str]:
        stack = "s" * length
        names = physical_names({"AWS::StackName": stack}, SUFFIX)
        named = {part: names[part].rpartition("|")[2] for part, kind in kinds().items() if kind in AT_MOST_64}
        return {part for part, name in named.items() if not name.startswith(f"{stack}-{part}-")}

    assert not cut(LONGEST_STACK_NAME)
    assert cut(LONGEST_STACK_NAME + 1) == {"BucketNotificationRule"}


def test_the_stack_name_of_the_default_deployment_is_short_enough(root: Path) -> None:
    chosen = tomllib.loads((root / "samconfig.toml").read_text())
    assert len(chosen["default"]["global"]["parameters"]["stack_name"]) <= LONGEST_STACK_NAME
