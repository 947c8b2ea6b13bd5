"""A storm: thousands of events, doubled, reordered and malformed, while AWS fails; and a model that says what must be.

The model knows nothing of the guardrail's code: it keeps what happened to each bucket and derives what must have been
told and what must be open when everything has come to rest.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import boto3
import botocore.exceptions
import pytest

from handlers import bucket_change, sweep, version_delete
from shared.aws.items import Owed
from shared.facts import Verdict
from shared.finding import Channel, Finding
from tests.functional.conftest import ACCOUNT, TAG, Stage
from tests.functional.events import batch, event
from tests.functional.faults import Faults
from tests.functional.test_handlers import key

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import LifecycleRuleTypeDef, TagTypeDef

FAULTY = 0.2
"""Of the calls to S3, DynamoDB and SNS."""
DOUBLED, REORDERED, MALFORMED = 0.1, 0.1, 0.05
TRIES, RECEIVES, BATCH = 3, 5, 10
USERS = [f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in ("ann", "bob", "eve")]
ROOT = {"type": "Root", "arn": f"arn:aws:iam::{ACCOUNT}:root", "accountId": ACCOUNT, "principalId": ACCOUNT}
GARBAGE: list[Any] = [
    None, [], "text", 7, {}, {"detail": None}, {"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail"},
    {"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "detail": {"eventSource": "s3.amazonaws.com"}},
]  # fmt: skip


DENIED = [
    f"delete-object.version-denied{why}" for why in ("", "-policy", "-object-lock", "-code-invalid", "-wrong-device")
]


@dataclass(frozen=True)
class Fate:
    """What befalls a bucket once, and what is then open and told."""

    event: str
    on: bool
    open: frozenset[str]
    told: str


FATES = {
    "deleted": Fate("delete-bucket.done", False, frozenset(), "bucket-deleted"),
    "exempted": Fate("put-bucket-tagging.single-tag", False, frozenset(), "exception-set"),
    "unreadable": Fate("put-bucket-policy.done", True, frozenset({"state-unverifiable"}), "state-unverifiable"),
    "expiring": Fate(
        "put-bucket-lifecycle.expires-noncurrent", False,
        frozenset({"mfa-delete-missing", "lifecycle-expires-versions"}), "lifecycle-expires-versions",
    ),
}  # fmt: skip
EACH = 3


class Crash(BaseException):
    """The function's process dies."""


@dataclass
class Bucket:
    """The model's bucket: what it is, and what must come of what happened to it."""

    name: str
    enrolled: bool
    on: bool
    suspended: bool = False
    off_told: bool = False
    untagged: bool = False
    offs: int = 0
    fate: Fate | None = None

    def open_states(self) -> set[str]:
        """Which findings about its state must be open at rest."""
        if self.fate:
            return set(self.fate.open)
        if not self.enrolled:
            return set()
        found = {"protection-tag-removed"} if self.untagged else set()
        if self.on:
            return found
        if self.off_told:
            return found | {"mfa-delete-disabled"}
        return found | ({"versioning-suspended"} if self.suspended else {"mfa-delete-missing"})


class Storm:
    """One run: `prepare`, `rage`, `settle`, and then `report`, which compares with the model."""

    def __init__(self, stage: Stage, events: int, seed: int) -> None:
        self.stage, self.wanted, self.luck = stage, events, random.Random(seed)
        self.faults = Faults(luck=random.Random(seed + 1))
        for client in (stage.guard.buckets._s3, stage.guard.store._db, stage.guard.topic._sns):
            self.faults.watch(client)
        self._pay, stage.guard.store.pay = stage.guard.store.pay, self._noted  # type: ignore[method-assign]
        self.buckets: list[Bucket] = []
        self.fated: list[Bucket] = []
        self.when: dict[int, Bucket] = {}
        self.deeds: Counter[tuple[str, str, str, str]] = Counter()
        self.queue: list[dict[str, Any]] = []
        self.receives: Counter[str] = Counter()
        self.dead: list[Any] = []
        self.failed: list[Any] = []
        self.delivered = self.doubled = self.malformed = self.crashes = self.invocations = 0
        self.sent: list[dict[str, Any]] = []
        self.messages = 0

    def prepare(self, enrolled: int = 12, others: int = 4) -> None:
        """Buckets that the guardrail has seen."""
        for number in range(enrolled + others):
            name, on = f"vault-{number:02}", number % 3 != 0
            self.stage.bucket(name, tagged=number < enrolled, mfa_delete="Enabled" if on else None)
            self.buckets.append(Bucket(name, enrolled=number < enrolled, on=on))
        for name, fate in FATES.items():
            for number in range(EACH):
                bucket = Bucket(f"{name}-{number}", enrolled=True, on=fate.on, fate=fate)
                self.stage.bucket(bucket.name, mfa_delete="Enabled" if fate.on else None)
                self.fated.append(bucket)
        self.when = dict(zip(self.luck.sample(range(self.wanted), len(self.fated)), self.fated, strict=True))
        self.stage.invoke(sweep.handler, {"sweep": "scheduled"})
        self._collect()

    def rage(self) -> None:
        """Live through the events, with faults."""
        self.faults.rate = FAULTY
        late: list[Callable[[], None]] = []
        for number in range(self.wanted):
            self.stage.later(seconds=self.luck.uniform(1, 15))
            deliver = self._happen(number)
            if self.luck.random() < REORDERED:
                late.append(deliver)
            else:
                deliver()
            if late and self.luck.random() < 0.1:
                late.pop(self.luck.randrange(len(late)))()
            self._meanwhile(number)
        for deliver in late:
            deliver()
        for _ in range(RECEIVES + 1):
            self._work_the_queue()

    def _meanwhile(self, number: int) -> None:
        if number % 10 == 9:
            self._work_the_queue()
        if number % 60 == 59:
            self._async(sweep.handler, {"sweep": "owed"})
        if number % 240 == 239:
            self._async(sweep.handler, {"sweep": "scheduled"})
        self._collect()

    def settle(self) -> None:
        """AWS works again: redrive what failed, sweep until nothing is owed."""
        self.faults.rate = 0.0
        for payload in self.failed:
            target = sweep.handler if isinstance(payload, dict) and "sweep" in payload else bucket_change.handler
            self.stage.invoke(target, payload)
        for body in self.dead:
            self.stage.invoke(version_delete.handler, batch(body))
        for _ in range(12):
            self.stage.later(minutes=6)
            self.stage.invoke(sweep.handler, {"sweep": "scheduled"})
            self._collect()

    # What happens, and how it is delivered

    def _happen(self, number: int) -> Callable[[], None]:
        if number in self.when:
            payload, handler = self._befall(self.when[number], f"event-{number}")
        elif self.luck.random() < MALFORMED:
            self.malformed += 1
            garbage = self.luck.choice(GARBAGE)
            if self.luck.random() < 0.5:
                return lambda: self._async(bucket_change.handler, garbage)
            return lambda: self._enqueue(garbage)
        else:
            acts = [self._turn, self._noise, self._refused_change, self._untag, *[self._delete] * 4, *[self._deny] * 4]
            payload, handler = self.luck.choice(acts)(self.luck.choice(self.buckets), f"event-{number}")
        times = 2 if self.luck.random() < DOUBLED else 1
        self.doubled += times - 1

        def deliver() -> None:
            for _ in range(times):
                self.delivered += 1
                if handler is None:
                    self._enqueue(payload)
                else:
                    self._async(handler, payload)

        return deliver

    def _turn(self, bucket: Bucket, event_id: str) -> tuple[Any, Any]:
        """Root turns MFA delete on or off, off only where that is known; others suspend and resume."""
        if bucket.on:
            with self._calm():
                memory = self.stage.guard.store.recall(key(bucket.name), now=self.stage.now)
            if bucket.enrolled and not (memory.last and memory.last.verdict is Verdict.PROTECTED):
                return self._noise(bucket, event_id)
            bucket.on, bucket.off_told = False, True
            bucket.offs += 1
            self.stage.mfa_delete[bucket.name] = "Disabled"
            return self._event("put-bucket-versioning.root-disables", bucket, event_id), bucket_change.handler
        if self.luck.random() < 0.3:
            bucket.suspended = not bucket.suspended
            status = "Suspended" if bucket.suspended else "Enabled"
            self._version(bucket, status)
            payload = self._event("put-bucket-versioning.suspended-in-console", bucket, event_id)
            payload["detail"]["requestParameters"]["VersioningConfiguration"]["Status"] = status
            return payload, bucket_change.handler
        bucket.on, bucket.off_told, bucket.suspended = True, False, False
        self._version(bucket, "Enabled")
        self.stage.mfa_delete[bucket.name] = "Enabled"
        return self._event("put-bucket-versioning.root-enables", bucket, event_id), bucket_change.handler

    def _befall(self, bucket: Bucket, event_id: str) -> tuple[Any, Any]:
        """What happens once to a bucket of its own."""
        assert bucket.fate
        until = f"{self.stage.now + timedelta(days=60):%Y-%m-%d}"
        tags: list[TagTypeDef] = [
            TAG,
            {"Key": "mfa-delete-exempt-until", "Value": until},
            {"Key": "mfa-delete-exempt-reason", "Value": "x"},
        ]
        rule: LifecycleRuleTypeDef = {
            "ID": "r",
            "Status": "Enabled",
            "Filter": {},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 9},
        }
        with self._calm():
            if bucket.fate is FATES["deleted"]:
                self.stage.s3.delete_bucket(Bucket=bucket.name)
            elif bucket.fate is FATES["exempted"]:
                self.stage.s3.put_bucket_tagging(Bucket=bucket.name, Tagging={"TagSet": tags})
            elif bucket.fate is FATES["unreadable"]:
                self.stage.denied.add(("GetBucketVersioning", bucket.name))
            else:
                self.stage.s3.put_bucket_lifecycle_configuration(
                    Bucket=bucket.name, LifecycleConfiguration={"Rules": [rule]}
                )
        return self._event(bucket.fate.event, bucket, event_id), bucket_change.handler

    def _version(self, bucket: Bucket, status: Any) -> None:
        with self._calm():
            self.stage.s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": status})

    def _noise(self, bucket: Bucket, event_id: str) -> tuple[Any, Any]:
        """A tool changes something that is not ours."""
        return self._event("put-bucket-policy.done", bucket, event_id), bucket_change.handler

    def _refused_change(self, bucket: Bucket, event_id: str) -> tuple[Any, Any]:
        self._deed(bucket, "versioning-change-denied", USERS[0])
        return self._by("put-bucket-versioning.suspend-denied", bucket, event_id, USERS[0]), bucket_change.handler

    def _untag(self, bucket: Bucket, event_id: str) -> tuple[Any, Any]:
        """The tag goes, or comes back."""
        if not bucket.enrolled or self.luck.random() < 0.7:
            return self._noise(bucket, event_id)
        bucket.untagged = not bucket.untagged
        if bucket.untagged:
            self._quietly(lambda: self.stage.s3.delete_bucket_tagging(Bucket=bucket.name))
        else:
            self._quietly(lambda: self.stage.s3.put_bucket_tagging(Bucket=bucket.name, Tagging={"TagSet": [TAG]}))
        return self._event("put-bucket-tagging.single-tag", bucket, event_id), bucket_change.handler

    def _delete(self, bucket: Bucket, event_id: str) -> tuple[Any, Any]:
        user = self.luck.choice(USERS)
        self._deed(bucket, "version-deleted", user)
        return self._by("delete-object.version-deleted-by-user", bucket, event_id, user), None

    def _deny(self, bucket: Bucket, event_id: str) -> tuple[Any, Any]:
        user = self.luck.choice(USERS)
        self._deed(bucket, "version-delete-denied", user)
        return self._by(self.luck.choice(DENIED), bucket, event_id, user), None

    def _deed(self, bucket: Bucket, control: str, user: str) -> None:
        if bucket.enrolled:
            window = self.stage.now.replace(minute=0, second=0, microsecond=0)
            self.deeds[bucket.name, control, user, f"{window:%Y-%m-%dT%H:%MZ}"] += 1

    def _event(self, name: str, bucket: Bucket, event_id: str) -> dict[str, Any]:
        payload = event(name, bucket.name, event_id=event_id, at=self.stage.now)
        payload["detail"]["requestParameters"]["bucketName"] = bucket.name
        payload["detail"]["resources"] = []
        if "root" in name:
            payload["detail"]["userIdentity"] = ROOT
        return payload

    def _by(self, name: str, bucket: Bucket, event_id: str, user: str) -> dict[str, Any]:
        payload = self._event(name, bucket, event_id)
        payload["detail"] |= {"requestID": event_id}
        payload["detail"]["userIdentity"] = {"type": "IAMUser", "arn": user, "accountId": ACCOUNT}
        return payload

    @contextmanager
    def _calm(self) -> Iterator[None]:
        rate, self.faults.rate = self.faults.rate, 0.0
        yield
        self.faults.rate = rate

    def _quietly(self, call: Callable[[], Any]) -> None:
        with self._calm():
            call()

    # Lambda and SQS

    def _invoke(self, handler: Any, payload: Any) -> dict[str, Any] | None:
        """None: the run failed, or its process died."""
        self.invocations += 1
        with pytest.MonkeyPatch.context() as patch:
            if self.luck.random() < self.faults.rate / 5:
                patch.setattr(self.stage.guard.teller, "tell", self._die)
            try:
                return self.stage.invoke(handler, payload)
            except (Exception, Crash):  # noqa: BLE001  # whatever it was, Lambda tries again
                return None

    def _die(self, *_: Any, **__: Any) -> None:
        self.crashes += 1
        raise Crash

    def _async(self, handler: Any, payload: Any) -> None:
        for attempt in range(TRIES):
            if self._invoke(handler, payload) is not None:
                return
            self.stage.later(seconds=1 if attempt == 0 else 2)
        self.failed.append(payload)

    def _enqueue(self, payload: Any) -> None:
        self.queue.append(
            {
                "messageId": f"message-{len(self.receives)}-{len(self.queue)}-{self.delivered}",
                "body": json.dumps(payload),
            }
        )

    def _work_the_queue(self) -> None:
        """As SQS would: what a run reports as failed, or a run that fails, comes again, five times in all."""
        messages, self.queue = self.queue, []
        for start in range(0, len(messages), BATCH):
            records = messages[start : start + BATCH]
            answer = self._invoke(version_delete.handler, {"Records": records})
            again = {each["messageId"] for each in records}
            if answer is not None:
                again = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
            for record in records:
                if record["messageId"] in again:
                    self.receives[record["messageId"]] += 1
                    if self.receives[record["messageId"]] < RECEIVES:
                        self.queue.append(record)
                    else:
                        self.dead.append(json.loads(record["body"]))

    def _noted(self, owed: Owed, left: tuple[Channel, ...] = ()) -> None:
        """An alert that was sent and cannot be noted as sent comes twice."""
        try:
            self._pay(owed, left)
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
            self.faults.excused += 1
            raise

    def _collect(self) -> None:
        for message in self.stage.messages():
            self.messages += 1
            document = json.loads(message["Message"])
            self.sent += document.get("findings", [document])

    # The reckoning

    def report(self) -> dict[str, int]:
        """What was sent and what is in the table, against the model; every `wrong_*` and `lost_*` must be 0."""
        told, sent = self._told(), Counter((one["finding_id"], one["change"]) for one in self.sent)
        repeats = sum(max(0, count - told[each]) for each, count in sent.items())
        return {
            "events": self.delivered,
            "doubled": self.doubled,
            "malformed": self.malformed,
            "invocations": self.invocations,
            "faults": sum(self.faults.counts.values()),
            "crashes": self.crashes,
            "redriven": len(self.failed) + len(self.dead),
            "messages": self.messages,
            "alerts": len(self.sent),
            "repeats": repeats,
            "still_owed": len(self.stage.guard.store.owed()),
            "lost_alerts": sum(max(0, count - sent[each]) for each, count in told.items()),
            "repeats_excused": self.faults.excused,
            "wrong_repeats": max(0, repeats - self.faults.excused),
            **self._against_the_model(),
        }

    def _against_the_model(self) -> dict[str, int]:
        memories = self.stage.guard.store.recall_all(ACCOUNT, "us-east-1", now=self.stage.now)
        findings = {bucket.name: memory.findings for bucket, memory in memories.items()}
        opened = defaultdict(set)
        for one in self.sent:
            opened[one["bucket"]].add(one["control"])
        off = {b.name for b in self.buckets if "mfa-delete-disabled" in opened[b.name]}
        counted = {_deed(f): f.count for found in findings.values() for f in found if f.control in _COUNTED}
        deeds = counted.keys() | self.deeds.keys()
        last: Counter[str] = Counter()
        for one in self.sent:
            last[one["finding_id"]] = max(last[one["finding_id"]], one.get("count", 1))
        begun = {one["finding_id"] for one in self.sent if one["change"] in ("opened", "reopened")}
        return {
            "lost_deeds": sum(_deed_id(each) not in begun for each in self.deeds),
            "lost_counts": sum(last[_deed_id(each)] != count for each, count in self.deeds.items()),
            "lost_turn_offs": sum(b.enrolled and b.offs > 0 and b.name not in off for b in self.buckets),
            "wrong_turn_offs": sum(not b.offs and b.name in off for b in self.buckets),
            "wrong_buckets": sum(not b.enrolled and bool(opened[b.name]) for b in self.buckets),
            "wrong_states": sum(
                _states(findings.get(b.name, ())) != b.open_states() for b in [*self.buckets, *self.fated]
            ),
            "lost_fates": sum(b.fate is not None and b.fate.told not in opened[b.name] for b in self.fated),
            "wrong_counts": sum(counted.get(each) != self.deeds.get(each) for each in deeds),
        }

    def _told(self) -> Counter[tuple[str, str]]:
        """What the history says was to be told, each once."""
        pages = (
            boto3.client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName="guardrail",
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": "history"}},
            )
        )
        docs = [json.loads(item["doc"]["S"]) for page in pages for item in page["Items"]]
        changes = [change for doc in docs for change in doc["changes"]]
        return Counter(
            (_short_id(c["finding"]), c["change"]) for c in changes if c["change"] in _TOLD and c["finding"]["told_at"]
        )


def _states(findings: tuple[Finding, ...]) -> set[str]:
    """What is open of a bucket, but for the line about a lifecycle configuration."""
    return {f.control for f in findings if f.is_open and not f.is_deed} - {"lifecycle-conflict"}


def _deed(finding: Finding) -> tuple[str, str, str, str]:
    who = finding.principal.id if finding.principal else ""
    return (finding.bucket.name, finding.control, who, finding.window)


_COUNTED = {"version-deleted", "version-delete-denied", "versioning-change-denied"}
_TOLD = {"opened", "reopened", "grew", "summed", "reminded", "resolved", "expired", "acknowledged", "exempted"}


def _deed_id(deed: tuple[str, str, str, str]) -> str:
    return _digest([ACCOUNT, "us-east-1", *deed])


def _short_id(finding: dict[str, Any]) -> str:
    bucket = finding["bucket"]
    parts = [bucket["account"], bucket["region"], bucket["name"], finding["control"]]
    if finding["window"]:
        parts += [finding["principal"]["id"] if finding["principal"] else "", finding["window"]]
    return _digest(parts)


def _digest(parts: list[str]) -> str:
    return sha256("#".join(parts).encode()).hexdigest()[:8]


def lived(stage: Stage, events: int, seed: int) -> dict[str, int]:
    """A whole storm. botocore and the guardrail do not really wait between tries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _seconds: None)
        storm = Storm(stage, events, seed)
        storm.prepare()
        storm.rage()
        storm.settle()
        return storm.report()
