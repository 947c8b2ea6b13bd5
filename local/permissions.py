"""Where ministack names an action or a resource otherwise than AWS's service authorization reference does.

And where it asks no policy that AWS asks: that of an event bus, when a caller puts events there.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from local import emulator


def install() -> None:
    """Stand in front of ministack's mapping of calls to actions and resources."""
    emulator.iam_actions.extract_iam_action = _with_reads(emulator.iam_actions.extract_iam_action)
    emulator.iam_actions.extract_resource_arn = _with_resources(emulator.iam_actions.extract_resource_arn)
    emulator.iam_evaluator._resource_policy = _with_buses(emulator.iam_evaluator._resource_policy)


def service_may(
    policy: Any, service: str, action: str, resource_arn: str, source_arn: str, context: Mapping[str, str] | None = None
) -> bool:
    """Whether a resource's policy lets a service of AWS act there on behalf of `source_arn`, of this account.

    context: condition keys besides aws:SourceArn and aws:SourceAccount, in lower case.
    """
    asked = emulator.iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource_arn,
        region=emulator.responses.get_region(),
        service_context={
            "aws:sourcearn": source_arn,
            "aws:sourceaccount": emulator.responses.get_account_id(),
            **(context or {}),
        },
    )
    return bool(emulator.iam_evaluator.evaluate_resource_policy(policy, asked, service=service).decision == "Allow")


def _with_buses(policy_of: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    def policy_and_owner(service: str, resource_arn: str) -> Any:
        bus = emulator.arn.parse_arn(resource_arn) if ":event-bus/" in resource_arn else None
        if service != "events" or bus is None:
            return policy_of(service, resource_arn)
        policies, name = emulator.eventbridge._event_bus_policies, bus.resource.removeprefix("event-bus/")
        return policies.get_scoped(bus.account_id, bus.region, name), bus.account_id

    return policy_and_owner


_VERBS = {"GET": "Get", "DELETE": "Delete"}


def _with_reads(extract: Callable[..., str | None]) -> Callable[..., str | None]:
    def extracted(service: str, method: str, path: str, *more: Any) -> str | None:
        # ministack takes every call on these for the one that sets, or lists, them
        if service == "lambda" and path.rstrip("/").endswith("/concurrency"):
            return f"lambda:{_VERBS.get(method, 'Put')}FunctionConcurrency"
        if service == "lambda" and "/event-source-mappings/" in path.rstrip("/"):
            return f"lambda:{_VERBS.get(method, 'Update')}EventSourceMapping"
        found = extract(service, method, path, *more)
        # a batch is authorized as its single calls are (SQS developer guide, API permissions)
        return found.removesuffix("Batch") if service == "sqs" and found else found

    return extracted


def _with_resources(extract: Callable[..., str]) -> Callable[..., str]:
    def extracted(service: str, method: str, path: str, *more: Any) -> str:
        found = extract(service, method, path, *more)
        if service == "monitoring" and found == "*":
            # so AWS says when it refuses, however the alarms are named (aws-samples/amazon-cloudwatch-auto-alarms#1)
            called = emulator.iam_actions.extract_iam_action(service, method, path, *more[:3])
            return f"arn:aws:cloudwatch:{more[3]}:{more[4]}:alarm:*" if called == "cloudwatch:DescribeAlarms" else "*"
        if service != "events":
            return found
        if more[0].get("x-amz-target", "").endswith("EventBus"):  # whose Name is the bus's
            return found.replace(":rule/default/", ":event-bus/")
        # a rule of the default bus has no bus in its ARN, and calls on targets name the rule otherwise
        rule = _rule_named(more[1])
        if rule:
            region, account = more[3], more[4]
            return f"arn:aws:events:{region}:{account}:rule/{rule}"
        return found.replace(":rule/default/", ":rule/")

    return extracted


def _rule_named(body: bytes) -> str:
    """`rule`, or `bus/rule` where it is on another bus than the default one."""
    try:
        asked = json.loads(body or b"{}")
    except ValueError:
        return ""
    rule, bus = (asked.get(name) for name in ("Rule", "EventBusName")) if isinstance(asked, dict) else ("", "")
    if not isinstance(rule, str):
        return ""
    return f"{bus}/{rule}" if isinstance(bus, str) and bus != "default" else rule
