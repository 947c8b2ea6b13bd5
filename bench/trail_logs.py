"""Log files of CloudTrail as an account of middling size has them: made up, seeded, shaped like captured records.

A mix of what fills real trails (roles assumed, keys used, objects read and written, instances described, functions and
pods at work), 0.9 to 2.6 KB a record, ids all different, so that gzip packs them about as it packs real ones. One
record in 1,000 is of a kind that the guardrail's rules let through; plain deletes and other calls on S3 are not.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

RELEVANT_EVERY = 1000
RECORDS_A_FILE = 4000
"""About 6 MB unpacked; real files are delivered every five minutes and hold from one record to some 10,000."""
ACCOUNT = "111122223333"
START = datetime(2026, 9, 1, tzinfo=UTC)
AGENTS = (
    "aws-sdk-java/2.25.11 Linux/5.10.210-201.852.amzn2.x86_64 OpenJDK_64-Bit_Server_VM/17.0.10+7-LTS Java/17.0.10",
    "Boto3/1.34.69 md/Botocore#1.34.69 ua/2.0 os/linux#6.1.79-99.164.amzn2023.x86_64 lang/python#3.11.8",
    "[aws-cli/2.15.30 Python/3.11.8 Linux/6.5.0-1016-aws exe/x86_64.ubuntu.22 prompt/off command/s3.cp]",
    "APN/1.0 HashiCorp/1.0 Terraform/1.7.5 (+https://www.terraform.io) terraform-provider-aws/5.42.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Safari/537.36",
    'kubelet/v1.29.1 (linux/amd64) "quoted" {braces} \\back\\slash',
    "ec2.amazonaws.com",
)
type Record = dict[str, Any]


class Account:
    """What an account's records draw on."""

    def __init__(self, seed: int) -> None:
        self.luck = Random(seed)  # noqa: S311  # the same records again, no secret
        self.at = START
        self.buckets = [f"example-{self.hexed(6)}-{word}" for word in ("data", "logs", "web", "lake", "backup") * 8]
        self.roles = [f"example-{word}-role" for word in ("app", "etl", "ci", "karpenter", "lambda", "batch") * 4]
        self.keys = [self.uuid() for _ in range(12)]

    def hexed(self, digits: int) -> str:
        return f"{self.luck.getrandbits(4 * digits):0{digits}x}"

    def uuid(self) -> str:
        text = self.hexed(32)
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def opaque(self, characters: int) -> str:
        return "".join(
            self.luck.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=characters)
        )

    def address(self) -> str:
        return f"10.{self.luck.randrange(256)}.{self.luck.randrange(256)}.{self.luck.randrange(256)}"

    def identity(self) -> Record:
        role = self.luck.choice(self.roles)
        session = f"i-{self.hexed(17)}" if self.luck.random() < 0.5 else f"session-{self.luck.randrange(10**10)}"
        principal = f"AROA{self.opaque(17).upper()}"
        created = (self.at - timedelta(minutes=self.luck.randrange(360))).strftime("%Y-%m-%dT%H:%M:%SZ")
        issuer = {
            "type": "Role", "principalId": principal, "arn": f"arn:aws:iam::{ACCOUNT}:role/{role}",
            "accountId": ACCOUNT, "userName": role,
        }  # fmt: skip
        return {
            "type": "AssumedRole", "principalId": f"{principal}:{session}",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}", "accountId": ACCOUNT,
            "accessKeyId": f"ASIA{self.opaque(16).upper()}",
            "sessionContext": {
                "sessionIssuer": issuer, "attributes": {"creationDate": created, "mfaAuthenticated": "false"},
            },
        }  # fmt: skip

    def record(self, service: str, name: str, *, read_only: bool = True, **members: Any) -> Record:
        """The members that all records have, in CloudTrail's order, then those given."""
        self.at += timedelta(milliseconds=self.luck.randrange(40))
        head = {
            "eventVersion": "1.11", "userIdentity": self.identity(),
            "eventTime": self.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": f"{service}.amazonaws.com", "eventName": name, "awsRegion": "us-east-1",
            "sourceIPAddress": self.address(), "userAgent": self.luck.choice(AGENTS),
        }  # fmt: skip
        tail = {
            "requestID": self.uuid(), "eventID": self.uuid(), "readOnly": read_only, "eventType": "AwsApiCall",
            "managementEvent": service != "s3", "recipientAccountId": ACCOUNT,
            "eventCategory": "Data" if service == "s3" else "Management",
            "tlsDetails": {
                "tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256",
                "clientProvidedHostHeader": f"{service}.us-east-1.amazonaws.com",
            },
        }  # fmt: skip
        return head | {"requestParameters": None, "responseElements": None} | members | tail

    def on_object(self, name: str, *, read_only: bool, **asked: Any) -> Record:
        """A data event of S3."""
        bucket = self.luck.choice(self.buckets)
        key = f"year=2026/month=09/part-{self.luck.randrange(10**5):05}-{self.uuid()}.c000.snappy.parquet"
        extra = {
            "SignatureVersion": "SigV4", "CipherSuite": "TLS_AES_128_GCM_SHA256",
            "bytesTransferredIn": self.luck.randrange(10**6), "AuthenticationMethod": "AuthHeader",
            "x-amz-id-2": self.opaque(76), "bytesTransferredOut": self.luck.randrange(10**8),
        }  # fmt: skip
        items = [
            {"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/{key}"},
            {"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"},
        ]
        asks = {"bucketName": bucket, "Host": f"{bucket}.s3.us-east-1.amazonaws.com", "key": key} | asked
        return self.record(
            "s3", name, read_only=read_only, requestParameters=asks, additionalEventData=extra, resources=items
        )


def _assume(account: Account) -> Record:
    role = f"arn:aws:iam::{ACCOUNT}:role/{account.luck.choice(account.roles)}"
    answered = {
        "credentials": {
            "accessKeyId": f"ASIA{account.opaque(16).upper()}", "sessionToken": account.opaque(380),
            "expiration": "Sep 1, 2026, 1:00:00 PM",
        },
        "assumedRoleUser": {"assumedRoleId": f"AROA{account.opaque(17)}:s", "arn": f"{role}/s"},
    }  # fmt: skip
    asked = {"roleArn": role, "roleSessionName": account.uuid(), "durationSeconds": 3600}
    return account.record("sts", "AssumeRole", requestParameters=asked, responseElements=answered)


def _decrypt(account: Account) -> Record:
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{account.luck.choice(account.keys)}"
    context = {"aws:s3:arn": f"arn:aws:s3:::{account.luck.choice(account.buckets)}"}
    return account.record(
        "kms", "Decrypt", requestParameters={"encryptionContext": context, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"},
        resources=[{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key}],
    )  # fmt: skip


def _describe(account: Account) -> Record:
    ids = [{"instanceId": f"i-{account.hexed(17)}"} for _ in range(account.luck.randrange(1, 12))]
    return account.record(
        "ec2", "DescribeInstances", requestParameters={"instancesSet": {"items": ids}, "filterSet": {}}
    )


def _start_query(account: Account) -> Record:
    query = 'SELECT "key", count(*) FROM "t" WHERE v = \'{"a":1},{"eventVersion":"x"}\'\n' * account.luck.randrange(
        1, 6
    )
    asked = {"queryString": query, "workGroup": "primary", "clientRequestToken": account.uuid()}
    return account.record("athena", "StartQueryExecution", read_only=False, requestParameters=asked)


def _interface(account: Account) -> Record:
    made = {
        "networkInterfaceId": f"eni-{account.hexed(17)}", "subnetId": f"subnet-{account.hexed(17)}",
        "macAddress": ":".join(account.hexed(2) for _ in range(6)), "privateIpAddress": account.address(),
        "tagSet": {"items": [{"key": "team", "value": account.hexed(4)}, {"key": "eventVersion", "value": "1"}]},
        "groupSet": {"items": [{"groupId": f"sg-{account.hexed(17)}", "groupName": "example"}] * 3},
    }  # fmt: skip
    return account.record("ec2", "CreateNetworkInterface", read_only=False, responseElements={"networkInterface": made})


KINDS: tuple[tuple[int, Callable[[Account], Record]], ...] = (
    (24, _assume),
    (16, _decrypt),
    (16, lambda account: account.on_object("GetObject", read_only=True)),
    (10, lambda account: account.on_object("PutObject", read_only=False)),
    (6, lambda account: account.on_object("DeleteObject", read_only=False)),
    (14, _describe),
    (4, _start_query),
    (6, _interface),
    (2, lambda account: account.record("s3", "GetBucketVersioning", requestParameters={"bucketName": "example"})),
    (2, lambda account: account.record("s3", "ListBuckets")),
)


def _relevant(account: Account) -> Record:
    if account.luck.random() < 0.5:
        return account.on_object("DeleteObject", read_only=False, versionId=account.opaque(32)) | {
            "errorCode": "AccessDenied", "errorMessage": "Mfa Authentication must be used for this request",
        }  # fmt: skip
    asked = {"bucketName": account.luck.choice(account.buckets), "tagging": ""}
    return account.record("s3", "PutBucketTagging", read_only=False, requestParameters=asked)


def records(account: Account) -> Iterator[Record]:
    """Without end; each 1,000th matters."""
    shares, makers = zip(*KINDS, strict=True)
    number = 0
    while True:
        number += 1
        if number % RELEVANT_EVERY == RELEVANT_EVERY // 2:
            yield _relevant(account)
        else:
            yield account.luck.choices(makers, shares)[0](account)


def write_logs(folder: Path, megabytes: int, seed: int = 1) -> tuple[int, int]:
    """Fill the folder as CloudTrail fills a bucket, with so many MB unpacked; returns records and bytes unpacked."""
    account, written, count = Account(seed), 0, 0
    stream = records(account)
    while written < megabytes * 1_000_000:
        batch = [next(stream) for _ in range(RECORDS_A_FILE)]
        text = json.dumps({"Records": batch}, separators=(",", ":")).encode()
        name = (
            f"{ACCOUNT}_CloudTrail_us-east-1_{account.at:%Y%m%dT%H%MZ}_{account.opaque(16).replace('/', 'x')}.json.gz"
        )
        path = folder / "AWSLogs" / ACCOUNT / "CloudTrail" / "us-east-1" / f"{account.at:%Y/%m/%d}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text, compresslevel=6))
        written, count = written + len(text), count + len(batch)
    return count, written
