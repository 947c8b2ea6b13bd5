"""`guardrail doctor` in the embedded cloud: each trouble made for real, named, and mended by the command it prints."""

import json
import subprocess
from typing import Any

import pytest

from local import stack
from local.cloud import ROOM, Cloud
from tests.e2e.test_deliveries import guardrail, vault


def lines(cloud: Cloud) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and lines."""
    done = guardrail(cloud, "doctor", "--json")
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def bad(cloud: Cloud) -> dict[str, tuple[str, str]]:
    """What is wrong, by what it is about: its meaning and what mends it."""
    return {line["about"]: (line["meaning"], line["mend"]) for line in lines(cloud)[1] if line["state"] == "bad"}


TRAIL = "lab"
"""The trail that every embedded account has, and that logs all."""


@pytest.fixture
def healthy(cloud: Cloud, outputs: dict[str, str]) -> dict[str, str]:
    """A stack that has looked at itself."""
    look(cloud, outputs)
    return outputs


def look(cloud: Cloud, outputs: dict[str, str]) -> None:
    """Let the guardrail look at itself."""
    answer = cloud.client("lambda").invoke(FunctionName=outputs["HealthFunctionName"], Payload=b'{"health": "by hand"}')
    assert "FunctionError" not in answer, answer["Payload"].read()


def mended(cloud: Cloud, about: str) -> None:
    """Run the command that the line prints, as it stands."""
    subprocess.run(bad(cloud)[about][1].split(), env=cloud.environment(), check=True, capture_output=True)
    assert bad(cloud) == {}


def test_before_and_after_and_each_trouble(cloud: Cloud, healthy: dict[str, str]) -> None:
    vault(cloud, "watched-vault")
    code, found = lines(cloud)
    assert (code, [line for line in found if line["state"] != "fine"]) == (0, [])
    wanted = {"stack", "trail", "deletes", "rule", "schedule", "function", "queue", "topic", "subscription", "key"}
    wanted |= {"alarm", "look", "root", "second way"}
    assert {line["about"] for line in found} >= wanted

    cloud.client("cloudtrail").stop_logging(Name=TRAIL)
    troubles = bad(cloud)
    assert "only the sweep will notice" in troubles["trail"][0]
    assert "watched-vault" in troubles["deletes"][0]
    cloud.client("cloudtrail").start_logging(Name=TRAIL)


def test_a_rule_a_function_and_an_alarm_are_mended_by_the_command_shown(cloud: Cloud, healthy: dict[str, str]) -> None:
    rules = cloud.client("events").list_rules()["Rules"]
    rule = next(each["Name"] for each in rules if "BucketChangeRule" in each["Name"])
    cloud.client("events").disable_rule(Name=rule)
    assert bad(cloud)["rule"][0] == f"{rule} is switched off: its events are lost"
    mended(cloud, "rule")

    function = healthy["SweepFunctionName"]
    cloud.client("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    assert bad(cloud)["function"][0] == f"{function} is throttled to zero"
    mended(cloud, "function")

    alarm = healthy["HealthHeartbeatAlarmName"]
    cloud.client("cloudwatch").disable_alarm_actions(AlarmNames=[alarm])
    assert bad(cloud)["alarm"][0] == f"{alarm}: gone, or may not speak"
    mended(cloud, "alarm")


def test_failures_root_and_other_regions(cloud: Cloud, healthy: dict[str, str]) -> None:
    cloud.client("sqs").send_message(QueueUrl=healthy["DeadLetterUrl"], MessageBody="{}")
    assert bad(cloud)["queue"] == (
        "1 message(s) wait in DeadLetterQueue: something was not looked at",
        "guardrail --stack guardrail --region us-east-1 redrive --dry-run",
    )
    cloud.client("sqs").purge_queue(QueueUrl=healthy["DeadLetterUrl"])

    cloud.client("iam").create_access_key()
    assert "root has an access key" in bad(cloud)["root"][0]
    for key in cloud.client("iam").list_access_keys()["AccessKeyMetadata"]:
        cloud.client("iam").delete_access_key(AccessKeyId=key["AccessKeyId"])

    s3 = cloud.client("s3", region="eu-west-1")
    s3.create_bucket(Bucket="far-vault", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_tagging(Bucket="far-vault", Tagging={"TagSet": [{"Key": "mfa-delete", "Value": "required"}]})
    assert bad(cloud)["region"] == (
        "1 enrolled bucket(s) in eu-west-1, far-vault among them, and no stack there",
        "sam deploy --region eu-west-1",
    )
    look(cloud, healthy)  # the guardrail's own look asks in that Region, too
    s3.delete_bucket(Bucket="far-vault")


def test_a_guardrail_that_does_not_look_at_itself_is_named(cloud: Cloud, healthy: dict[str, str]) -> None:
    table = {"TableName": healthy["TableName"], "Key": {"pk": {"S": "guardrail"}, "sk": {"S": "health"}}}
    cloud.client("dynamodb").delete_item(**table)
    meaning, mend = bad(cloud)["look"]
    assert "has not looked at itself yet" in meaning
    pasted = subprocess.run(mend, shell=True, env=cloud.environment(), capture_output=True, check=False)  # noqa: S602  # as a person would
    assert pasted.returncode == 0
    assert bad(cloud) == {}


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
