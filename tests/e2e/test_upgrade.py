"""A stack of an earlier version, with what it had found and what it owed, is updated by `sam deploy`.

The stack is that version's template with today's package; the items in its table are what that version's code really
wrote (fixtures/README.md).
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local import stack
from local.cloud import Cloud, Mail
from shared.facts import GUARDRAIL
from tests.e2e import again
from tests.e2e.local_setting import ON, make_queue, receive
from tests.e2e.released import RELEASED, Item, Left, left_by
from tests.e2e.test_deliveries import eventually
from tests.template.test_upgrade import STATEFUL

OWN = "#(guardrail)#"
"""How what is known of the guardrail itself is named; the update changes it."""
PAGER = "https://pager.example.com/integration/0123456789abcdef/enqueue"
AGO = timedelta(minutes=10)
"""What is owed for so long is not on its way any more, and no reminder is due."""
VAULT = "-vault"
"""All buckets of the story are called so."""


@dataclass
class Room:
    """The stack of an earlier version, before and after its update, and what its channels got."""

    cloud: Cloud
    left: Left
    outputs: dict[str, str]
    chat: str
    bus: str
    before: dict[str, str]
    kept: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def items(self, pk: str) -> dict[str, Item]:
        """What stands in the table, by sort key; what is known of the guardrail itself changes with the update."""
        items = self.cloud.client("dynamodb").scan(TableName=self.outputs["TableName"])["Items"]
        return {i["sk"]["S"]: i for i in items if i["pk"]["S"] == pk and OWN not in i["sk"]["S"]}

    def mails(self, to: str) -> list[Mail]:
        """What somebody was sent; an alarm that gets its first data says that it is OK."""
        return [mail for mail in self.cloud.mail() if mail.to == to and not mail.subject.startswith("OK: ")]

    def pages(self) -> list[str]:
        """State and name of each incident about a finding."""
        posted = [json.loads(json.loads(mail.body)["Message"]) for mail in self.cloud.mail() if mail.to == PAGER]
        return [f"{one['NewStateValue']} {one['AlarmName']}" for one in posted if VAULT in one["AlarmDescription"]]

    def queued(self, url: str) -> list[dict[str, Any]]:
        """All that came into a queue so far."""
        sqs, kept = self.cloud.client("sqs"), self.kept.setdefault(url, [])
        while messages := receive(self.cloud, url):
            kept += [json.loads(each["Body"]) for each in messages]
            for each in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return kept

    def changes(self) -> list[tuple[str, str]]:
        """What the bus told of buckets."""
        details = [event["detail"] for event in self.queued(self.bus)]
        return [(one["bucket"], one["change"]) for one in details if one["bucket"]]

    def look(self) -> None:
        """The sweep, and the look at itself, as the clock would start them."""
        stack.sweep(self.cloud, self.outputs)
        asked = {"FunctionName": self.outputs["HealthFunctionName"], "Payload": b'{"health": "by hand"}'}
        assert "FunctionError" not in self.cloud.client("lambda").invoke(**asked)
        self.cloud.advance(0)


def physical(cloud: Cloud) -> dict[str, str]:
    """Names of the stack's parts that hold something."""
    pages = cloud.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName="guardrail")
    parts = [each for page in pages for each in page["StackResourceSummaries"]]
    return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in parts if each["ResourceType"] in STATEFUL}


def make_buckets(cloud: Cloud, left: Left) -> None:
    """As they stood; before there is a stack, which would see it."""
    s3 = cloud.client("s3")
    for name, stood in left.buckets.items():
        s3.create_bucket(Bucket=name)
        if "MFADelete" in stood["versioning"]:
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=ON, MFA=cloud.mfa())
        if stood["versioning"] != ON:
            mfa = {"MFA": cloud.mfa()} if "MFADelete" in stood["versioning"] else {}
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=stood["versioning"], **mfa)
        if stood["tags"]:
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": stood["tags"]})
        if stood["lifecycle"]:
            rules = {"Rules": stood["lifecycle"]}
            s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=rules)


def listen(cloud: Cloud, outputs: dict[str, str]) -> tuple[str, str]:
    """Queues where chat and a target of the bus would be."""
    events, pattern = cloud.client("events"), json.dumps({"source": ["mfa-delete-guardrail"]})
    (chat, of_chat), (bus, of_bus) = make_queue(cloud, "far-end-chat"), make_queue(cloud, "far-end-bus")
    cloud.client("sns").subscribe(TopicArn=outputs["ChatTopicArn"], Protocol="sqs", Endpoint=of_chat)
    events.put_rule(Name="all-findings", EventBusName=outputs["EventBusName"], EventPattern=pattern)
    target = {"Id": "1", "Arn": of_bus}
    events.put_targets(Rule="all-findings", EventBusName=outputs["EventBusName"], Targets=[target])
    return chat, bus


@pytest.fixture(scope="module", params=RELEASED)
def room(cloud: Cloud, request: pytest.FixtureRequest) -> Room:
    """An earlier version's stack, with what it left, updated; then both clocks have ticked."""
    left = left_by(request.param, datetime.now(UTC) - AGO)
    make_buckets(cloud, left)
    outputs = again.deploy(cloud, older=left.template.read_text(encoding="utf-8"), **left.parameters)
    chat, bus = listen(cloud, outputs)
    for item in left.items:
        cloud.client("dynamodb").put_item(TableName=outputs["TableName"], Item=item)
    before = physical(cloud)
    made = Room(cloud=cloud, left=left, outputs=outputs, chat=chat, bus=bus, before=before)
    made.outputs = stack.update(cloud)
    made.look()
    return made


def test_nothing_that_was_told_is_told_again_and_what_was_owed_is_told_once(room: Room) -> None:
    for to in (stack.MAILBOX, stack.HOOK):
        about = [mail.subject for mail in room.mails(to) if VAULT in mail.subject + mail.body]
        assert about == ["[high] MFA delete is not on: late-vault (prod, us-east-1)"]
    titles = [json.loads(each["Message"])["content"]["title"] for each in room.queued(room.chat)]
    assert [title for title in titles if VAULT in title] == [titles[0]]
    assert "late-vault" in titles[0]
    assert room.changes() == [("bus-vault", "opened")]
    assert room.pages() == []
    assert room.items("owed") == {}


def test_the_update_itself_is_known_for_information_and_nothing_is_troubled_by_it(room: Room) -> None:
    items = room.cloud.client("dynamodb").scan(TableName=room.outputs["TableName"])["Items"]
    docs = [json.loads(item["doc"]["S"]) for item in items if item["pk"]["S"] == "state" and "doc" in item]
    of_itself = [(doc["control"], doc["severity"]) for doc in docs if doc.get("bucket", {}).get("name") == GUARDRAIL]
    assert of_itself == [("guardrail-changed", "info")]  # it waits for a digest
    for queue in ("DeadLetterUrl", "OnFailureUrl"):
        assert receive(room.cloud, room.outputs[queue]) == []


def test_everything_that_was_known_is_still_known(room: Room) -> None:
    for pk in ("state", "history", "spoke"):
        was = {sk: item for sk, item in room.left.of(pk).items() if OWN not in sk}
        assert len(was) >= 2
        assert room.items(pk) == was


def test_what_holds_something_is_the_same_part_as_before(room: Room) -> None:
    now = physical(room.cloud)
    assert {name: now.get(name) for name in room.before} == room.before
    assert {"Table", "AlertKey", "AlertTopic", "DeleteQueue", "Canary", "EmailSubscription"} <= room.before.keys()


def test_nobody_has_to_be_asked_anew(room: Room) -> None:
    [told] = room.cloud.client("cloudformation").describe_stacks(StackName="guardrail")["Stacks"]
    values = {each["ParameterKey"]: each["ParameterValue"] for each in told["Parameters"]}
    assert told["StackStatus"] == "UPDATE_COMPLETE"
    assert values["AlertEmail"] == stack.MAILBOX
    assert values["Drill"] == "yes"
    subscriptions = room.cloud.client("sns").list_subscriptions()["Subscriptions"]
    assert {each["SubscriptionArn"].count(":") for each in subscriptions} == {6}


def test_the_end_of_a_finding_of_then_is_told_once(room: Room) -> None:
    room.cloud.client("s3").put_bucket_versioning(Bucket="off-vault", VersioningConfiguration=ON, MFA=room.cloud.mfa())
    ends = "[resolved] MFA delete is on again: off-vault (prod, us-east-1)"
    eventually(lambda: any(mail.subject == ends for mail in room.mails(stack.MAILBOX)))
    room.look()
    about = [mail.subject for mail in room.mails(stack.MAILBOX) if "off-vault" in mail.subject + mail.body]
    assert about == [ends]
    [page] = room.pages()
    assert page.startswith("OK mfa-delete-disabled-")
    assert room.changes()[1:] == [("off-vault", "resolved")]
    [doc] = [json.loads(i["doc"]["S"]) for sk, i in room.items("state").items() if "off-vault#mfa-delete" in sk]
    assert doc["status"] == "resolved"
