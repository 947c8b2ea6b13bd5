"""How each trouble of a deployed guardrail is made for real, and undone; no tests of its own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local import stack
from local.cloud import Cloud

TRAIL = "lab"
"""The trail that every embedded account has, and that logs all."""
MANAGEMENT = {"Name": "settings", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}
DATA = [{"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]}]
OBJECTS = {"Name": "objects", "FieldSelectors": DATA}
READS = {"Name": "reads", "FieldSelectors": [*MANAGEMENT["FieldSelectors"], {"Field": "readOnly", "Equals": ["true"]}]}
VAULT = "watched-vault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A deployed stack: its outputs, and its parts by logical id."""

    cloud: Cloud
    outputs: dict[str, str]
    parts: dict[str, str]

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    def invoke(self) -> dict[str, Any]:
        """Let it look at itself, at the beginning of a new hour of messages; raises if that fails."""
        self.client("dynamodb").update_item(
            TableName=self.outputs["TableName"],
            Key={"pk": {"S": "guardrail"}, "sk": {"S": "alert-topic"}},
            UpdateExpression="REMOVE pace",
        )
        answer = self.client("lambda").invoke(
            FunctionName=self.outputs["HealthFunctionName"], Payload=b'{"health": "by hand"}'
        )
        return {"failed": "FunctionError" in answer, **json.loads(answer["Payload"].read())}

    def look(self) -> list[dict[str, Any]]:
        """The alerts that a look sent, and the findings of its digests, in their JSON form."""
        before = len(self.cloud.mail())
        answer = self.invoke()
        assert not answer["failed"], answer
        topic = self.outputs["AlertTopicArn"]
        sent = [mail for mail in self.cloud.mail(before) if mail.to == stack.HOOK and mail.topic_arn == topic]
        forms = [json.loads(json.loads(mail.body)["Message"]) for mail in sent]
        return [one for form in forms for one in form.get("findings", [form])]


def room_of(cloud: Cloud, name: str, outputs: dict[str, str]) -> Room:
    """The stack as CloudFormation knows it."""
    pages = cloud.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    found = [each for page in pages for each in page["StackResourceSummaries"]]
    parts = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}
    return Room(cloud=cloud, outputs=outputs, parts=parts)


type Undo = Callable[[], object]


def own_events(cloud: Cloud, *, on: bool) -> None:
    """Switch the bucket's own events on or off."""
    wanted: dict[str, Any] = {"EventBridgeConfiguration": {}} if on else {}
    cloud.client("s3").put_bucket_notification_configuration(Bucket=VAULT, NotificationConfiguration=wanted)


# Trails -------------------------------------------------------------------------------------------------------------


def logging_stopped(room: Room) -> Undo:
    trails = room.client("cloudtrail")
    trails.stop_logging(Name=TRAIL)
    return lambda: trails.start_logging(Name=TRAIL)


def trail_deleted(room: Room) -> Undo:
    trails = room.client("cloudtrail")
    trails.delete_trail(Name=TRAIL)

    def undo() -> None:
        trails.create_trail(Name=TRAIL, S3BucketName="lab-trail-logs", IsMultiRegionTrail=True)
        select(room, MANAGEMENT, OBJECTS)
        trails.start_logging(Name=TRAIL)

    return undo


def select(room: Room, *selectors: dict[str, Any]) -> Undo:
    room.client("cloudtrail").put_event_selectors(TrailName=TRAIL, AdvancedEventSelectors=list(selectors))
    return lambda: select(room, MANAGEMENT, OBJECTS)


def no_management_events(room: Room) -> Undo:
    return select(room, OBJECTS)


def only_reads_of_management(room: Room) -> Undo:
    return select(room, READS, OBJECTS)


def only_basic_reads(room: Room) -> Undo:
    trails = room.client("cloudtrail")
    trails.put_event_selectors(TrailName=TRAIL, EventSelectors=[{"ReadWriteType": "ReadOnly"}])
    return lambda: select(room, MANAGEMENT, OBJECTS)


def trail_of_another_region(room: Room) -> Undo:
    undo = logging_stopped(room)
    there = room.cloud.client("cloudtrail", region="eu-west-1")
    there.create_trail(Name="elsewhere", S3BucketName="lab-trail-logs", IsMultiRegionTrail=False)
    there.start_logging(Name="elsewhere")

    def undone() -> None:
        there.delete_trail(Name="elsewhere")
        undo()

    return undone


def deletes_unseen(room: Room) -> Undo:
    undo = select(room, MANAGEMENT)
    own_events(room.cloud, on=False)

    def undone() -> None:
        own_events(room.cloud, on=True)
        undo()

    return undone


# Rules and schedules ------------------------------------------------------------------------------------------------


def rule_off(room: Room, name: str = "BucketChangeRule") -> Undo:
    events = room.client("events")
    events.disable_rule(Name=room.parts[name])
    return lambda: events.enable_rule(Name=room.parts[name])


def other_rule_off(room: Room) -> Undo:
    return rule_off(room, "VersionDeleteRule")


def tamper_rule_off(room: Room) -> Undo:
    return rule_off(room, "RuleTamperRule")


def rule_as_it_is(room: Room, name: str = "BucketChangeRule") -> tuple[Any, str, dict[str, Any], list[dict[str, Any]]]:
    events, rule = room.client("events"), room.parts[name]
    kept = events.describe_rule(Name=rule)
    return events, rule, kept, events.list_targets_by_rule(Rule=rule)["Targets"]


def rule_gone(room: Room) -> Undo:
    events, rule, kept, targets = rule_as_it_is(room)
    events.remove_targets(Rule=rule, Ids=[each["Id"] for each in targets])
    events.delete_rule(Name=rule)

    def undo() -> None:
        events.put_rule(Name=rule, EventPattern=kept["EventPattern"])
        events.put_targets(Rule=rule, Targets=targets)

    return undo


def rule_of_another_pattern(room: Room) -> Undo:
    events, rule, kept, _ = rule_as_it_is(room)
    narrow = json.loads(kept["EventPattern"])
    narrow["detail"]["requestParameters"] = {"bucketName": ["another-bucket"]}
    events.put_rule(Name=rule, EventPattern=json.dumps(narrow))
    return lambda: events.put_rule(Name=rule, EventPattern=kept["EventPattern"])


def rule_with_another_target(room: Room) -> Undo:
    events, rule, _, targets = rule_as_it_is(room)
    sweep = next(each["Arn"] for each in rule_as_it_is(room, "TrailTamperRule")[3])
    events.put_targets(Rule=rule, Targets=[targets[0] | {"Arn": sweep}])
    return lambda: events.put_targets(Rule=rule, Targets=targets)


def rule_without_targets(room: Room) -> Undo:
    events, rule, _, targets = rule_as_it_is(room)
    events.remove_targets(Rule=rule, Ids=[each["Id"] for each in targets])
    return lambda: events.put_targets(Rule=rule, Targets=targets)


def rule_that_rewrites(room: Room) -> Undo:
    events, rule, _, targets = rule_as_it_is(room)
    shaped = {"InputPathsMap": {"id": "$.id"}, "InputTemplate": '{"nothing": "<id>"}'}
    events.put_targets(Rule=rule, Targets=[targets[0] | {"InputTransformer": shaped}])
    return lambda: events.put_targets(Rule=rule, Targets=targets)


def schedule_as_it_is(room: Room, name: str) -> tuple[Any, dict[str, Any]]:
    scheduler = room.client("scheduler")
    found = scheduler.get_schedule(Name=room.parts[name])
    wanted = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target", "State", "Description")
    return scheduler, {member: found[member] for member in wanted if member in found}


def schedule_changed(room: Room, name: str = "SweepSchedule", **more: Any) -> Undo:
    scheduler, kept = schedule_as_it_is(room, name)
    scheduler.update_schedule(**kept | more)
    return lambda: scheduler.update_schedule(**kept)


def schedule_off(room: Room) -> Undo:
    return schedule_changed(room, State="DISABLED")


def schedule_of_another_rate(room: Room) -> Undo:
    return schedule_changed(room, "HealthSchedule", ScheduleExpression="rate(30 days)")


def schedule_with_another_input(room: Room) -> Undo:
    target = schedule_as_it_is(room, "SweepSchedule")[1]["Target"]
    return schedule_changed(room, Target=target | {"Input": '{"sweep": "owed"}'})


def schedule_gone(room: Room) -> Undo:
    scheduler, kept = schedule_as_it_is(room, "SweepSchedule")
    scheduler.delete_schedule(Name=kept["Name"])
    return lambda: scheduler.create_schedule(**kept)


# Functions and queues -----------------------------------------------------------------------------------------------


def throttled(room: Room, name: str) -> Undo:
    functions = room.client("lambda")
    functions.put_function_concurrency(FunctionName=room.parts[name], ReservedConcurrentExecutions=0)
    return lambda: functions.delete_function_concurrency(FunctionName=room.parts[name])


def function_throttled(room: Room) -> Undo:
    return throttled(room, "BucketChangeFunction")


def other_function_throttled(room: Room) -> Undo:
    return throttled(room, "SweepFunction")


def mapping_off(room: Room) -> Undo:
    functions, mapping = room.client("lambda"), room.parts["VersionDeleteFunctionDeletes"]
    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    return lambda: functions.update_event_source_mapping(UUID=mapping, Enabled=True)


def waiting(room: Room, name: str) -> Undo:
    queues, url = room.client("sqs"), room.parts[name]
    queues.send_message(QueueUrl=url, MessageBody="{}")
    return lambda: queues.purge_queue(QueueUrl=url)


def dead_letter(room: Room) -> Undo:
    return waiting(room, "DeadLetterQueue")


def failed_run(room: Room) -> Undo:
    return waiting(room, "OnFailureQueue")


def queue_gone(room: Room) -> Undo:
    queues, url = room.client("sqs"), room.parts["OnFailureQueue"]
    queues.delete_queue(QueueUrl=url)
    return lambda: queues.create_queue(QueueName=url.rpartition("/")[2])


# Topics and alarms --------------------------------------------------------------------------------------------------


def filtered(room: Room) -> Undo:
    sns, subscription = room.client("sns"), room.parts["EmailSubscription"]
    asked = {"SubscriptionArn": subscription, "AttributeName": "FilterPolicy"}
    sns.set_subscription_attributes(**asked, AttributeValue='{"severity": ["info"]}')
    return lambda: sns.set_subscription_attributes(**asked)


def alarm_silent(room: Room) -> Undo:
    alarms, name = room.client("cloudwatch"), room.parts["HealthHeartbeatAlarm"]
    alarms.disable_alarm_actions(AlarmNames=[name])
    return lambda: alarms.enable_alarm_actions(AlarmNames=[name])


def alarm_deleted(room: Room) -> Undo:
    alarms, name = room.client("cloudwatch"), room.parts["OnFailureAlarm"]
    [kept] = alarms.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    alarms.delete_alarms(AlarmNames=[name])
    wanted = (
        "AlarmName", "AlarmDescription", "ActionsEnabled", "AlarmActions", "OKActions", "Namespace", "MetricName",
        "Dimensions", "Statistic", "Period", "EvaluationPeriods", "ComparisonOperator", "Threshold", "TreatMissingData",
    )  # fmt: skip
    return lambda: alarms.put_metric_alarm(**{member: kept[member] for member in wanted if member in kept})


def region_without_a_stack(room: Room) -> Undo:
    there = room.cloud.client("s3", region="eu-west-1")
    there.create_bucket(Bucket="far-vault", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    tags = [{"Key": "mfa-delete", "Value": "required"}]
    there.put_bucket_tagging(Bucket="far-vault", Tagging={"TagSet": tags})
    return lambda: there.delete_bucket(Bucket="far-vault")


TROUBLES: list[tuple[Callable[[Room], Undo], str, str, str]] = [
    (logging_stopped, "no-trail", "critical", "only the sweep will notice"),
    (trail_deleted, "no-trail", "critical", "only the sweep will notice"),
    (no_management_events, "no-trail", "critical", "only the sweep will notice"),
    (only_reads_of_management, "no-trail", "critical", "only the sweep will notice"),
    (only_basic_reads, "no-trail", "critical", "only the sweep will notice"),
    (trail_of_another_region, "no-trail", "critical", "only the sweep will notice"),
    (deletes_unseen, "deletes-unseen", "high", VAULT),
    (rule_off, "rule-off", "critical", "BucketChangeRule"),
    (other_rule_off, "rule-off", "high", "VersionDeleteRule"),
    (tamper_rule_off, "rule-off", "high", "RuleTamperRule"),
    (rule_gone, "rule-gone", "critical", "BucketChangeRule"),
    (rule_of_another_pattern, "rule-changed", "critical", "(pattern)"),
    (rule_with_another_target, "rule-changed", "critical", "(targets)"),
    (rule_without_targets, "rule-changed", "critical", "(targets)"),
    (rule_that_rewrites, "rule-changed", "critical", "(targets)"),
    (schedule_off, "schedule-off", "high", "SweepSchedule"),
    (schedule_gone, "schedule-gone", "high", "SweepSchedule"),
    (schedule_of_another_rate, "schedule-changed", "high", "HealthSchedule"),
    (schedule_with_another_input, "schedule-changed", "high", "SweepSchedule"),
    (function_throttled, "function-throttled", "critical", "BucketChangeFunction"),
    (other_function_throttled, "function-throttled", "high", "SweepFunction"),
    (mapping_off, "function-unfed", "high", "version deletes"),
    (dead_letter, "queue-waiting", "high", "DeadLetterQueue"),
    (failed_run, "queue-waiting", "high", "OnFailureQueue"),
    (queue_gone, "queue-gone", "high", "OnFailureQueue"),
    (filtered, "subscription-filtered", "high", "EmailSubscription"),
    (alarm_silent, "alarm-silent", "high", "HealthHeartbeatAlarm"),
    (alarm_deleted, "alarm-silent", "high", "OnFailureAlarm"),
    (region_without_a_stack, "region-uncovered-eu-west-1", "high", "far-vault"),
]
