"""The operator's verbs in the embedded cloud: with the stack's own policies, on buckets that really refuse."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from local import stack
from local.cloud import ROOM, Cloud, Credentials
from local.granted import STANDS_FOR
from tests.e2e import again
from tests.e2e.local_setting import ALLOW_ALL, ON, put_version, refusal
from tests.e2e.test_deliveries import vault
from tests.template.test_grants import OPERATOR, READER


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    """The stack with the drill, for the operator's policy."""
    return again.deploy(cloud, Drill="yes")


def guardrail(cloud: Cloud, *words: str, by: Credentials | None = None) -> subprocess.CompletedProcess[str]:
    """The command out of this folder; as root when not told otherwise."""
    command = [sys.executable, "-m", "cli.main", "--stack", "guardrail", *words]
    environment = cloud.environment(by) | {"PYTHONPATH": "src:."}
    done = subprocess.run(command, cwd=ROOM, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def person(cloud: Cloud, name: str, *policies: str) -> Credentials:
    """An IAM user with these managed policies and nothing else."""
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    for arn in policies:
        iam.attach_user_policy(UserName=name, PolicyArn=arn)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])


def calls_of(cloud: Cloud, name: str) -> Iterator[dict[str, Any]]:
    """What a user called."""
    return (each for each in cloud.calls() if each["principal"].endswith(f":user/{name}"))


def refused(cloud: Cloud, name: str) -> set[str]:
    """The actions that a user was refused."""
    words = ("AccessDenied", "Authorization", "Unauthorized")
    return {each["action"] for each in calls_of(cloud, name) if any(word in each["error"] for word in words)}


def test_protect_enrols_and_the_alert_comes_with_the_page_that_runbook_prints(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="new-vault")
    s3.put_bucket_versioning(Bucket="new-vault", VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_tagging(Bucket="new-vault", Tagging={"TagSet": [{"Key": "team", "Value": "data"}]})
    tried = guardrail(cloud, "protect", "new-vault", "--dry-run")
    assert (tried.returncode, tried.stderr) == (0, "")
    done = guardrail(cloud, "protect", "new-vault", "missing-vault")
    assert done.returncode == 1
    assert "has no bucket missing-vault" in done.stdout
    tags = {each["Key"]: each["Value"] for each in s3.get_bucket_tagging(Bucket="new-vault")["TagSet"]}
    assert tags == {"team": "data", "mfa-delete": "required"}
    mail = cloud.wait_for_mail(
        lambda each: "new-vault" in each.subject and each.protocol == "email" and "not on" in each.subject, 60
    )
    page = guardrail(cloud, "runbook", "new-vault")
    assert page.returncode == 0
    assert page.stdout.strip() in mail.body
    s3.put_bucket_versioning(Bucket="new-vault", VersioningConfiguration=ON, MFA=cloud.mfa())
    assert guardrail(cloud, "runbook", "new-vault").stdout.startswith("new-vault is protected")


def test_contain_stops_a_version_delete_and_undo_lifts_it(cloud: Cloud, outputs: dict[str, str]) -> None:
    vault(cloud, "hurt-vault")
    user = cloud.create_user("clerk", ALLOW_ALL)
    clerk, s3 = cloud.client("s3", user), cloud.client("s3")
    theirs = {"Version": "2012-10-17", "Statement": [{
        "Sid": "Readers", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{cloud.account}:user/clerk"},
        "Action": "s3:GetObject", "Resource": "arn:aws:s3:::hurt-vault/*",
    }]}  # fmt: skip
    s3.put_bucket_policy(Bucket="hurt-vault", Policy=json.dumps(theirs))
    first, second = (put_version(cloud, "hurt-vault") for _ in range(2))
    clerk.delete_object(Bucket="hurt-vault", Key="report.csv", VersionId=first)  # until now it is nobody's business

    done = guardrail(cloud, "contain", "hurt-vault")
    assert (done.returncode, done.stderr) == (0, "")
    assert "contained: permanent deletes on hurt-vault" in done.stdout
    code, status, _ = refusal(clerk.delete_object, Bucket="hurt-vault", Key="report.csv", VersionId=second)
    assert (code, status) == ("AccessDenied", 403)
    again = guardrail(cloud, "contain", "hurt-vault")
    assert again.stdout.startswith("nothing to do")

    undone = guardrail(cloud, "contain", "hurt-vault", "--undo")
    assert undone.returncode == 0
    assert json.loads(s3.get_bucket_policy(Bucket="hurt-vault")["Policy"]) == theirs
    clerk.delete_object(Bucket="hurt-vault", Key="report.csv", VersionId=second)


def test_the_reader_s_policy_is_enough_to_look_and_for_nothing_else(cloud: Cloud, outputs: dict[str, str]) -> None:
    vault(cloud, "seen-vault")
    stack.sweep(cloud, outputs)
    cloud.client("lambda").invoke(FunctionName=outputs["HealthFunctionName"], Payload=b'{"health": "by hand"}')
    reader = person(cloud, "reader", outputs["ReaderPolicyArn"])
    for words in (
        ["status"],
        ["status", "--csv"],
        ["doctor"],
        ["runbook", "seen-vault"],
        ["selectors", "--trail", "lab"],
        ["uninstall", "--dry-run"],
    ):
        done = guardrail(cloud, *words, by=reader)
        assert done.returncode in {0, 1}, (words, done.stdout, done.stderr)
    cloudtrail = cloud.client("cloudtrail")
    cloudtrail.stop_logging(Name="lab")  # what no trail logs, a bucket may tell of itself: that is asked too
    assert guardrail(cloud, "doctor", by=reader).returncode == 1
    cloudtrail.start_logging(Name="lab")
    record = {"Records": [each for each in cloud.records() if each["eventName"] == "PutBucketTagging"][:1]}
    log = ROOM / "build" / "operator-log.json"
    stack.write(log, json.dumps(record))
    assert guardrail(cloud, "replay", str(log), by=reader).returncode in {0, 1}
    cloud.client("s3").create_bucket(Bucket="operator-logs")
    cloud.client("s3").put_object(Bucket="operator-logs", Key="AWSLogs/log.json", Body=log.read_bytes())
    there, here = (guardrail(cloud, "replay", place) for place in ("s3://operator-logs", str(log)))
    assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)
    assert here.stderr.startswith("1 records, ")
    assert refused(cloud, "reader") == set()
    used = {each["action"] for each in calls_of(cloud, "reader")} - {"sts:GetCallerIdentity"}
    assert used == set[str]().union(*READER.values())
    for words in (["contain", "seen-vault"], ["protect", "team-vault"]):
        done = guardrail(cloud, *words, by=reader)
        assert done.returncode in {1, 3}
    said = guardrail(cloud, "contain", "seen-vault", by=reader)
    assert said.stderr.startswith("guardrail: s3:PutBucketPolicy on seen-vault is refused (AccessDenied)")
    assert said.stderr.count("\n") == 1


def test_the_operator_s_policy_beside_it_is_enough_for_every_change(cloud: Cloud, outputs: dict[str, str]) -> None:
    operator = person(cloud, "operator", outputs["ReaderPolicyArn"], outputs["OperatorPolicyArn"])
    s3, sqs = cloud.client("s3"), cloud.client("sqs")
    vault(cloud, "kept-vault")
    s3.create_bucket(Bucket="next-vault")
    stack.sweep(cloud, outputs)
    listed = json.loads(guardrail(cloud, "status", "--json", by=operator).stdout)
    finding = listed["buckets"]["kept-vault"]["findings"][0]["id"]
    sqs.send_message(QueueUrl=outputs["DeadLetterUrl"], MessageBody='{"sweep": "by hand"}')
    sqs.send_message(QueueUrl=outputs["OnFailureUrl"], MessageBody='{"no": "event"}')
    sqs.send_message(QueueUrl=outputs["DeadLetterUrl"], MessageBody=json.dumps(_refused_delete(cloud)))
    runs: list[tuple[list[str], set[int]]] = [
        (["ack", finding, "--why", "known"], {0}),
        (["redrive"], {0, 1}),
        (["drill", "--loud", "--wait", "0"], {0, 1}),
        (["protect", "next-vault"], {0}),
        (["contain", "next-vault"], {0}),
        (["contain", "next-vault", "--undo"], {0}),
        (["selectors", "--trail", "lab", "--write"], {0}),
    ]
    for words, codes in runs:
        done = guardrail(cloud, *words, by=operator)
        assert done.returncode in codes, (words, done.stdout, done.stderr)
    assert refused(cloud, "operator") == set()
    used = {STANDS_FOR.get(each["action"], each["action"]) for each in calls_of(cloud, "operator")}
    reader = set[str]().union(*READER.values())
    # its address begins with the account, and 127.0.0.1 has no such subdomain
    assert set[str]().union(*OPERATOR.values()) - reader - used == {"s3:TagResource"}


def _refused_delete(cloud: Cloud) -> dict[str, Any]:
    """A version delete that was refused just now, as EventBridge would deliver it."""
    event: dict[str, Any] = json.loads((ROOM / "events" / "delete-object.version-denied.json").read_text())
    event["detail"]["eventTime"] = max(each["eventTime"] for each in cloud.records())
    return event


def test_a_reader_that_takes_one_line_leaves_no_noise_behind(cloud: Cloud, outputs: dict[str, str]) -> None:
    for number in range(3):
        vault(cloud, f"line-vault-{number}")
    for words in ("status", "status --json", "doctor --json", "runbook line-vault-0"):
        line = f"{sys.executable} -m cli.main --stack guardrail {words} | head -1"
        environment = cloud.environment() | {"PYTHONPATH": "src:."}
        done = subprocess.run(
            ["bash", "-c", line], cwd=ROOM, env=environment, capture_output=True, text=True, check=False
        )
        assert done.stdout.count("\n") == 1
        assert [text for text in done.stderr.splitlines() if not text.startswith("guardrail: line-vault-0")] == []
