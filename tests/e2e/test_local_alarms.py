"""The embedded cloud's metrics and alarms, by the clock that tests move."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from local.cloud import Cloud
from tests.e2e.local_setting import make_function, make_queue, make_rule, receive, refusal, until

ANYONE = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": "*"}]}
KEY_ERRORS = [("disable_key", {}, "KMSDisabled"),
              ("schedule_key_deletion", {"PendingWindowInDays": 7}, "KMSInvalidState")]  # fmt: skip


def make_topic(cloud: Cloud, name: str, policy: dict[str, Any] | None = None, key: str = "") -> str:
    """A topic that CloudWatch may publish to, with a confirmed reader."""
    attributes = {"Policy": json.dumps(policy or ANYONE)} | ({"KmsMasterKeyId": key} if key else {})
    topic = str(cloud.client("sns").create_topic(Name=name, Attributes=attributes)["TopicArn"])
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint=f"{name}@example.com")
    cloud.confirm_subscriptions()
    return topic


def make_alarm(cloud: Cloud, name: str, **more: Any) -> None:
    settings: dict[str, Any] = {
        "AlarmName": name, "Namespace": "Test", "MetricName": name, "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    }  # fmt: skip
    cloud.client("cloudwatch").put_metric_alarm(**settings | more)


def put(cloud: Cloud, name: str, value: float = 1.0, **dimensions: str) -> None:
    shown = [{"Name": key, "Value": each} for key, each in dimensions.items()]
    cloud.client("cloudwatch").put_metric_data(
        Namespace="Test", MetricData=[{"MetricName": name, "Value": value, "Dimensions": shown}]
    )


def subjects(cloud: Cloud, topic: str) -> list[str]:
    return [each.subject for each in cloud.mail() if each.topic_arn == topic]


def total(cloud: Cloud, namespace: str, metric: str, **dimensions: str) -> float:
    """The sum of a metric over the last hour of the moved clock."""
    now = cloud.advance(0)
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace, MetricName=metric, StartTime=datetime.fromtimestamp(now - 3600, UTC),
        EndTime=datetime.fromtimestamp(now + 60, UTC), Period=86400, Statistics=["Sum"],
        Dimensions=[{"Name": key, "Value": each} for key, each in dimensions.items()],
    )  # fmt: skip
    return float(sum(each["Sum"] for each in found["Datapoints"]))


# Metrics ------------------------------------------------------------------------------------------------------------

EMBEDDED = """
import json, time
def handler(event, context):
    print("an ordinary line")
    print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [
        {"Namespace": "Guard", "Dimensions": [["service"]], "Metrics": [{"Name": "Looked", "Unit": "Count"}]}]},
        "service": "guard", "Looked": [2.0, 3.0]}))
"""


def test_embedded_metrics_of_a_function_are_stored_at_the_moved_time(cloud: Cloud) -> None:
    make_function(cloud, "embedded", EMBEDDED)
    make_alarm(cloud, "looked", Namespace="Guard", MetricName="Looked", Threshold=5,
               Dimensions=[{"Name": "service", "Value": "guard"}])  # fmt: skip
    assert cloud.alarms()["looked"] == "INSUFFICIENT_DATA"
    cloud.advance(86_400)
    cloud.client("lambda").invoke(FunctionName="embedded")
    assert total(cloud, "Guard", "Looked", service="guard") == 5
    assert cloud.alarms()["looked"] == "ALARM"


def test_every_failing_attempt_of_an_asynchronous_invocation_is_an_error(cloud: Cloud) -> None:
    make_function(cloud, "failing", "def handler(event, context):\n    raise ValueError('no')\n")
    cloud.client("lambda").put_function_event_invoke_config(FunctionName="failing", MaximumRetryAttempts=1)
    cloud.client("lambda").invoke(FunctionName="failing", InvocationType="Event")
    until(lambda: total(cloud, "AWS/Lambda", "Errors", FunctionName="failing") == 2)
    assert total(cloud, "AWS/Lambda", "Invocations", FunctionName="failing") == 2


def test_a_synchronous_invocation_and_a_mappings_batch_count_once_each(cloud: Cloud) -> None:
    url, arn = make_queue(cloud, "counted")
    make_function(cloud, "counting", "def handler(event, context):\n    return {}\n")
    cloud.client("lambda").invoke(FunctionName="counting")
    assert total(cloud, "AWS/Lambda", "Invocations", FunctionName="counting") == 1
    cloud.client("lambda").create_event_source_mapping(FunctionName="counting", EventSourceArn=arn, BatchSize=1)
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="{}")
    until(lambda: total(cloud, "AWS/Lambda", "Invocations", FunctionName="counting") == 2)
    assert total(cloud, "AWS/Lambda", "Errors", FunctionName="counting") == 0


def test_an_alarm_on_errors_goes_off_when_a_rules_function_fails(cloud: Cloud) -> None:
    function = make_function(cloud, "broken", "def handler(event, context):\n    raise ValueError('no')\n")
    cloud.client("lambda").add_permission(
        FunctionName="broken", StatementId="r", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
    )
    make_rule(cloud, "broken", {"source": ["test.broken"]}, {"Arn": function})
    make_alarm(cloud, "errors", Namespace="AWS/Lambda", MetricName="Errors", TreatMissingData="notBreaching",
               Dimensions=[{"Name": "FunctionName", "Value": "broken"}])  # fmt: skip
    cloud.client("events").put_events(Entries=[{"Source": "test.broken", "DetailType": "x", "Detail": "{}"}])
    until(lambda: cloud.alarms()["errors"] == "ALARM")


# States -------------------------------------------------------------------------------------------------------------


def test_a_breach_sends_the_alarm_and_a_quiet_period_the_all_clear(cloud: Cloud) -> None:
    topic = make_topic(cloud, "breach")
    make_alarm(cloud, "breach", AlarmActions=[topic], OKActions=[topic], TreatMissingData="notBreaching")
    assert cloud.alarms()["breach"] == "OK"
    put(cloud, "breach")
    put(cloud, "breach")
    [told] = [each for each in cloud.mail() if each.topic_arn == topic and each.subject.startswith("ALARM")]
    alarm = json.loads(told.body)
    assert (alarm["AlarmName"], alarm["NewStateValue"], alarm["Region"]) == ("breach", "ALARM", "us-east-1")
    assert told.subject == 'ALARM: "breach" in us-east-1'
    cloud.advance(61)
    assert subjects(cloud, topic)[-1] == 'OK: "breach" in us-east-1'


def test_an_alarm_starts_without_data_and_breaches_by_silence_only_when_its_periods_have_passed(cloud: Cloud) -> None:
    topic = make_topic(cloud, "silent")
    make_alarm(cloud, "silent", ComparisonOperator="LessThanThreshold", TreatMissingData="breaching", Period=300,
               EvaluationPeriods=2, AlarmActions=[topic])  # fmt: skip
    assert cloud.alarms()["silent"] == "INSUFFICIENT_DATA"
    cloud.advance(590)
    assert cloud.alarms()["silent"] == "INSUFFICIENT_DATA"
    cloud.advance(20)
    assert cloud.alarms()["silent"] == "ALARM"
    put(cloud, "silent")
    assert cloud.alarms()["silent"] == "OK"
    assert subjects(cloud, topic) == ['ALARM: "silent" in us-east-1']

    cloud.client("cloudwatch").delete_alarms(AlarmNames=["silent"])
    cloud.advance(3600)
    make_alarm(cloud, "silent", ComparisonOperator="LessThanThreshold", TreatMissingData="breaching", Period=300,
               EvaluationPeriods=2)  # fmt: skip
    assert cloud.alarms()["silent"] == "INSUFFICIENT_DATA"


@pytest.mark.parametrize(
    ("treatment", "states"),
    [
        ("notBreaching", ["OK", "ALARM", "OK"]),
        ("missing", ["INSUFFICIENT_DATA", "ALARM", "INSUFFICIENT_DATA"]),
        ("ignore", ["INSUFFICIENT_DATA", "ALARM", "ALARM"]),
        ("breaching", ["ALARM", "ALARM", "ALARM"]),
    ],
)
def test_missing_data_is_treated_as_the_alarm_says(cloud: Cloud, treatment: str, states: list[str]) -> None:
    name = f"treat-{treatment}"
    make_alarm(cloud, name, TreatMissingData=treatment)
    cloud.advance(61)
    seen = [cloud.alarms()[name]]
    put(cloud, name)
    seen.append(cloud.alarms()[name])
    cloud.advance(61)
    assert [*seen, cloud.alarms()[name]] == states


@pytest.mark.parametrize(
    ("statistic", "comparison", "threshold", "state"),
    [
        ("Sum", "GreaterThanThreshold", 5, "ALARM"),
        ("Sum", "GreaterThanThreshold", 6, "OK"),
        ("Maximum", "GreaterThanOrEqualToThreshold", 4, "ALARM"),
        ("Minimum", "LessThanOrEqualToThreshold", 2, "ALARM"),
        ("Minimum", "LessThanThreshold", 2, "OK"),
        ("Average", "GreaterThanOrEqualToThreshold", 3, "ALARM"),
        ("SampleCount", "LessThanThreshold", 3, "ALARM"),
    ],
)
def test_statistics_and_comparisons(
    cloud: Cloud, statistic: str, comparison: str, threshold: float, state: str
) -> None:
    name = f"{statistic}-{comparison}-{threshold}"
    make_alarm(cloud, name, Statistic=statistic, ComparisonOperator=comparison, Threshold=threshold)
    put(cloud, name, 2)
    put(cloud, name, 4)
    assert cloud.alarms()[name] == state


def test_so_many_datapoints_of_the_last_periods_make_an_alarm(cloud: Cloud) -> None:
    make_alarm(cloud, "two-of-three", EvaluationPeriods=3, DatapointsToAlarm=2, TreatMissingData="notBreaching")
    put(cloud, "two-of-three")
    assert cloud.alarms()["two-of-three"] == "OK"
    cloud.advance(120)
    put(cloud, "two-of-three")
    assert cloud.alarms()["two-of-three"] == "ALARM"
    cloud.advance(61)
    assert cloud.alarms()["two-of-three"] == "OK"


def test_dimensions_must_be_the_same(cloud: Cloud) -> None:
    make_alarm(cloud, "dimensions", Dimensions=[{"Name": "service", "Value": "guard"}])
    put(cloud, "dimensions", service="other")
    put(cloud, "dimensions")
    assert cloud.alarms()["dimensions"] == "INSUFFICIENT_DATA"
    put(cloud, "dimensions", service="guard")
    assert cloud.alarms()["dimensions"] == "ALARM"


def test_alarms_on_a_queue_read_what_waits_in_it_and_for_how_long(cloud: Cloud) -> None:
    url, _ = make_queue(cloud, "watched")
    on_queue = {"Namespace": "AWS/SQS", "Statistic": "Maximum", "Dimensions": [{"Name": "QueueName",
                                                                                "Value": "watched"}]}  # fmt: skip
    make_alarm(cloud, "waiting", MetricName="ApproximateNumberOfMessagesVisible", **on_queue)
    make_alarm(cloud, "old", MetricName="ApproximateAgeOfOldestMessage", Threshold=600, **on_queue)
    assert (cloud.alarms()["waiting"], cloud.alarms()["old"]) == ("OK", "OK")
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    assert (cloud.alarms()["waiting"], cloud.alarms()["old"]) == ("ALARM", "OK")
    cloud.advance(599)
    assert cloud.alarms()["old"] == "OK"
    cloud.advance(2)
    assert cloud.alarms()["old"] == "ALARM"
    [message] = receive(cloud, url)
    cloud.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert (cloud.alarms()["waiting"], cloud.alarms()["old"]) == ("OK", "OK")


def test_a_due_schedule_works_before_an_alarm_on_its_silence_is_evaluated(cloud: Cloud) -> None:
    function = make_function(cloud, "heart", EMBEDDED.replace("Looked", "Beat"))
    topic = make_topic(cloud, "heart")
    role = cloud.client("lambda").get_function_configuration(FunctionName="heart")["Role"]
    cloud.client("scheduler").create_schedule(
        Name="heart", ScheduleExpression="rate(1 hour)", FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": function, "RoleArn": role},
    )  # fmt: skip
    make_alarm(cloud, "heart", Namespace="Guard", MetricName="Beat", Period=3600, TreatMissingData="breaching",
               ComparisonOperator="LessThanThreshold", AlarmActions=[topic],
               Dimensions=[{"Name": "service", "Value": "guard"}])  # fmt: skip
    for _ in range(2):
        cloud.advance(3601)
    assert cloud.alarms()["heart"] == "OK"
    cloud.client("scheduler").delete_schedule(Name="heart")
    assert subjects(cloud, topic) == []
    cloud.advance(3601)
    assert subjects(cloud, topic) == ['ALARM: "heart" in us-east-1']


# Who may be told ----------------------------------------------------------------------------------------------------


def test_an_alarm_whose_actions_are_disabled_tells_nobody(cloud: Cloud) -> None:
    topic = make_topic(cloud, "muted")
    make_alarm(cloud, "muted", AlarmActions=[topic])
    cloud.client("cloudwatch").disable_alarm_actions(AlarmNames=["muted"])
    put(cloud, "muted")
    assert cloud.alarms()["muted"] == "ALARM"
    assert subjects(cloud, topic) == []


def test_a_topic_must_admit_cloudwatch(cloud: Cloud) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": "cloudwatch.amazonaws.com"}, "Action": "sns:Publish",
                 "Resource": "*"}  # fmt: skip
    other = statement | {"Principal": {"Service": "events.amazonaws.com"}}
    admits, refuses = (
        make_topic(cloud, "admits", {"Statement": [statement]}),
        make_topic(cloud, "refuses", {"Statement": [other]}),
    )
    make_alarm(cloud, "admitted", AlarmActions=[admits, refuses])
    put(cloud, "admitted")
    assert (len(subjects(cloud, admits)), subjects(cloud, refuses)) == (1, [])


def make_key(cloud: Cloud, service: str, alarm: str = "*") -> str:
    """A key one service may use on behalf of one alarm."""
    whole = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*",
             "Resource": "*"}  # fmt: skip
    use = {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
           "Resource": "*", "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:*:*:alarm:{alarm}"}},
           }  # fmt: skip
    policy = {"Version": "2012-10-17", "Statement": [whole, use]}
    return str(cloud.client("kms").create_key(Policy=json.dumps(policy))["KeyMetadata"]["KeyId"])


def test_a_topics_key_must_admit_cloudwatch_and_awss_own_key_never_does(cloud: Cloud) -> None:
    keys = {
        "key-admits": make_key(cloud, "cloudwatch.amazonaws.com", "keyed"),
        "key-for-another": make_key(cloud, "cloudwatch.amazonaws.com", "another"),
        "key-for-events": make_key(cloud, "events.amazonaws.com"),
        "key-of-aws": "alias/aws/sns",
    }
    topics = {name: make_topic(cloud, name, key=key) for name, key in keys.items()}
    make_alarm(cloud, "keyed", AlarmActions=list(topics.values()))
    put(cloud, "keyed")
    assert [name for name, topic in topics.items() if subjects(cloud, topic)] == ["key-admits"]
    cloud.client("sns").publish(TopicArn=topics["key-of-aws"], Message="a principal of the account may")
    assert len(subjects(cloud, topics["key-of-aws"])) == 1


@pytest.mark.parametrize(("call", "more", "code"), KEY_ERRORS)
def test_nothing_is_published_under_a_key_that_cannot_be_used(
    cloud: Cloud, call: str, more: dict[str, Any], code: str
) -> None:
    key = make_key(cloud, "cloudwatch.amazonaws.com")
    topic = make_topic(cloud, f"key-{code}", key=key)
    make_alarm(cloud, f"key-{code}", AlarmActions=[topic], OKActions=[topic], TreatMissingData="notBreaching")
    cloud.client("sns").publish(TopicArn=topic, Message="while it can")
    put(cloud, f"key-{code}")
    sent = subjects(cloud, topic)
    assert len(sent) == 3  # OK at the start, the message, the alarm
    getattr(cloud.client("kms"), call)(KeyId=key, **more)
    assert refusal(cloud.client("sns").publish, TopicArn=topic, Message="lost")[:2] == (code, 400)
    cloud.advance(61)
    assert cloud.alarms()[f"key-{code}"] == "OK"
    assert subjects(cloud, topic) == sent


def test_a_state_set_by_hand_tells_and_lasts_until_the_next_evaluation(cloud: Cloud) -> None:
    topic = make_topic(cloud, "drill")
    make_alarm(cloud, "drill", AlarmActions=[topic], TreatMissingData="notBreaching")
    cloud.client("cloudwatch").set_alarm_state(AlarmName="drill", StateValue="ALARM", StateReason="a drill")
    assert subjects(cloud, topic) == ['ALARM: "drill" in us-east-1']
    assert cloud.alarms()["drill"] == "OK"
