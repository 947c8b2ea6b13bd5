"""`guardrail uninstall` on moto: what it says of a stack that left traces everywhere, and of one that left none."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from cli import leftovers
from cli.selectors import title_for
from cli.stack import Stack
from handlers import sweep
from shared.aws.buckets import Enrolment
from shared.aws.roster import Roster
from shared.containment import containment
from shared.facts import Spoke
from tests.functional.commands import Desk, as_deployed
from tests.functional.conftest import ACCOUNT, TAG, Stage
from tests.functional.test_documented_commands import faults
from tests.functional.test_handlers import TICK, protected
from tests.functional.test_schema import evidence_of_debt_on
from tests.functional.trails import DEFAULT
from tests.unit import pages

READS = re.compile(r"(Get|List|Describe|Query)\w*")
SAM_BUCKET = "aws-sam-cli-managed-default-samclisourcebucket-0a1b"
ROLE = "on-call+night,=.@-_x"

type Said = list[dict[str, Any]]


class CloudFormation:
    """moto's wants more than is installed."""

    def __init__(self, *, with_sam: bool) -> None:
        self.with_sam, self.refused = with_sam, False

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if self.refused:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks")
        assert StackName == leftovers.SAM
        if not self.with_sam:
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        return {"Stacks": [{"Outputs": [{"OutputKey": "SourceBucket", "OutputValue": SAM_BUCKET}]}]}


def deployed(desk: Desk, **told: Any) -> None:
    """A stack with no more than every stack has."""
    stage, patch = desk.stage, desk.patch
    failures = stage.sqs.create_queue(QueueName="on-failure")["QueueUrl"]
    outputs = {"DeadLetterUrl": stage.env["DEAD_LETTER_URL"], "OnFailureUrl": failures, "SweepNow": "aws lambda invoke"}
    patch.setattr(Stack, "settings", replace(stage.guard.settings, **told))
    patch.setattr(Stack, "outputs", outputs | {"TableName": "guardrail"})
    patch.setattr(Stack, "_description", {"EnableTerminationProtection": False})
    with_cloudformation(desk, CloudFormation(with_sam=False))


def with_cloudformation(desk: Desk, made: CloudFormation) -> CloudFormation:
    """The command's own client of it."""
    real = Stack.client

    def client(self: Stack, service: str, region: str | None = None) -> Any:
        return made if service == "cloudformation" else real(self, service, region)

    desk.patch.setattr(Stack, "client", client)
    return made


@pytest.fixture
def desk(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A plain stack."""
    made = as_deployed(stage, monkeypatch, capsys)
    deployed(made)
    return made


@pytest.fixture
def traces(desk: Desk) -> CloudFormation:
    """A stack that left traces everywhere."""
    stage, s3 = desk.stage, desk.stage.s3
    deployed(
        desk,
        canary_bucket="stack-canary",
        event_bus_name="stack-findings",
        chat_topic_arn="arn:aws:sns:us-east-1:123456789012:chat",
        pager_topic_arn="arn:aws:sns:us-east-1:123456789012:pager",
        security_hub=True,
    )
    desk.patch.setattr(Stack, "_description", {"EnableTerminationProtection": True})
    desk.patch.setattr(Stack, "outputs", {**Stack.outputs, "TrailLogBucket": "stack-trail-logs"})  # type: ignore[dict-item]
    _people(desk)
    _buckets(desk)
    _trails(desk)
    events = boto3.client("events")
    events.create_event_bus(Name="stack-findings")
    events.put_rule(Name="tickets", EventBusName="stack-findings", EventPattern='{"source": ["mfa-delete-guardrail"]}')
    s3.create_bucket(Bucket="stack-canary")
    s3.put_object(Bucket="stack-canary", Key="what", Body=b"is this")
    stage.guard.dead_letters.put("no json", "the message is not JSON")
    roster = Roster("guardrail", "", stage.guard.store.client)
    for region in ("eu-west-1", "us-east-1"):
        roster.hear(Spoke(account="444455556666", region=region, heard_at=stage.now))
    stage.root["AccountAccessKeysPresent"] = 1
    return with_cloudformation(desk, CloudFormation(with_sam=True))


def _people(desk: Desk) -> None:
    iam = boto3.client("iam")
    document = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}
    )
    arn = iam.create_policy(PolicyName="stack-ReaderPolicy-1", PolicyDocument=document)["Policy"]["Arn"]
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=document)
    iam.attach_role_policy(RoleName=ROLE, PolicyArn=arn)
    iam.create_user(UserName="ann")
    iam.attach_user_policy(UserName="ann", PolicyArn=arn)
    iam.create_group(GroupName="auditors")
    iam.attach_group_policy(GroupName="auditors", PolicyArn=arn)
    parts = {"AWS::IAM::ManagedPolicy": [arn], "AWS::KMS::Key": ["key-1"], "AWS::CloudTrail::Trail": ["own"]}
    desk.patch.setattr(Stack, "physical", lambda _self, kind: parts.get(kind, []))


def _buckets(desk: Desk) -> None:
    stage = desk.stage
    protected(stage, "vault")
    evidence_of_debt_on(stage, "bare")
    statement = containment("vault", "aws")
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    stage.s3.put_bucket_policy(Bucket="vault", Policy=json.dumps(policy))
    stage.bucket("excused")
    tags: Any = [TAG, {"Key": "mfa-delete-exempt-until", "Value": "2026-12-01"}, {"Key": "team", "Value": "data"}]
    stage.s3.put_bucket_tagging(Bucket="excused", Tagging={"TagSet": tags})


def _trails(desk: Desk) -> None:
    cloudtrail = boto3.client("cloudtrail")
    desk.stage.bucket("trail-logs", tagged=False)
    fields = [{"Field": "eventCategory", "Equals": ["Management"]}]
    ours: Any = {"Name": title_for(Stack("mfa-delete-guardrail")), "FieldSelectors": fields}
    others: Any = {"Name": "it's mine", "FieldSelectors": fields}
    for name, selectors in {"shared": [ours, others], "alone": [ours], "own": [ours], "plain": []}.items():
        cloudtrail.create_trail(Name=name, S3BucketName="trail-logs")
        if selectors:
            cloudtrail.put_event_selectors(TrailName=name, AdvancedEventSelectors=selectors)
        else:
            cloudtrail.put_event_selectors(TrailName=name, EventSelectors=DEFAULT)


def said(desk: Desk, code: int) -> Said:
    """What it says as JSON, with this exit code."""
    result = desk.run("uninstall", "--dry-run", "--json")
    assert result.exception is None, result.exception
    assert result.return_value == code, result.stdout
    return [json.loads(line) for line in result.stdout.splitlines()]


def about(found: Said, what: str, kind: str = "stays") -> list[str]:
    """The meanings of what it says about one thing."""
    return [each["meaning"] for each in found if (each["about"], each["kind"]) == (what, kind)]


def commands(found: Said) -> list[str]:
    """All commands."""
    return [command for each in found for command in each["commands"]]


def test_without_dry_run_it_refuses_asks_nothing_and_says_how_the_stack_is_deleted(desk: Desk) -> None:
    code, out, err = desk.main("--region", "eu-west-1", "uninstall")
    assert (code, out, desk.sent) == (2, "", [])
    assert "this command deletes nothing, in no case" in err
    where = "--stack-name mfa-delete-guardrail --region eu-west-1"
    assert f"aws cloudformation update-termination-protection {where} --no-enable-termination-protection" in err
    assert f"aws cloudformation delete-stack {where}" in err
    assert f"sam delete {where}" in err
    assert "only root can turn it off" in err
    lines = [line.strip() for line in err.splitlines() if line.startswith(("  aws", "  sam"))]
    typed = [words for line in lines for words in pages.commands_of(line)]
    assert len(typed) == 3
    assert [found for words in typed if (found := faults(words, whole=True))] == []


def test_a_stack_that_left_no_traces_can_be_deleted(desk: Desk) -> None:
    found = said(desk, 0)
    assert {each["about"] for each in found} == {"table", "elsewhere"}
    assert about(found, "table")[0].startswith("guardrail: findings, and 400 days of history")


def test_every_trace_is_named(desk: Desk, traces: CloudFormation) -> None:
    found = said(desk, 1)
    assert about(found, "stack", "first") == ["termination protection is on"]
    assert sorted(about(found, "policies", "first")) == [
        "stack-ReaderPolicy-1 is attached to group auditors",
        f"stack-ReaderPolicy-1 is attached to role {ROLE}",
        "stack-ReaderPolicy-1 is attached to user ann",
    ]
    assert about(found, "rules", "first") == ["rule tickets of yours is on the bus stack-findings"]
    assert "stack-canary" in about(found, "drill", "first")[0]
    assert about(found, "watch", "lost") == ["nobody watches 3 bucket(s) any more: bare, excused, vault"]
    assert about(found, "alerts", "lost")[0].startswith("1 alert(s) are owed")
    assert about(found, "failures", "lost")[0].startswith("1 message(s) wait")
    assert about(found, "mfa delete") == [
        "vault keeps MFA delete and versioning; only root, with a code, can turn it off: docs/root-holder.md"
    ]
    assert about(found, "tags") == [
        "bare carries mfa-delete",
        "excused carries mfa-delete, mfa-delete-exempt-until",
        "vault carries mfa-delete",
    ]
    assert about(found, "statements") == ["the policy of vault refuses permanent deletes to everybody"]
    assert sorted(about(found, "selectors")) == [
        "trail alone logs the deletes on the enrolled buckets, $0.10 per 100,000, and nothing else; it is yours and"
        " goes whole: see first, with get-trail, whose it is",
        "trail shared logs the deletes on the enrolled buckets, $0.10 per 100,000",
    ]
    assert "stack-trail-logs" in about(found, "trail's logs")[0]
    assert SAM_BUCKET in about(found, "sam")[0]
    assert about(found, "spokes")[0].startswith("2 that said hello: 444455556666 eu-west-1, 444455556666 us-east-1;")
    assert about(found, "root")[0].startswith("root has an access key")
    assert len(about(found, "elsewhere")) == 3
    assert len(about(found, "elsewhere", "ends")) == 3
    assert [each for each in found if each["kind"] == "unknown"] == []


def test_every_command_that_it_prints_can_be_typed(desk: Desk, traces: CloudFormation) -> None:
    printed = commands(said(desk, 1))
    assert len([line for line in printed if "list-object-versions" in line]) == 3
    typed = [words for line in printed for words in pages.commands_of(line)]
    assert len(typed) >= len(printed) + 3  # the emptying of a bucket looks for what is in it
    whole = [words for words in typed if words[:3] != ["aws", "lambda", "invoke"]]  # the stack's own output
    assert {" ".join(words): found for words in whole if (found := faults(words, whole=True))} == {}


def test_no_command_turns_mfa_delete_off_and_a_trail_of_somebodys_is_looked_at_before_it_goes(
    desk: Desk, traces: CloudFormation
) -> None:
    printed = commands(said(desk, 1))
    assert [each for each in printed if "put-bucket-versioning" in each or "MFADelete" in each] == []
    assert (pages.ROOT / leftovers.UNDO).is_file()
    where = "--region us-east-1 --name alone"
    [gone] = [place for place, each in enumerate(printed) if "delete-trail" in each]
    assert printed[gone - 1 : gone + 1] == [f"aws cloudtrail {verb}-trail {where}" for verb in ("get", "delete")]


AWS = """\
#!/bin/sh
case "$2" in
list-object-versions) cat "$FULL" ;;
delete-objects) for last; do :; done; cat "${last#file://}" > "$DELETED" ;;
*) exit 9 ;;
esac
"""
"""What takes the place of the AWS CLI."""


def test_a_thousand_versions_with_long_keys_are_deleted_by_what_it_prints_as_no_argument_carries_them(
    tmp_path: Path,
) -> None:
    found = {"Objects": [{"Key": f"{number:04}".ljust(1024, "k"), "VersionId": "v" * 1024} for number in range(1000)]}
    full, deleted, stand_in = tmp_path / "full", tmp_path / "deleted", tmp_path / "aws"
    full.write_text(json.dumps(found))
    stand_in.write_text(AWS)
    stand_in.chmod(0o700)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FULL": str(full), "DELETED": str(deleted)}
    command = leftovers.EMPTY.format("vault")
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(deleted.read_text()) == found


def test_a_trail_keeps_the_selectors_that_are_not_ours(desk: Desk, traces: CloudFormation) -> None:
    [command] = [each for each in commands(said(desk, 1)) if "put-event-selectors" in each]
    [words] = pages.commands_of(command)
    kept = json.loads(words[words.index("--advanced-event-selectors") + 1])
    assert [each["Name"] for each in kept] == ["it's mine"]


def test_it_only_reads(desk: Desk, traces: CloudFormation) -> None:
    desk.stage.calls.clear()
    said(desk, 1)
    asked = {operation for operation, _ in desk.sent} | {*desk.stage.calls}
    assert {"ListEntitiesForPolicy", "GetBucketPolicy", "ListRules", "ListObjectVersions"} <= asked
    assert [each for each in asked if not READS.fullmatch(each)] == []


def test_people_read_first_that_buckets_keep_mfa_delete_and_what_nobody_watches(
    desk: Desk, traces: CloudFormation
) -> None:
    result = desk.run("uninstall", "--dry-run")
    text = " ".join(result.stdout.split())
    assert text.startswith("dry run: nothing was deleted")
    loud = text.index("BUCKETS KEEP MFA DELETE AND VERSIONING. It is on, and stays on, for 1 of those")
    assert f"Only root of account {ACCOUNT}, with a code, can turn it off." in text
    assert (
        loud
        < text.index("FROM THEN ON NOBODY WATCHES 3 BUCKET(S): bare, excused, vault.")
        < text.index("Must go first")
    )
    ends = "Then: aws cloudformation delete-stack --stack-name mfa-delete-guardrail --region us-east-1"
    assert ends in text
    for command in commands(said(desk, 1)):
        assert command in result.stdout


def _refuse(operation: str, **_: Any) -> None:
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)


REFUSED: dict[str, tuple[str, Callable[[Desk], Any]]] = {
    "attachments": ("policies", lambda desk: desk.errors.update({("ListEntitiesForPolicy", ""): "AccessDenied"})),
    "rules": ("rules", lambda desk: desk.errors.update({("ListRules", ""): "AccessDeniedException"})),
    "the canary": ("drill", lambda desk: desk.errors.update({("ListObjectVersions", "stack-canary"): "AccessDenied"})),
    "queues": ("failures", lambda desk: desk.errors.update({("GetQueueAttributes", ""): "AccessDenied"})),
    "trails": ("selectors", lambda desk: desk.errors.update({("DescribeTrails", ""): "AccessDeniedException"})),
    "selectors": ("selectors", lambda desk: desk.errors.update({("GetEventSelectors", ""): "AccessDeniedException"})),
    "a policy": ("statements", lambda desk: desk.errors.update({("GetBucketPolicy", "vault"): "AccessDenied"})),
    "versioning": ("mfa delete", lambda desk: desk.stage.denied.add(("GetBucketVersioning", "vault"))),
    "root": ("root", lambda desk: desk.stage.denied.add(("GetAccountSummary", ""))),
    "the table": ("alerts", lambda desk: desk.stage.denied.add(("Query", ""))),
    "tags": ("tags", lambda desk: desk.patch.setattr(Enrolment, "_listed", lambda *_: _refuse("GetResources"))),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_what_may_not_be_read_could_not_be_told_and_is_never_nothing(
    desk: Desk, traces: CloudFormation, refused: str
) -> None:
    what, refuse = REFUSED[refused]
    refuse(desk)
    found = said(desk, 3)
    [meaning, *_] = about(found, what, "unknown")
    assert "nobody knows" in meaning
    assert "is refused" in meaning
    assert about(found, "table")  # the others are looked at all the same
    assert desk.run("uninstall", "--dry-run").return_value == 3


def test_sam_s_stack_that_may_not_be_read_is_not_taken_for_none(desk: Desk, traces: CloudFormation) -> None:
    traces.refused = True
    assert about(said(desk, 3), "sam", "unknown") == [
        "nobody knows what is left of it: DescribeStacks is refused (AccessDenied)"
    ]


def test_a_policy_that_is_none_of_ours_is_left_alone(desk: Desk) -> None:
    desk.stage.bucket("theirs")
    policy = {"Version": "2012-10-17", "Statement": [containment("another", "aws")]}
    desk.stage.s3.put_bucket_policy(Bucket="theirs", Policy=json.dumps(policy))
    assert about(said(desk, 0), "statements") == []


def test_a_bucket_that_is_not_enrolled_any_more_but_still_judged_is_named(desk: Desk) -> None:
    protected(desk.stage, "vault")
    desk.stage.s3.delete_bucket_tagging(Bucket="vault")
    desk.stage.invoke(sweep.handler, TICK)
    found = said(desk, 0)
    assert about(found, "mfa delete")[0].startswith("vault keeps MFA delete")
    assert about(found, "tags") == []


def test_a_ghost_of_the_tagging_api_is_not_named(desk: Desk) -> None:
    ours = {"mfa-delete": "required"}
    desk.patch.setattr(Enrolment, "_listed", lambda *_: iter([("ghost", ours), ("vault", ours)]))
    protected(desk.stage, "vault")
    assert "ghost" not in json.dumps(said(desk, 0))
    shown = " ".join(desk.run("uninstall", "--dry-run").stdout.split())
    assert "FROM THEN ON NOBODY WATCHES 1 BUCKET(S): vault." in shown
    assert "ghost" not in shown
