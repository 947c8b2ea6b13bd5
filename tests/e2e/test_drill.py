"""The drill: two calls on the stack's own bucket come back as events, and one that does not is `guardrail-blind`.

The functions' clock is the real one, so that a drill that is overdue is made by writing an earlier time into its note.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local import stack
from local.cloud import Cloud, Credentials
from tests.e2e import again, troubles
from tests.e2e.local_setting import refusal
from tests.e2e.test_deliveries import at_rest, eventually, guardrail, vault
from tests.e2e.troubles import MANAGEMENT, Room, room_of, select

UNCOUNTED = True
"""Permissions are taken, and roles assumed, on purpose (conftest.py)."""

QUIET_S = 2.0


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    """The stack with its drill."""
    return again.deploy(cloud, Drill="yes")


@pytest.fixture(scope="module")
def room(cloud: Cloud, outputs: dict[str, str]) -> Room:
    """It knows that somebody listens."""
    stack.sweep(cloud, outputs)
    return room_of(cloud, "guardrail", outputs)


@pytest.fixture(autouse=True)
def looked(room: Room) -> None:
    """Each test begins with nothing wrong, and with a look, which knows whether the canary's deletes are logged."""
    for name in ("DeadLetterQueue", "OnFailureQueue"):
        room.client("sqs").purge_queue(QueueUrl=room.parts[name])
    room.client("dynamodb").delete_item(TableName=room.parts["Table"], Key=DRILL)
    room.cloud.advance(0)  # that the queues were purged is told by now
    room.invoke()


DRILL = {"pk": {"S": "guardrail"}, "sk": {"S": "drill"}}


def drill(room: Room) -> dict[str, Any]:
    """Start one and wait until the function is done."""
    asked = {"FunctionName": room.parts["DrillFunction"], "Payload": b'{"drill": "by hand"}'}
    answer = room.client("lambda").invoke(**asked)
    return {"failed": "FunctionError" in answer, **json.loads(answer["Payload"].read())}


def note(room: Room) -> dict[str, str]:
    """What the table says of the last drill."""
    item = room.client("dynamodb").get_item(TableName=room.parts["Table"], Key=DRILL, ConsistentRead=True)["Item"]
    return {name: value["S"] for name, value in item.items()}


def is_back(room: Room) -> bool:
    return {"change_back", "delete_back"} <= note(room).keys()


def made_earlier(room: Room, minutes: int) -> None:
    """As if the drill had been so long ago."""
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    room.client("dynamodb").update_item(
        TableName=room.parts["Table"],
        Key=DRILL,
        UpdateExpression="SET #at = :at",
        ExpressionAttributeNames={"#at": "at"},
        ExpressionAttributeValues={":at": {"S": at.isoformat()}},
    )


def lags(room: Room) -> int:
    """How often the metric DrillLag was written."""
    now = datetime.fromtimestamp(room.cloud.advance(0), UTC)
    found = room.client("cloudwatch").get_metric_statistics(
        Namespace="MfaDeleteGuardrail", MetricName="DrillLag", Statistics=["SampleCount"], Period=86400,
        StartTime=now - timedelta(hours=1), EndTime=now + timedelta(minutes=1),
        Dimensions=[{"Name": "service", "Value": "guardrail"}],
    )  # fmt: skip
    return int(sum(each["SampleCount"] for each in found["Datapoints"]))


def test_a_drill_comes_back_in_both_halves_and_nobody_is_told(room: Room) -> None:
    before, lags_before = len(room.cloud.mail()), lags(room)
    assert not drill(room)["failed"]
    eventually(lambda: is_back(room))
    eventually(lambda: lags(room) == lags_before + 2)
    told = note(room)
    assert len({told["change_id"], told["delete_id"], ""}) == 3
    [refused] = [each for each in room.cloud.records() if each["requestID"] == told["delete_id"]]
    assert (refused["eventName"], refused["errorCode"]) == ("DeleteObject", "AccessDenied")
    made_earlier(room, 31)
    assert room.look() == []
    assert [mail.subject for mail in room.cloud.mail(before)] == []


def test_without_a_trail_that_logs_the_canarys_deletes_that_half_is_left_out(room: Room) -> None:
    undo = select(room, MANAGEMENT)
    try:
        room.invoke()
        assert not drill(room)["failed"]
        told = note(room)
        assert (told["delete_id"], bool(told["change_id"])) == ("", True)
        eventually(lambda: "change_back" in note(room))
        made_earlier(room, 31)
        assert blind(room) == []
    finally:
        undo()


def blind(room: Room) -> list[dict[str, Any]]:
    """What a look sent of `guardrail-blind`; what these tests change to bring it about is told as well."""
    return [alert for alert in room.look() if alert["control"] == "guardrail-blind"]


def lost(room: Room) -> dict[str, str]:
    """What a look says of the drill."""
    [alert] = blind(room)
    return {each["problem"]: each["meaning"] for each in alert["conditions"] if each["about"] == "drill"}


def it_sees_again(room: Room) -> None:
    """The next drill comes back, and a look says so; the mending itself may have caused that look."""
    since = len(room.cloud.mail())
    drill(room)
    eventually(lambda: is_back(room))
    room.invoke()
    eventually(lambda: [mail for mail in room.cloud.mail(since) if mail.subject.startswith("[resolved] The guardrail")])


def test_a_delete_that_did_not_come_back_after_half_an_hour_is_told_with_the_last_link_seen(room: Room) -> None:
    before = len(room.cloud.mail())
    undo = troubles.rule_off(room, "VersionDeleteRule")
    try:
        eventually(lambda: [each for each in room.cloud.mail(before) if "is blind" in each.subject])
        drill(room)
        eventually(lambda: "change_back" in note(room))
        made_earlier(room, 29)
        assert blind(room) == []
        made_earlier(room, 31)
        [(problem, meaning)] = lost(room).items()
    finally:
        undo()
    assert problem == "drill-delete-lost"
    assert "its refused version delete has not come back" in meaning
    assert meaning.endswith(f"last seen: S3, which answered (request {note(room)['delete_id']})")
    it_sees_again(room)


def test_a_change_that_did_not_come_back_names_the_queue_in_which_something_waits(room: Room) -> None:
    events, rule, _, targets = troubles.rule_as_it_is(room)
    events.remove_targets(Rule=rule, Ids=[each["Id"] for each in targets])
    undo = troubles.waiting(room, "DeadLetterQueue")
    try:
        drill(room)
        eventually(lambda: "delete_back" in note(room))
        made_earlier(room, 31)
        [(problem, meaning)] = lost(room).items()
    finally:
        undo()
        events.put_targets(Rule=rule, Targets=targets)
    assert problem == "drill-change-lost"
    assert meaning.endswith("last seen: messages in DeadLetterQueue")
    it_sees_again(room)


def test_the_canary_is_never_judged_whatever_its_tags_say(room: Room) -> None:
    canary, s3 = room.parts["Canary"], room.client("s3")
    before = len(room.cloud.mail())
    of_the_stack = s3.get_bucket_tagging(Bucket=canary)["TagSet"]  # no set may lack CloudFormation's own
    tags = [*of_the_stack, {"Key": "mfa-delete", "Value": "required"}]
    s3.put_bucket_tagging(Bucket=canary, Tagging={"TagSet": tags})
    vault(room.cloud, "beacon-vault")  # made later: once it is told of, the canary's event has gone by
    eventually(lambda: [mail for mail in room.cloud.mail(before) if "beacon-vault" in mail.body])
    stack.sweep(room.cloud, room.outputs)
    status = json.loads(guardrail(room.cloud, "status", "--json").stdout)
    assert set(status["buckets"]) == {"beacon-vault"}
    assert status["population"]["enrolled"] == 1
    assert canary not in " ".join(mail.body for mail in room.cloud.mail(before))
    s3.put_bucket_tagging(Bucket=canary, Tagging={"TagSet": of_the_stack})


def test_the_canary_is_in_no_count_of_status(room: Room) -> None:
    names = {bucket["Name"] for bucket in room.client("s3").list_buckets()["Buckets"]}
    population = json.loads(guardrail(room.cloud, "status", "--json").stdout)["population"]
    assert population["buckets"] == len(names - {room.parts["Canary"]})


def credentials_of(room: Room, role: str) -> Credentials:
    """What a function with this role has."""
    arn = f"arn:aws:iam::{room.cloud.account}:role/{room.parts[role]}"
    key = room.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    return Credentials(
        access_key_id=key["AccessKeyId"],
        secret_access_key=key["SecretAccessKey"],
        session_token=key["SessionToken"],
    )


def test_the_drills_role_can_do_nothing_on_another_bucket(room: Room) -> None:
    name = vault(room.cloud, "other-vault")
    version = room.client("s3").put_object(Bucket=name, Key="k", Body=b"1")["VersionId"]
    s3 = room.cloud.client("s3", credentials_of(room, "DrillRole"))
    suspended = {"Bucket": name, "VersioningConfiguration": {"Status": "Suspended"}}
    calls = [
        (s3.put_bucket_versioning, suspended),
        (s3.delete_object, {"Bucket": name, "Key": "k", "VersionId": version}),
        (s3.delete_object, {"Bucket": name, "Key": "k"}),
        (s3.put_object, {"Bucket": name, "Key": "k", "Body": b"2"}),
        (s3.get_object, {"Bucket": name, "Key": "k"}),
        (s3.get_bucket_versioning, {"Bucket": name}),
        (s3.list_object_versions, {"Bucket": name}),
        (s3.delete_bucket, {"Bucket": name}),
        (s3.put_bucket_policy, {"Bucket": name, "Policy": "{}"}),
    ]
    assert {refusal(call, **arguments)[1] for call, arguments in calls} == {403}


def test_a_canary_whose_delete_is_not_refused_is_loud(room: Room) -> None:
    iam, s3, canary = room.client("iam"), room.client("s3"), room.parts["Canary"]
    policy = s3.get_bucket_policy(Bucket=canary)["Policy"]
    allow = {"Effect": "Allow", "Action": "s3:DeleteObjectVersion", "Resource": f"arn:aws:s3:::{canary}/*"}
    own = {"RoleName": room.parts["DrillRole"], "PolicyName": "more"}
    s3.delete_bucket_policy(Bucket=canary)
    iam.put_role_policy(**own, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    try:
        answer = drill(room)
        assert answer["failed"]
        assert "was not refused: deploy again, its policy was changed" in answer["errorMessage"]
        room.client("lambda").invoke(
            FunctionName=room.parts["DrillFunction"], InvocationType="Event", Payload=b'{"drill": "scheduled"}'
        )
        eventually(lambda: room.cloud.alarms()[room.parts["OnFailureAlarm"]] == "ALARM", 30)
    finally:
        iam.delete_role_policy(**own)
        s3.put_bucket_policy(Bucket=canary, Policy=policy)


def test_a_loud_drill_sends_one_marked_alert_and_nothing_else(room: Room) -> None:
    written, before = at_rest(lambda: history(room), QUIET_S), at_rest(lambda: len(room.cloud.mail()), QUIET_S)
    room.client("lambda").invoke(FunctionName=room.parts["HealthFunction"], Payload=b'{"health": "loud"}')
    time.sleep(QUIET_S)
    sent = room.cloud.mail(before)
    assert {mail.to for mail in sent} == {stack.MAILBOX, stack.HOOK}
    assert len(sent) == 2
    assert {mail.subject for mail in sent} == {"[drill] Alerts arrive: guardrail (prod, us-east-1)"}
    assert {mail.topic_arn for mail in sent} == {room.parts["AlertTopic"]}
    assert history(room) == written


def history(room: Room) -> int:
    """How many items the table holds."""
    return int(room.client("dynamodb").scan(TableName=room.parts["Table"], Select="COUNT")["Count"])
