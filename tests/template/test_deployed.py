"""What the look at itself compares with (src/shared/aws/deployed.json) is what template.yaml deploys.

A wrong resolution would be a false guardrail-blind in every look.
"""

import copy
import itertools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from shared import settings
from shared.aws import wiring
from shared.aws.parts import Part, Stack
from shared.facts import Condition, State
from tests.template.cloudformation import EVERYTHING, MADE_BY_SAM, PSEUDO, Deployment, Template, kinds, physical_names

CHOICES = [
    {"Drill": drill, "WatchVersionDeletes": watched, "Trail": trail, "SweepRate": rate, "AWS::Region": region} | hub
    for hub, drill, watched, (trail, rate), region in itertools.product(
        ({}, {"OrganizationId": "o-exampleorgid", "SpokeExternalId": "hub-and-spokes"}),
        ("yes", "no"),
        ("yes", "no"),
        (("none", "rate(1 hour)"), ("all", "rate(24 hours)")),
        ("us-east-1", "eu-west-1"),
    )
]
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class Aws:
    """Rules and schedules as AWS would answer after a deployment: the clients for events and scheduler."""

    def __init__(self, resources: Template, names: Mapping[str, str]) -> None:
        self.rules = {
            names[id_]: copy.deepcopy(each) for id_, each in _properties(resources, "AWS::Events::Rule").items()
        }
        found = _properties(resources, "AWS::Scheduler::Schedule")
        self.schedules = {names[id_]: copy.deepcopy(each) for id_, each in found.items()}

    def describe_rule(self, *, Name: str, EventBusName: str = "") -> dict[str, Any]:
        """EventPattern is JSON in a string."""
        rule = self._rule(Name, EventBusName)
        return {"Name": Name, "State": "ENABLED", "EventPattern": json.dumps(rule["EventPattern"])}

    def list_targets_by_rule(self, *, Rule: str, EventBusName: str = "") -> dict[str, Any]:
        """With the ARNs of what the template refers to."""
        return {"Targets": [each | {"Arn": _arn(each["Arn"])} for each in self._rule(Rule, EventBusName)["Targets"]]}

    def _rule(self, name: str, bus: str) -> Template:
        """CloudFormation names a rule of another bus by both."""
        return self.rules[f"{bus}|{name}" if bus else name]

    def get_schedule(self, *, Name: str) -> dict[str, Any]:
        """The same of a schedule."""
        schedule = self.schedules[Name]
        target = schedule["Target"] | {"Arn": _arn(schedule["Target"]["Arn"])}
        return {"State": "ENABLED", "ScheduleExpression": schedule["ScheduleExpression"], "Target": target}


def _properties(resources: Template, kind: str) -> dict[str, Template]:
    return {id_: entry["Properties"] for id_, entry in resources.items() if entry["Type"] == kind}


def _arn(reference: str) -> str:
    """`name.Arn`, `https://…/name.Arn` or an ARN, as the resolver leaves it."""
    if reference.startswith("arn:"):
        return reference
    return f"arn:aws:lambda:us-east-1:111122223333:function:{reference.removesuffix('.Arn').rpartition('/')[2]}"


def deployment(template: Template, chosen: Mapping[str, str]) -> tuple[Stack, Aws]:
    """The stack as the look sees it, and the AWS that it asks."""
    place = {**PSEUDO, **chosen, "AWS::StackName": "guardrail"}
    names = physical_names(place, "1A2B3C4D5E6F7")
    deployed = Deployment(template, place, names)
    resources = deployed.resources()
    ids = resources.keys() | {id_ for id_ in MADE_BY_SAM if "VersionDeleteFunction" in resources}
    parts = {
        id_: Part(logical_id=id_, kind=kinds()[id_], name=names[id_], changed_at=WHEN, changing=False) for id_ in ids
    }
    aws = Aws(resources, names)
    env = {name: "1" for name in settings.ENV_NAMES} | {
        "SECURITY_HUB": "no",
        "PAGE_FROM": "critical",
        "ACCOUNT_ID": place["AWS::AccountId"],
        "AWS_REGION": place["AWS::Region"],
        "PARTITION": place["AWS::Partition"],
        "STACK_NAME": "guardrail",
        "SWEEP_RATE": chosen.get("SweepRate", "rate(1 hour)"),
        "WATCH_VERSION_DELETES": "yes",
    }
    clients: Callable[..., Any] = lambda *_names, **_options: aws  # noqa: E731  # said once, in one line
    return Stack(settings=settings.from_env(env), clients=clients, parts=parts, enrolled=()), aws


def bad(found: list[Condition]) -> list[Condition]:
    """What is not fine."""
    return [condition for condition in found if condition.state is not State.FINE]


@pytest.mark.parametrize("chosen", CHOICES, ids=lambda chosen: "-".join(chosen.values()))
def test_what_was_just_deployed_is_fine(template: Template, chosen: dict[str, str]) -> None:
    stack, aws = deployment(template, chosen)
    rules, schedules = list(wiring.rules(stack)), list(wiring.schedules(stack))
    assert not bad(rules)
    assert not bad(schedules)
    assert (len(rules), len(schedules)) == (len(aws.rules), len(aws.schedules))
    assert aws.rules
    assert aws.schedules


def test_every_rule_and_schedule_of_the_template_is_compared(template: Template) -> None:
    # a rule that deployed.json does not know is taken as it is
    expected, types = wiring.expected(), kinds()
    assert expected["rules"].keys() == {id_ for id_, kind in types.items() if kind == "AWS::Events::Rule"}
    assert expected["schedules"].keys() == {id_ for id_, kind in types.items() if kind == "AWS::Scheduler::Schedule"}


RULES = sorted(id_ for id_, kind in kinds().items() if kind == "AWS::Events::Rule")


@pytest.mark.parametrize("rule", RULES)
def test_one_word_more_or_less_in_a_pattern_is_noticed(template: Template, rule: str) -> None:
    for change in ({"detail": {"eventName": ["nothing"]}}, {"account": ["999999999999"]}):
        stack, aws = deployment(template, EVERYTHING)
        name = stack.parts[rule].name
        aws.rules[name]["EventPattern"] |= change
        (condition,) = bad(list(wiring.rules(stack)))
        assert condition.problem == "rule-changed"
        assert f"{name} is not what this version deploys (pattern)" in condition.meaning


@pytest.mark.parametrize("rule", RULES)
def test_a_target_that_is_gone_another_or_fed_with_something_else_is_noticed(template: Template, rule: str) -> None:
    other = {"Id": "Function", "Arn": "arn:aws:lambda:us-east-1:111122223333:function:other"}
    for change in ([], [other], "input"):
        stack, aws = deployment(template, EVERYTHING)
        name = stack.parts[rule].name
        targets = aws.rules[name]["Targets"]
        aws.rules[name]["Targets"] = [each | {"Input": "{}"} for each in targets] if change == "input" else change
        (condition,) = bad(list(wiring.rules(stack)))
        assert f"{name} is not what this version deploys (targets)" in condition.meaning


@pytest.mark.parametrize("schedule", ["SweepSchedule", "OwedSchedule", "HealthSchedule", "DrillSchedule"])
@pytest.mark.parametrize(
    "change", [{"ScheduleExpression": "rate(365 days)"}, {"Target": {"Arn": "other.Arn"}}], ids=str
)
def test_another_rate_or_target_of_a_schedule_is_noticed(
    template: Template, schedule: str, change: dict[str, Any]
) -> None:
    stack, aws = deployment(template, EVERYTHING)
    aws.schedules[stack.parts[schedule].name] |= change
    (condition,) = bad(list(wiring.schedules(stack)))
    assert condition.problem == "schedule-changed"
