"""A whole guardrail on moto: table, topic with a queue behind it, dead letters, a clock that tests move.

moto drops MFADelete, so GetBucketVersioning's answer is completed here from `Stage.mfa_delete` (by a hook on the
client, no private names); everything else is moto's own.
"""

import copy
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aws_lambda_powertools.metrics.provider import cold_start
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.dynamodb.models.table import Table

from shared import deletes, guardrail, sweep, telling
from shared.aws import calling
from shared.aws.buckets import RootUser
from shared.guardrail import Guardrail
from shared.settings import from_env

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import TagTypeDef

ACCOUNT = "123456789012"  # moto's own
TAG: "TagTypeDef" = {"Key": "mfa-delete", "Value": "required"}


@dataclass
class Stage:
    """AWS as a test sets it up, and what came out."""

    env: dict[str, str]
    now: datetime = field(default_factory=lambda: datetime(2026, 9, 25, 9, 15, tzinfo=UTC))
    mfa_delete: dict[str, str] = field(default_factory=dict)
    denied: set[tuple[str, str]] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    listens: bool = True  # moto always says that no subscription is confirmed
    root: dict[str, int] = field(
        default_factory=lambda: {"AccountAccessKeysPresent": 0, "AccountMFAEnabled": 1, "AccountPasswordPresent": 1}
    )
    kept: list[dict[str, Any]] = field(default_factory=list)
    root_device: str = f"arn:aws:iam::{ACCOUNT}:root"

    def __post_init__(self) -> None:
        self.s3 = boto3.client("s3")
        self.sqs = boto3.client("sqs")
        self.guard = Guardrail(from_env(self.env), lambda: self.now)
        self.watch(self.guard)
        iam = boto3.client("iam")  # moto knows nothing of root
        iam.meta.events.register("before-parameter-build.*.*", self._before)
        iam.meta.events.register("after-call.iam.GetAccountSummary", self._sum_up)
        iam.meta.events.register("after-call.iam.ListVirtualMFADevices", self._list_devices)
        self.guard.root = lambda place=None: RootUser(iam)  # type: ignore[method-assign]

    def watch(self, guard: Guardrail) -> None:
        """Count the guardrail's calls, let tests refuse them, and complete GetBucketVersioning."""
        for client in (guard.buckets._s3, guard.store._db, guard.topic._sns):
            events = client.meta.events
            events.register("before-parameter-build.*.*", self._before)
            events.register("after-call.s3.GetBucketVersioning", self._complete)
            events.register("after-call.sns.GetTopicAttributes", self._confirm)

    def _before(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        self.calls.append(model.name)
        context["bucket"] = params.get("Bucket", "")
        if (model.name, context["bucket"]) in self.denied:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, model.name)

    def _complete(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        if context["bucket"] in self.mfa_delete:
            parsed["MFADelete"] = self.mfa_delete[context["bucket"]]

    def _sum_up(self, parsed: dict[str, Any], **_: Any) -> None:
        parsed["SummaryMap"] = self.root

    def _list_devices(self, parsed: dict[str, Any], **_: Any) -> None:
        parsed["VirtualMFADevices"] = [{"SerialNumber": "d", "User": {"Arn": self.root_device}}]

    def _confirm(self, parsed: dict[str, Any], **_: Any) -> None:
        parsed["Attributes"]["SubscriptionsConfirmed"] = "1" if self.listens else "0"

    def bucket(self, name: str, *, tagged: bool = True, mfa_delete: str | None = None) -> str:
        """Make a bucket with versioning on."""
        self.s3.create_bucket(Bucket=name)
        self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        if tagged:
            self.s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [TAG]})
        if mfa_delete:
            self.mfa_delete[name] = mfa_delete
        return name

    def invoke(self, handler: Any, event: Any) -> dict[str, Any]:
        """Run a handler as Lambda would."""
        answer: dict[str, Any] = handler(event, None)
        return answer

    def messages(self) -> list[dict[str, Any]]:
        """What the topic's subscriber got since last asked: envelopes of SNS."""
        return [json.loads(body) for body, _ in self.drain(self.env["INBOX_URL"])]

    def keep(self) -> None:
        """Put what came into `kept`; SQS's lists are long to read anew."""
        self.kept += self.messages()

    def subjects(self) -> list[str]:
        """The subjects of what came since last asked."""
        return [message["Subject"] for message in self.messages()]

    def drain(self, url: str) -> list[tuple[str, dict[str, str]]]:
        """Bodies and attributes of all messages in a queue."""
        found = []
        while batch := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", []):
            for message in batch:
                attributes = {k: v["StringValue"] for k, v in message.get("MessageAttributes", {}).items()}
                found.append((message["Body"], attributes))
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def later(self, **delta: float) -> None:
        """Let time pass."""
        self.now += timedelta(**delta)


def _env() -> dict[str, str]:
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    inbox = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:us-east-1:{ACCOUNT}:inbox")
    boto3.client("dynamodb").create_table(
        TableName="guardrail",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return {
        "INBOX_URL": inbox,
        "TABLE_NAME": "guardrail",
        "ALERT_TOPIC_ARN": topic,
        "DEAD_LETTER_URL": sqs.create_queue(QueueName="dead-letters")["QueueUrl"],
        "PROTECT_TAG_KEY": TAG["Key"],
        "PROTECT_TAG_VALUE": TAG["Value"],
        "WATCH_VERSION_DELETES": "yes",
        "ACCOUNT_ID": ACCOUNT,
        "PARTITION": "aws",
        "ACCOUNT_NAME": "prod",
        "ROOT_CONTACT": "Ada, +1 555 0100",
        "SECURITY_CONTACT": "security@example.com",
        "SCRIPT_SHA256": "0" * 64,
        "STACK_NAME": "guardrail",
        "EXEMPTION_MAX_DAYS": "90",
        "GROUP_WINDOW_MINUTES": "60",
        "GROUP_THRESHOLD": "10",
        "ROOT_KEY_GRACE_MINUTES": "60",
        "HISTORY_DAYS": "400",
        "SWEEP_RATE": "rate(1 hour)",
        "VERSION": "0.1.0",
        "SECURITY_HUB": "no",
        "PAGE_FROM": "critical",
        "AWS_REGION": "us-east-1",
    }


def _copied(table: Table, _memo: Any) -> Table:
    """moto copies the table for every item of a transaction; ours only put whole items, so a shallow copy will do."""
    twin = copy.copy(table)
    twin.items = defaultdict(dict, {key: dict(rows) for key, rows in table.items.items()})
    return twin


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    """A stage of the test's own."""
    with staged(monkeypatch, tmp_path) as made:
        yield made


@contextmanager
def staged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    """AWS from nothing: no profile, endpoint or key of this machine is seen."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "MfaDeleteGuardrail")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "guardrail")
    with mock_aws():
        calling.sign_in()
        made = Stage(_env())
        made.guard.store.note_listener(confirmed=True)
        made.calls.clear()
        monkeypatch.setattr(guardrail, "shared_guardrail", lambda: made.guard)
        monkeypatch.setattr(sweep, "WORKERS", 1)  # a transaction of moto copies the whole table, by no thread in mind
        monkeypatch.setattr(telling, "EVERY", timedelta())
        monkeypatch.setattr(deletes, "WORKERS", 1)
        monkeypatch.setattr(Table, "__deepcopy__", _copied, raising=False)
        cold_start.reset_cold_start_flag()  # type: ignore[no-untyped-call]
        yield made
