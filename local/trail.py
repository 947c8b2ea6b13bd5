"""CloudTrail records of the S3 calls the server saw, shaped like captured ones, put on the default bus."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from local import emulator
from local.exchange import Answer, Request
from local.identity import Caller, user_identity

Record = dict[str, Any]

_DATA_EVENTS = {"DeleteObject", "DeleteObjects"}
_RECORDED = _DATA_EVENTS | {
    "PutBucketVersioning", "CreateBucket", "DeleteBucket", "PutBucketTagging", "DeleteBucketTagging",
    "PutBucketLifecycle", "DeleteBucketLifecycle", "PutBucketPolicy", "DeleteBucketPolicy",
    "PutBucketNotification",
}  # fmt: skip
# The SDK repeats these in the right Region; recording them too would publish one deed twice.
_REPEATED_ELSEWHERE = {301, 307}
# Not recorded: the same by code, and callers who could not prove who they are.
_UNRECORDED_CODES = {
    "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "SignatureDoesNotMatch",
    "InvalidAccessKeyId", "InvalidToken", "ExpiredToken", "RequestTimeTooSkewed",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Where a bucket lives."""

    name: str
    owner: str
    region: str

    @property
    def arn(self) -> str:
        return f"arn:aws:s3:::{self.name}"

    @property
    def host(self) -> str:
        return f"{self.name}.s3.{self.region}.amazonaws.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A finished S3 call; times are epoch seconds."""

    request: Request
    answer: Answer
    caller: Caller
    bucket: Bucket
    request_id: str
    started: float
    ended: float


def locate(name: str, caller: Caller, region: str) -> Bucket:
    """The bucket as it is now; one that does not exist is taken to be the caller's, in the Region called."""
    for (account, each), record in list(emulator.s3._buckets._data.items()):
        if each == name:
            return Bucket(name=name, owner=account, region=record.get("region") or "us-east-1")
    return Bucket(name=name, owner=caller.account, region=region)


def is_recorded(request: Request) -> bool:
    return request.service == "s3" and request.operation in _RECORDED


def records(call: Call) -> Iterator[Record]:
    """The records CloudTrail would deliver; none for an attempt the SDK repeats in another Region or a forged one."""
    code, _ = call.answer.error
    if call.answer.status in _REPEATED_ELSEWHERE or code in _UNRECORDED_CODES:
        return
    yield _record(call)
    if call.request.operation == "DeleteObjects" and call.answer.status == 200:
        yield from _key_records(call)


def publish(record: Record) -> None:
    """Put one record on the default bus of its account and Region."""
    account, region = record["recipientAccountId"], record["awsRegion"]
    event = {
        "EventId": str(uuid.uuid4()),
        "Source": f"aws.{record['eventSource'].partition('.')[0]}",
        "DetailType": "AWS API Call via CloudTrail",
        "Detail": json.dumps(record),
        "EventBusName": "default",
        "Time": int(time.time()),
        "Resources": [],
        "Account": account,
        "Region": region,
    }
    with emulator.responses.request_scope(account, region):
        emulator.eventbridge._dispatch_event(event)


def _record(call: Call) -> Record:
    operation = call.request.operation
    is_data = operation in _DATA_EVENTS
    code, message = call.answer.error
    record: Record = {
        "eventVersion": "1.11",
        "userIdentity": user_identity(call.caller, call.bucket.owner),
        "eventTime": datetime.fromtimestamp(call.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "s3.amazonaws.com",
        "eventName": operation,
        "awsRegion": call.bucket.region,
        "sourceIPAddress": "127.0.0.1",
        "userAgent": f"[{call.request.headers.get('user-agent', '')}]",
        "requestParameters": _parameters(call),
        "responseElements": _response_elements(call),
        "additionalEventData": _additional(call),
        "requestID": call.request_id,
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "resources": _resources(call.bucket, operation, call.request.bucket_and_key[1]),
        "eventType": "AwsApiCall",
        "managementEvent": not is_data,
        "recipientAccountId": call.bucket.owner,
        "eventCategory": "Data" if is_data else "Management",
    }
    if operation == "CreateBucket":
        del record["resources"]  # absent in every captured CreateBucket
    if code:
        record |= {"errorCode": code, "errorMessage": message}
    return record


def _parameters(call: Call) -> dict[str, Any]:
    _, key = call.request.bucket_and_key
    parameters: dict[str, Any] = {"bucketName": call.bucket.name, "Host": call.bucket.host}
    parameters |= {name: values[0] for name, values in call.request.query.items()}
    if key:
        parameters["key"] = key
    if call.request.operation == "PutBucketPolicy":
        parameters["bucketPolicy"] = _as_json(call.request.body)
    elif call.request.body and call.request.operation not in _DATA_EVENTS:
        parameters |= _as_xml(call.request.body)
    return parameters


def _as_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return ""


def _as_xml(body: bytes) -> dict[str, Any]:
    try:
        root = ElementTree.fromstring(body)  # noqa: S314  # of a caller on this machine
    except ElementTree.ParseError:
        return {}
    value = xml_value(root)
    namespace = root.tag.partition("}")[0].lstrip("{") if root.tag.startswith("{") else ""
    if namespace and isinstance(value, dict):
        value["xmlns"] = namespace
    elif namespace:
        value = {"xmlns": namespace}
    return {_local_name(root): value}


def xml_value(element: ElementTree.Element) -> Any:
    """XML as CloudTrail types it: one child is an object, several of a name a list, `true` a boolean, `1` a number."""
    if not len(element):
        return _scalar((element.text or "").strip())
    children: dict[str, Any] = {}
    for child in element:
        name, value = _local_name(child), xml_value(child)
        if name not in children:
            children[name] = value
        elif isinstance(children[name], list):
            children[name].append(value)
        else:
            children[name] = [children[name], value]
    return children


def _scalar(text: str) -> str | bool | int:
    if text in ("true", "false"):
        return text == "true"
    is_plain_number = text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0"))
    return int(text) if is_plain_number else text


def _local_name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _response_elements(call: Call) -> dict[str, str] | None:
    if call.request.operation != "DeleteObject" or call.answer.status >= 300:
        return None
    elements = {name: call.answer.header(name) for name in ("x-amz-version-id", "x-amz-delete-marker")}
    return {name: value for name, value in elements.items() if value} or None


def _additional(call: Call) -> dict[str, Any]:
    return {
        "SignatureVersion": "SigV4",
        "AuthenticationMethod": "AuthHeader",
        "bytesTransferredIn": len(call.request.body),
        "bytesTransferredOut": len(call.answer.body),
        "httpStatusCode": call.answer.status,
        "startTime": int(call.started * 1000),
        "endTime": int(call.ended * 1000),
        "x-amz-id-2": call.answer.header("x-amz-id-2"),
    }


def _resources(bucket: Bucket, operation: str, key: str) -> list[dict[str, str]]:
    resources = [{"accountId": bucket.owner, "type": "AWS::S3::Bucket", "ARN": bucket.arn}]
    if operation == "DeleteObject":
        resources.append({"type": "AWS::S3::Object", "ARN": f"{bucket.arn}/{key}"})
    elif operation == "DeleteObjects":
        resources.append({"type": "AWS::S3::Object", "ARNPrefix": f"{bucket.arn}/"})
    return resources


def _key_records(call: Call) -> Iterator[Record]:
    """One DeleteObject per key of a batch that went through, as CloudTrail does since 2025-06."""
    answers = _batch_answers(call.answer.body)
    for entry in _children(call.request.body, "Object"):
        key, version = entry.get("Key", ""), entry.get("VersionId", "")
        said = answers.get((key, version), {})
        record = _record(call) | {
            "eventName": "DeleteObject",
            "requestParameters": {"bucketName": call.bucket.name, "Host": call.bucket.host, "key": key}
            | ({"versionId": version} if version else {}),
            "responseElements": _batch_elements(said),
            "resources": _resources(call.bucket, "DeleteObject", key),
        }
        if "Code" in said:
            record |= {"errorCode": said["Code"], "errorMessage": said.get("Message", "")}
        yield record


def _batch_answers(body: bytes) -> dict[tuple[str, str], dict[str, str]]:
    entries = [*_children(body, "Deleted"), *_children(body, "Error")]
    return {(each.get("Key", ""), each.get("VersionId", "")): each for each in entries}


def _batch_elements(said: dict[str, str]) -> dict[str, str] | None:
    version = said.get("DeleteMarkerVersionId") or said.get("VersionId")
    if "Code" in said or not version:
        return None
    marker = {"x-amz-delete-marker": "true"} if said.get("DeleteMarker") == "true" else {}
    return {"x-amz-version-id": version} | marker


def _children(body: bytes, name: str) -> list[dict[str, str]]:
    root = ElementTree.fromstring(body)  # noqa: S314  # of a caller on this machine
    return [
        {_local_name(child): child.text or "" for child in each} for each in root.iter() if _local_name(each) == name
    ]
