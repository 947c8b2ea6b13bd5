"""CloudTrail records of calls that touch what a guardrail is made of, in whatever protocol they came."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud, Credentials
from tests.e2e.local_setting import make_queue, make_rule, receive, refusal, until

ACCOUNT = "111122223333"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:missing"
MAPPING = "11111111-2222-3333-4444-555555555555"
QUEUE = f"http://127.0.0.1/{ACCOUNT}/missing"
POLICY = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
SELECTORS = [{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": False, "DataResources": []}]
# ministack says that the thing is missing before it asks who may know.
UNAUTHORISED = {"UpdateFunctionEventInvokeConfig", "UpdateEventSourceMapping", "DeleteEventSourceMapping"}
NO_ONE = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}]}

# Client, operation, what CloudTrail adds to its name, arguments, and the request parameters of the record.
CALLS: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("events", "PutRule", "", {"Name": "r", "EventPattern": "{}"}, {"name": "r", "eventPattern": "{}"}),
    ("events", "DisableRule", "", {"Name": "r"}, {"name": "r"}),
    ("events", "EnableRule", "", {"Name": "r"}, {"name": "r"}),
    ("events", "DeleteRule", "", {"Name": "r", "Force": True}, {"name": "r", "force": True}),
    ("events", "PutTargets", "", {"Rule": "r", "Targets": [{"Id": "1", "Arn": TOPIC}]},
     {"rule": "r", "targets": [{"id": "1", "arn": TOPIC}]}),
    ("events", "RemoveTargets", "", {"Rule": "r", "Ids": ["1", "2"]}, {"rule": "r", "ids": ["1", "2"]}),
    ("lambda", "UpdateFunctionCode", "20150331v2", {"FunctionName": "f", "ZipFile": b"x"}, {"functionName": "f"}),
    ("lambda", "UpdateFunctionConfiguration", "20150331v2",
     {"FunctionName": "f", "Timeout": 3, "Environment": {"Variables": {"A": "secret"}}},
     {"functionName": "f", "timeout": 3, "environment": {}}),
    ("lambda", "DeleteFunction", "20150331", {"FunctionName": "f", "Qualifier": "1"},
     {"functionName": "f", "qualifier": "1"}),
    ("lambda", "PutFunctionConcurrency", "20171031", {"FunctionName": "f", "ReservedConcurrentExecutions": 0},
     {"functionName": "f", "reservedConcurrentExecutions": 0}),
    ("lambda", "DeleteFunctionConcurrency", "20171031", {"FunctionName": "f"}, {"functionName": "f"}),
    ("lambda", "AddPermission", "20150331v2",
     {"FunctionName": "f", "StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"},
     {"functionName": "f", "statementId": "s", "action": "lambda:InvokeFunction", "principal": "events.amazonaws.com"}),
    ("lambda", "RemovePermission", "20150331v2", {"FunctionName": "f", "StatementId": "s"},
     {"functionName": "f", "statementId": "s"}),
    ("lambda", "PutFunctionEventInvokeConfig", "", {"FunctionName": "f", "MaximumRetryAttempts": 0},
     {"functionName": "f", "maximumRetryAttempts": 0}),
    ("lambda", "UpdateFunctionEventInvokeConfig", "", {"FunctionName": "f", "MaximumRetryAttempts": 1},
     {"functionName": "f", "maximumRetryAttempts": 1}),
    ("lambda", "DeleteFunctionEventInvokeConfig", "", {"FunctionName": "f"}, {"functionName": "f"}),
    ("lambda", "UpdateEventSourceMapping", "20150331", {"UUID": MAPPING, "Enabled": False},
     {"uUID": MAPPING, "enabled": False}),
    ("lambda", "DeleteEventSourceMapping", "20150331", {"UUID": MAPPING}, {"uUID": MAPPING}),
    ("scheduler", "UpdateSchedule", "",
     {"Name": "s", "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"},
      "Target": {"Arn": TOPIC, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r"}, "State": "DISABLED", "ClientToken": "t"},
     {"name": "s", "scheduleExpression": "rate(1 hour)", "flexibleTimeWindow": {"mode": "OFF"},
      "target": {"arn": TOPIC, "roleArn": f"arn:aws:iam::{ACCOUNT}:role/r"}, "state": "DISABLED", "clientToken": "t"}),
    ("scheduler", "DeleteSchedule", "", {"Name": "s", "GroupName": "g", "ClientToken": "t"},
     {"name": "s", "groupName": "g", "clientToken": "t"}),
    ("sqs", "DeleteQueue", "", {"QueueUrl": QUEUE}, {"queueUrl": QUEUE}),
    ("sqs", "PurgeQueue", "", {"QueueUrl": QUEUE}, {"queueUrl": QUEUE}),
    ("sqs", "SetQueueAttributes", "", {"QueueUrl": QUEUE, "Attributes": {"VisibilityTimeout": "9"}},
     {"queueUrl": QUEUE, "attributes": {"VisibilityTimeout": "9"}}),
    ("dynamodb", "DeleteTable", "", {"TableName": "ttt"}, {"tableName": "ttt"}),
    ("dynamodb", "UpdateTable", "", {"TableName": "ttt", "DeletionProtectionEnabled": False},
     {"tableName": "ttt", "deletionProtectionEnabled": False}),
    ("dynamodb", "UpdateTimeToLive", "",
     {"TableName": "ttt", "TimeToLiveSpecification": {"Enabled": False, "AttributeName": "a"}},
     {"tableName": "ttt", "timeToLiveSpecification": {"enabled": False, "attributeName": "a"}}),
    ("dynamodb", "UpdateContinuousBackups", "",
     {"TableName": "ttt", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": False}},
     {"tableName": "ttt", "pointInTimeRecoverySpecification": {"pointInTimeRecoveryEnabled": False}}),
    ("kms", "DisableKey", "", {"KeyId": "k"}, {"keyId": "k"}),
    ("kms", "ScheduleKeyDeletion", "", {"KeyId": "k", "PendingWindowInDays": 7},
     {"keyId": "k", "pendingWindowInDays": 7}),
    ("kms", "PutKeyPolicy", "", {"KeyId": "k", "Policy": POLICY}, {"keyId": "k", "policy": POLICY}),
    ("cloudwatch", "DeleteAlarms", "", {"AlarmNames": ["a", "b"]}, {"alarmNames": ["a", "b"]}),
    ("cloudwatch", "DisableAlarmActions", "", {"AlarmNames": ["a"]}, {"alarmNames": ["a"]}),
    ("cloudwatch", "PutMetricAlarm", "",
     {"AlarmName": "a", "Namespace": "N", "MetricName": "M", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
      "Threshold": 1.5, "ComparisonOperator": "GreaterThanThreshold", "ActionsEnabled": False},
     {"alarmName": "a", "namespace": "N", "metricName": "M", "statistic": "Sum", "period": 60, "evaluationPeriods": 1,
      "threshold": 1.5, "comparisonOperator": "GreaterThanThreshold", "actionsEnabled": False}),
    ("cloudwatch", "SetAlarmState", "", {"AlarmName": "a", "StateValue": "OK", "StateReason": "quiet"},
     {"alarmName": "a", "stateValue": "OK", "stateReason": "quiet"}),
    ("sns", "DeleteTopic", "", {"TopicArn": TOPIC}, {"topicArn": TOPIC}),
    ("sns", "SetTopicAttributes", "", {"TopicArn": TOPIC, "AttributeName": "DisplayName", "AttributeValue": "x"},
     {"topicArn": TOPIC, "attributeName": "DisplayName", "attributeValue": "x"}),
    ("sns", "Unsubscribe", "", {"SubscriptionArn": f"{TOPIC}:1"}, {"subscriptionArn": f"{TOPIC}:1"}),
    ("sns", "SetSubscriptionAttributes", "", {"SubscriptionArn": f"{TOPIC}:1", "AttributeName": "FilterPolicy"},
     {"subscriptionArn": f"{TOPIC}:1", "attributeName": "FilterPolicy"}),
    ("iam", "PutRolePolicy", "", {"RoleName": "r", "PolicyName": "p", "PolicyDocument": POLICY},
     {"roleName": "r", "policyName": "p", "policyDocument": POLICY}),
    ("iam", "DeleteRolePolicy", "", {"RoleName": "r", "PolicyName": "p"}, {"roleName": "r", "policyName": "p"}),
    ("iam", "AttachRolePolicy", "", {"RoleName": "r", "PolicyArn": READ_ONLY},
     {"roleName": "r", "policyArn": READ_ONLY}),
    ("iam", "DetachRolePolicy", "", {"RoleName": "r", "PolicyArn": READ_ONLY},
     {"roleName": "r", "policyArn": READ_ONLY}),
    ("iam", "UpdateAssumeRolePolicy", "", {"RoleName": "r", "PolicyDocument": POLICY},
     {"roleName": "r", "policyDocument": POLICY}),
    ("iam", "DeleteRole", "", {"RoleName": "r"}, {"roleName": "r"}),
    ("iam", "PutRolePermissionsBoundary", "", {"RoleName": "r", "PermissionsBoundary": READ_ONLY},
     {"roleName": "r", "permissionsBoundary": READ_ONLY}),
    ("iam", "DeleteRolePermissionsBoundary", "", {"RoleName": "r"}, {"roleName": "r"}),
    ("cloudformation", "UpdateStack", "",
     {"StackName": "s", "UsePreviousTemplate": True, "Capabilities": ["CAPABILITY_IAM"]},
     {"stackName": "s", "usePreviousTemplate": True, "capabilities": ["CAPABILITY_IAM"]}),
    ("cloudformation", "ExecuteChangeSet", "", {"ChangeSetName": "c", "StackName": "s"},
     {"changeSetName": "c", "stackName": "s"}),
    ("cloudformation", "DeleteStack", "", {"StackName": "s"}, {"stackName": "s"}),
    ("cloudtrail", "StopLogging", "", {"Name": "t"}, {"name": "t"}),
    ("cloudtrail", "StartLogging", "", {"Name": "t"}, {"name": "t"}),
    ("cloudtrail", "DeleteTrail", "", {"Name": "t"}, {"name": "t"}),
    ("cloudtrail", "UpdateTrail", "", {"Name": "t", "IsMultiRegionTrail": False},
     {"name": "t", "isMultiRegionTrail": False}),
    ("cloudtrail", "PutEventSelectors", "", {"TrailName": "t", "EventSelectors": SELECTORS},
     {"trailName": "t",
      "eventSelectors": [{"readWriteType": "ReadOnly", "includeManagementEvents": False, "dataResources": []}]}),
]  # fmt: skip


def method(client: Any, operation: str) -> Callable[..., Any]:
    names = {api: python for python, api in client.meta.method_to_api_mapping.items()}
    return getattr(client, names[operation])  # type: ignore[no-any-return]


def made_by(cloud: Cloud, call: Callable[[], Any]) -> list[dict[str, Any]]:
    """The records made since before `call`, which may be refused."""
    before = len(cloud.records())
    with suppress(ClientError):
        call()
    return cloud.records()[before:]


@pytest.fixture(scope="module")
def nobody(cloud: Cloud) -> Credentials:
    """A user who may do nothing of this."""
    return cloud.create_user("nobody", NO_ONE)


@pytest.mark.parametrize(
    ("service", "operation", "suffix", "arguments", "asked"), CALLS, ids=[f"{row[0]}-{row[1]}" for row in CALLS]
)
def test_a_call_is_recorded_with_its_parameters_done_or_refused(
    cloud: Cloud, nobody: Credentials, service: str, operation: str, suffix: str, arguments: dict[str, Any],
    asked: dict[str, Any],
) -> None:  # fmt: skip
    source = {"cloudwatch": "monitoring"}.get(service, service)
    [record] = made_by(cloud, lambda: method(cloud.client(service), operation)(**arguments))
    assert (record["eventName"], record["eventSource"]) == (operation + suffix, f"{source}.amazonaws.com")
    assert record["requestParameters"] == asked
    assert (record["managementEvent"], record["eventCategory"], record["readOnly"]) == (True, "Management", False)
    assert (record["sourceIPAddress"], record["recipientAccountId"]) == ("127.0.0.1", ACCOUNT)
    assert record["userIdentity"]["type"] == "Root"

    [refused] = made_by(cloud, lambda: method(cloud.client(service, nobody), operation)(**arguments))
    assert refused["requestParameters"] == asked
    assert refused["userIdentity"]["userName"] == "nobody"
    if operation not in UNAUTHORISED:
        assert "Denied" in refused["errorCode"] or refused["errorCode"] == "AuthorizationError"
        assert "nobody" in refused["errorMessage"]
    assert refused["errorCode"]
    assert refused["eventID"] != record["eventID"]


def test_a_failure_says_which(cloud: Cloud) -> None:
    code, _, message = refusal(cloud.client("lambda").delete_function, FunctionName="missing")
    record = cloud.records()[-1]
    assert (record["errorCode"], record["errorMessage"]) == (code, message)
    code, _, message = refusal(cloud.client("cloudwatch").set_alarm_state, AlarmName="missing", StateValue="OK",
                               StateReason="x")  # fmt: skip
    record = cloud.records()[-1]
    assert (record["errorCode"], record["errorMessage"]) == (code, message)


def test_a_success_has_no_error_and_the_request_id_of_the_answer(cloud: Cloud) -> None:
    answer = cloud.client("events").put_rule(Name="calm", EventPattern='{"source": ["none"]}')
    record = cloud.records()[-1]
    assert "errorCode" not in record
    assert record["requestID"] == answer["ResponseMetadata"]["RequestId"]
    assert record["apiVersion"] == "2015-10-07"


def test_a_record_reaches_a_rule_of_its_own_region_under_the_services_source(cloud: Cloud) -> None:
    url, arn = make_queue(cloud, "watching-rules")
    pattern = {"source": ["aws.events"], "detail": {"eventName": ["DisableRule"]}}
    make_rule(cloud, "watch", pattern, {"Arn": arn})
    cloud.client("events").disable_rule(Name="watch-me-not")
    cloud.client("events", region="eu-west-1").disable_rule(Name="far")
    [message] = until(lambda: receive(cloud, url))
    event = json.loads(message["Body"])
    assert (event["detail-type"], event["region"]) == ("AWS API Call via CloudTrail", "us-east-1")
    assert event["detail"]["requestParameters"] == {"name": "watch-me-not"}
    assert cloud.records()[-1]["awsRegion"] == "eu-west-1"


def test_iam_is_recorded_in_us_east_1_wherever_it_was_called(cloud: Cloud) -> None:
    url, arn = make_queue(cloud, "watching-roles")
    make_rule(cloud, "roles", {"source": ["aws.iam"]}, {"Arn": arn})
    refusal(cloud.client("iam", region="eu-west-1").delete_role, RoleName="missing")
    [message] = until(lambda: receive(cloud, url))
    detail = json.loads(message["Body"])["detail"]
    assert (detail["awsRegion"], detail["errorCode"]) == ("us-east-1", "NoSuchEntity")


def test_topics_and_keys_are_named_as_resources(cloud: Cloud) -> None:
    cloud.client("sns").delete_topic(TopicArn=TOPIC)
    assert cloud.records()[-1]["resources"] == [{"accountId": ACCOUNT, "type": "AWS::SNS::Topic", "ARN": TOPIC}]
    key = cloud.client("kms").create_key()["KeyMetadata"]
    cloud.client("kms").disable_key(KeyId=key["KeyId"])
    assert cloud.records()[-1]["resources"][0]["ARN"] == key["Arn"]


def test_a_change_of_a_buckets_notifications_is_recorded_by_cloudtrails_name(cloud: Cloud, bucket: str) -> None:
    cloud.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    record = cloud.records()[-1]
    assert (record["eventName"], record["eventSource"]) == ("PutBucketNotification", "s3.amazonaws.com")
    assert record["requestParameters"]["bucketName"] == bucket
    assert "EventBridgeConfiguration" in record["requestParameters"]["NotificationConfiguration"]


def test_reading_and_creating_change_sets_leave_no_record(cloud: Cloud) -> None:
    template = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    cloudformation = cloud.client("cloudformation")
    assert made_by(cloud, lambda: cloudformation.create_change_set(
        StackName="s", ChangeSetName="c", ChangeSetType="CREATE", TemplateBody=template)) == []  # fmt: skip
    assert made_by(cloud, cloud.client("events").list_rules) == []
    assert made_by(cloud, lambda: cloud.client("lambda").get_function(FunctionName="missing")) == []
