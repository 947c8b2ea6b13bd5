"""What bench/ counts with counts right: the account that it plays, and how a request is told from another."""

import json

import pytest

from bench.account import Account, Kind, census, kind_of
from bench.stub import Call, call_of
from bench.sweep import SETTINGS
from shared import settings

HEAD = (
    b"\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/eu-west-1/%s/aws4_request, SignedHeaders=host"
)


@pytest.mark.parametrize(
    ("service", "method", "target", "head", "body", "operation"),
    [
        (b"s3", "GET", "/vault?versioning", b"", b"", "GET bucket?versioning"),
        (b"s3", "GET", "/?max-buckets=1000&x-id=ListBuckets", b"", b"", "GET /"),
        (b"s3", "DELETE", "/vault/a/b?versionId=null", b"", b"", "DELETE key?versionId"),
        (b"dynamodb", "POST", "/", b"\r\nX-Amz-Target: DynamoDB_20120810.Query", b"{}", "Query"),
        (b"sns", "POST", "/", b"", b"Action=Publish&TopicArn=x", "Publish"),
        (b"lambda", "GET", "/2015-03-31/functions/x", b"", b"", "GET /2015-03-31/functions/x"),
    ],
)
def test_a_request_is_counted_by_what_it_asks(
    service: bytes, method: str, target: str, head: bytes, body: bytes, operation: str
) -> None:
    call = call_of(method, target, HEAD % service + head, body)
    assert (call.service, call.region, call.operation) == (service.decode(), "eu-west-1", operation)


def test_three_of_ten_buckets_are_enrolled_and_a_tenth_of_those_refuses_the_read() -> None:
    assert census(2000) == {Kind.PROTECTED: 480, Kind.UNPROTECTED: 60, Kind.REFUSING: 60, Kind.OTHER: 1400}


def asked(account: Account, service: str, operation: str, body: object = None, bucket: str = "") -> tuple[int, bytes]:
    text = json.dumps(body).encode()
    call = Call(service=service, region="us-east-1", operation=operation, bucket=bucket, query={}, body=text)
    answer = account(call)
    return answer.status, answer.body


def test_a_refusing_bucket_refuses_and_is_listed_all_the_same() -> None:
    account = Account(100)
    [refusing] = [f"bucket-{n:05}" for n in range(20) if kind_of(n) is Kind.REFUSING]
    assert asked(account, "s3", "GET bucket?versioning", bucket=refusing)[0] == 403
    _, listed = asked(account, "tagging", "GetResources", {"TagFilters": [{}]})
    assert len(json.loads(listed)["ResourceTagMappingList"]) == 30
    assert refusing.encode() in listed


def test_a_throttled_account_says_slow_down_beyond_its_limit() -> None:
    account = Account(10, slow_down_above=3)
    statuses = [asked(account, "s3", "GET bucket?versioning", bucket="bucket-00000")[0] for _ in range(5)]
    assert statuses == [200, 200, 200, 503, 503]


def test_the_measured_sweep_is_told_all_that_a_deployed_one_is() -> None:
    names = {name for name in SETTINGS if not name.startswith("POWERTOOLS_")}
    assert names <= settings.ENV_NAMES
    assert settings.from_env({**SETTINGS, "AWS_REGION": "eu-west-1"}).watch_version_deletes
