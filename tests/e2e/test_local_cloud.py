"""Root, clock, faults, call log and the handle of the embedded cloud."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud import ROOM, Cloud, CloudError, Credentials
from tests.e2e.local_setting import OFF, ON, make_queue, make_rule, receive, records_of, refusal, until


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud.start(batching_window_s=None) as running:
        yield running


def test_root_lists_its_devices_of_every_kind(cloud: Cloud) -> None:
    added = [cloud.add_device("hardware", "GAHT87654321"), cloud.add_device("passkey", "laptop")]
    serials = {each["SerialNumber"] for each in cloud.client("iam").list_mfa_devices()["MFADevices"]}
    assert serials == {cloud.device.serial} | {each.serial for each in added}
    virtual = cloud.client("iam").list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
    assert [(each["SerialNumber"], each["User"]["Arn"]) for each in virtual] == [
        (cloud.device.serial, "arn:aws:iam::111122223333:root")
    ]
    for each in added:
        cloud.remove_device(each.serial)


def test_a_key_of_root_works_at_once_and_stops_when_deleted(cloud: Cloud, bucket: str) -> None:
    iam = cloud.client("iam", cloud.root_session())
    assert iam.get_account_summary()["SummaryMap"]["AccountAccessKeysPresent"] == 0
    assert iam.get_account_summary()["SummaryMap"]["AccountMFAEnabled"] == 1
    made = iam.create_access_key()["AccessKey"]
    key = Credentials(access_key_id=made["AccessKeyId"], secret_access_key=made["SecretAccessKey"])
    assert cloud.client("sts", key).get_caller_identity()["Arn"] == "arn:aws:iam::111122223333:root"
    cloud.client("s3", key).put_bucket_versioning(Bucket=bucket, VersioningConfiguration=ON, MFA=cloud.mfa())
    assert records_of(cloud, bucket, "PutBucketVersioning")[-1]["userIdentity"]["accessKeyId"] == key.access_key_id
    iam.create_access_key()
    assert refusal(iam.create_access_key)[0] == "LimitExceeded"
    listed = [each["AccessKeyId"] for each in iam.list_access_keys()["AccessKeyMetadata"]]
    assert (len(listed), key.access_key_id in listed) == (2, True)
    assert iam.get_account_summary()["SummaryMap"]["AccountAccessKeysPresent"] == 1
    for each in listed:
        iam.delete_access_key(AccessKeyId=each)
    assert refusal(cloud.client("s3", key).list_buckets)[0] == "InvalidAccessKeyId"
    assert refusal(cloud.client("sts", key).get_caller_identity)[0] == "InvalidClientTokenId"


def test_a_wrong_secret_of_root_is_refused_and_leaves_no_record(cloud: Cloud, bucket: str) -> None:
    wrong = Credentials(access_key_id=cloud.root.access_key_id, secret_access_key="wrong")  # noqa: S106  # made up
    put = cloud.client("s3", wrong).put_bucket_versioning
    assert refusal(put, Bucket=bucket, VersioningConfiguration=OFF)[0] == "SignatureDoesNotMatch"
    assert records_of(cloud, bucket, "PutBucketVersioning") == []


def test_a_schedule_fires_when_the_clock_is_moved(cloud: Cloud) -> None:
    url, arn = make_queue(cloud, "ticks")
    target = {"Arn": arn, "RoleArn": "arn:aws:iam::111122223333:role/any", "Input": '{"kind": "sweep"}'}
    scheduler = cloud.client("scheduler")
    scheduler.create_schedule(
        Name="sweep", ScheduleExpression="rate(6 hours)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )
    cloud.advance(60)
    assert receive(cloud, url) == []
    cloud.advance(6 * 3600)
    [message] = until(lambda: receive(cloud, url))
    assert json.loads(message["Body"]) == {"kind": "sweep"}
    scheduler.delete_schedule(Name="sweep")


def test_a_code_grows_stale_when_the_clock_is_moved(cloud: Cloud, bucket: str) -> None:
    mfa = cloud.mfa()
    cloud.advance(3600)
    put = cloud.client("s3").put_bucket_versioning
    assert refusal(put, Bucket=bucket, VersioningConfiguration=ON, MFA=mfa)[0] == "TokenCodeInvalidError"


@pytest.mark.parametrize(
    ("service", "operation", "method", "arguments"),
    [
        ("sns", "Publish", "publish", {"TopicArn": "arn:aws:sns:us-east-1:111122223333:x", "Message": "x"}),
        ("s3", "GetBucketVersioning", "get_bucket_versioning", {"Bucket": "any"}),
        ("dynamodb", "GetItem", "get_item", {"TableName": "t", "Key": {"pk": {"S": "x"}}}),
        ("monitoring", "DescribeAlarms", "describe_alarms", {}),
        ("scheduler", "ListSchedules", "list_schedules", {}),
    ],
)
def test_a_fault_answers_in_the_protocol_of_its_service(
    cloud: Cloud, service: str, operation: str, method: str, arguments: dict[str, Any]
) -> None:
    cloud.faults([{"service": service, "match": operation, "times": 1, "status": 503, "code": "SlowDown"}])
    client = cloud.client({"monitoring": "cloudwatch"}.get(service, service))
    assert refusal(getattr(client, method), **arguments)[:2] == ("SlowDown", 503)
    cloud.faults([])


def test_a_fault_ends_after_its_times(cloud: Cloud) -> None:
    cloud.faults([{"service": "s3", "match": "List", "times": 1, "status": 500}])
    list_buckets = cloud.client("s3").list_buckets
    assert refusal(list_buckets)[0] == "InternalError"
    list_buckets()


def test_the_call_log_names_caller_action_and_error_but_never_a_code(
    cloud: Cloud, protected: str, admin: Credentials
) -> None:
    code = cloud.next_code()
    mfa = f"{cloud.device.serial} {code}"
    refusal(cloud.client("s3", admin).delete_object, Bucket=protected, Key="k", VersionId="v", MFA=mfa)
    call = cloud.calls()[-1]
    assert call["principal"] == "arn:aws:iam::111122223333:user/admin"
    assert (call["operation"], call["action"]) == ("DeleteObject", "s3:DeleteObjectVersion")
    assert (call["status"], call["error"]) == (403, "AccessDenied")
    assert len(call["mfa"]) == 16
    assert code not in json.dumps(call)


def test_a_name_ministack_no_longer_has_is_said_at_start() -> None:
    program = "from local import emulator; emulator._module('services.s3', '_gone')"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOM, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "has no services.s3._gone; local/ is written for ministack 1.5.33" in ended.stderr


def test_records_can_be_delayed() -> None:
    with Cloud.start(event_delay_s=0.5) as slow:
        url, arn = make_queue(slow, "late")
        slow.client("s3").create_bucket(Bucket="late-bucket")
        make_rule(slow, "late", {"source": ["aws.s3"]}, {"Arn": arn})
        started = time.monotonic()
        slow.client("s3").put_bucket_versioning(Bucket="late-bucket", VersioningConfiguration=OFF)
        until(lambda: [each for each in receive(slow, url) if "PutBucketVersioning" in each["Body"]])
        assert time.monotonic() - started >= 0.45


@pytest.mark.parametrize("endpoint", ["https://s3.amazonaws.com", "http://localhost:4566", "http://127.0.0.1"])
def test_the_handle_refuses_every_other_machine(endpoint: str) -> None:
    with pytest.raises(CloudError, match=r"is not on 127\.0\.0\.1"):
        Cloud(endpoint)


def test_a_port_in_use_is_said_in_one_sentence(cloud: Cloud) -> None:
    port = int(cloud.endpoint.rpartition(":")[2])
    with pytest.raises(CloudError, match=f"port {port} is in use"):
        Cloud.start(port=port)


def test_the_environment_is_made_from_nothing(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("SECRET_OF_SHELL", "x")
    made = cloud.environment()
    assert "AWS_PROFILE" not in made
    assert "SECRET_OF_SHELL" not in made
    assert made["AWS_ENDPOINT_URL"] == cloud.endpoint
    assert made["AWS_CONFIG_FILE"] == "/dev/null"
