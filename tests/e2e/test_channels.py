"""A subscriber of each kind gets its own form of one story: a bucket is turned off, and on again."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from botocore.exceptions import ClientError

from local import stack
from local.cloud import Cloud, Mail
from tests.e2e import again
from tests.e2e.local_setting import OFF, ON, make_queue, receive
from tests.e2e.test_deliveries import eventually, guardrail, vault

DOCS = Path(__file__).parents[2] / "docs"
PAGER = "https://pager.example.com/integration/0123456789abcdef/enqueue"


def schema(name: str) -> dict[str, Any]:
    """A schema of docs/."""
    found: dict[str, Any] = json.loads((DOCS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return found


def posted(mail: Mail) -> str:
    """The message inside SNS's envelope, which is what an HTTPS subscriber gets."""
    envelope = json.loads(mail.body)
    assert envelope["Type"] == "Notification"
    return str(envelope["Message"])


@dataclass(frozen=True)
class Ends:
    """The far ends: addresses of the queues behind the alert topic, the chat topic and the bus."""

    cloud: Cloud
    alerts: str
    chat: str
    bus: str
    kept: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def pages(self, about: str) -> list[tuple[str, dict[str, Any]]]:
        """What was posted to the pager of alarms whose name begins so: subject and message."""
        pages = [(mail.subject, json.loads(posted(mail))) for mail in self.cloud.mail() if mail.to == PAGER]
        return [(subject, message) for subject, message in pages if message["AlarmName"].startswith(about)]

    def mails(self, to: str) -> list[Mail]:
        """What somebody was sent about the bucket of this story."""
        return [mail for mail in self.cloud.mail() if mail.to == to and "channel-vault" in mail.body]

    def queued(self, url: str) -> list[dict[str, Any]]:
        """All that came into a queue so far, in order."""
        while messages := receive(self.cloud, url):
            self.kept.setdefault(url, []).extend(json.loads(message["Body"]) for message in messages)
            for message in messages:
                self.cloud.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return self.kept.get(url, [])


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    """The stack with its channels; the embedded cloud knows no Security Hub."""
    return again.deploy(cloud, PagerUrl=PAGER, Chat="yes")


@pytest.fixture(scope="module")
def ends(cloud: Cloud, outputs: dict[str, str]) -> Ends:
    """Queues where Amazon Q, a program and a target of the bus would be."""
    sns, events = cloud.client("sns"), cloud.client("events")
    urls = {}
    for name in ("alerts", "chat", "bus"):
        urls[name], arn = make_queue(cloud, f"far-end-{name}")
        if name == "bus":
            pattern = json.dumps({"source": ["mfa-delete-guardrail"]})
            events.put_rule(Name="all-findings", EventBusName=outputs["EventBusName"], EventPattern=pattern)
            target = {"Id": "1", "Arn": arn}
            events.put_targets(Rule="all-findings", EventBusName=outputs["EventBusName"], Targets=[target])
        else:
            topic = outputs["AlertTopicArn" if name == "alerts" else "ChatTopicArn"]
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    stack.sweep(cloud, outputs)
    return Ends(cloud=cloud, alerts=urls["alerts"], chat=urls["chat"], bus=urls["bus"])


def owed(cloud: Cloud, outputs: dict[str, str]) -> list[str]:
    """What some channel has not taken yet."""
    items = cloud.client("dynamodb").scan(TableName=outputs["TableName"])["Items"]
    return [item["sk"]["S"] for item in items if item["pk"]["S"] == "owed"]


@pytest.fixture(scope="module")
def told(cloud: Cloud, ends: Ends, outputs: dict[str, str]) -> Ends:
    """The story has happened."""
    s3, name = cloud.client("s3"), vault(cloud, "channel-vault")
    eventually(lambda: ends.mails(stack.MAILBOX))
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=ON, MFA=cloud.mfa())
    eventually(lambda: any(mail.subject.startswith("[resolved]") for mail in ends.mails(stack.MAILBOX)))
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=OFF, MFA=cloud.mfa())
    eventually(lambda: ends.pages("mfa-delete-disabled"))
    eventually(lambda: not owed(cloud, outputs))  # an end that overtakes its beginning would wait five minutes
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=ON, MFA=cloud.mfa())
    eventually(lambda: len(ends.pages("mfa-delete-disabled")) == 2)
    eventually(lambda: len(ends.queued(ends.bus)) >= 4)
    return ends


def test_the_pager_gets_an_incident_in_the_shape_of_an_alarm_and_its_end(told: Ends) -> None:
    (opened, alarm), (closed, ok) = told.pages("mfa-delete-disabled")
    for message in (alarm, ok):
        jsonschema.validate(message, schema("schema/pager"))
    assert alarm["AlarmName"] == ok["AlarmName"]
    assert (opened, closed) == (f'ALARM: "{alarm["AlarmName"]}" in us-east-1', f'OK: "{ok["AlarmName"]}" in us-east-1')
    assert "channel-vault" in alarm["AlarmDescription"]
    assert "call Ada Example, +1 555 0100" in alarm["AlarmDescription"]


def test_people_get_the_text_and_programs_the_json_of_the_same_alert(told: Ends) -> None:
    subject = "[critical] MFA delete turned OFF: channel-vault (prod, us-east-1)"
    [mail] = [mail for mail in told.mails(stack.MAILBOX) if mail.subject == subject]
    assert mail.body.startswith("MFA delete was turned off at ")
    assert "# Turn MFA delete" in mail.body
    [hook] = [mail for mail in told.mails(stack.HOOK) if mail.subject == subject]
    [queued] = [message for message in told.queued(told.alerts) if message["Subject"] == subject]
    assert posted(hook) == queued["Message"]
    document = json.loads(posted(hook))
    jsonschema.validate(document, schema("alert"))
    assert (document["control"], document["change"], document["bucket"]) == (
        *("mfa-delete-disabled", "opened", "channel-vault"),
    )


def test_chat_gets_exactly_its_schema_in_one_thread(told: Ends) -> None:
    messages = [json.loads(envelope["Message"]) for envelope in told.queued(told.chat)]
    ours = [message for message in messages if "channel-vault" in message["content"]["title"]]
    for message in messages:
        jsonschema.validate(message, schema("schema/chat"))
    off = [message for message in ours if message["metadata"]["eventType"].startswith("mfa-delete-disabled.")]
    assert [message["metadata"]["eventType"] for message in off] == [
        "mfa-delete-disabled.opened",
        "mfa-delete-disabled.resolved",
    ]
    assert len({message["metadata"]["threadId"] for message in off}) == 1


def test_a_target_of_the_bus_gets_each_change(told: Ends) -> None:
    events = [event for event in told.queued(told.bus) if event["detail"].get("bucket") == "channel-vault"]
    for event in events:
        jsonschema.validate(event["detail"], schema("schema/event"))
        assert (event["source"], event["detail-type"]) == ("mfa-delete-guardrail", "Finding changed")
        assert event["resources"] == ["arn:aws:s3:::channel-vault"]
    changes = [(event["detail"]["control"], event["detail"]["change"]) for event in events]
    assert changes[-2:] == [("mfa-delete-disabled", "opened"), ("mfa-delete-disabled", "resolved")]


def test_an_alarm_of_our_own_health_pages(told: Ends, cloud: Cloud, outputs: dict[str, str]) -> None:
    alarms, name = cloud.client("cloudwatch"), outputs["HealthHeartbeatAlarmName"]
    alarms.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    alarms.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")
    eventually(lambda: len(told.pages(name)) >= 2)
    assert [message["NewStateValue"] for _, message in told.pages(name)][-2:] == ["ALARM", "OK"]


def test_a_loud_drill_reaches_every_channel(told: Ends, cloud: Cloud, outputs: dict[str, str]) -> None:
    asked = {"FunctionName": outputs["HealthFunctionName"], "Payload": b'{"health": "loud"}'}
    assert "FunctionError" not in cloud.client("lambda").invoke(**asked)
    assert [message["NewStateValue"] for _, message in told.pages("drill-")] == ["ALARM", "OK"]
    assert any(mail.subject.startswith("[drill]") for mail in cloud.mail() if mail.to == stack.MAILBOX)
    assert any("drill" in json.loads(one["Message"])["metadata"]["threadId"] for one in told.queued(told.chat))
    assert any(event["detail-type"] == "Drill" for event in told.queued(told.bus))


@pytest.mark.parametrize("output", ["PagerTopicArn", "ChatTopicArn"])
def test_nobody_but_our_functions_publishes_on_pager_or_chat(
    output: str, cloud: Cloud, outputs: dict[str, str], refusals: Callable[..., str]
) -> None:
    assert refusals(TopicArn=outputs[output], Message="forged", Subject="OK: forged") == "AuthorizationError"


@pytest.fixture
def refusals(cloud: Cloud, admin: Any) -> Callable[..., str]:
    """The code with which an administrator's Publish is refused."""
    sns = cloud.client("sns", admin)

    def code(**message: str) -> str:
        with pytest.raises(sns.exceptions.ClientError) as caught:
            sns.publish(**message)
        return str(caught.value.response["Error"]["Code"])

    return code


def test_nobody_but_our_functions_puts_events_on_the_bus(
    told: Ends, cloud: Cloud, admin: Any, outputs: dict[str, str]
) -> None:
    events = cloud.client("events", admin)
    forged = {"Source": "mfa-delete-guardrail", "DetailType": "Finding changed", "Detail": '{"bucket": "forged-vault"}'}
    with pytest.raises(ClientError, match="explicit deny"):
        events.put_events(Entries=[forged | {"EventBusName": outputs["EventBusName"]}])
    assert events.put_events(Entries=[forged | {"EventBusName": "default"}])["FailedEntryCount"] == 0
    assert "forged-vault" not in str(told.queued(told.bus))


def test_a_bus_that_is_gone_is_found_and_the_mail_comes_all_the_same(
    told: Ends, cloud: Cloud, outputs: dict[str, str]
) -> None:
    events, bus = cloud.client("events"), outputs["EventBusName"]
    events.remove_targets(Rule="all-findings", EventBusName=bus, Ids=["1"])
    events.delete_rule(Name="all-findings", EventBusName=bus)
    events.delete_event_bus(Name=bus)
    found = guardrail(cloud, "doctor")
    assert f"the event bus {bus} is gone" in " ".join(found.stdout.split())
    assert found.returncode == 1
    assert eventually(lambda: [m for m in cloud.mail() if m.to == stack.MAILBOX and "is gone" in m.body])
