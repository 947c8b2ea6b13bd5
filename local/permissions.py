"""Where ministack names an action or a resource otherwise than AWS's service authorization reference does."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from local import emulator


def install() -> None:
    """Stand in front of ministack's mapping of calls to actions and resources."""
    emulator.iam_actions.extract_iam_action = _with_reads(emulator.iam_actions.extract_iam_action)
    emulator.iam_actions.extract_resource_arn = _with_default_bus(emulator.iam_actions.extract_resource_arn)


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


def _with_default_bus(extract: Callable[..., str]) -> Callable[..., str]:
    def extracted(service: str, method: str, path: str, *more: Any) -> str:
        found = extract(service, method, path, *more)
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
