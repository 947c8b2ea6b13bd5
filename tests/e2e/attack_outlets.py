"""Row 13: by what the guardrail is heard, the trail that feeds it, and what nothing puts back."""

import json
from typing import Any

from tests.e2e.attack_parts import DIRECT_ONLY, TOLD
from tests.e2e.attack_stage import Acts, Moves, Stage

MOVES = Moves()
NOBODY_PUBLISHES = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Resource": "*"}],
}
MANAGEMENT_OFF = [
    {
        "Name": "objects",
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        ],
    }
]
ALARM = (
    "AlarmName", "AlarmDescription", "Namespace", "MetricName", "Dimensions", "Statistic", "Period",
    "EvaluationPeriods", "ComparisonOperator", "Threshold", "TreatMissingData", "AlarmActions", "OKActions",
)  # fmt: skip


# Alarms -------------------------------------------------------------------------------------------------------------


def alarm_of(stage: Stage) -> dict[str, Any]:
    """The alarm on the look's silence, as PutMetricAlarm wants it."""
    name = stage.outputs["HealthHeartbeatAlarmName"]
    [found] = stage.root("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return {each: found[each] for each in ALARM}


@MOVES.move(13, "DeleteAlarms", must=[*TOLD, "guardrail-blind"])
def no_alarm(stage: Stage) -> Acts:
    attacker, was = stage.attacker("cloudwatch:DeleteAlarms"), alarm_of(stage)
    yield
    attacker("cloudwatch").delete_alarms(AlarmNames=[was["AlarmName"]])
    yield
    stage.root("cloudwatch").put_metric_alarm(**was)


@MOVES.move(13, "DisableAlarmActions", must=[*TOLD, "guardrail-blind"])
def mute_alarm(stage: Stage) -> Acts:
    attacker, name = stage.attacker("cloudwatch:DisableAlarmActions"), stage.outputs["HealthHeartbeatAlarmName"]
    yield
    attacker("cloudwatch").disable_alarm_actions(AlarmNames=[name])
    yield
    stage.root("cloudwatch").enable_alarm_actions(AlarmNames=[name])


@MOVES.move(13, "PutMetricAlarm: it never goes off", must=TOLD)
def patient_alarm(stage: Stage) -> Acts:
    attacker, was = stage.attacker("cloudwatch:PutMetricAlarm"), alarm_of(stage)
    yield
    attacker("cloudwatch").put_metric_alarm(**was | {"TreatMissingData": "notBreaching"})
    yield
    stage.root("cloudwatch").put_metric_alarm(**was)


# Topics and subscriptions -------------------------------------------------------------------------------------------


@MOVES.move(13, "SetTopicAttributes: nobody may publish to the alert topic", must=DIRECT_ONLY)
def shut_topic(stage: Stage) -> Acts:
    attacker, topic = stage.attacker("sns:SetTopicAttributes"), stage.outputs["AlertTopicArn"]
    was = stage.root("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    policy = {"TopicArn": topic, "AttributeName": "Policy"}
    yield
    attacker("sns").set_topic_attributes(**policy, AttributeValue=json.dumps(NOBODY_PUBLISHES))
    yield
    stage.root("sns").set_topic_attributes(**policy, AttributeValue=was)
    stage.look()


@MOVES.move(13, "SetSubscriptionAttributes: a filter that lets nothing by", must=["direct mail"])
def filtered(stage: Stage) -> Acts:
    attacker, mine = stage.attacker("sns:SetSubscriptionAttributes"), stage.parts["EmailSubscription"]
    policy = {"SubscriptionArn": mine, "AttributeName": "FilterPolicy"}
    yield
    attacker("sns").set_subscription_attributes(**policy, AttributeValue=json.dumps({"severity": ["none"]}))
    yield
    stage.root("sns").set_subscription_attributes(**policy, AttributeValue="{}")


# The trail ----------------------------------------------------------------------------------------------------------


@MOVES.move(13, "StopLogging of the trail", must=["guardrail-tampered", "guardrail-blind"])
def stopped_trail(stage: Stage) -> Acts:
    attacker = stage.attacker("cloudtrail:StopLogging")
    yield
    attacker("cloudtrail").stop_logging(Name="lab")
    yield
    assert stage.told("guardrail-blind")[0].subject.startswith("[critical]")
    stage.root("cloudtrail").start_logging(Name="lab")


@MOVES.move(
    13, "PutEventSelectors: the trail logs no calls on settings", must=["guardrail-tampered", "guardrail-blind"]
)
def narrowed_trail(stage: Stage) -> Acts:
    attacker, cloudtrail = stage.attacker("cloudtrail:PutEventSelectors"), stage.root("cloudtrail")
    was = cloudtrail.get_event_selectors(TrailName="lab")["AdvancedEventSelectors"]
    yield
    attacker("cloudtrail").put_event_selectors(TrailName="lab", AdvancedEventSelectors=MANAGEMENT_OFF)
    yield
    cloudtrail.put_event_selectors(TrailName="lab", AdvancedEventSelectors=was)


# What nothing puts back ---------------------------------------------------------------------------------------------


@MOVES.move(13, "DeleteQueue of the version deletes", must=TOLD)
def no_queue(stage: Stage) -> Acts:
    attacker = stage.attacker("sqs:DeleteQueue")
    yield
    attacker("sqs").delete_queue(QueueUrl=stage.outputs["DeleteQueueUrl"])
    yield


@MOVES.move(13, "Unsubscribe the mailbox of the alerts", must=["direct mail", "guardrail-blind"])
def unsubscribed(stage: Stage) -> Acts:
    attacker = stage.attacker("sns:Unsubscribe")
    yield
    attacker("sns").unsubscribe(SubscriptionArn=stage.parts["EmailSubscription"])
    yield
    assert any("EmailSubscription was deleted" in mail.body for mail in stage.arrived)


@MOVES.move(13, "DeleteFunction", must=[*TOLD, "guardrail-blind"])
def no_function(stage: Stage) -> Acts:
    attacker = stage.attacker("lambda:DeleteFunction")
    yield
    attacker("lambda").delete_function(FunctionName=stage.outputs["BucketChangeFunctionName"])
    yield
    assert any("is gone" in mail.body for mail in stage.arrived)


@MOVES.move(13, "DeleteTrail", must=["guardrail-tampered", "guardrail-blind"])
def no_trail(stage: Stage) -> Acts:
    attacker, cloudtrail = stage.attacker("cloudtrail:DeleteTrail"), stage.root("cloudtrail")
    yield
    attacker("cloudtrail").delete_trail(Name="lab")
    yield
    cloudtrail.create_trail(Name="lab", S3BucketName="lab-trail-logs", IsMultiRegionTrail=True)
    cloudtrail.start_logging(Name="lab")


@MOVES.move(13, "DeleteTopic of the alerts", must=DIRECT_ONLY)
def no_topic(stage: Stage) -> Acts:
    attacker = stage.attacker("sns:DeleteTopic")
    yield
    attacker("sns").delete_topic(TopicArn=stage.outputs["AlertTopicArn"])
    yield


@MOVES.move(13, "DeleteTable", must=DIRECT_ONLY)
def no_table(stage: Stage) -> Acts:
    attacker = stage.attacker("dynamodb:DeleteTable")
    yield
    attacker("dynamodb").delete_table(TableName=stage.outputs["TableName"])
    yield
