"""`guardrail contain`: one statement into a bucket's policy and out again, and nothing else touched."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cli import contain
from handlers import bucket_change
from shared.containment import CONTAINMENT, containment
from shared.finding import Change, Told
from shared.wording import first_screen
from tests.functional.commands import Desk, as_deployed
from tests.functional.conftest import ACCOUNT, Stage
from tests.functional.test_handlers import disabled, key, protected

OURS: dict[str, Any] = containment("vault", "aws")
THEIRS: dict[str, Any] = {
    "Sid": "Readers",
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/l\u00e9a"},
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::vault/*",
}


@pytest.fixture
def desk(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A deployed stack and a bucket."""
    made = as_deployed(stage, monkeypatch, capsys)
    made.stage.bucket("vault")
    return made


def put(desk: Desk, policy: Any) -> str:
    """Give the bucket this policy; returns its text."""
    text = policy if isinstance(policy, str) else json.dumps(policy, indent=1)
    desk.stage.s3.put_bucket_policy(Bucket="vault", Policy=text)
    return text


def policy(desk: Desk) -> Any:
    """The bucket's policy, None if it has none."""
    try:
        return json.loads(desk.stage.s3.get_bucket_policy(Bucket="vault")["Policy"])
    except ClientError:
        return None


def test_without_a_policy_it_becomes_the_policy_and_undone_there_is_none_again(desk: Desk) -> None:
    result = desk.run("contain", "vault")
    assert (result.exception, result.return_value) == (None, 0)
    assert policy(desk) == {"Version": "2012-10-17", "Statement": [OURS]}
    assert result.stdout.startswith("contained: permanent deletes on vault are refused to everybody")
    undone = desk.run("contain", "vault", "--undo")
    assert undone.return_value == 0
    assert "nothing was left of the policy, so it is gone" in undone.stdout
    assert policy(desk) is None
    assert all(each["ExpectedBucketOwner"] == ACCOUNT for _, each in desk.sent if "Bucket" in each)


def test_what_was_there_stays_and_comes_back_as_it_was(desk: Desk) -> None:
    before = {"Version": "2008-10-17", "Id": "ours", "Statement": [THEIRS, {**THEIRS, "Sid": "More"}]}
    put(desk, before)
    desk.run("contain", "vault")
    assert policy(desk) == {**before, "Statement": [*before["Statement"], OURS]}
    desk.run("contain", "vault", "--undo")
    assert policy(desk) == before


def test_a_single_statement_without_a_list_is_kept(desk: Desk) -> None:
    put(desk, {"Version": "2012-10-17", "Statement": THEIRS})
    desk.run("contain", "vault")
    assert policy(desk)["Statement"] == [THEIRS, OURS]


def test_the_undo_that_it_prints_is_for_this_stack_and_region_and_undoes(desk: Desk) -> None:
    [undo] = [
        line.removeprefix("Undo: ") for line in desk.run("contain", "vault").stdout.splitlines() if "Undo" in line
    ]
    assert undo == "guardrail --stack guardrail --region us-east-1 contain vault --undo"
    assert desk.run(*undo.split()[1:]).stdout.startswith("undone")


def test_twice_is_once_in_both_directions(desk: Desk) -> None:
    put(desk, {"Version": "2012-10-17", "Statement": [THEIRS]})
    desk.run("contain", "vault")
    again = desk.run("contain", "vault")
    assert again.stdout.startswith(f"nothing to do: the policy of vault has the statement {CONTAINMENT} already")
    assert len(desk.asked("PutBucketPolicy")) == 1
    desk.run("contain", "vault", "--undo")
    assert desk.run("contain", "vault", "--undo").stdout.startswith("nothing to do")
    assert len(desk.asked("PutBucketPolicy", "DeleteBucketPolicy")) == 2


def test_the_statement_is_known_again_in_another_order(desk: Desk) -> None:
    shuffled = {**OURS, "Principal": {"AWS": "*"}, "Action": OURS["Action"][::-1], "Resource": OURS["Resource"][::-1]}
    put(desk, {"Version": "2012-10-17", "Statement": [shuffled]})
    assert desk.said("contain", "vault")["changes"] is False
    assert desk.said("contain", "vault", "--undo")["written"] is True
    assert policy(desk) is None


def test_it_is_the_very_statement_of_the_alert(desk: Desk) -> None:
    protected(desk.stage, "other")
    desk.stage.invoke(bucket_change.handler, disabled(desk.stage, "other"))
    [finding] = desk.stage.guard.store.recall(key("other"), now=desk.stage.now).findings
    told = desk.stage.guard.settings
    text = first_screen(Told(finding=finding, change=Change.OPENED), told, told)
    assert f"{told.command} contain other\n" in text
    [printed] = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    desk.run("contain", "other")
    assert json.loads(desk.stage.s3.get_bucket_policy(Bucket="other")["Policy"])["Statement"] == [printed]


def test_a_dry_run_shows_the_policy_and_writes_nothing(desk: Desk) -> None:
    put(desk, {"Version": "2012-10-17", "Statement": [THEIRS]})
    result = desk.run("contain", "vault", "--dry-run")
    assert result.return_value == 0
    assert json.loads(result.stdout.splitlines()[1])["Statement"] == [THEIRS, OURS]
    assert policy(desk)["Statement"] == [THEIRS]
    assert desk.said("contain", "vault", "--dry-run")["written"] is False
    assert desk.asked("PutBucketPolicy", "DeleteBucketPolicy") == []


def test_a_statement_of_its_name_that_says_something_else_is_left_alone(desk: Desk) -> None:
    other = {**OURS, "Condition": {"Bool": {"aws:PrincipalIsAWSService": "false"}}}
    put(desk, {"Version": "2012-10-17", "Statement": [other]})
    for words in ([], ["--undo"]):
        assert "already that says something else" in desk.refusal("contain", "vault", *words)
    assert policy(desk)["Statement"] == [other]


def test_a_policy_of_twenty_kilobytes_takes_no_more(desk: Desk) -> None:
    room = contain.LIMIT - len(json.dumps({"Version": "2012-10-17", "Statement": [OURS, {**THEIRS, "Sid": ""}]},
                               separators=(",", ":"), ensure_ascii=False).encode())  # fmt: skip
    put(desk, {"Version": "2012-10-17", "Statement": [{**THEIRS, "Sid": "x" * (room + 1)}]})
    assert f"would have {contain.LIMIT + 1} bytes" in desk.refusal("contain", "vault")
    assert desk.asked("PutBucketPolicy") == []
    put(desk, {"Version": "2012-10-17", "Statement": [{**THEIRS, "Sid": "x" * room}]})
    assert desk.said("contain", "vault")["written"] is True


INVALID = (
    "{oops", "[]", '{"Version": "2012-10-17"}', '{"Statement": ["a"]}', "7",
    '{"Statement": [{"Sid": "a", "Sid": "b"}]}',
)  # fmt: skip


def test_a_policy_that_cannot_be_read_is_one_sentence_and_stays(desk: Desk) -> None:
    for text in INVALID:
        put(desk, text)
        assert desk.refusal("contain", "vault").startswith("the policy of vault cannot be read")
    assert desk.asked("PutBucketPolicy") == []


def test_each_refusal_is_one_sentence_that_names_the_permission(desk: Desk) -> None:
    put(desk, {"Version": "2012-10-17", "Statement": [OURS]})
    desk.errors["DeleteBucketPolicy", "vault"] = "AccessDenied"
    assert desk.refusal("contain", "vault", "--undo").startswith("s3:DeleteBucketPolicy on vault is refused")
    put(desk, {"Version": "2012-10-17", "Statement": [THEIRS]})
    for operation in ("PutBucketPolicy", "GetBucketPolicy"):
        desk.errors[operation, "vault"] = "AccessDenied"
        assert desk.refusal("contain", "vault").startswith(f"s3:{operation} on vault is refused (AccessDenied)")
        del desk.errors[operation, "vault"]
    desk.errors["PutBucketPolicy", "vault"] = "MalformedPolicy"
    assert "a principal that was deleted is the usual reason" in desk.refusal("contain", "vault")
    desk.errors["PutBucketPolicy", "vault"] = "PolicyTooLarge"
    assert "PolicyTooLarge" in desk.refusal("contain", "vault")
    assert desk.refusal("contain", "missing") == "there is no bucket missing"
    assert "a directory bucket" in desk.refusal("contain", "cloud--use1-az4--x-s3")


def test_what_somebody_changes_before_the_write_is_not_overwritten(desk: Desk) -> None:
    put(desk, {"Version": "2012-10-17", "Statement": [THEIRS]})
    changed = {"Version": "2012-10-17", "Statement": [{**THEIRS, "Sid": "New"}]}
    real = contain._read
    desk.patch.setattr(contain, "_read", _first_then(real, lambda: put(desk, changed)))
    assert "somebody changed the policy of vault meanwhile; nothing was written" in desk.refusal("contain", "vault")
    assert policy(desk) == changed


def _first_then(real: Any, happens: Any) -> Any:
    """The first read, and right after it what somebody else does."""
    done: list[bool] = []

    def read(*words: Any) -> Any:
        found = real(*words)
        if not done:
            done.append(True)
            happens()
        return found

    return read


def test_what_somebody_writes_right_after_is_noticed(desk: Desk) -> None:
    real = contain._plan

    def plan(*words: Any, **more: Any) -> Any:
        made = real(*words, **more)
        desk.meanwhile["PutBucketPolicy"] = lambda: desk.meanwhile.update(
            GetBucketPolicy=lambda: put(desk, {"Version": "2012-10-17", "Statement": [THEIRS]})
        )
        return made

    desk.patch.setattr(contain, "_plan", plan)
    assert "was written, but reads otherwise" in desk.refusal("contain", "vault")


def test_what_it_does_not_stop_is_said_of_this_very_bucket(desk: Desk) -> None:
    said = desk.run("contain", "vault").stdout
    assert "It does not stop whoever may change that policy, nor lifecycle rules that are there already" in said
    assert "Root of the account" in said
    assert "overwrites" not in said
    rule: Any = {"ID": "tidy", "Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
    desk.stage.s3.put_bucket_lifecycle_configuration(Bucket="vault", LifecycleConfiguration={"Rules": [rule]})
    desk.stage.s3.put_bucket_versioning(Bucket="vault", VersioningConfiguration={"Status": "Suspended"})
    said = desk.run("contain", "vault").stdout
    assert 'Still deleting versions: lifecycle rules "tidy"' in said
    [command] = [line.split(". guardrail ")[1] for line in said.splitlines() if line.startswith("Still deleting")]
    assert command.startswith("--stack guardrail --region us-east-1 runbook vault")
    assert desk.run(*command.split()).return_value == 0, command
    assert "nor overwrites and plain deletes, which are for good without versioning" in said
    desk.stage.denied.add(("GetBucketLifecycleConfiguration", "vault"))
    assert any("is not known: s3:GetLifecycleConfiguration" in line for line in desk.said("contain", "vault")["limits"])


def test_a_failing_look_at_the_limits_does_not_undo_what_was_said_to_be_done(desk: Desk) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ClientError({"Error": {"Code": "SlowDown", "Message": "x"}}, "GetBucketVersioning")

    desk.patch.setattr(desk.stage.guard.buckets, "versioning", fails)
    result = desk.run("contain", "vault")
    assert (result.exception, result.return_value) == (None, 0)
    assert "could not be read" in result.stdout
    assert policy(desk)["Statement"] == [OURS]
