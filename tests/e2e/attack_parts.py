"""Rows 1, 2 and 13: what blinds or silences the guardrail, part by part, while events come at once."""

import io
import json
import zipfile
from typing import Any

from tests.e2e.attack_rules import SCHEDULE, disable, enable, tamper_first
from tests.e2e.attack_stage import Acts, Moves, Stage

MOVES = Moves()
NOWHERE = {"source": ["nobody"]}
DENY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
TOLD = ["guardrail-tampered", "direct mail"]
AT_ONCE = "One call after the other, and events come at once."
ELSEWHERE = (
    "As outside us-east-1, where no event of IAM comes: the embedded cloud's CloudFormation leaves out what depends on "
    "the Region. In us-east-1 an event tells of it, and the direct mail."
)
DIRECT_ONLY = ["direct mail"]


def package(source: str) -> bytes:
    """A function's code."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("handlers/bucket_change.py", source)
    return packed.getvalue()


# Row 1 --------------------------------------------------------------------------------------------------------------


@MOVES.move(1, "disable all rules, the tamper rules first", must=["guardrail-blind"], note=AT_ONCE)
def disable_tamper_first(stage: Stage) -> Acts:
    attacker = stage.attacker("events:*")
    yield
    disable(attacker, tamper_first(stage))
    yield
    enable(stage)


@MOVES.move(1, "disable all rules, the tamper rules last", must=[*TOLD, "guardrail-blind"], note=AT_ONCE)
def disable_tamper_last(stage: Stage) -> Acts:
    attacker = stage.attacker("events:*")
    yield
    disable(attacker, [stage.rules["BucketChangeRule"], *tamper_first(stage)])
    yield
    enable(stage)


# Row 2 --------------------------------------------------------------------------------------------------------------


def put_back(stage: Stage, rule: dict[str, Any]) -> None:
    """A rule's pattern as it was."""
    same = {each: rule[each] for each in ("Name", "EventPattern", "Description")}
    stage.root("events").put_rule(**same)


def rule_of(stage: Stage, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A rule and its targets."""
    events = stage.root("events")
    rule = events.describe_rule(Name=stage.rules[name])
    return rule, events.list_targets_by_rule(Rule=stage.rules[name])["Targets"]


@MOVES.move(2, "PutRule with a pattern that matches nothing", must=[*TOLD, "guardrail-blind"])
def empty_pattern(stage: Stage) -> Acts:
    attacker, (rule, _) = stage.attacker("events:PutRule"), rule_of(stage, "BucketChangeRule")
    yield
    attacker("events").put_rule(Name=rule["Name"], EventPattern=json.dumps(NOWHERE))
    yield
    assert "not what this version deploys (pattern)" in stage.told("guardrail-blind")[0].body
    assert attacker.name in stage.told("guardrail-tampered")[0].body
    put_back(stage, rule)


@MOVES.move(2, "PutRule on the tamper rule, with a pattern that matches nothing", must=["guardrail-blind"])
def empty_tamper_pattern(stage: Stage) -> Acts:
    attacker, (rule, _) = stage.attacker("events:PutRule"), rule_of(stage, "RuleTamperRule")
    yield
    attacker("events").put_rule(Name=rule["Name"], EventPattern=json.dumps(NOWHERE))
    yield
    put_back(stage, rule)


@MOVES.move(2, "PutTargets to another function", must=[*TOLD, "guardrail-blind"])
def targets_elsewhere(stage: Stage) -> Acts:
    attacker, (rule, targets) = stage.attacker("events:PutTargets"), rule_of(stage, "BucketChangeRule")
    elsewhere = {"Id": targets[0]["Id"], "Arn": targets[0]["Arn"].rpartition(":")[0] + ":elsewhere"}
    yield
    attacker("events").put_targets(Rule=rule["Name"], Targets=[elsewhere])
    yield
    assert "(targets)" in stage.told("guardrail-blind")[0].body
    stage.root("events").put_targets(Rule=rule["Name"], Targets=targets)


@MOVES.move(2, "PutTargets with an input transformer", must=[*TOLD, "guardrail-blind"])
def targets_transformed(stage: Stage) -> Acts:
    attacker, (rule, targets) = stage.attacker("events:PutTargets"), rule_of(stage, "BucketChangeRule")
    transformer = {"InputPathsMap": {"x": "$.id"}, "InputTemplate": '{"source": "<x>"}'}
    yield
    attacker("events").put_targets(Rule=rule["Name"], Targets=[targets[0] | {"InputTransformer": transformer}])
    yield
    stage.root("events").put_targets(Rule=rule["Name"], Targets=targets)


# Row 13: functions, and what they are fed from ----------------------------------------------------------------------


@MOVES.move(13, "UpdateFunctionCode", must=TOLD)
def other_code(stage: Stage) -> Acts:
    attacker = stage.attacker("lambda:UpdateFunctionCode")
    name = stage.outputs["BucketChangeFunctionName"]
    yield
    attacker("lambda").update_function_code(FunctionName=name, ZipFile=package("def handler(e, c): return {}\n"))
    yield
    assert attacker.name in stage.told("guardrail-tampered")[0].body


@MOVES.move(13, "UpdateFunctionConfiguration: alerts to another topic", must=TOLD)
def other_settings(stage: Stage) -> Acts:
    attacker = stage.attacker("lambda:UpdateFunctionConfiguration", "iam:PassRole")
    variables = {"ALERT_TOPIC_ARN": stage.outputs["AlertTopicArn"] + "-elsewhere"}
    yield
    attacker("lambda").update_function_configuration(
        FunctionName=stage.outputs["BucketChangeFunctionName"], Environment={"Variables": variables}
    )
    yield


@MOVES.move(13, "PutFunctionConcurrency to zero", must=[*TOLD, "guardrail-blind"])
def throttle(stage: Stage) -> Acts:
    attacker, name = stage.attacker("lambda:PutFunctionConcurrency"), stage.outputs["BucketChangeFunctionName"]
    yield
    attacker("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    yield
    stage.root("lambda").delete_function_concurrency(FunctionName=name)


@MOVES.move(13, "RemovePermission, so that a rule may not start its function", must=TOLD)
def unpermitted(stage: Stage) -> Acts:
    attacker, name = stage.attacker("lambda:RemovePermission"), stage.outputs["BucketChangeFunctionName"]
    policy = json.loads(stage.root("lambda").get_policy(FunctionName=name)["Policy"])
    yield
    attacker("lambda").remove_permission(FunctionName=name, StatementId=policy["Statement"][0]["Sid"])
    yield


@MOVES.move(13, "UpdateEventSourceMapping: nobody takes deletes from the queue", must=[*TOLD, "guardrail-blind"])
def unfed(stage: Stage) -> Acts:
    attacker, mapping = stage.attacker("lambda:UpdateEventSourceMapping"), stage.parts["VersionDeleteFunctionDeletes"]
    yield
    attacker("lambda").update_event_source_mapping(UUID=mapping, Enabled=False)
    yield
    stage.root("lambda").update_event_source_mapping(UUID=mapping, Enabled=True)


@MOVES.move(13, "PutRolePolicy: deny a role everything", must=["guardrail-tampered"], note=ELSEWHERE)
def denied_role(stage: Stage) -> Acts:
    attacker, role = stage.attacker("iam:PutRolePolicy"), stage.parts["BucketChangeRole"]
    yield
    attacker("iam").put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=json.dumps(DENY))
    yield
    stage.root("iam").delete_role_policy(RoleName=role, PolicyName="more")
    stage.look()


@MOVES.move(13, "DeleteSchedule of the sweep", must=[*TOLD, "guardrail-blind"])
def no_sweep(stage: Stage) -> Acts:
    attacker, name = stage.attacker("scheduler:DeleteSchedule"), stage.parts["SweepSchedule"]
    was = stage.root("scheduler").get_schedule(Name=name)
    yield
    attacker("scheduler").delete_schedule(Name=name)
    yield
    stage.root("scheduler").create_schedule(**{each: was[each] for each in SCHEDULE})


@MOVES.move(13, "UpdateSchedule: the look at itself is switched off", must=[*TOLD, "guardrail-blind"])
def no_look(stage: Stage) -> Acts:
    attacker = stage.attacker("scheduler:UpdateSchedule", "iam:PassRole")
    was = stage.root("scheduler").get_schedule(Name=stage.parts["HealthSchedule"])
    same = {each: was[each] for each in SCHEDULE}
    yield
    attacker("scheduler").update_schedule(**same, State="DISABLED")
    yield
    stage.root("scheduler").update_schedule(**same, State="ENABLED")


# Row 13: key, queues, table -----------------------------------------------------------------------------------------


@MOVES.move(13, "DisableKey: alerts cannot be encrypted", must=DIRECT_ONLY)
def no_key(stage: Stage) -> Acts:
    attacker, key = stage.attacker("kms:DisableKey"), stage.parts["AlertKey"]
    yield
    attacker("kms").disable_key(KeyId=key)
    yield
    stage.root("kms").enable_key(KeyId=key)


@MOVES.move(13, "ScheduleKeyDeletion", must=DIRECT_ONLY)
def doomed_key(stage: Stage) -> Acts:
    attacker, key = stage.attacker("kms:ScheduleKeyDeletion"), stage.parts["AlertKey"]
    yield
    attacker("kms").schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    yield
    stage.root("kms").cancel_key_deletion(KeyId=key)
    stage.root("kms").enable_key(KeyId=key)


@MOVES.move(13, "PurgeQueue of the version deletes", must=TOLD)
def purged(stage: Stage) -> Acts:
    attacker = stage.attacker("sqs:PurgeQueue")
    yield
    attacker("sqs").purge_queue(QueueUrl=stage.outputs["DeleteQueueUrl"])
    yield


@MOVES.move(13, "SetQueueAttributes: the queue of version deletes takes nothing from EventBridge", must=TOLD)
def shut_queue(stage: Stage) -> Acts:
    attacker, url = stage.attacker("sqs:SetQueueAttributes"), stage.outputs["DeleteQueueUrl"]
    was = stage.root("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    yield
    attacker("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    yield
    stage.root("sqs").set_queue_attributes(QueueUrl=url, Attributes=was)
    stage.look()


@MOVES.move(13, "UpdateTimeToLive of the table", must=TOLD)
def no_expiry(stage: Stage) -> Acts:
    attacker, table = stage.attacker("dynamodb:UpdateTimeToLive"), stage.outputs["TableName"]
    setting = {"AttributeName": "expires_at"}
    yield
    attacker("dynamodb").update_time_to_live(TableName=table, TimeToLiveSpecification=setting | {"Enabled": False})
    yield
    stage.root("dynamodb").update_time_to_live(TableName=table, TimeToLiveSpecification=setting | {"Enabled": True})
