"""`guardrail doctor` in the embedded cloud: each trouble made for real, named, and mended by the command it prints."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from local import stack
from local.cloud import ROOM, Cloud
from tests.e2e.test_deliveries import guardrail, vault

MANAGEMENT = [
    {"Name": "all", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]},
    {
        "Name": "deletes",
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
            {"Field": "eventName", "Equals": ["DeleteObject", "DeleteObjects"]},
        ],
    },
]


def lines(cloud: Cloud) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and lines."""
    done = guardrail(cloud, "doctor", "--json")
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def bad(cloud: Cloud) -> dict[str, tuple[str, str]]:
    """What is wrong, by what it is about: its meaning and what mends it."""
    return {line["about"]: (line["meaning"], line["mend"]) for line in lines(cloud)[1] if line["state"] == "bad"}


@pytest.fixture
def healthy(cloud: Cloud, outputs: dict[str, str]) -> Iterator[dict[str, str]]:
    """A trail that logs what is needed."""
    s3, cloudtrail = cloud.client("s3"), cloud.client("cloudtrail")
    s3.create_bucket(Bucket="trail-logs")
    cloudtrail.create_trail(Name="main", S3BucketName="trail-logs")
    cloudtrail.put_event_selectors(TrailName="main", AdvancedEventSelectors=MANAGEMENT)
    cloudtrail.start_logging(Name="main")
    yield outputs
    cloudtrail.delete_trail(Name="main")
    s3.delete_bucket(Bucket="trail-logs")


def test_before_and_after_and_each_trouble(cloud: Cloud, healthy: dict[str, str]) -> None:
    vault(cloud, "watched-vault")
    code, found = lines(cloud)
    assert (code, [line for line in found if line["state"] != "fine"]) == (0, [])
    assert {line["about"] for line in found} >= {
        "stack",
        "trail",
        "deletes",
        "rule",
        "schedule",
        "subscription",
        "root",
    }

    cloud.client("cloudtrail").stop_logging(Name="main")
    troubles = bad(cloud)
    assert "only the sweep will notice" in troubles["trail"][0]
    assert "watched-vault" in troubles["deletes"][0]
    cloud.client("cloudtrail").start_logging(Name="main")

    rule = cloud.client("events").list_rules()["Rules"][0]["Name"]
    cloud.client("events").disable_rule(Name=rule)
    meaning, mend = bad(cloud)["rule"]
    assert meaning == f"{rule} is switched off: its events are lost"
    subprocess.run(mend.split(), env=cloud.environment(), check=True, capture_output=True)
    assert bad(cloud) == {}

    function = healthy["SweepFunctionName"]
    cloud.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    meaning, mend = bad(cloud)["function"]
    assert meaning == f"{function} is throttled to zero"
    subprocess.run(mend.split(), env=cloud.environment(), check=True, capture_output=True)

    cloud.client("sqs").send_message(QueueUrl=healthy["DeadLetterUrl"], MessageBody="{}")
    assert bad(cloud)["failures"] == (
        "1 message(s) wait in DeadLetter: something was not looked at",
        "guardrail redrive --dry-run",
    )
    cloud.client("sqs").purge_queue(QueueUrl=healthy["DeadLetterUrl"])

    cloud.client("iam").create_access_key()
    assert "root has an access key" in bad(cloud)["root"][0]
    for key in cloud.client("iam").list_access_keys()["AccessKeyMetadata"]:
        cloud.client("iam").delete_access_key(AccessKeyId=key["AccessKeyId"])

    cloud.client("s3", region="eu-west-1").create_bucket(
        Bucket="far-vault", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    tags = {"TagSet": [{"Key": "mfa-delete", "Value": "required"}]}
    cloud.client("s3", region="eu-west-1").put_bucket_tagging(Bucket="far-vault", Tagging=tags)
    assert bad(cloud)["region"] == (
        "1 enrolled bucket(s) in eu-west-1, far-vault among them, and no stack there",
        "sam deploy --region eu-west-1",
    )


def test_a_refused_look_is_unknown_and_never_fine(cloud: Cloud, healthy: dict[str, str]) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    blind = {"Effect": "Deny", "Action": ["cloudtrail:*", "iam:GetAccountSummary"], "Resource": "*"}
    reader = cloud.create_user("half-blind", {"Version": "2012-10-17", "Statement": [everything, blind]})
    command = [str(ROOM / ".venv" / "bin" / "guardrail"), "--stack", "guardrail", "doctor", "--json"]
    done = subprocess.run(command, env=cloud.environment(reader), capture_output=True, text=True, check=False)
    unknown = {line["about"] for line in map(json.loads, done.stdout.splitlines()) if line["state"] == "unknown"}
    assert unknown >= {"trail", "root"}
    assert done.returncode in {1, 3}


def test_before_anything_is_deployed_it_says_what_is_missing() -> None:
    with Cloud.start() as empty:
        done = guardrail(empty, "doctor")
        assert done.returncode == 1
        assert "nothing is watched here" in done.stdout
        assert "sam build && sam deploy --guided" in done.stdout
        assert stack.BUILT.exists()
