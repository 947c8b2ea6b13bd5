"""The embedded cloud's EventBridge gets what a trail logs, and nothing else."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from local.cloud import Cloud
from tests.e2e.local_setting import make_queue, make_rule, put_version, receive, until

DISABLE = {"source": ["aws.events"], "detail": {"eventName": ["DisableRule"]}}
MANAGEMENT = {"Field": "eventCategory", "Equals": ["Management"]}
DATA = [{"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]}]


def advanced(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"AdvancedEventSelectors": [{"FieldSelectors": list(fields)}]}


def objects(*fields: dict[str, Any]) -> dict[str, Any]:
    return advanced(*DATA, *fields)


def basic(*, management: bool, kind: str = "All", values: list[str] | None = None, **more: Any) -> dict[str, Any]:
    resources = [{"Type": "AWS::S3::Object", "Values": values}] if values is not None else []
    selector = {"ReadWriteType": kind, "IncludeManagementEvents": management, "DataResources": resources}
    return {"EventSelectors": [selector | more]}


@pytest.fixture
def heard(cloud: Cloud) -> Callable[[], list[dict[str, Any]]]:
    """All records the default bus got, read through one queue; the account starts anew."""
    cloud.reset()
    url, arn = make_queue(cloud, "heard")
    make_rule(cloud, "hear", {"source": ["aws.events", "aws.s3", "aws.cloudtrail", "aws.iam"]}, {"Arn": arn})

    def listen() -> list[dict[str, Any]]:
        # A record every trail lets by marks the end: records leave one after the other, in the order of the calls.
        cloud.client("cloudtrail").create_trail(Name="end", S3BucketName="x", IsMultiRegionTrail=True)
        cloud.client("cloudtrail").start_logging(Name="end")
        found: list[dict[str, Any]] = []

        def drained() -> bool:
            for each in receive_all(cloud, url):
                found.append(json.loads(each["Body"])["detail"])
            return any(is_end(each) for each in found)

        until(drained)
        cloud.client("cloudtrail").delete_trail(Name="end")
        # The rule may hear the calls that made it.
        return [each for each in found if each["eventName"] not in {"PutRule", "PutTargets"} and not is_end(each)]

    return listen


def is_end(record: dict[str, Any]) -> bool:
    return bool(record["requestParameters"] == {"name": "end"})


def receive_all(cloud: Cloud, url: str) -> list[dict[str, Any]]:
    messages = receive(cloud, url)
    for each in messages:
        cloud.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
    return messages


def select(cloud: Cloud, selectors: dict[str, Any]) -> None:
    cloud.client("cloudtrail").put_event_selectors(TrailName="lab", **selectors)


def names(records: list[dict[str, Any]]) -> list[str]:
    return [each["eventName"] for each in records if each["eventSource"] != "cloudtrail.amazonaws.com"]


def test_the_trail_lab_logs_from_the_start_and_after_a_reset_and_shows_no_bucket(cloud: Cloud) -> None:
    for _ in range(2):
        cloudtrail = cloud.client("cloudtrail")
        [trail] = cloudtrail.describe_trails()["trailList"]
        assert (trail["Name"], trail["IsMultiRegionTrail"]) == ("lab", True)
        assert cloudtrail.get_trail_status(Name="lab")["IsLogging"] is True
        assert cloud.client("s3").list_buckets()["Buckets"] == []
        cloud.reset()


def test_stopping_the_last_trail_is_heard_and_nothing_after_it(cloud: Cloud, heard: Any) -> None:
    cloud.client("events").disable_rule(Name="before")
    cloud.client("cloudtrail").stop_logging(Name="lab")
    cloud.client("events").disable_rule(Name="after")
    assert cloud.records()[-1]["requestParameters"] == {"name": "after"}
    assert [each["requestParameters"]["name"] for each in heard()] == ["before", "lab"]


def test_deleting_the_last_trail_and_starting_it_are_heard(cloud: Cloud, heard: Any) -> None:
    cloud.client("cloudtrail").stop_logging(Name="lab")
    cloud.client("cloudtrail").start_logging(Name="lab")
    cloud.client("cloudtrail").delete_trail(Name="lab")
    cloud.client("events").disable_rule(Name="after")
    assert [each["eventName"] for each in heard()] == ["StopLogging", "StartLogging", "DeleteTrail"]


def test_the_call_that_drops_management_events_is_the_last_one_heard(cloud: Cloud, heard: Any) -> None:
    select(cloud, basic(management=False, values=["arn:aws:s3"]))
    cloud.client("events").disable_rule(Name="after")
    assert [each["eventName"] for each in heard()] == ["PutEventSelectors"]


def test_a_second_trail_that_logs_is_enough(cloud: Cloud, heard: Any) -> None:
    cloudtrail = cloud.client("cloudtrail")
    cloudtrail.create_trail(Name="spare", S3BucketName="x")
    cloudtrail.start_logging(Name="spare")
    cloudtrail.stop_logging(Name="lab")
    cloud.client("events").disable_rule(Name="after")
    assert names(heard()) == ["DisableRule"]


@pytest.mark.parametrize(
    ("selectors", "is_heard"),
    [
        (basic(management=True), True),
        (basic(management=True, kind="WriteOnly"), True),
        (basic(management=True, kind="ReadOnly"), False),
        (basic(management=False, values=["arn:aws:s3"]), False),
        (basic(management=True, ExcludeManagementEventSources=["kms.amazonaws.com"]), True),
        (basic(management=True, ExcludeManagementEventSources=["events.amazonaws.com"]), False),
        (advanced(MANAGEMENT), True),
        (advanced(MANAGEMENT, {"Field": "readOnly", "Equals": ["false"]}), True),
        (advanced(MANAGEMENT, {"Field": "readOnly", "Equals": ["true"]}), False),
        (advanced(MANAGEMENT, {"Field": "eventSource", "NotEquals": ["events.amazonaws.com"]}), False),
        (advanced(MANAGEMENT, {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]}), True),
        (objects(), False),
    ],
    ids=str,
)
def test_management_events_are_heard_when_selected(
    cloud: Cloud, heard: Any, selectors: dict[str, Any], is_heard: bool
) -> None:
    select(cloud, selectors)
    cloud.client("events").disable_rule(Name="any")
    assert names(heard()) == (["DisableRule"] if is_heard else [])


VAULT = "arn:aws:s3:::vault-bucket"


@pytest.mark.parametrize(
    ("selectors", "wanted"),
    [
        (basic(management=True), []),
        (basic(management=False, values=["arn:aws:s3"]), ["DeleteObject", "DeleteObjects", "DeleteObject"]),
        (basic(management=False, values=["arn:aws:s3:::"]), ["DeleteObject", "DeleteObjects", "DeleteObject"]),
        (basic(management=False, values=[f"{VAULT}/"]), ["DeleteObject", "DeleteObjects", "DeleteObject"]),
        (basic(management=False, values=[f"{VAULT}/other"]), []),
        (basic(management=False, values=[f"{VAULT}/report"]), ["DeleteObject", "DeleteObject"]),
        (basic(management=False, values=["arn:aws:s3:::vault"]), []),
        (basic(management=False, values=[]), []),
        (basic(management=False, kind="ReadOnly", values=["arn:aws:s3"]), []),
        (objects(), ["DeleteObject", "DeleteObjects", "DeleteObject"]),
        (objects({"Field": "eventName", "Equals": ["DeleteObject"]}), ["DeleteObject", "DeleteObject"]),
        (objects({"Field": "eventName", "StartsWith": ["Delete"], "NotEndsWith": ["Objects"]}),
         ["DeleteObject", "DeleteObject"]),
        (objects({"Field": "eventName", "NotStartsWith": ["Delete"]}), []),
        (objects({"Field": "eventName", "EndsWith": ["Objects"], "Equals": ["PutObject"]}), ["DeleteObjects"]),
        (objects({"Field": "readOnly", "Equals": ["true"]}), []),
        (objects({"Field": "resources.ARN", "StartsWith": [f"{VAULT}/"]}),
         ["DeleteObject", "DeleteObjects", "DeleteObject"]),
        (objects({"Field": "resources.ARN", "Equals": [VAULT]}), []),
        (objects({"Field": "resources.ARN", "NotStartsWith": [f"{VAULT}/", "arn:aws:s3:::x/"]}), []),
        (objects({"Field": "userIdentity.arn", "NotEquals": ["arn:aws:iam::111122223333:root"]}), []),
        (objects({"Field": "userIdentity.arn", "Equals": ["arn:aws:iam::111122223333:root"]}),
         ["DeleteObject", "DeleteObjects", "DeleteObject"]),
        (advanced(DATA[0], {"Field": "resources.type", "Equals": ["AWS::Lambda::Function"]}), []),
    ],
    ids=str,
)  # fmt: skip
def test_deletes_are_heard_when_selected(
    cloud: Cloud, heard: Any, selectors: dict[str, Any], wanted: list[str]
) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="vault-bucket")
    s3.put_bucket_versioning(Bucket="vault-bucket", VersioningConfiguration={"Status": "Enabled"})
    put_version(cloud, "vault-bucket")
    select(cloud, selectors)
    s3.delete_object(Bucket="vault-bucket", Key="report.csv")
    s3.delete_objects(Bucket="vault-bucket", Delete={"Objects": [{"Key": "report.csv"}]})
    found = [each for each in heard() if each["eventCategory"] == "Data"]
    assert names(found) == wanted


def test_a_trail_of_one_region_covers_that_region_alone(cloud: Cloud, heard: Any) -> None:
    cloudtrail = cloud.client("cloudtrail")
    cloudtrail.update_trail(Name="lab", IsMultiRegionTrail=False)
    far = cloud.client("events", region="eu-west-1")
    far_url = cloud.client("sqs", region="eu-west-1").create_queue(QueueName="far-away")["QueueUrl"]
    far_arn = "arn:aws:sqs:eu-west-1:111122223333:far-away"
    policy = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": far_arn}]}
    cloud.client("sqs", region="eu-west-1").set_queue_attributes(
        QueueUrl=far_url, Attributes={"Policy": json.dumps(policy)}
    )
    far.put_rule(Name="far", EventPattern=json.dumps(DISABLE))
    far.put_targets(Rule="far", Targets=[{"Id": "1", "Arn": far_arn}])
    far.disable_rule(Name="unheard")
    cloud.client("events").disable_rule(Name="heard")
    assert names(heard()) == ["DisableRule"]
    messages = cloud.client("sqs", region="eu-west-1").receive_message(QueueUrl=far_url)
    assert "Messages" not in messages


def test_iam_is_not_heard_through_a_trail_without_global_events(cloud: Cloud, heard: Any) -> None:
    cloud.client("cloudtrail").update_trail(Name="lab", IsMultiRegionTrail=False, IncludeGlobalServiceEvents=False)
    cloud.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    cloud.client("iam").delete_role(RoleName="r")
    assert names(heard()) == []


def test_s3s_own_events_need_no_trail(cloud: Cloud, heard: Any) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="vault-bucket")
    s3.put_bucket_notification_configuration(
        Bucket="vault-bucket", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    s3.put_object(Bucket="vault-bucket", Key="k", Body=b"x")
    url, arn = make_queue(cloud, "own-events")
    make_rule(cloud, "own", {"source": ["aws.s3"], "detail-type": ["Object Deleted"]}, {"Arn": arn})
    cloud.client("cloudtrail").delete_trail(Name="lab")
    s3.delete_object(Bucket="vault-bucket", Key="k")
    [message] = until(lambda: receive(cloud, url))
    assert json.loads(message["Body"])["detail"]["object"]["key"] == "k"
