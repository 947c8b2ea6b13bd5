"""Each link of the guardrail killed by an administrator: at least one way out speaks, and which one.

alert: the alert topic, by our own functions. direct: the second topic, straight from EventBridge. alarm: CloudWatch.
Here CloudTrail's records come at once; on AWS they take minutes.
"""

import io
import json
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local import stack
from local.cloud import Cloud, Credentials, Mail
from tests.e2e.local_setting import ALLOW_ALL
from tests.e2e.test_deliveries import at_rest, eventually
from tests.e2e.troubles import Room, room_of, schedule_as_it_is

UNCOUNTED = True
"""Permissions are taken, and roles assumed, on purpose (conftest.py)."""

ALERT, DIRECT, ALARM = "alert", "direct", "alarm"
OF_THE_GUARDRAIL = {"guardrail-blind", "guardrail-tampered"}
PERIOD_S, PERIODS = 900, 4
QUIET_S = 1.5


def way_of(room: Room, mail: Mail) -> str:
    """By which way a message about the guardrail itself came out; empty for any other message."""
    if mail.subject.startswith("ALARM"):
        return ALARM
    if mail.topic_arn == room.parts["SilenceTopic"] and "past the guardrail's own code" in mail.body:
        return DIRECT
    is_bad_news = not mail.subject.startswith("[resolved]")
    return ALERT if is_bad_news and mail.message_attributes.get("control") in OF_THE_GUARDRAIL else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """What an administrator, another one in each test, does to a stack that was well until then."""

    room: Room
    admin: Credentials
    since: int

    def client(self, service: str) -> Any:
        return self.room.cloud.client(service, self.admin)

    @property
    def ways(self) -> set[str]:
        """The ways that spoke since."""
        return {way_of(self.room, mail) for mail in self.room.cloud.mail(self.since)} - {""}

    def told_by(self, *ways: str) -> None:
        """Each of these ways speaks."""
        eventually(lambda: set(ways) <= self.ways, 15)

    def alarm_spoke(self, name: str) -> bool:
        """The alarm of that name has spoken by now."""
        self.room.cloud.alarms()
        told = [mail.subject for mail in self.room.cloud.mail(self.since) if way_of(self.room, mail) == ALARM]
        return any(self.room.parts[name] in subject for subject in told)

    def told_by_the_alarm(self, name: str) -> None:
        """The alarm of that name speaks within an hour."""
        for _ in range(PERIODS):
            self.room.cloud.advance(PERIOD_S)
            if self.alarm_spoke(name):
                return
        raise AssertionError(f"{name} did not speak within {PERIODS} quarters of an hour")

    def told_by_the_alarm_of_the_next_look(self, name: str) -> None:
        """It speaks when the next look has failed as often as Lambda tries it."""
        self.room.cloud.advance(PERIOD_S)
        eventually(lambda: self.alarm_spoke(name), 15)


@pytest.fixture(scope="module")
def room(cloud: Cloud, outputs: dict[str, str]) -> Room:
    """It knows that somebody listens; its topic gets the key that the embedded CloudFormation leaves out."""
    stack.sweep(cloud, outputs)
    made = room_of(cloud, "guardrail", outputs)
    cloud.client("sns").set_topic_attributes(
        TopicArn=made.parts["AlertTopic"], AttributeName="KmsMasterKeyId", AttributeValue=made.parts["AlertKey"]
    )
    return made


@pytest.fixture
def attack(room: Room, request: pytest.FixtureRequest) -> Iterator[Attack]:
    """Begins with a look that finds nothing, and leaves nothing in the failure queues."""
    at_rest(lambda: written(room), QUIET_S)  # the looks that the last test caused are over
    for name in ("DeadLetterQueue", "OnFailureQueue"):
        room.client("sqs").purge_queue(QueueUrl=room.parts[name])
    room.invoke()
    room.cloud.alarms()
    admin = room.cloud.create_user(f"admin-{abs(hash(request.node.name)):x}", ALLOW_ALL)
    yield Attack(room=room, admin=admin, since=len(room.cloud.mail()))
    room.cloud.faults([])


def written(room: Room) -> int:
    """How much the look has logged: each one writes something, and no call on AWS's side tells more cheaply."""
    groups = room.client("logs").describe_log_groups(logGroupNamePrefix=room.parts["HealthLogs"])["logGroups"]
    return int(groups[0]["storedBytes"])


# Functions ----------------------------------------------------------------------------------------------------------


def nothing() -> bytes:
    """A package whose handlers do nothing."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("bucket_change", "version_delete", "sweep", "guardrail_health"):
            archive.writestr(f"handlers/{name}.py", "def handler(event, context):\n    return {}\n")
    return packed.getvalue()


@pytest.fixture
def replaced(attack: Attack) -> Iterator[Callable[[str], None]]:
    """Replaces a function's code, and puts it back in the end."""
    functions, kept = attack.client("lambda"), {}

    def replace(name: str) -> None:
        function = attack.room.parts[name]
        with urllib.request.urlopen(functions.get_function(FunctionName=function)["Code"]["Location"]) as code:  # noqa: S310  # local
            kept[function] = code.read()
        functions.update_function_code(FunctionName=function, ZipFile=nothing())

    yield replace
    for function, code in kept.items():
        functions.update_function_code(FunctionName=function, ZipFile=code)


@pytest.mark.parametrize("function", ["BucketChangeFunction", "VersionDeleteFunction", "SweepFunction"])
def test_code_replaced_is_told_directly_and_by_the_function_that_is_left(
    attack: Attack, replaced: Callable[[str], None], function: str
) -> None:
    replaced(function)
    attack.told_by(DIRECT, ALERT)


def test_code_of_the_look_itself_replaced_is_told_directly_and_by_its_heartbeats_alarm(
    attack: Attack, replaced: Callable[[str], None]
) -> None:
    replaced("HealthFunction")
    attack.told_by(DIRECT)
    attack.told_by_the_alarm("HealthHeartbeatAlarm")
    assert ALERT not in attack.ways


def test_the_look_throttled_is_told_directly_and_by_the_alarms(attack: Attack) -> None:
    functions, name = attack.client("lambda"), attack.room.parts["HealthFunction"]
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        attack.told_by(DIRECT)
        attack.told_by_the_alarm_of_the_next_look("OnFailureAlarm")
    finally:
        functions.delete_function_concurrency(FunctionName=name)


# Rules, schedules, alarms -------------------------------------------------------------------------------------------

WATCHERS_WATCHER = "RuleTamperRule"
"""It tells of every rule that is switched off, but for itself: by then it is off."""


def rules_of(room: Room) -> list[str]:
    return sorted(name for name in room.parts if name.endswith("Rule"))


def test_rules_switched_off_one_after_the_other_are_each_told_directly(attack: Attack) -> None:
    """Without the look, which each of them would cause, so that it is the direct way alone that speaks."""
    events, room = attack.client("events"), attack.room
    kept = events.list_targets_by_rule(Rule=room.parts[WATCHERS_WATCHER])["Targets"]
    events.remove_targets(Rule=room.parts[WATCHERS_WATCHER], Ids=["Function"])
    attack.told_by(DIRECT, ALERT)
    rules = [name for name in rules_of(room) if name != WATCHERS_WATCHER]
    for name in rules:
        events.disable_rule(Name=room.parts[name])
    eventually(lambda: len(directly(attack, "DisableRule")) >= len(rules), 15)
    for name in rules:
        events.enable_rule(Name=room.parts[name])
    assert len(directly(attack, "DisableRule")) == len(rules)
    events.put_targets(Rule=room.parts[WATCHERS_WATCHER], Targets=kept)


def directly(attack: Attack, call: str) -> list[Mail]:
    """The messages of the direct way about this call."""
    sent = attack.room.cloud.mail(attack.since)
    return [mail for mail in sent if way_of(attack.room, mail) == DIRECT and f": {call} by" in mail.body]


def test_all_rules_switched_off_beginning_with_the_one_that_watches_them_are_told_directly_by_another(
    attack: Attack,
) -> None:
    events, room = attack.client("events"), attack.room
    try:
        for name in sorted(rules_of(room), key=lambda each: each != WATCHERS_WATCHER):
            events.disable_rule(Name=room.parts[name])
        attack.told_by(DIRECT)
        room.cloud.advance(PERIOD_S)
        attack.told_by(ALERT)
    finally:
        for name in rules_of(room):
            events.enable_rule(Name=room.parts[name])


def test_the_rule_that_watches_rules_switched_off_is_told_directly(attack: Attack) -> None:
    events, rule = attack.client("events"), attack.room.parts[WATCHERS_WATCHER]
    events.disable_rule(Name=rule)
    time.sleep(QUIET_S)
    events.enable_rule(Name=rule)
    assert DIRECT in attack.ways


def test_the_looks_schedule_deleted_is_told_directly_and_by_the_look_that_it_causes(attack: Attack) -> None:
    scheduler, kept = schedule_as_it_is(attack.room, "HealthSchedule")
    attack.client("scheduler").delete_schedule(Name=kept["Name"])  # and by its heartbeat's alarm: test_heartbeat.py
    try:
        attack.told_by(DIRECT, ALERT)
    finally:
        scheduler.create_schedule(**kept)


def test_alarms_silenced_are_told_directly_and_by_the_look(attack: Attack) -> None:
    alarms = [attack.room.parts[name] for name in attack.room.parts if name.endswith("Alarm")]
    attack.client("cloudwatch").disable_alarm_actions(AlarmNames=alarms)
    try:
        attack.told_by(DIRECT, ALERT)
    finally:
        attack.client("cloudwatch").enable_alarm_actions(AlarmNames=alarms)


# Roles --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def removed(attack: Attack) -> Iterator[Callable[[str, str], None]]:
    """Removes a policy from a role, and puts it back in the end."""
    iam, kept = attack.client("iam"), []

    def remove(role: str, policy: str) -> None:
        asked = {"RoleName": attack.room.parts[role], "PolicyName": policy}
        document = iam.get_role_policy(**asked)["PolicyDocument"]
        kept.append(asked | {"PolicyDocument": json.dumps(document)})
        iam.delete_role_policy(**asked)

    yield remove
    for each in kept:
        iam.put_role_policy(**each)


# The embedded CloudFormation's conditions do not know the Region: RoleTamperRule is not there, as in every Region but
# us-east-1.


def test_a_policy_taken_from_another_function_is_told_by_the_next_look(
    attack: Attack, removed: Callable[[str, str], None]
) -> None:
    removed("BucketChangeRole", "buckets")
    attack.room.cloud.advance(PERIOD_S)
    attack.told_by(ALERT)


def test_the_looks_own_permissions_taken_are_told_by_the_alarm_on_its_errors(
    attack: Attack, removed: Callable[[str, str], None]
) -> None:
    removed("HealthRole", "shared")
    attack.told_by_the_alarm_of_the_next_look("HealthErrorsAlarm")
    assert ALERT not in attack.ways


def test_a_look_that_may_not_read_the_roles_any_more_says_so(
    attack: Attack, removed: Callable[[str, str], None]
) -> None:
    removed("HealthRole", "roles")
    before = len(attack.room.cloud.mail())
    attack.room.invoke()
    assert [mail for mail in attack.room.cloud.mail(before) if mail.message_attributes.get("control")]


# What cannot be put back as it was ----------------------------------------------------------------------------------


def test_the_key_switched_off_is_told_directly(attack: Attack) -> None:
    key = attack.room.parts["AlertKey"]
    attack.client("kms").disable_key(KeyId=key)
    try:
        attack.told_by(DIRECT)
        time.sleep(QUIET_S)
        assert ALERT not in attack.ways
    finally:
        attack.client("kms").enable_key(KeyId=key)


@pytest.mark.parametrize(("topic", "way"), [("SilenceTopic", ALERT), ("AlertTopic", DIRECT)])
def test_one_topic_deleted_is_told_by_the_other(attack: Attack, topic: str, way: str) -> None:
    sns, arn = attack.client("sns"), attack.room.parts[topic]
    kept = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    sns.delete_topic(TopicArn=arn)
    try:
        attack.told_by(way)
    finally:
        attributes = {name: kept[name] for name in ("Policy", "KmsMasterKeyId") if kept.get(name)}
        sns.create_topic(Name=arn.rpartition(":")[2], Attributes=attributes)
        sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=stack.MAILBOX)
        attack.room.cloud.confirm_subscriptions()


def test_the_table_deleted_is_told_directly_and_by_the_alarms(attack: Attack) -> None:
    db, name = attack.client("dynamodb"), attack.room.parts["Table"]
    kept = db.describe_table(TableName=name)["Table"]
    db.delete_table(TableName=name)
    attack.told_by(DIRECT)
    attack.told_by_the_alarm_of_the_next_look("HealthErrorsAlarm")
    wanted = {member: kept[member] for member in ("TableName", "KeySchema", "AttributeDefinitions")}
    db.create_table(**wanted, BillingMode="PAY_PER_REQUEST")


def test_the_function_that_looks_deleted_is_told_directly_and_by_the_alarm(attack: Attack) -> None:
    attack.client("lambda").delete_function(FunctionName=attack.room.parts["HealthFunction"])
    attack.told_by(DIRECT)
    attack.told_by_the_alarm_of_the_next_look("DeadLetterAlarm")


def test_the_stack_deleted_is_told_by_nobody_as_the_limits_say(cloud: Cloud, room: Room) -> None:
    admin, since = cloud.create_user("admin-of-the-end", ALLOW_ALL), len(cloud.mail())
    cloud.client("cloudformation", admin).delete_stack(StackName="guardrail")
    time.sleep(2 * QUIET_S)
    assert not [mail for mail in cloud.mail(since) if way_of(room, mail) == DIRECT]
