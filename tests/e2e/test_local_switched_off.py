"""What is switched off in the embedded cloud really stops: mappings, functions throttled to zero, rules, schedules."""

import json
import time

from local.cloud import Cloud
from tests.e2e.local_setting import make_function, make_queue, make_rule, receive, refusal, until

QUIET_S = 1.5


def make_teller(cloud: Cloud, name: str) -> tuple[str, str]:
    """A function that tells its event to a queue: its ARN, and the queue's URL."""
    url, _ = make_queue(cloud, f"{name}-told")
    source = (
        "import boto3, json\n"
        "def handler(event, context):\n"
        f"    boto3.client('sqs').send_message(QueueUrl={url!r}, MessageBody=json.dumps(event))\n"
    )
    return make_function(cloud, name, source), url


def test_a_disabled_mapping_delivers_nothing_until_it_is_enabled_again(cloud: Cloud) -> None:
    _, told = make_teller(cloud, "mapped")
    url, arn = make_queue(cloud, "mapped-from")
    functions = cloud.client("lambda")
    mapping = functions.create_event_source_mapping(FunctionName="mapped", EventSourceArn=arn, BatchSize=1)["UUID"]
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="before")
    until(lambda: len(receive(cloud, told)) == 1)

    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="meanwhile")
    time.sleep(QUIET_S)
    assert len(receive(cloud, told)) == 1
    waiting = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    assert waiting["Attributes"]["ApproximateNumberOfMessages"] == "1"

    functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    until(lambda: len(receive(cloud, told)) == 2)


def test_events_for_a_function_throttled_to_zero_end_in_on_failure_and_it_never_runs(cloud: Cloud) -> None:
    function, told = make_teller(cloud, "throttled")
    failed, arn = make_queue(cloud, "throttled-failed")
    functions = cloud.client("lambda")
    functions.put_function_event_invoke_config(
        FunctionName="throttled", MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    functions.add_permission(
        FunctionName="throttled", StatementId="r", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
    )
    make_rule(cloud, "throttled", {"source": ["test.throttled"]}, {"Arn": function})
    functions.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
    assert refusal(functions.invoke, FunctionName="throttled")[:2] == ("TooManyRequestsException", 429)
    cloud.client("events").put_events(
        Entries=[{"Source": "test.throttled", "DetailType": "x", "Detail": '{"number": 7}'}]
    )
    [message] = until(lambda: receive(cloud, failed))
    record = json.loads(message["Body"])
    assert record["requestPayload"]["detail"] == {"number": 7}
    assert receive(cloud, told) == []

    functions.delete_function_concurrency(FunctionName="throttled")
    cloud.client("events").put_events(Entries=[{"Source": "test.throttled", "DetailType": "x", "Detail": "{}"}])
    until(lambda: len(receive(cloud, told)) == 1)


def test_a_mapping_to_a_function_throttled_to_zero_leaves_its_messages_in_the_queue(cloud: Cloud) -> None:
    _, told = make_teller(cloud, "choked")
    url, arn = make_queue(cloud, "choked-from")
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
    cloud.client("lambda").put_function_concurrency(FunctionName="choked", ReservedConcurrentExecutions=0)
    cloud.client("lambda").create_event_source_mapping(FunctionName="choked", EventSourceArn=arn, BatchSize=1)
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    time.sleep(QUIET_S)
    assert receive(cloud, told) == []
    cloud.client("lambda").delete_function_concurrency(FunctionName="choked")
    until(lambda: len(receive(cloud, told)) == 1, 15)


def test_a_throttled_invocation_is_no_invocation_and_no_error(cloud: Cloud) -> None:
    make_teller(cloud, "refused")
    cloud.client("lambda").put_function_concurrency(FunctionName="refused", ReservedConcurrentExecutions=0)
    refusal(cloud.client("lambda").invoke, FunctionName="refused")
    metrics = cloud.client("cloudwatch").list_metrics(
        Namespace="AWS/Lambda", Dimensions=[{"Name": "FunctionName", "Value": "refused"}]
    )
    assert [each["MetricName"] for each in metrics["Metrics"]] == ["Throttles"]


def test_a_disabled_rule_and_a_disabled_schedule_tell_nobody(cloud: Cloud) -> None:
    url, arn = make_queue(cloud, "rule-told")
    make_rule(cloud, "off", {"source": ["test.off"]}, {"Arn": arn})
    cloud.client("events").disable_rule(Name="off")
    target = {"Arn": arn, "RoleArn": "arn:aws:iam::111122223333:role/any", "Input": "{}"}
    schedule = {"Name": "off", "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"}}
    scheduler = cloud.client("scheduler")
    scheduler.create_schedule(**schedule, Target=target)
    scheduler.update_schedule(**schedule, Target=target, State="DISABLED")
    cloud.client("events").put_events(Entries=[{"Source": "test.off", "DetailType": "x", "Detail": "{}"}])
    cloud.advance(3601)
    assert receive(cloud, url) == []
    cloud.client("events").enable_rule(Name="off")
    cloud.client("events").put_events(Entries=[{"Source": "test.off", "DetailType": "x", "Detail": "{}"}])
    until(lambda: len(receive(cloud, url)) == 1)
    scheduler.delete_schedule(Name="off")
