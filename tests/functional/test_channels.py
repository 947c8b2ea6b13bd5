"""Every channel on moto: each gets its own form, once; what one refuses stays owed to that one alone."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HTTPHeaders
from botocore.exceptions import ClientError

from handlers import bucket_change, guardrail_health, sweep
from shared.finding import Channel
from shared.guardrail import Guardrail
from shared.settings import from_env
from tests.functional.conftest import ACCOUNT, Stage
from tests.functional.events import event
from tests.functional.test_handlers import TICK, disabled, exempt, protected
from tests.functional.test_life_cycle import acknowledge

OWED = {"sweep": "owed"}
INBOXES = ("pager", "chat", "bus")


def inbox(name: str) -> tuple[str, str]:
    """A queue: address and ARN."""
    url = boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"


@pytest.fixture
def channels(stage: Stage) -> Stage:
    """The stage with every channel, each with a queue behind it; Security Hub is moto's, but for workflows."""
    sns = boto3.client("sns")
    for name in ("pager", "chat"):
        topic = sns.create_topic(Name=name)["TopicArn"]
        stage.env[f"{name.upper()}_INBOX"], arn = inbox(name)
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        stage.env[f"{name.upper()}_TOPIC_ARN"] = topic
    boto3.client("events").create_event_bus(Name="guardrail-bus")
    boto3.client("securityhub").enable_security_hub()
    stage.env |= {"EVENT_BUS_NAME": "guardrail-bus", "SECURITY_HUB": "yes"}
    rebuild(stage)
    return stage


def rebuild(stage: Stage) -> None:
    """A cold start with the stage's environment."""
    root = stage.guard.root
    stage.guard = Guardrail(from_env(stage.env), lambda: stage.now)
    stage.guard.root = root  # type: ignore[method-assign]
    stage.watch(stage.guard)
    bus, hub = stage.guard.teller._bus, stage.guard.teller._hub
    if bus and hub:
        events = bus._events.meta.events
        events.register("before-parameter-build.events.PutEvents", lambda params, context, **_: context.update(params))
        events.register("after-call.events.PutEvents", lambda context, **_: EVENTS.extend(context["Entries"]))
        hub._hub.meta.events.register("before-call.securityhub.BatchUpdateFindings", _accept)


EVENTS: list[dict[str, Any]] = []
WORKFLOWS: list[dict[str, Any]] = []


def _accept(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
    """moto knows no BatchUpdateFindings."""
    WORKFLOWS.append(json.loads(params["body"]))
    return AWSResponse("", HTTPStatus.OK, HTTPHeaders(), None), {"ProcessedFindings": [], "UnprocessedFindings": []}


@pytest.fixture(autouse=True)
def nothing_yet() -> None:
    """Each test sees its own."""
    EVENTS.clear()
    WORKFLOWS.clear()


def got(stage: Stage, name: str) -> list[dict[str, Any]]:
    """What a channel's subscriber has had since last asked."""
    if name == "bus":
        entries = [{**entry, "Detail": json.loads(entry["Detail"])} for entry in EVENTS]
        EVENTS.clear()
        return entries
    return [json.loads(body) for body, _ in stage.drain(stage.env[f"{name.upper()}_INBOX"])]


def incidents(stage: Stage) -> list[tuple[str, str]]:
    """What the pager has had: the new state and the alarm's name."""
    pages = [json.loads(message["Message"]) for message in got(stage, "pager")]
    return [(page["NewStateValue"], page["AlarmName"]) for page in pages]


def hub_findings(stage: Stage) -> dict[str, dict[str, Any]]:
    """Security Hub's findings about buckets, by control."""
    found = boto3.client("securityhub").get_findings()["Findings"]
    return {f["GeneratorId"].split("/")[1]: dict(f) for f in found if f["Resources"][0]["Type"] == "AwsS3Bucket"}


def switched_on(stage: Stage, name: str) -> dict[str, Any]:
    """Root turned it on again."""
    stage.mfa_delete[name] = "Enabled"
    return event("put-bucket-versioning.root-enables", name, at=stage.now, event_id=f"on-{name}")


def test_two_buckets_turned_off_a_minute_apart_are_two_incidents_each_closed_by_its_own_enable(
    channels: Stage,
) -> None:
    stage = channels
    for name in ("vault", "second"):
        protected(stage, name)
    stage.invoke(bucket_change.handler, disabled(stage, "vault"))
    stage.later(minutes=1)
    stage.invoke(bucket_change.handler, disabled(stage, "second", at=stage.now, event_id="second"))
    [first, second] = incidents(stage)
    assert (first[0], second[0]) == ("ALARM", "ALARM")
    assert first[1] != second[1]
    stage.later(minutes=1)
    stage.invoke(bucket_change.handler, switched_on(stage, "second"))
    assert incidents(stage) == [("OK", second[1])]
    stage.invoke(bucket_change.handler, switched_on(stage, "vault"))
    assert incidents(stage) == [("OK", first[1])]


def test_a_day_without_a_sweep_closes_no_incident_and_the_next_sweep_closes_none_either(channels: Stage) -> None:
    stage = channels
    protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage))
    assert [state for state, _ in incidents(stage)] == ["ALARM"]
    stage.later(hours=24)
    stage.invoke(sweep.handler, TICK)  # reminds by mail
    assert incidents(stage) == []
    assert any("Still" in subject for subject in stage.subjects())


def test_the_second_turn_off_pages_again(channels: Stage) -> None:
    stage = channels
    protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage))
    stage.invoke(bucket_change.handler, switched_on(stage, "vault"))
    stage.later(minutes=5)
    stage.invoke(bucket_change.handler, disabled(stage, at=stage.now, event_id="again"))
    assert [state for state, _ in incidents(stage)] == ["ALARM", "OK", "ALARM"]


def test_an_exception_closes_the_incident(channels: Stage) -> None:
    stage = channels
    protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage))
    exempt(stage, "vault", "2026-10-01", "migration")
    stage.invoke(sweep.handler, TICK)
    assert [state for state, _ in incidents(stage)] == ["ALARM", "OK"]


def test_what_is_missing_mails_and_chats_and_pages_nobody(channels: Stage) -> None:
    stage = channels
    stage.bucket("vault")
    stage.invoke(sweep.handler, TICK)
    assert incidents(stage) == []
    [mail] = stage.subjects()
    [message] = got(stage, "chat")
    assert mail.startswith("[high] MFA delete is not on")
    assert json.loads(message["Message"])["content"]["title"].startswith("(high) MFA delete is not on")


def test_a_lone_low_finding_waits_for_the_digest(channels: Stage) -> None:
    stage = channels
    stage.root["AccountMFAEnabled"], stage.root["AccountPasswordPresent"] = 0, 0
    stage.invoke(sweep.handler, TICK)  # which gathers
    [mail] = stage.messages()
    assert json.loads(mail["Message"])["schema"] == "mfa-delete-guardrail/digest/1"
    assert mail["Subject"] == "[low] Root has no device that shows codes: root user (prod, us-east-1)"
    [message] = got(stage, "chat")
    assert json.loads(message["Message"])["metadata"]["threadId"] == "digest-2026-09-25"


def test_each_change_of_a_finding_is_one_event(channels: Stage) -> None:
    stage = channels
    protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage))
    acknowledge(stage, "mfa-delete-disabled")
    stage.invoke(sweep.handler, OWED)
    stage.invoke(bucket_change.handler, switched_on(stage, "vault"))
    events = got(stage, "bus")
    assert [one["Detail"]["change"] for one in events] == ["opened", "acknowledged", "resolved"]
    assert {one["Source"] for one in events} == {"mfa-delete-guardrail"}
    assert {one["DetailType"] for one in events} == {"Finding changed"}
    assert {tuple(one["Resources"]) for one in events} == {("arn:aws:s3:::vault",)}
    assert len({one["Detail"]["finding_id"] for one in events}) == 1


def test_security_hub_has_one_finding_updated_in_place_and_archived_in_the_end(channels: Stage) -> None:
    stage = channels
    protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage))
    opened = hub_findings(stage)["mfa-delete-disabled"]
    assert (opened["RecordState"], opened["Compliance"]["Status"]) == ("ACTIVE", "FAILED")
    assert "Security Hub S3.20" in opened["Compliance"]["RelatedRequirements"]
    stage.later(minutes=1)
    stage.invoke(bucket_change.handler, switched_on(stage, "vault"))
    closed = hub_findings(stage)["mfa-delete-disabled"]
    assert (closed["RecordState"], closed["Id"]) == ("ARCHIVED", opened["Id"])


def test_an_exception_is_suppressed_in_security_hub_with_its_reason(channels: Stage) -> None:
    stage = channels
    stage.bucket("vault")
    stage.invoke(sweep.handler, TICK)
    exempt(stage, "vault", "2026-10-01", "migration")
    stage.later(minutes=1)
    stage.invoke(sweep.handler, TICK)
    found = hub_findings(stage)["mfa-delete-missing"]
    assert (found["RecordState"], found["Compliance"]["Status"]) == ("ACTIVE", "FAILED")
    [suppressed] = [each for each in WORKFLOWS if each["Workflow"] == {"Status": "SUPPRESSED"}]
    assert "migration" in suppressed["Note"]["Text"]
    assert suppressed["FindingIdentifiers"] == [{"Id": found["Id"], "ProductArn": found["ProductArn"]}]


def refuse(**_: Any) -> None:
    """Every call of a service is refused."""
    raise ClientError({"Error": {"Code": "InternalError", "Message": "Internal Error"}}, "Any")


CLIENTS: dict[Channel, Callable[[Any], tuple[Any, str, str]]] = {
    Channel.PAGER: lambda stage: (stage.guard.teller._pager._sns, "sns.Publish", "pager"),
    Channel.CHAT: lambda stage: (stage.guard.teller._chat._sns, "sns.Publish", "chat"),
    Channel.BUS: lambda stage: (stage.guard.teller._bus._events, "events.PutEvents", "guardrail-bus"),
    Channel.SECURITY_HUB: lambda stage: (stage.guard.teller._hub._hub, "securityhub.BatchImportFindings", ""),
}


@contextmanager
def refusing(stage: Stage, channel: Channel) -> Iterator[None]:
    """Meanwhile every call on this channel is refused."""
    client, operation, of = CLIENTS[channel](stage)

    def refused(params: dict[str, Any], **_: Any) -> None:
        if of in json.dumps(params, default=str):
            refuse()

    client.meta.events.register(f"before-parameter-build.{operation}", refused)
    yield
    client.meta.events.unregister(f"before-parameter-build.{operation}", refused)


@pytest.mark.parametrize("channel", CLIENTS)
def test_what_one_channel_refuses_is_owed_to_that_one_alone(channels: Stage, channel: Channel) -> None:
    stage = channels
    protected(stage)
    with refusing(stage, channel), pytest.raises(ExceptionGroup, match="1 things could not be done"):
        stage.invoke(bucket_change.handler, disabled(stage))
    assert len(stage.messages()) == 1
    [owed] = stage.guard.store.owed()
    assert owed.to == (channel,)
    for name in INBOXES:
        got(stage, name)
    stage.later(minutes=3)
    stage.invoke(sweep.handler, OWED)
    assert stage.guard.store.owed() == []
    assert stage.messages() == []
    expected = {name: int(name == channel.value) for name in INBOXES}
    assert {name: len(got(stage, name)) for name in INBOXES} == expected


@pytest.mark.parametrize("channel", [Channel.PAGER, Channel.BUS, Channel.SECURITY_HUB])
def test_no_end_overtakes_a_beginning_that_a_channel_refused(channels: Stage, channel: Channel) -> None:
    # else the beginning, sent late, would open an incident that nothing closes
    stage = channels
    protected(stage)
    with refusing(stage, channel), pytest.raises(ExceptionGroup):
        stage.invoke(bucket_change.handler, disabled(stage))
    for name in INBOXES:
        got(stage, name)
    stage.later(minutes=1)
    stage.invoke(bucket_change.handler, switched_on(stage, "vault"))
    assert [(owed.change.value, owed.to) for owed in stage.guard.store.owed()] == [
        ("opened", (channel,)), ("resolved", (channel,)),
    ]  # fmt: skip
    stage.later(minutes=5)
    stage.invoke(sweep.handler, OWED)
    assert stage.guard.store.owed() == []
    if channel is Channel.PAGER:
        assert [state for state, _ in incidents(stage)] == ["ALARM", "OK"]
    if channel is Channel.BUS:
        assert [one["Detail"]["change"] for one in got(stage, "bus")] == ["opened", "resolved"]


def test_an_end_waits_while_its_beginning_is_refused_again(channels: Stage) -> None:
    stage = channels
    protected(stage)
    evidence_of_debt(stage)
    stage.later(minutes=1)
    stage.invoke(bucket_change.handler, switched_on(stage, "vault"))
    client, operation, of = CLIENTS[Channel.PAGER](stage)
    refusals = ["once"]

    def refused(params: dict[str, Any], **_: Any) -> None:
        if of in json.dumps(params, default=str) and refusals:
            refusals.pop()
            refuse()

    client.meta.events.register(f"before-parameter-build.{operation}", refused)
    stage.later(minutes=5)
    with pytest.raises(ExceptionGroup):
        stage.invoke(sweep.handler, OWED)
    assert incidents(stage) == []
    stage.later(minutes=5)
    stage.invoke(sweep.handler, OWED)
    assert [state for state, _ in incidents(stage)] == ["ALARM", "OK"]


@pytest.mark.parametrize(("channel", "why"), [(Channel.BUS, "ValidationException"),
                                              (Channel.SECURITY_HUB, "InvalidInputException")])  # fmt: skip
def test_an_entry_for_which_a_whole_request_is_refused_does_not_hold_up_the_others(
    channels: Stage, channel: Channel, why: str
) -> None:
    stage = channels
    client, operation, _ = CLIENTS[channel](stage)

    def too_much(params: dict[str, Any], **_: Any) -> None:
        if "poison" in json.dumps(params, default=str):
            raise ClientError({"Error": {"Code": why, "Message": "no good"}}, operation)

    client.meta.events.register_first(f"before-parameter-build.{operation}", too_much)
    for name in ("vault", "poison", "third"):
        stage.bucket(name)
    with pytest.raises(ExceptionGroup, match="1 things could not be done"):
        stage.invoke(sweep.handler, TICK)
    assert [(owed.finding.bucket.name, owed.to) for owed in stage.guard.store.owed()] == [("poison", (channel,))]


def test_an_entry_that_the_bus_does_not_take_stays_owed(channels: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = channels
    protected(stage)
    bus = stage.guard.teller._bus
    assert bus is not None
    answer = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "slower"}]}
    with monkeypatch.context() as patch:
        patch.setattr(bus._events, "put_events", lambda **_: answer)
        with pytest.raises(ExceptionGroup) as caught:
            stage.invoke(bucket_change.handler, disabled(stage))
    assert "the event bus: ThrottlingException" in str(caught.value.exceptions[0])
    assert [owed.to for owed in stage.guard.store.owed()] == [(Channel.BUS,)]


def test_a_finding_that_security_hub_does_not_take_stays_owed(channels: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = channels
    protected(stage)
    hub = stage.guard.teller._hub
    assert hub is not None

    def partly(Findings: list[dict[str, Any]]) -> dict[str, Any]:
        return {"FailedFindings": [{"Id": Findings[0]["Id"], "ErrorCode": "InvalidInput", "ErrorMessage": "no"}]}

    with monkeypatch.context() as patch:
        patch.setattr(hub._hub, "batch_import_findings", partly)
        with pytest.raises(ExceptionGroup) as caught:
            stage.invoke(bucket_change.handler, disabled(stage))
    assert "Security Hub: InvalidInput" in str(caught.value.exceptions[0])
    assert [owed.to for owed in stage.guard.store.owed()] == [(Channel.SECURITY_HUB,)]
    assert WORKFLOWS == []


def test_while_nobody_reads_mail_the_other_channels_are_served_and_mail_waits(channels: Stage) -> None:
    stage = channels
    protected(stage)
    stage.listens = False
    stage.invoke(sweep.handler, TICK)  # sees that nobody listens
    stage.mfa_delete["vault"] = "Disabled"
    stage.invoke(sweep.handler, TICK)
    assert [state for state, _ in incidents(stage)] == ["ALARM"]
    assert len(got(stage, "chat")) == 1
    assert [owed.to for owed in stage.guard.store.owed()] == [(Channel.MAIL,)]
    assert stage.messages() == []


def test_a_channel_that_was_taken_away_is_owed_nothing(channels: Stage) -> None:
    stage = channels
    protected(stage)
    stage.listens = False
    stage.invoke(sweep.handler, TICK)
    stage.guard.store.note_listener(confirmed=False)
    evidence_of_debt(stage)
    for name in ("PAGER_TOPIC_ARN", "CHAT_TOPIC_ARN", "EVENT_BUS_NAME"):
        stage.env[name] = ""
    stage.env["SECURITY_HUB"] = "no"
    rebuild(stage)
    stage.listens = True
    stage.later(minutes=3)
    stage.invoke(sweep.handler, OWED)
    assert stage.guard.store.owed() == []


def evidence_of_debt(stage: Stage) -> None:
    """A turn-off whose function died before it sent anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage.guard.teller, "tell", _die)
        with pytest.raises(KeyboardInterrupt):
            stage.invoke(bucket_change.handler, disabled(stage))
    assert [set(owed.to) for owed in stage.guard.store.owed()] == [set(Channel)]


def _die(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_what_a_version_without_channels_left_owed_is_mailed(channels: Stage) -> None:
    stage = channels
    protected(stage)
    evidence_of_debt(stage)
    [owed] = stage.guard.store.owed()
    boto3.client("dynamodb").update_item(
        TableName="guardrail",
        Key={"pk": {"S": "owed"}, "sk": {"S": owed.sk}},
        UpdateExpression="REMOVE #to",
        ExpressionAttributeNames={"#to": "to"},
    )
    stage.later(minutes=3)
    stage.invoke(sweep.handler, OWED)
    assert stage.guard.store.owed() == []
    assert len(stage.messages()) == 1
    assert incidents(stage) == []


def test_what_is_owed_of_a_control_that_this_version_does_not_know_holds_up_no_other(channels: Stage) -> None:
    # as after a deployment that was rolled back
    stage = channels
    protected(stage)
    evidence_of_debt(stage)
    [owed] = stage.guard.store.owed()
    db = boto3.client("dynamodb")
    item = db.get_item(TableName="guardrail", Key={"pk": {"S": "owed"}, "sk": {"S": owed.sk}})["Item"]
    later = json.dumps(json.loads(item["doc"]["S"]) | {"control": "of-a-later-version"})
    db.put_item(TableName="guardrail", Item={**item, "sk": {"S": f"0{owed.sk}"}, "doc": {"S": later}})
    stage.later(minutes=3)
    with pytest.raises(ExceptionGroup) as caught:
        stage.invoke(sweep.handler, OWED)
    assert "of-a-later-version" in str(caught.value.exceptions[0])
    assert len(stage.subjects()) == 1
    assert [name.rsplit("-", 1)[0] for _, name in incidents(stage)] == ["mfa-delete-disabled"]
    assert [left.finding.control for left in stage.guard.store.owed()] == ["of-a-later-version"]


def test_a_loud_drill_reaches_mail_pager_chat_and_bus_and_leaves_no_finding(channels: Stage) -> None:
    stage = channels
    stage.invoke(guardrail_health.handler, {"health": "loud"})
    assert [subject.split("]")[0] for subject in stage.subjects()] == ["[drill"]
    assert incidents(stage) == [("ALARM", "drill-guardrail"), ("OK", "drill-guardrail")]
    [message] = got(stage, "chat")
    assert json.loads(message["Message"])["content"]["title"].startswith("(drill) Alerts arrive")
    [drill] = got(stage, "bus")
    assert (drill["DetailType"], drill["Detail"]["schema"]) == ("Drill", "mfa-delete-guardrail/drill/1")
    assert boto3.client("securityhub").get_findings()["Findings"] == []


def metrics(output: str) -> dict[str, list[float]]:
    """What the functions sent to CloudWatch in their log lines."""
    sent: dict[str, list[float]] = {}
    for line in output.splitlines():
        found = json.loads(line) if line.startswith('{"_aws"') else {"_aws": {"CloudWatchMetrics": []}}
        for directive in found["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                sent.setdefault(metric["Name"], []).extend(found[metric["Name"]])
    return sent


def test_a_sweep_says_how_many_buckets_are_what_and_how_long_it_took(
    channels: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = channels
    stage.bucket("safe", mfa_delete="Enabled")
    stage.bucket("open")
    stage.bucket("hidden")
    stage.denied.add(("GetBucketVersioning", "hidden"))
    stage.invoke(sweep.handler, TICK)
    sent = metrics(capsys.readouterr().out)
    assert {name: sent[name] for name in sent if name.startswith("Buckets")} == {
        "BucketsProtected": [1],
        "BucketsUnprotected": [1],
        "BucketsUnverifiable": [1],
    }
    assert sent["SweepDuration"] == [0]


def test_the_time_from_the_call_to_the_alert_is_sent_and_what_is_resolved(
    channels: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = channels
    protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage, at=stage.now - timedelta(seconds=90)))
    assert metrics(capsys.readouterr().out)["AlertLag"] == [90]
    stage.invoke(bucket_change.handler, switched_on(stage, "vault"))
    sent = metrics(capsys.readouterr().out)
    assert sent["FindingResolved"] == [1]
    assert "AlertLag" not in sent  # it tells how late bad news is


def test_a_form_that_cannot_be_made_takes_nothing_back_from_the_other_channels(
    channels: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = channels
    protected(stage)

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("shared.render.alert", broken)
        with pytest.raises(ExceptionGroup, match="1 things could not be done"):
            stage.invoke(bucket_change.handler, disabled(stage))
    assert [state for state, _ in incidents(stage)] == ["ALARM"]
    assert [one["Detail"]["change"] for one in got(stage, "bus")] == ["opened"]
    [owed] = stage.guard.store.owed()
    assert set(owed.to) == {Channel.MAIL, Channel.CHAT}


def test_a_drill_tries_every_channel_and_fails_if_one_did(channels: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = channels
    with monkeypatch.context() as patch:
        patch.setattr(stage.guard.topic, "publish", lambda _alert: refuse())
        with pytest.raises(ExceptionGroup, match="1 of 4 channels did not take the drill"):
            stage.invoke(guardrail_health.handler, {"health": "loud"})
    assert incidents(stage) == [("ALARM", "drill-guardrail"), ("OK", "drill-guardrail")]
    assert (len(got(stage, "chat")), len(got(stage, "bus"))) == (1, 1)
