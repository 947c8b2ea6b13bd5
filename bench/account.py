"""An account with many buckets, for stub.py: S3, the Tagging API, a table, and a little of what else peers ask for.

Three of ten buckets are enrolled; of those one in ten is unprotected, and one in ten may not be read (`kind_of`).
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.stub import ACCOUNT, REGION, Answer, Call, as_json

PAGE = 100
TAG = ("mfa-delete", "required")
NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class Kind(StrEnum):
    """What a bucket is."""

    PROTECTED = "protected"
    UNPROTECTED = "unprotected"
    REFUSING = "unverifiable"
    OTHER = "not enrolled"


def name_of(number: int) -> str:
    """Of the bucket with this number."""
    return f"bucket-{number:05}"


def kind_of(number: int) -> Kind:
    """Three of ten are enrolled; of a hundred of those ten are unprotected, and ten may not be read."""
    if number % 10 >= 3:
        return Kind.OTHER
    enrolled = number // 10 * 3 + number % 10
    return {0: Kind.UNPROTECTED, 1: Kind.REFUSING}.get(enrolled % 10, Kind.PROTECTED)


def census(buckets: int) -> dict[Kind, int]:
    """How many there are of each kind."""
    kinds = [kind_of(number) for number in range(buckets)]
    return {kind: kinds.count(kind) for kind in Kind}


@dataclass
class Account:
    """The answers. `everything`: all buckets are enrolled and protected.

    slow_down_above: requests to S3 beyond so many in a second are answered with SlowDown; 0: none is.
    """

    buckets: int
    everything: bool = False
    slow_down_above: int = 0
    _second: list[float] = field(default_factory=lambda: [0.0, 0.0])
    table: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def __call__(self, call: Call) -> Answer:
        """By service."""
        if call.service == "s3":
            return _error("SlowDown", 503) if self._is_too_fast() else self._s3(call)
        if call.service == "tagging":
            return self._tagging(json.loads(call.body))
        if call.service == "dynamodb":
            return self._dynamodb(call.operation, json.loads(call.body))
        return _others(call)

    def _is_too_fast(self) -> bool:
        now, (began, asked) = time.monotonic(), self._second
        self._second = [began, asked + 1] if now - began < 1 else [now, 1]
        return 0 < self.slow_down_above < self._second[1]

    def _kind(self, bucket: str) -> Kind:
        return Kind.PROTECTED if self.everything else kind_of(int(bucket.rpartition("-")[2]))

    def _tags(self, number: int) -> dict[str, str]:
        enrolled = self.everything or kind_of(number) is not Kind.OTHER
        return {"team": "data"} | ({TAG[0]: TAG[1]} if enrolled else {})

    # S3

    def _s3(self, call: Call) -> Answer:
        if call.operation == "GET /":
            return self._list_buckets(call)
        if call.operation == "GET bucket?versioning":
            return self._versioning(self._kind(call.bucket))
        if call.operation == "GET bucket?tagging":
            tags = self._tags(int(call.bucket.rpartition("-")[2]))
            entries = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags.items())
            return _xml("Tagging", f"<TagSet>{entries}</TagSet>")
        return _PLAIN_ANSWERS.get(call.operation.partition("?")[2]) or _error("NotImplemented", 501)

    def _list_buckets(self, call: Call) -> Answer:
        size = int(call.query.get("max-buckets", self.buckets))
        start = int(call.query.get("continuation-token", 0))
        end = min(start + size, self.buckets)
        region = f"<BucketRegion>{REGION}</BucketRegion>" if "max-buckets" in call.query else ""
        made = "<CreationDate>2026-01-01T00:00:00.000Z</CreationDate>"
        listed = "".join(f"<Bucket><Name>{name_of(n)}</Name>{made}{region}</Bucket>" for n in range(start, end))
        token = f"<ContinuationToken>{end}</ContinuationToken>" if end < self.buckets else ""
        owner = "<Owner><ID>0</ID></Owner>"
        return _xml("ListAllMyBucketsResult", f"{owner}<Buckets>{listed}</Buckets>{token}")

    @staticmethod
    def _versioning(kind: Kind) -> Answer:
        if kind is Kind.REFUSING:
            return _error("AccessDenied", 403)
        mfa = "<MfaDelete>Enabled</MfaDelete>" if kind is Kind.PROTECTED else ""
        return _xml("VersioningConfiguration", f"<Status>Enabled</Status>{mfa}")

    # the Tagging API

    def _tagging(self, asked: dict[str, Any]) -> Answer:
        wanted = [each for each in range(self.buckets) if not asked.get("TagFilters") or TAG[0] in self._tags(each)]
        start, size = int(asked.get("PaginationToken") or 0), int(asked.get("ResourcesPerPage") or PAGE)
        mappings = [
            {
                "ResourceARN": f"arn:aws:s3:::{name_of(each)}",
                "Tags": [{"Key": key, "Value": value} for key, value in self._tags(each).items()],
            }
            for each in wanted[start : start + size]
        ]
        token = str(start + size) if start + size < len(wanted) else ""
        return as_json({"ResourceTagMappingList": mappings, "PaginationToken": token})

    # a table: what the guardrail asks of it, without its conditions

    def _dynamodb(self, operation: str, asked: dict[str, Any]) -> Answer:
        if operation == "Query":
            return self._query(asked)
        if operation == "GetItem":
            item = self.table.get(_key(asked["Key"]))
            return as_json({"Item": item} if item else {})
        for put in asked.get("TransactItems", []):
            item = put.get("Put", {}).get("Item")
            if item:
                self.table[_key(item)] = item
        if operation == "UpdateItem" and "confirmed" in asked["UpdateExpression"]:
            self.table[_key(asked["Key"])] = asked["Key"] | {"confirmed": asked["ExpressionAttributeValues"][":new"]}
        if operation == "DeleteItem":
            self.table.pop(_key(asked["Key"]), None)
        return as_json({})

    def _query(self, asked: dict[str, Any]) -> Answer:
        values = asked["ExpressionAttributeValues"]
        pk, prefix = values[":pk"]["S"], values.get(":sk", {}).get("S", "")
        start = tuple(each["S"] for each in asked.get("ExclusiveStartKey", {}).values())
        keys = sorted(key for key in self.table if key[0] == pk and key[1].startswith(prefix) and key > start)
        page = list(_within(1 << 20, (self.table[key] for key in keys)))
        last = {"pk": {"S": pk}, "sk": page[-1]["sk"]} if len(page) < len(keys) else None
        return as_json({"Items": page, "Count": len(page)} | ({"LastEvaluatedKey": last} if last else {}))


def _within(limit: int, items: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """As many as a page of DynamoDB holds."""
    size = 0
    for item in items:
        size += len(json.dumps(item))
        yield item
        if size >= limit:
            return


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _error(code: str, status: int = 404) -> Answer:
    return Answer(status=status, body=f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())


def _xml(name: str, inner: str = "") -> Answer:
    return Answer(body=f"<{name} {NS}>{inner}</{name}>".encode())


_OWNER = "<Owner><ID>0</ID></Owner><AccessControlList></AccessControlList>"
_PLAIN_ANSWERS = {
    "location": _xml("LocationConstraint"),
    "acl": _xml("AccessControlPolicy", _OWNER),
    "policy": _error("NoSuchBucketPolicy"),
    "policyStatus": _error("NoSuchBucketPolicy"),
    "replication": _error("ReplicationConfigurationNotFoundError"),
    "website": _error("NoSuchWebsiteConfiguration"),
    "lifecycle": _error("NoSuchLifecycleConfiguration"),
    "logging": _xml("BucketLoggingStatus"),
    "notification": _xml("NotificationConfiguration"),
    "encryption": _error("ServerSideEncryptionConfigurationNotFoundError"),
    "publicAccessBlock": _error("NoSuchPublicAccessBlockConfiguration"),
    "ownershipControls": _error("OwnershipControlsNotFoundError"),
    "object-lock": _error("ObjectLockConfigurationNotFoundError"),
    "cors": _error("NoSuchCORSConfiguration"),
    "requestPayment": _xml("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"),
    "intelligent-tiering": _xml("ListBucketIntelligentTieringConfigurationsOutput"),
    "accelerate": _xml("AccelerateConfiguration"),
}


def _others(call: Call) -> Answer:
    """STS, IAM, SNS, EC2 and CloudFormation: as much as is asked for at a start."""
    inner = _RESULTS.get(call.operation)
    if inner is None:
        error = f"<Error><Code>UnknownOperation</Code><Message>{call.operation}</Message></Error>"
        return Answer(status=400, body=f"<ErrorResponse>{error}</ErrorResponse>".encode())
    if call.service == "ec2":
        return Answer(body=f"<{call.operation}Response>{inner}</{call.operation}Response>".encode())
    result = f"<{call.operation}Result>{inner}</{call.operation}Result>"
    return Answer(body=f"<{call.operation}Response>{result}</{call.operation}Response>".encode())


def _entries(values: dict[str, str | int]) -> str:
    return "".join(f"<entry><key>{key}</key><value>{value}</value></entry>" for key, value in values.items())


_OUTPUTS = {
    "TableName": "guardrail",
    "AlertTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts",
    "DeadLetterUrl": "https://sqs.example.com/dead",
    "SilenceTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:silence",
}
_STACK = "".join(
    f"<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"
    for key, value in _OUTPUTS.items()
)
_USER = f"<Arn>arn:aws:iam::{ACCOUNT}:user/ada</Arn><UserId>AIDAEXAMPLE</UserId><Account>{ACCOUNT}</Account>"
_RESULTS = {
    "DescribeStacks": "<Stacks><member><StackName>guardrail</StackName><StackStatus>CREATE_COMPLETE</StackStatus>"
    f"<CreationTime>2026-01-01T00:00:00Z</CreationTime><Outputs>{_STACK}</Outputs></member></Stacks>",
    "ListStackResources": "<StackResourceSummaries></StackResourceSummaries>",
    "GetCallerIdentity": _USER,
    "GetAccountSummary": f"<SummaryMap>{_entries({'AccountMFAEnabled': 1})}</SummaryMap>",
    "ListVirtualMFADevices": "<IsTruncated>false</IsTruncated><VirtualMFADevices><member>"
    f"<SerialNumber>d</SerialNumber><User><Arn>arn:aws:iam::{ACCOUNT}:root</Arn></User></member></VirtualMFADevices>",
    "ListAccountAliases": "<IsTruncated>false</IsTruncated><AccountAliases></AccountAliases>",
    "GetTopicAttributes": f"<Attributes>{_entries({'SubscriptionsConfirmed': 1})}</Attributes>",
    "Publish": "<MessageId>1</MessageId>",
    "DescribeRegions": "<regionInfo><item><regionName>us-east-1</regionName>"
    "<optInStatus>opt-in-not-required</optInStatus><regionEndpoint>ec2.us-east-1.amazonaws.com</regionEndpoint></item></regionInfo>",
}
