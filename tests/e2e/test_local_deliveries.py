"""The embedded cloud delivers as AWS does: rules, dead letters, retries, batching windows, subscriptions, mail."""

import json
import time
from collections.abc import Iterator

import pytest

from local.cloud import Cloud
from tests.e2e.local_setting import (
    OFF,
    make_function,
    make_queue,
    make_rule,
    on_bucket,
    put_version,
    receive,
    records_of,
    refusal,
    until,
)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud.start(batching_window_s=None) as running:
        yield running


def test_the_record_reaches_a_rule_on_the_default_bus(cloud: Cloud, bucket: str) -> None:
    url, arn = make_queue(cloud, "records")
    make_rule(cloud, "records", on_bucket(bucket), {"Arn": arn})
    cloud.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration=OFF)
    [message] = until(lambda: receive(cloud, url))
    event = json.loads(message["Body"])
    assert (event["source"], event["detail-type"]) == ("aws.s3", "AWS API Call via CloudTrail")
    assert (event["account"], event["region"], event["resources"]) == ("111122223333", "us-east-1", [])
    assert event["detail"] == records_of(cloud, bucket, "PutBucketVersioning")[-1]


def test_s3_sends_its_own_event_for_a_permanent_delete(cloud: Cloud, bucket: str) -> None:
    url, arn = make_queue(cloud, "own-events")
    make_rule(cloud, "own-events", {"source": ["aws.s3"], "detail-type": ["Object Deleted"]}, {"Arn": arn})
    s3 = cloud.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    version = put_version(cloud, bucket)
    s3.delete_object(Bucket=bucket, Key="report.csv", VersionId=version)
    [message] = until(lambda: receive(cloud, url))
    event = json.loads(message["Body"])
    detail = event["detail"]
    assert event["resources"] == [f"arn:aws:s3:::{bucket}"]
    assert detail["deletion-type"] == "Permanently Deleted"
    assert detail["reason"] == "DeleteObject"
    assert detail["object"]["version-id"] == version
    assert "size" not in detail["object"]
    assert detail["request-id"] == records_of(cloud, bucket, "DeleteObject")[-1]["requestID"]


def test_a_target_that_does_not_exist_leaves_a_dead_letter(cloud: Cloud, bucket: str) -> None:
    url, arn = make_queue(cloud, "dead-letters")
    missing = "arn:aws:lambda:us-east-1:111122223333:function:missing"
    make_rule(cloud, "dead", on_bucket(bucket), {"Arn": missing, "DeadLetterConfig": {"Arn": arn}})
    cloud.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration=OFF)
    [message] = until(lambda: receive(cloud, url))
    assert json.loads(message["Body"])["detail"]["eventName"] == "PutBucketVersioning"
    attributes = {name: each["StringValue"] for name, each in message["MessageAttributes"].items()}
    assert attributes["TARGET_ARN"] == missing
    assert attributes["RULE_ARN"].endswith("rule/dead")
    assert attributes["ERROR_CODE"] == "NO_RESOURCE"


def test_a_queue_that_does_not_admit_eventbridge_leaves_a_dead_letter(cloud: Cloud, bucket: str) -> None:
    url, arn = make_queue(cloud, "closed-dead-letters")
    closed = cloud.client("sqs").create_queue(QueueName="closed")["QueueUrl"]
    target = {"Arn": arn.replace("closed-dead-letters", "closed"), "DeadLetterConfig": {"Arn": arn}}
    make_rule(cloud, "closed", on_bucket(bucket), target)
    cloud.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration=OFF)
    [message] = until(lambda: receive(cloud, url))
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert receive(cloud, closed) == []


def test_a_schedule_without_its_target_leaves_its_input_as_dead_letter(cloud: Cloud) -> None:
    url, arn = make_queue(cloud, "schedule-dead-letters")
    target = {
        "Arn": "arn:aws:lambda:us-east-1:111122223333:function:missing",
        "RoleArn": "arn:aws:iam::111122223333:role/any",
        "Input": '{"kind": "sweep"}',
        "DeadLetterConfig": {"Arn": arn},
    }
    cloud.client("scheduler").create_schedule(
        Name="dead", ScheduleExpression="rate(1 hour)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )
    cloud.advance(3600)
    [message] = until(lambda: receive(cloud, url))
    assert message["Body"] == '{"kind": "sweep"}'
    cloud.client("scheduler").delete_schedule(Name="dead")


def test_a_function_that_raises_ends_in_on_failure_after_its_retries(cloud: Cloud, bucket: str) -> None:
    url, arn = make_queue(cloud, "on-failure")
    function = make_function(cloud, "raises", "def handler(event, context):\n    raise ValueError('no')\n")
    cloud.client("lambda").put_function_event_invoke_config(
        FunctionName="raises", MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    make_rule(cloud, "raises", on_bucket(bucket), {"Arn": function})
    cloud.client("lambda").add_permission(
        FunctionName="raises", StatementId="rule", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
    )
    cloud.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration=OFF)
    [message] = until(lambda: receive(cloud, url))
    failed = json.loads(message["Body"])
    assert failed["requestPayload"]["detail"]["requestParameters"]["bucketName"] == bucket


def test_messages_wait_for_the_batching_window_and_come_together(cloud: Cloud) -> None:
    url, arn = make_queue(cloud, "batched")
    out_url, _ = make_queue(cloud, "batches")
    source = (
        "import boto3\n"
        "def handler(event, context):\n"
        f"    boto3.client('sqs').send_message(QueueUrl={out_url!r}, MessageBody=str(len(event['Records'])))\n"
    )
    make_function(cloud, "batcher", source)
    cloud.client("lambda").create_event_source_mapping(
        FunctionName="batcher", EventSourceArn=arn, BatchSize=100, MaximumBatchingWindowInSeconds=1
    )
    started = time.monotonic()
    for number in range(12):
        cloud.client("sqs").send_message(QueueUrl=url, MessageBody=str(number))
    [message] = until(lambda: receive(cloud, out_url))
    assert message["Body"] == "12"
    assert time.monotonic() - started >= 1.0


def make_topic(cloud: Cloud, name: str, *endpoints: str) -> str:
    topic = str(cloud.client("sns").create_topic(Name=name)["TopicArn"])
    for each in endpoints:
        protocol = "https" if each.startswith("https") else "email"
        cloud.client("sns").subscribe(TopicArn=topic, Protocol=protocol, Endpoint=each)
    return topic


def test_a_subscription_is_pending_and_silent_until_it_is_confirmed(cloud: Cloud) -> None:
    sns = cloud.client("sns")
    topic = make_topic(cloud, "pending", "a@example.com", "https://pager.example.com/hook")
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert {each["SubscriptionArn"] for each in listed} == {"PendingConfirmation"}
    counts = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert (counts["SubscriptionsPending"], counts["SubscriptionsConfirmed"]) == ("2", "0")
    sns.publish(TopicArn=topic, Message="lost")
    assert [each for each in cloud.mail() if each.topic_arn == topic] == []

    confirmed = cloud.confirm_subscriptions()
    assert all(arn.startswith(topic) for arn in confirmed)
    counts = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert (counts["SubscriptionsPending"], counts["SubscriptionsConfirmed"]) == ("0", "2")
    attributes = sns.get_subscription_attributes(SubscriptionArn=confirmed[0])["Attributes"]
    assert attributes["PendingConfirmation"] == "false"
    sns.publish(TopicArn=topic, Message="seen", Subject="Alert")
    mail = cloud.wait_for_mail(lambda each: each.topic_arn == topic and each.protocol == "email", 2)
    assert (mail.to, mail.subject, mail.body) == ("a@example.com", "Alert", "seen")
    hook = cloud.wait_for_mail(lambda each: each.topic_arn == topic and each.protocol == "https", 2)
    assert json.loads(hook.body)["Message"] == "seen"


def test_mail_honours_message_structure_and_filter_policy(cloud: Cloud) -> None:
    sns = cloud.client("sns")
    topic = make_topic(cloud, "filtered", "all@example.com", "critical@example.com")
    cloud.confirm_subscriptions()
    picky = next(
        each["SubscriptionArn"]
        for each in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        if each["Endpoint"] == "critical@example.com"
    )
    sns.set_subscription_attributes(
        SubscriptionArn=picky, AttributeName="FilterPolicy", AttributeValue='{"severity": ["CRITICAL"]}'
    )
    text = json.dumps({"default": "for machines", "email": "for people"})
    attribute = {"severity": {"DataType": "String", "StringValue": "LOW"}}
    sns.publish(TopicArn=topic, Message=text, MessageStructure="json", MessageAttributes=attribute)
    [mail] = [each for each in cloud.mail() if each.topic_arn == topic]
    assert (mail.to, mail.body) == ("all@example.com", "for people")
    assert mail.message_attributes == {"severity": "LOW"}


def test_a_subject_aws_refuses_is_refused(cloud: Cloud) -> None:
    topic = make_topic(cloud, "subjects")
    publish = cloud.client("sns").publish
    assert refusal(publish, TopicArn=topic, Message="x", Subject="s" * 101)[0] == "InvalidParameter"
