"""Event buses of other accounts and Regions as targets: forwarded where role and bus policy allow it, else refused.

ministack keeps bus policies and honours none (permissions.py has it ask them of callers), drops what a rule sends to
another account or Region, and does not know AWS::Events::EventBusPolicy. On AWS an event keeps its account and Region,
and goes by a role that the rule names; where the bus admits an organization there has to be one (EventBridge API
reference, PutPermission).
"""

import json
from collections.abc import Callable
from typing import Any

from local import emulator

Target = dict[str, Any]
Event = dict[str, Any]

_BUS = "event-bus/"


def install() -> None:
    """Stand in front of ministack's delivery to targets; what may not be forwarded is dead_letters.py's business."""
    eventbridge, handlers = emulator.eventbridge, emulator.provisioners._RESOURCE_HANDLERS
    eventbridge._invoke_target = _or_forward(eventbridge._invoke_target)
    handlers["AWS::Events::EventBusPolicy"] = {"create": _create, "update": _update, "delete": _delete}
    handlers["AWS::Events::Rule"] = _named_by_bus(handlers["AWS::Events::Rule"])
    for module in (emulator.create_stack, emulator.stacks):
        module._evaluate_conditions = _knowing_the_place(module._evaluate_conditions)


def _or_forward(invoke: Callable[..., None]) -> Callable[..., None]:
    def invoke_or_forward(target: Target, event: Event, source: dict[str, Any], view: Any = None) -> None:
        bus = bus_elsewhere(target)
        if bus is None:
            invoke(target, event, source, view)
            return
        kept = {"Account": event["Account"], "Region": event["Region"], "EventBusName": bus.resource.removeprefix(_BUS)}
        with emulator.responses.request_scope(bus.account_id, bus.region):
            emulator.eventbridge._dispatch_event(event | kept)

    return invoke_or_forward


def bus_elsewhere(target: Target) -> Any:
    """The parsed ARN of a target that is a bus of another account or Region; None for any other."""
    spec = emulator.arn.parse_arn(str(target.get("Arn", "")))
    is_bus = spec.service == "events" and spec.resource.startswith(_BUS)
    return spec if is_bus and not emulator.eventbridge._target_matches_request_scope(spec) else None


def refusal(target: Target, event: Event, rule_arn: str) -> str | None:
    """Why a bus elsewhere would not take the event of a rule, as an EventBridge ERROR_CODE; None if it would."""
    bus = bus_elsewhere(target)
    buses, policies = emulator.eventbridge._event_buses, emulator.eventbridge._event_bus_policies
    name = bus.resource.removeprefix(_BUS)
    if not buses.get_scoped(bus.account_id, bus.region, name):
        return "NO_RESOURCE"
    policy = policies.get_scoped(bus.account_id, bus.region, name)
    account, role_arn = emulator.responses.get_account_id(), str(target.get("RoleArn", ""))
    context = emulator.iam_evaluator.EvalContext(
        principal_arn=role_arn,
        principal_type="AssumedRole",
        principal_account=account,
        action="events:PutEvents",
        resource_arn=str(target["Arn"]),
        region=bus.region,
        service_context={"events:source": [event["Source"]], "events:detail-type": [event["DetailType"]]},
    )
    admits = emulator.iam_evaluator.evaluate_resource_policy(policy, context).decision == "Allow"
    is_own = account == bus.account_id  # within an account the role's own permission is enough
    return None if _role_allows(role_arn, account, context, rule_arn) and (admits or is_own) else "NO_PERMISSIONS"


def _role_allows(role_arn: str, account: str, context: Any, rule_arn: str) -> bool:
    """Whether EventBridge may assume the role for the rule, and the role may put events on the bus."""
    name = role_arn.rpartition("/")[2]
    role = emulator.iam._roles.get_scoped(account, None, name) if role_arn.split(":")[4:5] == [account] else None
    if role is None:
        return False
    trust = role["AssumeRolePolicyDocument"]
    document = json.loads(trust) if isinstance(trust, str) else trust
    # a trust policy has no Resource, and what evaluates resource policies wants one
    statements = [statement | {"Resource": "*"} for statement in document["Statement"]]
    trusting = emulator.iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action="sts:AssumeRole",
        resource_arn="*",
        region=context.region,
        service_context={"aws:sourceaccount": account, "aws:sourcearn": rule_arn},
    )
    evaluator = emulator.iam_evaluator
    trusts = evaluator.evaluate_resource_policy({"Statement": statements}, trusting, service="events.amazonaws.com")
    allows = evaluator.evaluate(context, evaluator._gather_role_policies(name, account))
    return bool(trusts.decision == "Allow" and allows.decision == "Allow")


# CloudFormation -----------------------------------------------------------------------------------------------------


def _knowing_the_place(evaluate: Callable[..., dict[str, bool]]) -> Callable[..., dict[str, bool]]:
    """ministack leaves pseudo parameters in conditions as they are written. For spoke.yaml alone, by its parameter:

    template.yaml would get a rule more (RoleTamperRule), and docs/attacks.json records what is seen without it.
    """

    def evaluated(template: dict[str, Any], parameters: dict[str, Any]) -> dict[str, bool]:
        if "HubRegion" not in parameters:
            return evaluate(template, parameters)
        place = {"AWS::AccountId": emulator.responses.get_account_id(), "AWS::Region": emulator.responses.get_region()}
        return evaluate(template, parameters | {name: {"Value": value} for name, value in place.items()})

    return evaluated


def _create(_logical_id: str, properties: dict[str, Any], _stack_name: str) -> tuple[str, dict[str, str]]:
    bus, statement = properties.get("EventBusName", "default"), properties["Statement"]
    policies = emulator.eventbridge._event_bus_policies
    kept = [each for each in (policies.get(bus) or {}).get("Statement", []) if each.get("Sid") != statement["Sid"]]
    policies[bus] = {"Version": "2012-10-17", "Statement": [*kept, statement]}
    return f"{bus}|{properties['StatementId']}", {}


def _update(
    _physical_id: str, _old: dict[str, Any], new: dict[str, Any], stack_name: str
) -> tuple[str, dict[str, str]]:
    return _create("", new, stack_name)


def _delete(physical_id: str, _properties: dict[str, Any]) -> None:
    bus, _, sid = physical_id.partition("|")
    emulator.eventbridge._remove_permission({"EventBusName": bus, "StatementId": sid})


def _named_by_bus(handlers: dict[str, Any]) -> dict[str, Any]:
    """A rule of a bus of one's own is referred to as `bus|rule` (CloudFormation reference, AWS::Events::Rule)."""
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

    def named(properties: dict[str, Any], made: tuple[str, dict[str, str]]) -> tuple[str, dict[str, str]]:
        bus = emulator.provisioners._eb_rule_bus_name(properties)
        # A rate counts from the rule's making, which ministack notes of rules that come by API alone.
        rule = emulator.eventbridge._rules[emulator.eventbridge._rule_key(made[0], bus)]
        rule.setdefault("CreationTime", emulator.eventbridge._now_ts())
        return made if bus == "default" else (f"{bus}|{made[0]}", made[1])

    return handlers | {
        "create": lambda logical_id, new, stack: named(new, create(logical_id, new, stack)),
        "update": lambda was, old, new, *more: named(new, update(was.rpartition("|")[2], old, new, *more)),
        "delete": lambda was, properties: delete(was.rpartition("|")[2], properties),
    }
