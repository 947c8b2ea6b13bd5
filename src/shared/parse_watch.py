"""Raw events about the guardrail itself -> Trigger: calls on what it is made of, and its own clock.

Sources: CloudTrail record contents; the request parameters are those of each service's API, in lower camel case.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from shared import parse, quoting
from shared.facts import GUARDRAIL, BadEvent, BucketKey, Trigger, TriggerKind
from shared.watch import DEPLOY_CALLS, TRAIL_CALLS

CALLS: Mapping[str, frozenset[str]] = {
    "cloudtrail.amazonaws.com": TRAIL_CALLS | {"StartLogging"},
    "events.amazonaws.com": frozenset({
        "DisableRule", "DeleteRule", "PutRule", "PutTargets", "RemoveTargets", "PutPermission", "RemovePermission",
        "DeleteEventBus", "UpdateEventBus",
    }),
    "lambda.amazonaws.com": frozenset({
        "UpdateFunctionCode", "UpdateFunctionConfiguration", "DeleteFunction", "PutFunctionConcurrency",
        "AddPermission", "RemovePermission", "PutFunctionEventInvokeConfig", "UpdateFunctionEventInvokeConfig",
        "DeleteFunctionEventInvokeConfig", "UpdateEventSourceMapping", "DeleteEventSourceMapping",
    }),
    "scheduler.amazonaws.com": frozenset({"UpdateSchedule", "DeleteSchedule"}),
    "sqs.amazonaws.com": frozenset({
        "DeleteQueue", "PurgeQueue", "SetQueueAttributes", "AddPermission", "RemovePermission",
    }),
    "dynamodb.amazonaws.com": frozenset({
        "DeleteTable", "UpdateTable", "UpdateTimeToLive", "UpdateContinuousBackups",
    }),
    "kms.amazonaws.com": frozenset({"DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy"}),
    "monitoring.amazonaws.com": frozenset({"DeleteAlarms", "DisableAlarmActions", "PutMetricAlarm"}),
    "sns.amazonaws.com": frozenset({
        "DeleteTopic", "SetTopicAttributes", "Unsubscribe", "SetSubscriptionAttributes", "AddPermission",
        "RemovePermission",
    }),
    "iam.amazonaws.com": frozenset({
        "PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "DetachRolePolicy", "UpdateAssumeRolePolicy",
        "DeleteRole", "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary",
    }),
    "cloudformation.amazonaws.com": DEPLOY_CALLS | {"DeleteStack"},
    "s3.amazonaws.com": frozenset({"PutBucketNotification"}),
}  # fmt: skip
"""eventSource -> the calls of it that the tamper rules wait for (template.yaml)."""

_NAMES = (
    "name", "rule", "trailName", "functionName", "uUID", "queueUrl", "tableName", "keyId", "alarmName", "alarmNames",
    "topicArn", "subscriptionArn", "roleName", "stackName", "changeSetName", "bucketName",
)  # fmt: skip
"""Where the requests of these calls name what they are about."""
_API_DATE = re.compile(r"20[0-9]{6}(v[0-9]+)?$")


def guardrail_change(event: parse.Event, own: BucketKey, now: datetime) -> Trigger:
    """Read a call on the guardrail's parts out of an EventBridge event, or its own tick.

    own: account and Region of this stack, whatever the event says of them.
    Raises BadEvent for anything else.
    Source: events/disable-rule.our-rule.json
    """
    key = BucketKey(account=own.account, region=own.region, name=GUARDRAIL)
    if isinstance(event, Mapping) and isinstance(event.get("health"), str) and event["health"]:
        return Trigger(kind=TriggerKind.SWEEP, at=now, bucket=key)
    detail = parse.record(event)
    source, name = parse.text(detail, "eventSource"), _API_DATE.sub("", parse.text(detail, "eventName"))
    if name not in CALLS.get(source, frozenset()):
        raise BadEvent(f"{quoting.quoted(name)} of {quoting.quoted(source)} is not a change of the guardrail")
    named = tuple(_named(parse.mapping(detail.get("requestParameters"))))
    return parse.trigger_of(TriggerKind.GUARDRAIL_CHANGE, detail, key, event_name=name, resources=named)


def _named(asked: Mapping[str, Any]) -> Iterator[str]:
    for member in _NAMES:
        value = asked.get(member)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each:
                yield each[:256]
