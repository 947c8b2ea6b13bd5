"""The embedded cloud enforces MFA delete as S3 does, row by row."""

from collections.abc import Iterator

import pytest

from local.cloud import Cloud, Credentials
from tests.e2e.local_setting import EXPIRE, MUST, OFF, ON, put_version, refusal, versioning


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud.start(batching_window_s=None) as running:
        yield running


def test_mfa_delete_is_absent_until_somebody_sets_it(cloud: Cloud, bucket: str) -> None:
    assert versioning(cloud, bucket) == {}
    cloud.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert versioning(cloud, bucket) == {"Status": "Enabled"}


def test_disabled_is_accepted_and_shown_without_a_code_when_it_was_never_on(cloud: Cloud, bucket: str) -> None:
    cloud.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration=OFF)
    assert versioning(cloud, bucket) == OFF


def test_enabling_without_a_code_is_refused(cloud: Cloud, bucket: str) -> None:
    put = cloud.client("s3").put_bucket_versioning
    assert refusal(put, Bucket=bucket, VersioningConfiguration=ON) == ("AccessDenied", 403, MUST)
    assert versioning(cloud, bucket) == {}


def test_root_turns_it_on_and_off_with_codes(cloud: Cloud, protected: str) -> None:
    assert versioning(cloud, protected) == ON
    cloud.client("s3").put_bucket_versioning(Bucket=protected, VersioningConfiguration=OFF, MFA=cloud.mfa())
    assert versioning(cloud, protected) == OFF


@pytest.mark.parametrize("wanted", [{"Status": "Suspended"}, {"Status": "Enabled"}, OFF])
def test_no_change_of_versioning_without_a_code_while_on(cloud: Cloud, protected: str, wanted: dict[str, str]) -> None:
    put = cloud.client("s3").put_bucket_versioning
    assert refusal(put, Bucket=protected, VersioningConfiguration=wanted) == ("AccessDenied", 403, MUST)
    assert versioning(cloud, protected) == ON


def test_a_code_is_good_once(cloud: Cloud, bucket: str) -> None:
    put, mfa = cloud.client("s3").put_bucket_versioning, cloud.mfa()
    put(Bucket=bucket, VersioningConfiguration=ON, MFA=mfa)
    code, status, _ = refusal(put, Bucket=bucket, VersioningConfiguration=OFF, MFA=mfa)
    assert (code, status) == ("TokenCodeInvalidError", 400)


def test_a_valid_code_is_spent_even_when_the_call_is_refused_for_another_reason(cloud: Cloud, bucket: str) -> None:
    s3, mfa = cloud.client("s3"), cloud.mfa()
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=EXPIRE)
    assert refusal(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=ON, MFA=mfa)[:2] == (
        "InvalidBucketState",
        409,
    )
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert refusal(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=ON, MFA=mfa)[0] == (
        "TokenCodeInvalidError"
    )


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("{serial} 000000", "TokenCodeInvalidError"),
        ("arn:aws:iam::111122223333:mfa/other 123456", "NotDeviceOwnerError"),
        ("123456", "InvalidArgument"),
    ],
)
def test_a_wrong_header_is_refused_with_its_own_error(cloud: Cloud, bucket: str, header: str, code: str) -> None:
    put = cloud.client("s3").put_bucket_versioning
    mfa = header.format(serial=cloud.device.serial)
    found, status, message = refusal(put, Bucket=bucket, VersioningConfiguration=ON, MFA=mfa)
    assert (found, status) == (code, 400)
    if code == "NotDeviceOwnerError":
        assert all(each in message for each in mfa.split())


def test_an_inactive_device_is_refused(cloud: Cloud, bucket: str) -> None:
    device = cloud.add_device("hardware", "GAHT12345678")
    mfa = f"{device.serial} {cloud.next_code(device.serial)}"
    cloud.switch_device(device.serial, active=False)
    put = cloud.client("s3").put_bucket_versioning
    assert refusal(put, Bucket=bucket, VersioningConfiguration=ON, MFA=mfa)[0] == "DeviceNotActiveError"
    cloud.switch_device(device.serial, active=True)
    put(Bucket=bucket, VersioningConfiguration=ON, MFA=mfa)
    cloud.remove_device(device.serial)


def test_a_session_of_root_may_not_send_a_code(cloud: Cloud, bucket: str) -> None:
    put = cloud.client("s3", cloud.root_session()).put_bucket_versioning
    expected = ("InvalidRequest", 400, "DevPay and Mfa are mutually exclusive authorization methods.")
    assert refusal(put, Bucket=bucket, VersioningConfiguration=ON, MFA=cloud.mfa()) == expected


def test_a_user_with_a_code_is_told_only_the_owner_may(cloud: Cloud, protected: str, admin: Credentials) -> None:
    expected = ("AccessDenied", 403, "This operation may only be performed by the bucket owner")
    s3 = cloud.client("s3", admin)
    assert refusal(s3.put_bucket_versioning, Bucket=protected, VersioningConfiguration=OFF, MFA=cloud.mfa()) == expected
    version = put_version(cloud, protected)
    assert refusal(s3.delete_object, Bucket=protected, Key="report.csv", VersionId=version, MFA=cloud.mfa()) == expected


def test_a_user_without_permission_gets_the_denial_of_iam(cloud: Cloud, protected: str) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:List*", "Resource": "*"}]}
    s3 = cloud.client("s3", cloud.create_user("reader", policy))
    code, status, message = refusal(s3.delete_object, Bucket=protected, Key="a", VersionId="b")
    assert (code, status) == ("AccessDenied", 403)
    assert "is not authorized to perform: s3:DeleteObjectVersion" in message


def test_a_version_delete_needs_a_code_and_a_plain_delete_does_not(cloud: Cloud, protected: str) -> None:
    s3, version = cloud.client("s3"), put_version(cloud, protected)
    named = {"Bucket": protected, "Key": "report.csv"}
    marker = s3.delete_object(**named)
    assert marker["DeleteMarker"]
    assert refusal(s3.delete_object, **named, VersionId=version) == ("AccessDenied", 403, MUST)
    assert refusal(s3.delete_object, **named, VersionId=marker["VersionId"]) == ("AccessDenied", 403, MUST)
    assert s3.delete_object(**named, VersionId=version, MFA=cloud.mfa())["VersionId"] == version


def test_a_batch_with_one_version_is_refused_as_a_whole(cloud: Cloud, protected: str) -> None:
    s3, version = cloud.client("s3"), put_version(cloud, protected)
    put_version(cloud, protected, "kept.csv")
    batch = {"Objects": [{"Key": "kept.csv"}, {"Key": "report.csv", "VersionId": version}]}
    assert refusal(s3.delete_objects, Bucket=protected, Delete=batch) == ("AccessDenied", 403, MUST)
    s3.head_object(Bucket=protected, Key="kept.csv")
    assert len(s3.delete_objects(Bucket=protected, Delete=batch, MFA=cloud.mfa())["Deleted"]) == 2


def test_lifecycle_and_mfa_delete_exclude_each_other(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=EXPIRE)
    put = s3.put_bucket_versioning
    code, status, message = refusal(put, Bucket=bucket, VersioningConfiguration=ON, MFA=cloud.mfa())
    assert (code, status) == ("InvalidBucketState", 409)
    assert "Delete lifecycle configuration before enabling Mfa Authentication." in message
    s3.delete_bucket_lifecycle(Bucket=bucket)
    put(Bucket=bucket, VersioningConfiguration=ON, MFA=cloud.mfa())
    refused = refusal(s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration=EXPIRE)
    assert refused[:2] == ("InvalidBucketState", 409)


def test_the_state_goes_with_the_bucket(cloud: Cloud, protected: str) -> None:
    s3 = cloud.client("s3")
    s3.delete_bucket(Bucket=protected)
    s3.create_bucket(Bucket=protected)
    assert versioning(cloud, protected) == {}
