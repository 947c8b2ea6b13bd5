"""Where the attacks of docs/attacks.md are played: a stack in a cloud of its own, and what it tells meanwhile.

An attack is a generator of three acts, divided by `yield`: the preparation, the hostile calls, and what is asserted
and put back afterwards.
"""

import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from local import granted, stack
from local.cloud import Cloud, Credentials, Mail
from tests.e2e import again

LOOK_S = 901
SWEEP_S = 3601
WINDOW_S = 0.5
TOLD = {"opened", "reopened", "grew", "summed"}
TAG = {"Key": "mfa-delete", "Value": "required"}

ROOT_UNLOGGED: list[dict[str, Any]] = [
    {
        "Name": "all settings, but for what the plays prepare and put back",
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Management"]},
            {"Field": "userIdentity.arn", "NotEquals": ["arn:aws:iam::111122223333:root"]},
        ],
    },
    {
        "Name": "objects",
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        ],
    },
]
"""Saves the time of telling it; what CloudTrail lets one leave out of management events is less."""

type Acts = Iterator[None]
type Play = Callable[["Stage"], Acts]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One move of a row. must: what has to be seen of it, whatever the record says; may: what luck brings besides.

    silent: why nothing is seen of it; rightly: why nothing has to be; note: what a reader of the table should know.
    """

    row: int
    move: str
    play: Play
    must: frozenset[str]
    may: frozenset[str]
    silent: str
    rightly: str
    note: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.move}"


@dataclass(kw_only=True)
class Moves:
    """The moves of one room, in the order of their making."""

    all: list[Attack] = field(default_factory=list)

    def move(
        self,
        row: int,
        move: str,
        *,
        must: Collection[str] = (),
        may: Collection[str] = (),
        silent: str = "",
        rightly: str = "",
        note: str = "",
    ) -> Callable[[Play], Play]:
        """Register a play."""
        told = {"silent": silent, "rightly": rightly, "note": note}

        def register(play: Play) -> Play:
            self.all.append(Attack(row=row, move=move, play=play, must=frozenset(must), may=frozenset(may), **told))
            return play

        return register


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of an attack; `measured_s` is None when only a clock that was moved brought it."""

    row: int
    move: str
    seen: list[str]
    ways: list[str]
    after: str
    measured_s: float | None
    silent: str
    rightly: str
    note: str


class Attacker:
    """An IAM user who may do what the attack needs, and nothing else."""

    def __init__(self, cloud: Cloud, credentials: Credentials, name: str) -> None:
        self.cloud, self.credentials, self.name = cloud, credentials, name

    def __call__(self, service: str) -> Any:
        """A client of theirs."""
        return self.cloud.client(service, self.credentials)


class Stage:
    """One deployed stack, and the mail that left it."""

    def __init__(self, cloud: Cloud, outputs: dict[str, str], delay_s: float, *, hears_root: bool) -> None:
        self.cloud, self.outputs, self.delay_s, self.hears_root = cloud, outputs, delay_s, hears_root
        self.began = 0.0
        self._mark = self._made = 0
        self._counted: frozenset[str] | None = None
        pages = cloud.client("cloudformation").list_stack_resources(StackName="guardrail")["StackResourceSummaries"]
        self.parts: dict[str, str] = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in pages}
        self.rules = {name: part for name, part in self.parts.items() if name.endswith("Rule")}

    # The cast

    def root(self, service: str) -> Any:
        """A client of whoever prepares and cleans up."""
        return self.cloud.client(service)

    def attacker(self, *actions: str) -> Attacker:
        """Somebody who may do this much."""
        self._made += 1
        name = f"attacker-{self._made}"
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        return Attacker(self.cloud, self.cloud.create_user(name, policy), name)

    def vault(self, name: str, *, protected: bool = False, own_events: bool = False) -> str:
        """An enrolled bucket, known to the guardrail when this returns."""
        s3 = self.root("s3")
        s3.create_bucket(Bucket=name)
        if own_events:
            self.own_events(name, on=True)
        versioning = {"Status": "Enabled"} | ({"MFADelete": "Enabled"} if protected else {})
        mfa = {"MFA": self.cloud.mfa()} if protected else {}
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning, **mfa)
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [TAG]})
        return name

    def own_events(self, bucket: str, *, on: bool) -> None:
        """Let S3 tell EventBridge of this bucket, or not."""
        self.root("s3").put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}} if on else {}
        )

    def version(self, bucket: str, key: str = "report.csv") -> dict[str, str]:
        """A version to be lost: Key and VersionId."""
        stored = self.root("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
        return {"Key": key, "VersionId": stored["VersionId"]}

    # The play

    def suffer(self, attack: Attack) -> Result:
        """Play one attack, and say what came of it."""
        acts = attack.play(self)
        next(acts)
        if self.hears_root:
            self.calm()
        self.forget()
        self._mark, self._counted = len(self.cloud.mail()), None if attack.silent else attack.must
        self.began = time.time()
        next(acts)
        time.sleep(self.delay_s)
        self.calm()
        after = "seconds" if self.arrived else self._later(attack)
        arrived = self.arrived
        first = min((mail.at for mail in arrived), default=0.0) - self.began
        try:
            return Result(
                row=attack.row,
                move=attack.move,
                seen=sorted({self._seen(mail) for mail in arrived} - attack.may),
                ways=sorted({self._way(mail) for mail in arrived}),
                after=after,
                measured_s=round(first, 1) if after == "seconds" else None,
                silent=attack.silent,
                rightly=attack.rightly,
                note=attack.note,
            )
        finally:
            next(acts, None)

    def _later(self, attack: Attack) -> str:
        """What no event told of is brought by the next look, an alarm, or the next sweep."""
        if attack.silent or attack.rightly:
            self.pass_time(SWEEP_S)
            return ""
        for quarter in range(1, 5):
            self.pass_time(LOOK_S)
            if arrived := self.arrived:
                if all(self._way(mail) == "alarm" for mail in arrived):
                    return f"alarm after {quarter * 15} min"
                is_look = any(self._seen(mail).startswith("guardrail-") for mail in arrived)
                return f"within {quarter * 15} min (next look)" if is_look else "within an hour (next sweep)"
        return ""

    def pass_time(self, seconds: float) -> None:
        """Move the clock: schedules fire, alarms are evaluated."""
        self.cloud.advance(seconds)
        self.calm()

    @property
    def arrived(self) -> list[Mail]:
        """The bad news since the hostile calls began."""
        return [mail for mail in self.cloud.mail(self._mark) if _is_bad_news(mail) and self._counts(mail)]

    def _counts(self, mail: Mail) -> bool:
        """An alarm on errors may come besides, or late: only one that has to come is part of the record."""
        return not mail.subject.startswith("ALARM") or self._counted is None or self._seen(mail) in self._counted

    def told(self, control: str) -> list[Mail]:
        """What the mailbox got of a control since the hostile calls began."""
        mails = [mail for mail in self.cloud.mail(self._mark) if mail.to == stack.MAILBOX]
        return [mail for mail in mails if mail.message_attributes.get("control") == control]

    def _way(self, mail: Mail) -> str:
        if mail.subject.startswith("ALARM"):
            return "alarm"
        return "silence topic" if mail.topic_arn == self.outputs["SilenceTopicArn"] else "alert topic"

    def _seen(self, mail: Mail) -> str:
        if found := re.search(r'"guardrail-(\w+)-', mail.subject):
            return f"alarm {found[1]}"
        return mail.message_attributes.get("control", "digest" if self._way(mail) == "alert topic" else "direct mail")

    # Between the acts

    def calm(self, limit_s: float = 60.0) -> None:
        """Wait until no event is on its way, no function at work, and no version delete in the queue."""
        deadline, seen = time.monotonic() + limit_s, -1
        while time.monotonic() < deadline:
            time.sleep(0.15)
            self.cloud.advance(0)
            count = len(self.cloud.mail())
            if count == seen and not self._queued():
                return
            seen = count
        raise AssertionError("the stack did not come to rest")

    def _queued(self) -> int:
        sqs, names = self.root("sqs"), ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        try:
            found = sqs.get_queue_attributes(QueueUrl=self.outputs["DeleteQueueUrl"], AttributeNames=names)
        except sqs.exceptions.QueueDoesNotExist:
            return 0
        is_read = self.root("lambda").get_event_source_mapping(UUID=self.parts["VersionDeleteFunctionDeletes"])
        return sum(int(each) for each in found["Attributes"].values()) if is_read["State"] == "Enabled" else 0

    def forget(self) -> None:
        """A new hour of messages, and no open finding about the guardrail: each attack begins alike."""
        dynamodb, table = self.root("dynamodb"), self.outputs["TableName"]
        try:
            items = dynamodb.scan(TableName=table, ProjectionExpression="pk, sk")["Items"]
        except dynamodb.exceptions.ResourceNotFoundException:
            return
        for key in items:
            if key["pk"]["S"] == "owed" or re.search(r"#\(guardrail\)#\w", key["sk"]["S"]):
                dynamodb.delete_item(TableName=table, Key={"pk": key["pk"], "sk": key["sk"]})
        place = {"pk": {"S": "guardrail"}, "sk": {"S": "alert-topic"}}
        dynamodb.update_item(TableName=table, Key=place, UpdateExpression="REMOVE pace")

    def look(self) -> None:
        """Let the guardrail look at itself, so that it knows its trail and its roles."""
        self.root("lambda").invoke(FunctionName=self.outputs["HealthFunctionName"], Payload=b'{"health": "by hand"}')

    # What the embedded cloud cannot do

    def encrypt(self) -> None:
        """Its CloudFormation leaves out the key of a topic."""
        self.root("sns").set_topic_attributes(
            TopicArn=self.outputs["AlertTopicArn"],
            AttributeName="KmsMasterKeyId",
            AttributeValue=self.parts["AlertKey"],
        )

    def deliver(self, event: dict[str, Any]) -> list[str]:
        """Hand an event to the targets of each rule that matches it, as EventBridge would; the rules that did."""
        matched = []
        for name in self.rules.values():
            rule = self.root("events").describe_rule(Name=name)
            if self.root("events").test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(event))[
                "Result"
            ]:
                matched.append(name)
                for target in self.root("events").list_targets_by_rule(Rule=name)["Targets"]:
                    self._hand_over(target["Arn"], json.dumps(event))
        return matched

    def _hand_over(self, arn: str, body: str) -> None:
        if ":lambda:" in arn:
            self.root("lambda").invoke(FunctionName=arn, InvocationType="Event", Payload=body.encode())
        elif ":sqs:" in arn:
            self.root("sqs").send_message(QueueUrl=self.outputs["DeleteQueueUrl"], MessageBody=body)


def _is_bad_news(mail: Mail) -> bool:
    """Not what was resolved meanwhile, nor an alarm's all clear."""
    return mail.message_attributes.get("change", "opened") in TOLD and not mail.subject.startswith("OK:")


@contextmanager
def stage(selectors: list[dict[str, Any]], delay_s: float = 0.0) -> Iterator[Stage]:
    """A cloud with a stack that has swept and looked once. selectors: what the account's trail logs."""
    with pytest.MonkeyPatch.context() as patch:
        # what roles call while they are attacked is no measure of what they need
        patch.delenv(granted.VARIABLE, raising=False)
        with Cloud.start(batching_window_s=WINDOW_S, event_delay_s=delay_s) as cloud:
            cloud.client("cloudtrail").put_event_selectors(TrailName="lab", AdvancedEventSelectors=selectors)
            hears_root = selectors is not ROOT_UNLOGGED
            made = Stage(cloud, again.deploy(cloud), delay_s, hears_root=hears_root)
            made.encrypt()
            stack.sweep(cloud, made.outputs)
            made.look()
            yield made
