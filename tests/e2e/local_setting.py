"""What the tests of the embedded cloud share; no tests of its own."""

import http.server
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud

MUST = "Mfa Authentication must be used for this request"
ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
ON = {"Status": "Enabled", "MFADelete": "Enabled"}
OFF = {"Status": "Enabled", "MFADelete": "Disabled"}
EXPIRE = {"Rules": [{"ID": "old", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}]}


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[str, int, str]:
    """Code, HTTP status and message a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def until[T](look: Callable[[], T], timeout_s: float = 20.0) -> T:
    """The first true value of `look`."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.03)
    return found


def versioning(cloud: Cloud, bucket: str) -> dict[str, str]:
    answer = cloud.client("s3").get_bucket_versioning(Bucket=bucket)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def put_version(cloud: Cloud, bucket: str, key: str = "report.csv") -> str:
    return str(cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")["VersionId"])


def records_of(cloud: Cloud, bucket: str, name: str) -> list[dict[str, Any]]:
    return [
        each
        for each in cloud.records()
        if (each["requestParameters"] or {}).get("bucketName") == bucket and each["eventName"] == name
    ]


def make_queue(cloud: Cloud, name: str) -> tuple[str, str]:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:111122223333:{name}"
    policy = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    return url, arn


def receive(cloud: Cloud, url: str) -> list[dict[str, Any]]:
    messages = cloud.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
    )
    return list(messages.get("Messages", []))


def make_rule(cloud: Cloud, name: str, pattern: dict[str, Any], target: dict[str, Any]) -> None:
    events = cloud.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "1"} | target])


def on_bucket(bucket: str) -> dict[str, Any]:
    return {"source": ["aws.s3"], "detail": {"requestParameters": {"bucketName": [bucket]}}}


def make_function(cloud: Cloud, name: str, source: str) -> str:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
                            "Action": "sts:AssumeRole"}]}  # fmt: skip
    iam = cloud.client("iam")
    role = iam.create_role(RoleName=f"{name}-role", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=f"{name}-role", PolicyName="all", PolicyDocument=json.dumps(ALLOW_ALL))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", source)
    made = cloud.client("lambda").create_function(
        FunctionName=name, Runtime="python3.13", Role=role, Handler="app.handler", Code={"ZipFile": packed.getvalue()}
    )
    return str(made["FunctionArn"])


@contextmanager
def posted_to[T](kept: Callable[[http.server.BaseHTTPRequestHandler], T]) -> Iterator[tuple[str, list[T]]]:
    """A web server on this machine: its address, and what `kept` makes of each request that is posted to it."""
    got: list[T] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(kept(self))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
