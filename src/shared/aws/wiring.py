"""Rules and schedules: are they on, and are they what this version deploys?"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from shared.aws.parts import Part, Stack, bad, fine, is_gone
from shared.aws.trails import put_back
from shared.facts import Condition
from shared.settings import Settings


@cache
def expected() -> Mapping[str, Any]:
    """What this version deploys: rules and schedules, written by `make docs` out of template.yaml."""
    found: Mapping[str, Any] = json.loads(Path(__file__).with_name("deployed.json").read_text(encoding="utf-8"))
    return found


def rules(stack: Stack) -> Iterator[Condition]:
    """Rule: is it on, and what this version deploys?"""
    events, region = stack.clients("events"), stack.settings.aws_region
    for part in stack.of("AWS::Events::Rule"):
        bus, _, name = part.name.rpartition("|")  # so CloudFormation names the rules of a bus of our own
        on_bus = {"EventBusName": bus} if bus else {}
        try:
            rule = events.describe_rule(Name=name, **on_bus)
            targets = events.list_targets_by_rule(Rule=name, **on_bus)["Targets"]
        except ClientError as error:
            if not is_gone(error):
                raise
            yield bad("rule", "gone", f"{part.name} is gone: its events are lost", put_back(stack.settings), part)
            continue
        if rule["State"] == "DISABLED":
            where = f" --event-bus-name {bus}" if bus else ""
            mend = f"aws events enable-rule --region {region} --name {name}{where}"
            yield bad("rule", "off", f"{part.name} is switched off: its events are lost", mend, part)
        elif what := _difference(stack, part, json.loads(rule.get("EventPattern") or "{}"), targets):
            meaning = f"{part.name} is not what this version deploys ({what}): its events may be lost"
            yield bad("rule", "changed", meaning, put_back(stack.settings), part)
        else:
            yield fine("rule", f"{part.name} is on")


def _difference(stack: Stack, part: Part, pattern: Any, targets: Sequence[Mapping[str, Any]]) -> str:
    """What is not as it should be: empty, pattern, or targets."""
    wanted = expected()["rules"].get(part.logical_id)
    if wanted is None:
        return ""
    if pattern != _resolved(wanted["pattern"], stack):
        return "pattern"
    now = sorted(_target(each["Arn"], each) for each in targets)
    due = sorted(_target(_part_name(stack, each["to"]), _resolved(each["input"], stack)) for each in wanted["targets"])
    return "" if now == due else "targets"


def _target(arn: str, inputs: Mapping[str, Any]) -> tuple[str, str]:
    shaped = {name: inputs[name] for name in ("Input", "InputPath", "InputTransformer") if inputs.get(name)}
    return arn.replace("/", ":").rpartition(":")[2], json.dumps(shaped, sort_keys=True)


def _part_name(stack: Stack, logical_id: str) -> str:
    return stack.parts[logical_id].name if logical_id in stack.parts else logical_id


_NOTHING = object()


def _resolved(node: Any, stack: Stack) -> Any:
    """The template's references as CloudFormation filled them in; what was not deployed is left out of lists."""
    if isinstance(node, list):
        return [value for each in node if (value := _resolved(each, stack)) is not _NOTHING]
    if not isinstance(node, dict):
        return node
    if node.keys() == {"Ref"}:
        name = node["Ref"]
        return stack.parts[name].name if name in stack.parts else _PSEUDO.get(name, lambda _: _NOTHING)(stack.settings)
    if node.keys() == {"Fn::Sub"}:
        return _substituted(node["Fn::Sub"], stack)
    if node.keys() == {"Fn::If"}:  # of a part that may not be deployed
        then = _resolved(node["Fn::If"][1], stack)
        return _resolved(node["Fn::If"][2], stack) if then is _NOTHING else then
    found = {name: value for name, each in node.items() if (value := _resolved(each, stack)) is not _NOTHING}
    return _NOTHING if node and not found else found


_PSEUDO: Mapping[str, Callable[[Settings], str]] = {
    "AWS::StackName": lambda told: told.stack_name,
    "AWS::Region": lambda told: told.aws_region,
    "AWS::AccountId": lambda told: told.account_id,
    "AWS::Partition": lambda told: told.partition,
    "SweepRate": lambda told: told.sweep_rate,
}


def _substituted(text: str, stack: Stack) -> Any:
    for name, part in stack.parts.items():
        text = text.replace(f"${{{name}}}", part.name)
    for name, value in _PSEUDO.items():
        text = text.replace(f"${{{name}}}", value(stack.settings))
    return _NOTHING if "${" in text else text


def schedules(stack: Stack) -> Iterator[Condition]:
    """Schedule: is it on, and does it start what it should?"""
    scheduler = stack.clients("scheduler")
    for part in stack.of("AWS::Scheduler::Schedule"):
        wanted = expected()["schedules"].get(part.logical_id)
        if wanted is None:  # of a newer version, which is just being deployed
            continue
        try:
            found = scheduler.get_schedule(Name=part.name)
        except ClientError as error:
            if not is_gone(error):
                raise
            yield bad("schedule", "gone", f"{part.name} is gone: what it starts does not run", put_back(stack.settings))
            continue
        due = (_resolved(wanted["rate"], stack), _part_name(stack, wanted["to"]), wanted["input"])
        target = found["Target"]
        now = (found["ScheduleExpression"], target["Arn"].rpartition(":")[2], target.get("Input"))
        if found["State"] == "DISABLED":
            meaning = f"{part.name} is switched off: what it starts does not run"
            yield bad("schedule", "off", meaning, put_back(stack.settings))
        elif now != due:
            yield bad("schedule", "changed", f"{part.name} is not what this version deploys", put_back(stack.settings))
        else:
            yield fine("schedule", f"{part.name} is on")
