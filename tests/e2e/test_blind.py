"""`guardrail-blind`: each trouble made for real, and found by the next look alone.

CloudTrail's records never arrive in this cloud (`event_delay_s`): no tamper rule tells what the look is to find.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import stack
from local.cloud import Cloud
from tests.e2e import again, troubles
from tests.e2e.test_deliveries import guardrail, vault
from tests.e2e.troubles import MANAGEMENT, TROUBLES, VAULT, Room, Undo, own_events, room_of, select

UNCOUNTED = True
"""Permissions are taken, and roles assumed, on purpose (conftest.py)."""

NEVER_S = 86_400.0


@pytest.fixture(scope="module")
def cloud(counted: None) -> Iterator[Cloud]:  # it must end after the cloud
    """An embedded cloud whose EventBridge is never told of any call."""
    with Cloud.start(event_delay_s=NEVER_S) as started:
        yield started


@pytest.fixture(scope="module")
def room(cloud: Cloud, outputs: dict[str, str]) -> Room:
    """A stack in which all is well, and one enrolled bucket, which sends its own events."""
    vault(cloud, VAULT)
    own_events(cloud, on=True)
    stack.sweep(cloud, outputs)  # sees that somebody listens
    made = room_of(cloud, "guardrail", outputs)
    # the embedded CloudFormation leaves the topic's key out
    made.client("sns").set_topic_attributes(
        TopicArn=made.parts["AlertTopic"], AttributeName="KmsMasterKeyId", AttributeValue=made.parts["AlertKey"]
    )
    made.look()
    return made


@pytest.fixture(autouse=True)
def no_fault_stays(cloud: Cloud) -> Iterator[None]:
    """What a test injected ends with it."""
    yield
    cloud.faults([])


@pytest.mark.parametrize(
    ("make", "problem", "severity", "named"), [pytest.param(*each, id=each[0].__name__) for each in TROUBLES]
)
def test_each_trouble_is_found_by_the_next_look_and_its_end_by_the_one_after(
    room: Room, make: Callable[[Room], Undo], problem: str, severity: str, named: str
) -> None:
    undo = make(room)
    try:
        [alert] = room.look()
        assert (alert["control"], alert["severity"]) == ("guardrail-blind", severity)
        assert [each["problem"] for each in alert["conditions"]] == [problem]
        assert named in alert["conditions"][0]["meaning"]
        assert alert["conditions"][0]["mend"]
        assert (alert["principal"], alert["event_name"]) == (None, None)
        assert room.look() == []
    finally:
        undo()
    [good] = room.look()
    assert (good["control"], good["change"]) == ("guardrail-blind", "resolved")


def problems(alert: dict[str, Any]) -> list[str]:
    """What the alert says is wrong."""
    return [each["problem"] for each in alert["conditions"]]


def test_another_kind_of_trouble_and_a_worse_one_are_news_and_one_more_of_a_kind_is_not(room: Room) -> None:
    undo = [troubles.rule_off(room, "VersionDeleteRule")]
    assert [problems(alert) for alert in room.look()] == [["rule-off"]]
    undo.append(troubles.rule_off(room, "ObjectDeletedRule"))
    assert room.look() == []
    undo.append(troubles.schedule_off(room))
    [alert] = room.look()
    assert (alert["severity"], alert["change"]) == ("high", "reopened")
    assert sorted(problems(alert)) == ["rule-off", "rule-off", "schedule-off"]
    undo.append(troubles.rule_off(room))
    [alert] = room.look()
    assert alert["severity"] == "critical"
    assert "BucketChangeRule" in alert["conditions"][0]["meaning"]
    for each in undo[1:]:
        each()
    assert room.look() == []
    undo[0]()
    assert [alert["change"] for alert in room.look()] == ["resolved"]


REFUSED = {"status": 400, "code": "AccessDeniedException", "times": None}


def test_selectors_that_may_not_be_read_are_told_once_low_with_the_proof_and_are_neither_blind_nor_fine(
    room: Room,
) -> None:
    own_events(room.cloud, on=False)
    room.cloud.faults([{"service": "cloudtrail", "match": "GetEventSelectors", **REFUSED}])
    try:
        [alert] = room.look()
        assert (alert["control"], alert["severity"]) == ("state-unverifiable", "low")
        assert problems(alert) == ["trail-unverifiable", "deletes-unverifiable"]
        assert all("step 7" in each["mend"] and "the proof" in each["mend"] for each in alert["conditions"])
        assert room.look() == []
    finally:
        room.cloud.faults([])
        own_events(room.cloud, on=True)
    room.look()
    # minor good news waits for the next digest, ten minutes after the last
    owed = room.client("dynamodb").scan(TableName=room.parts["Table"])["Items"]
    assert [item["change"]["S"] for item in owed if item["pk"]["S"] == "owed"] == ["resolved"]


def test_a_refused_look_does_not_end_the_trouble_it_would_have_shown(room: Room) -> None:
    undo = troubles.rule_off(room)
    try:
        assert [problems(alert) for alert in room.look()] == [["rule-off"]]
        room.cloud.faults([{"service": "events", "match": "DescribeRule", **REFUSED}])
        told = room.look()
    finally:
        room.cloud.faults([])
        undo()
        room.look()
    assert [each["control"] for each in told] == ["state-unverifiable"]


def test_a_bucket_that_sends_its_own_events_needs_no_trail_for_its_deletes(room: Room) -> None:
    undo = select(room, MANAGEMENT)
    assert room.look() == []
    undo()


def test_a_policy_put_on_a_role_is_told_once_as_done_by_somebody_unknown(room: Room) -> None:
    iam, role = room.client("iam"), room.parts["BucketChangeRole"]
    deny = {"Effect": "Deny", "Action": "s3:GetBucketTagging", "Resource": "*"}
    iam.put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=json.dumps({"Statement": [deny]}))
    [alert] = room.look()
    assert (alert["control"], alert["severity"], alert["principal"]) == ("guardrail-tampered", "high", None)
    assert alert["detail"] == "the policies of its roles, topics, queues or buses are not what they were"
    assert room.look() == []
    iam.delete_role_policy(RoleName=role, PolicyName="more")
    # the same deed again, within the hour: counted, not told
    assert room.look() == []


def standing(cloud: Cloud, name: str = "guardrail") -> list[dict[str, Any]]:
    """What is open of the guardrail itself, as the operator sees it."""
    done = guardrail(cloud, "--stack", name, "status", "--json")
    found: list[dict[str, Any]] = json.loads(done.stdout)["health"]["findings"]
    return found


def blind(cloud: Cloud, name: str = "guardrail") -> list[str]:
    """What `guardrail status` says is wrong."""
    return [m for each in standing(cloud, name) if each["control"] == "guardrail-blind" for m in each["conditions"]]


def test_what_cannot_be_sent_because_the_key_is_off_makes_the_look_fail_and_stands_in_status(room: Room) -> None:
    key = {"KeyId": room.parts["AlertKey"]}
    room.client("kms").disable_key(**key)
    try:
        assert room.invoke()["failed"]
        assert blind(room.cloud) == ["the key of the alert topic is Disabled: alerts cannot be sent"]
    finally:
        room.client("kms").enable_key(**key)
    assert [alert["change"] for alert in room.look()] == ["resolved"]


@pytest.fixture(scope="module")
def unheard(cloud: Cloud) -> Room:
    """A second stack, told not to watch deletes, to which nobody has confirmed a subscription yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud, "confirm_subscriptions", list)
        outputs = again.deploy(cloud, "second", WatchVersionDeletes="no", AlertEmail="second@example.com")
    return room_of(cloud, "second", outputs)


def test_while_nobody_has_confirmed_status_says_so_and_the_confirmed_get_it_afterwards(unheard: Room) -> None:
    cloud = unheard.cloud
    assert unheard.look() == []
    pending = "has not been confirmed: nobody gets anything by it"
    assert sorted(blind(cloud, "second")) == [
        f"EmailSubscription {pending}",
        f"SilenceEmailSubscription {pending}",
        f"UrlSubscription {pending}",
        "nobody has confirmed a subscription: alerts wait",
    ]
    cloud.confirm_subscriptions()
    told = unheard.look()
    assert {(each["change"], each["severity"]) for each in told} == {("opened", "high"), ("resolved", "high")}
    assert told[-1]["change"] == "resolved"
    opened = next(each for each in told if each["change"] == "opened")
    assert set(problems(opened)) == {"topic-unheard", "subscription-pending"}
    assert blind(cloud, "second") == []


def test_deletes_that_nobody_sees_are_no_trouble_to_a_stack_that_does_not_watch_them(room: Room, unheard: Room) -> None:
    unheard.cloud.confirm_subscriptions()
    unheard.look()
    undo = troubles.deletes_unseen(room)
    try:
        assert unheard.look() == []
        assert [problems(alert) for alert in room.look()] == [["deletes-unseen"]]
    finally:
        undo()
    room.look()


def test_a_deleted_subscription_and_a_deleted_topic_are_found(unheard: Room) -> None:
    unheard.cloud.confirm_subscriptions()
    unheard.look()
    sns = unheard.client("sns")
    sns.unsubscribe(SubscriptionArn=unheard.parts["EmailSubscription"])
    [alert] = unheard.look()
    assert (alert["severity"], problems(alert)) == ("high", ["subscription-deleted"])
    assert alert["conditions"][0]["meaning"] == "EmailSubscription was deleted: nobody gets it"
    sns.delete_topic(TopicArn=unheard.parts["SilenceTopic"])
    [alert] = unheard.look()
    assert set(problems(alert)) == {"topic-gone", "subscription-deleted"}


def test_status_still_shows_the_buckets_when_the_alert_topic_is_gone(unheard: Room) -> None:
    unheard.client("sns").delete_topic(TopicArn=unheard.parts["AlertTopic"])
    done = guardrail(unheard.cloud, "--stack", "second", "status", "--json")
    assert VAULT in json.loads(done.stdout)["buckets"]
