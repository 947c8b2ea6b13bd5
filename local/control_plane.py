"""CloudTrail records of calls that touch what a guardrail is made of: rules, functions, queues, keys, alarms, trails.

Left out: responseElements (always null), tlsDetails, and the calls CloudFormation makes on a stack's behalf.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local import wire
from local.exchange import Answer, Request
from local.identity import Caller, user_identity

Record = dict[str, Any]

# By signing name, which is also the first label of the event source. Values: what CloudTrail appends to the name.
_LAMBDA = {
    "UpdateFunctionCode": "20150331v2",
    "UpdateFunctionConfiguration": "20150331v2",
    "DeleteFunction": "20150331",
    "PutFunctionConcurrency": "20171031",
    "DeleteFunctionConcurrency": "20171031",
    "AddPermission": "20150331v2",
    "RemovePermission": "20150331v2",
    "PutFunctionEventInvokeConfig": "",
    "UpdateFunctionEventInvokeConfig": "",
    "DeleteFunctionEventInvokeConfig": "",
    "UpdateEventSourceMapping": "20150331",
    "DeleteEventSourceMapping": "20150331",
}
_RECORDED: dict[str, frozenset[str]] = {
    "events": frozenset({
        "DisableRule", "EnableRule", "DeleteRule", "PutRule", "RemoveTargets", "PutTargets", "DeleteEventBus",
    }),
    "lambda": frozenset(_LAMBDA),
    "scheduler": frozenset({"UpdateSchedule", "DeleteSchedule"}),
    "sqs": frozenset({"DeleteQueue", "PurgeQueue", "SetQueueAttributes"}),
    "dynamodb": frozenset({"DeleteTable", "UpdateTable", "UpdateTimeToLive", "UpdateContinuousBackups"}),
    "kms": frozenset({"DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy"}),
    "monitoring": frozenset({"DeleteAlarms", "DisableAlarmActions", "PutMetricAlarm", "SetAlarmState"}),
    "sns": frozenset({"DeleteTopic", "SetTopicAttributes", "Unsubscribe", "SetSubscriptionAttributes"}),
    "iam": frozenset(
        {
            "PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "DetachRolePolicy", "UpdateAssumeRolePolicy",
            "DeleteRole", "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary",
        }
    ),
    "cloudformation": frozenset({"UpdateStack", "ExecuteChangeSet", "DeleteStack"}),
    "cloudtrail": frozenset({"StopLogging", "StartLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"}),
}  # fmt: skip
_REST = {"lambda", "scheduler"}
# IAM is one for all Regions: its records come from this one, wherever the call was signed for.
_GLOBAL = {"iam": "us-east-1"}
_WITH_API_VERSION = {"events", "dynamodb"}
# Callers who could not prove who they are leave no record.
_UNRECORDED_CODES = {
    "InvalidSignatureException", "SignatureDoesNotMatch", "InvalidClientTokenId", "UnrecognizedClientException",
    "ExpiredToken", "ExpiredTokenException", "MissingAuthenticationToken", "IncompleteSignature",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A finished call; `started` is epoch seconds."""

    request: Request
    answer: Answer
    caller: Caller
    region: str
    operation: str
    started: float


def recorded_operation(request: Request) -> str:
    """The operation when CloudTrail's record of it is made here, else ""."""
    among = _RECORDED.get(request.service, frozenset())
    if among and request.service in _REST:
        return wire.rest_operation(request, among)
    return request.operation if request.operation in among else ""


def record(call: Call) -> Record | None:
    """The record of a call, None when its caller was not believed."""
    code, message = call.answer.error
    if code in _UNRECORDED_CODES:
        return None
    service, account = call.request.service, call.caller.account
    region = _GLOBAL.get(service, call.region)
    asked = wire.parameters(call.request, call.operation)
    made: Record = {
        "eventVersion": "1.11",
        "userIdentity": user_identity(call.caller, account),
        "eventTime": datetime.fromtimestamp(call.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{service}.amazonaws.com",
        "eventName": call.operation + (_LAMBDA[call.operation] if service == "lambda" else ""),
        "awsRegion": region,
        "sourceIPAddress": "127.0.0.1",
        "userAgent": call.request.headers.get("user-agent", ""),
        "requestParameters": asked,
        "responseElements": None,
        "requestID": call.answer.header("x-amzn-requestid") or str(uuid.uuid4()),
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
    }
    if code:
        made |= {"errorCode": code, "errorMessage": message}
    if service in _WITH_API_VERSION:
        made["apiVersion"] = wire.api_version(service)
    return made | _resources(service, region, account, asked or {})


def _resources(service: str, region: str, account: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The records of topics and keys name them once more."""
    if service == "sns" and "topicArn" in asked:
        kind, arn = "AWS::SNS::Topic", asked["topicArn"]
    elif service == "kms" and "keyId" in asked:
        kind, arn = "AWS::KMS::Key", asked["keyId"]
        arn = arn if arn.startswith("arn:") else f"arn:aws:kms:{region}:{account}:key/{arn}"
    else:
        return {}
    return {"resources": [{"accountId": account, "type": kind, "ARN": arn}]}
