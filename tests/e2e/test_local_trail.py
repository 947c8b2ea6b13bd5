"""The embedded cloud writes CloudTrail records shaped like captured ones."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud, Credentials
from tests.e2e.local_setting import ALLOW_ALL, EXPIRE, MUST, OFF, put_version, records_of, refusal


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud.start(batching_window_s=None) as running:
        yield running


def test_a_turn_off_by_root_is_recorded_like_the_sample(cloud: Cloud, protected: str) -> None:
    cloud.client("s3").put_bucket_versioning(Bucket=protected, VersioningConfiguration=OFF, MFA=cloud.mfa())
    record = records_of(cloud, protected, "PutBucketVersioning")[-1]
    # Key for key synthetic_PutBucketVersioning_mfadelete_disabled_root.json, but for tlsDetails and CipherSuite.
    assert record["userIdentity"] == {
        "type": "Root",
        "principalId": "111122223333",
        "arn": "arn:aws:iam::111122223333:root",
        "accountId": "111122223333",
        "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
    }
    assert record["requestParameters"] == {
        "bucketName": protected,
        "Host": f"{protected}.s3.us-east-1.amazonaws.com",
        "versioning": "",
        "VersioningConfiguration": {
            "Status": "Enabled",
            "MfaDelete": "Disabled",
            "xmlns": "http://s3.amazonaws.com/doc/2006-03-01/",
        },
    }
    assert record["responseElements"] is None
    assert record["resources"] == [
        {"accountId": "111122223333", "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{protected}"}
    ]
    assert set(record) == {
        "eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress",
        "userAgent", "requestParameters", "responseElements", "additionalEventData", "requestID", "eventID", "readOnly",
        "resources", "eventType", "managementEvent", "recipientAccountId", "eventCategory",
    }  # fmt: skip
    assert (record["managementEvent"], record["eventCategory"], record["readOnly"]) == (True, "Management", False)


def test_a_refused_version_delete_by_a_user_is_a_data_event_with_the_error(
    cloud: Cloud, protected: str, admin: Credentials
) -> None:
    refusal(cloud.client("s3", admin).delete_object, Bucket=protected, Key="q3/a b.csv", VersionId="v1")
    [record] = records_of(cloud, protected, "DeleteObject")
    assert record["requestParameters"] | {"Host": ""} == {
        "bucketName": protected,
        "Host": "",
        "key": "q3/a b.csv",
        "versionId": "v1",
    }
    assert (record["errorCode"], record["errorMessage"]) == ("AccessDenied", MUST)
    assert record["userIdentity"]["type"] == "IAMUser"
    assert record["userIdentity"]["userName"] == "admin"
    assert record["resources"][1] == {"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{protected}/q3/a b.csv"}
    assert (record["managementEvent"], record["eventCategory"]) == (False, "Data")


def test_a_plain_delete_answers_with_the_marker_in_response_elements(cloud: Cloud, protected: str) -> None:
    put_version(cloud, protected)
    marker = cloud.client("s3").delete_object(Bucket=protected, Key="report.csv")["VersionId"]
    [record] = records_of(cloud, protected, "DeleteObject")
    assert "versionId" not in record["requestParameters"]
    assert record["responseElements"] == {"x-amz-version-id": marker, "x-amz-delete-marker": "true"}


def test_a_batch_is_one_record_and_one_per_key_but_only_itself_when_refused(cloud: Cloud, protected: str) -> None:
    s3, version = cloud.client("s3"), put_version(cloud, protected)
    batch = {"Objects": [{"Key": "report.csv", "VersionId": version}, {"Key": "other"}], "Quiet": True}
    refusal(s3.delete_objects, Bucket=protected, Delete=batch)
    [refused] = records_of(cloud, protected, "DeleteObjects")
    assert refused["errorMessage"] == MUST
    assert set(refused["requestParameters"]) == {"bucketName", "Host", "delete"}
    assert refused["resources"][1] == {"type": "AWS::S3::Object", "ARNPrefix": f"arn:aws:s3:::{protected}/"}
    assert records_of(cloud, protected, "DeleteObject") == []
    s3.delete_objects(Bucket=protected, Delete=batch, MFA=cloud.mfa())
    keys = [each["requestParameters"] for each in records_of(cloud, protected, "DeleteObject")]
    assert [(each["key"], each.get("versionId")) for each in keys] == [("report.csv", version), ("other", None)]


def test_one_tag_is_an_object_and_several_are_a_list(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "true"}]})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "x"}, {"Key": "b", "Value": ""}]})
    one, two = (each["requestParameters"]["Tagging"] for each in records_of(cloud, bucket, "PutBucketTagging"))
    assert one["TagSet"]["Tag"] == {"Key": "a", "Value": True}
    assert two["TagSet"]["Tag"] == [{"Key": "a", "Value": "x"}, {"Key": "b", "Value": ""}]


def test_creating_a_bucket_has_no_resources_and_its_own_region(cloud: Cloud) -> None:
    s3 = cloud.client("s3", region="eu-west-1")
    s3.create_bucket(Bucket="far-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    [record] = records_of(cloud, "far-bucket", "CreateBucket")
    assert "resources" not in record
    assert record["awsRegion"] == "eu-west-1"
    assert record["requestParameters"]["CreateBucketConfiguration"]["LocationConstraint"] == "eu-west-1"


def test_a_call_sent_to_the_wrong_region_is_recorded_once(cloud: Cloud) -> None:
    cloud.client("s3", region="eu-west-1").create_bucket(
        Bucket="redirected", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    cloud.client("s3").put_bucket_versioning(Bucket="redirected", VersioningConfiguration={"Status": "Enabled"})
    [record] = records_of(cloud, "redirected", "PutBucketVersioning")
    assert record["awsRegion"] == "eu-west-1"


def test_the_lifecycle_event_has_cloudtrails_name(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=EXPIRE)
    s3.delete_bucket_lifecycle(Bucket=bucket)
    [record] = records_of(cloud, bucket, "PutBucketLifecycle")
    assert record["requestParameters"]["LifecycleConfiguration"]["Rule"]["Expiration"] == {"Days": 30}
    assert len(records_of(cloud, bucket, "DeleteBucketLifecycle")) == 1


def test_an_assumed_role_is_recorded_with_its_issuer(cloud: Cloud, bucket: str) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    iam = cloud.client("iam")
    role = iam.create_role(RoleName="Deployer", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(RoleName="Deployer", PolicyName="all", PolicyDocument=json.dumps(ALLOW_ALL))
    user = cloud.create_user("assumer", ALLOW_ALL)
    given = cloud.client("sts", user).assume_role(RoleArn=role["Arn"], RoleSessionName="run-1")["Credentials"]
    session = Credentials(
        access_key_id=given["AccessKeyId"],
        secret_access_key=given["SecretAccessKey"],
        session_token=given["SessionToken"],
    )
    cloud.client("s3", session).put_bucket_versioning(Bucket=bucket, VersioningConfiguration=OFF)
    identity = records_of(cloud, bucket, "PutBucketVersioning")[-1]["userIdentity"]
    assert identity["type"] == "AssumedRole"
    assert identity["arn"] == "arn:aws:sts::111122223333:assumed-role/Deployer/run-1"
    issuer = identity["sessionContext"]["sessionIssuer"]
    assert (issuer["type"], issuer["userName"], issuer["arn"]) == ("Role", "Deployer", role["Arn"])
    assert identity["principalId"] == f"{issuer['principalId']}:run-1"
    assert identity["accessKeyId"].startswith("ASIA")


def shape(value: Any) -> Any:
    """Members and types, without the values."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items() if name not in LEFT_OUT}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


SAMPLES = Path(__file__).parent.parent / "unit" / "cloudtrail_samples"
# No TLS here; who called is another test's; newer records have times and status, older ones do not.
LEFT_OUT = {"tlsDetails", "CipherSuite", "userIdentity", "startTime", "endTime", "httpStatusCode"}


def provoke_tagged_creation(s3: Any, bucket: str) -> None:
    tags = [{"Key": "project", "Value": "example"}, {"Key": "empty", "Value": ""}]
    s3.create_bucket(Bucket=f"{bucket}-tagged", CreateBucketConfiguration={"Tags": tags})


def provoke_version_delete(s3: Any, bucket: str) -> None:
    s3.delete_object(Bucket=bucket, Key="reports/2026/q3.csv", VersionId="v1")


def provoke_batch(s3: Any, bucket: str) -> None:
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": "v"}]})


def provoke_suspend(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def provoke_tagging(s3: Any, bucket: str) -> None:
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "ExampleTag", "Value": "true"}]})


def provoke_untagging(s3: Any, bucket: str) -> None:
    s3.delete_bucket_tagging(Bucket=bucket)


@pytest.mark.parametrize(
    ("sample", "provoke"),
    [
        ("CreateBucket_two_tags", provoke_tagged_creation),
        ("synthetic_DeleteObject_version_denied_mfa", provoke_version_delete),
        ("synthetic_DeleteObjects_denied_mfa", provoke_batch),
        ("synthetic_PutBucketVersioning_suspend_denied_mfa", provoke_suspend),
        ("PutBucketTagging_single_tag_boolean_value", provoke_tagging),
        ("DeleteBucketTagging_root_console", provoke_untagging),
    ],
)
def test_a_record_has_the_members_and_types_of_its_sample(
    cloud: Cloud, protected: str, sample: str, provoke: Callable[[Any, str], None]
) -> None:
    with suppress(ClientError):
        provoke(cloud.client("s3"), protected)
    expected = json.loads((SAMPLES / f"{sample}.json").read_text())
    assert shape(cloud.records()[-1]) == shape(expected)
