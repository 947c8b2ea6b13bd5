"""What local.granted finds in made-up calls, and how a cloud hands over the real ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import granted
from local.cloud import Cloud, Credentials

Calls = list[dict[str, Any]]
Judged = Callable[..., tuple[int, str]]

RESOURCES: dict[str, Any] = {
    "LookRole": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Policies": [
                {
                    "PolicyName": "own",
                    "PolicyDocument": {
                        "Statement": [
                            {"Effect": "Allow", "Action": ["s3:GetBucketTagging"], "Resource": "arn:aws:s3:::vault-*"},
                            {
                                "Effect": "Allow",
                                "Action": "sqs:SendMessage",
                                "Resource": {"Fn::GetAtt": ["OnFailureQueue", "Arn"]},
                            },
                        ]
                    },
                }
            ]
        },
    },
    "Shared": {
        "Type": "AWS::IAM::Policy",
        "Properties": {
            "Roles": [{"Ref": "LookRole"}],
            "PolicyDocument": {
                "Statement": {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": {"Ref": "Table"}}
            },
        },
    },
}
ON_FAILURE = granted.ByAws(role="*", action="sqs:SendMessage", resource="OnFailureQueue.Arn", reason="Lambda")


def call(
    action: str, status: int = 200, error: str = "", resource: str = "", role: str = "a-stack-LookRole-1X"
) -> dict[str, Any]:
    """An entry of a cloud's log."""
    principal = f"arn:aws:sts::111122223333:assumed-role/{role}/session"
    service, _, operation = action.partition(":")
    return {
        "principal": principal, "action": action, "service": service, "operation": operation, "status": status,
        "error": error, "resource": resource,
    }  # fmt: skip


USED = [call("s3:GetBucketTagging"), call("dynamodb:TransactWriteItems", 400, "TransactionCanceledException")]


@pytest.fixture
def judged(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Judged:
    """Exit code and text for a log."""
    monkeypatch.setattr(granted, "BY_AWS", (ON_FAILURE,))
    monkeypatch.setattr(granted, "ON_PURPOSE", ())

    def judge(log: Calls, *, partial: bool = False) -> tuple[int, str]:
        granted.keep(log, tmp_path / "calls")
        code = granted.judge(RESOURCES, tmp_path / "calls", partial=partial)
        return code, capsys.readouterr().out

    return judge


def test_what_is_granted_and_used_is_fine_also_when_two_clouds_saw_a_part_each(judged: Judged) -> None:
    assert judged(USED[:1])[0] == 1
    code, text = judged(USED[1:])
    assert (code, "nothing wrong" in text) == (0, True)
    assert "by AWS: Lambda" in text


def test_an_unused_grant_is_found_but_not_when_only_a_part_ran(judged: Judged) -> None:
    code, text = judged(USED[:1])
    assert (code, "WRONG: LookRole may dynamodb:PutItem on Table and never did" in text) == (1, True)
    code, text = judged(USED[:1], partial=True)
    assert (code, "not judged: LookRole may dynamodb:PutItem" in text) == (0, True)


def test_a_role_that_called_nothing_is_named_once(judged: Judged) -> None:
    elsewhere = [call("iam:ListRoles", role="Deployer")]
    code, text = judged(elsewhere)
    assert (code, text.count("WRONG"), "LookRole made no call" in text) == (1, 1, True)
    assert judged(elsewhere, partial=True)[0] == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (call("sns:Publish", 403, "AuthorizationError"), "LookRole called sns:Publish and was refused"),
        (call("sns:Publish"), "LookRole called sns:Publish without a grant and got an answer"),
        ({**call("s3:"), "action": "", "operation": "New"}, "LookRole called s3:New without a grant"),
        (call("dynamodb:PutItem", 400, "AccessDeniedException"), "was refused dynamodb:PutItem on Table"),
        (call("s3:GetBucketTagging", 403, "AccessDenied", "/other"), "was refused s3:GetBucketTagging on other"),
        (call("sqs:SendMessage"), "take the line out of BY_AWS"),
    ],
)
def test_each_of_these_is_wrong_also_when_only_a_part_ran(judged: Judged, wrong: dict[str, Any], said: str) -> None:
    for partial in (False, True):
        code, text = judged([*USED, wrong], partial=partial)
        assert (code, said in text) == (1, True), text


def test_a_request_that_came_cut_off_is_nobody_s_call(judged: Judged) -> None:
    cut = call("", 403, "SignatureDoesNotMatch") | {"service": "iam", "operation": "POST /"}
    code, said = judged([*USED, cut])
    assert code == 0, said


def test_a_bucket_whose_own_policy_denies_a_granted_read_is_fine(judged: Judged) -> None:
    assert judged([*USED, call("s3:GetBucketTagging", 403, "AccessDenied", "/vault-locked")])[0] == 0


@pytest.mark.parametrize("action", ["dynamodb:PutItem", "s3:DeleteObjectVersion"])  # granted, and not
def test_a_refusal_on_purpose_needs_a_line_and_a_line_needs_the_refusal(
    judged: Judged, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    refused = call(action, 403, "AccessDenied")
    assert judged([*USED, refused])[0] == 1
    line = granted.OnPurpose(role="LookRole", action=action, error="AccessDenied", reason="a test")
    monkeypatch.setattr(granted, "ON_PURPOSE", (line,))
    assert judged([])[0] == 0
    other = granted.OnPurpose(role="LookRole", action=action, error="AuthorizationError", reason="a test")
    monkeypatch.setattr(granted, "ON_PURPOSE", (line, other))
    code, text = judged([])
    assert (code, "take the line out of ON_PURPOSE" in text) == (1, True)


def test_a_line_of_by_aws_that_nobody_is_granted_is_found(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = granted.ByAws(role="*", action="kms:Decrypt", resource="*", reason="SNS")
    monkeypatch.setattr(granted, "BY_AWS", (ON_FAILURE, gone))
    code, text = judged(USED)
    assert (code, "no role * is granted kms:Decrypt" in text) == (1, True)


def test_no_calls_at_all_is_could_not_tell(judged: Judged, tmp_path: Path) -> None:
    with pytest.raises(granted.CannotTell, match="run make e2e"):
        granted.judge(RESOURCES, tmp_path, partial=True)


def test_a_full_log_is_said(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(granted, "LOG_LIMIT", 2)
    code, text = judged(USED)
    assert (code, "forgot the first" in text) == (1, True)


def test_a_cloud_enforces_iam_and_hands_over_its_calls_at_reset_and_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(granted.VARIABLE, str(tmp_path))
    with Cloud.start() as cloud:
        for _ in range(2):
            sqs = cloud.client("sqs", lister(cloud))
            sqs.list_queues()
            with pytest.raises(ClientError):
                sqs.create_queue(QueueName="not-granted")
            if not list(tmp_path.iterdir()):
                cloud.reset()
    calls, full = granted.read(tmp_path)
    assert (len(list(tmp_path.iterdir())), full) == (2, 0)
    told = {(c.role, c.action, c.status < 300, c.is_refused): times for c, times in calls.items()}
    assert told == {
        ("lister", "sqs:ListQueues", True, False): 2,
        ("lister", "sqs:CreateQueue", False, True): 2,
    }


def lister(cloud: Cloud) -> Credentials:
    """A session of a role that may do one thing."""
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": cloud.account}, "Action": "sts:AssumeRole"}
    arn = iam.create_role(RoleName="lister", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]["Arn"]
    may = {"Statement": [{"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}]}
    iam.put_role_policy(RoleName="lister", PolicyName="own", PolicyDocument=json.dumps(may))
    key = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    return Credentials(
        access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"], session_token=key["SessionToken"]
    )
