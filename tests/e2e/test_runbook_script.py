"""runbook/mfa_delete.py against the embedded cloud, point by point of its specification; prompts on a real terminal."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local import clean
from local.cloud import ROOM, Cloud, Credentials
from local.terminal import typed
from tests.e2e.local_setting import ALLOW_ALL, EXPIRE, versioning

SCRIPT = ROOM / "runbook" / "mfa_delete.py"
ACCOUNT = ("--account", "111122223333")
STDIN = (*ACCOUNT, "--mfa-code", "-")
PROTECTED = {"Status": "Enabled", "MFADelete": "Enabled"}
CODE = r"Code [^\n]*: $"


type Answers = dict[str, Callable[[], str] | str]


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a run of the script ended."""

    code: int
    out: str
    err: str = ""

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Desk:
    """A person's machine: a home, credentials, and the script."""

    def __init__(self, cloud: Cloud, credentials: Credentials | None = None) -> None:
        self.cloud, self.env = cloud, cloud.environment(credentials)
        self.home = Path(self.env["HOME"])

    def run(self, *args: str, codes: int | list[str] = 0) -> Done:
        """Without a terminal; `codes` are fresh ones, or those given."""
        lines = [self.cloud.next_code() for _ in range(codes)] if isinstance(codes, int) else codes
        ended = subprocess.run(
            [clean.python(), SCRIPT, *args],
            check=False,
            input="".join(f"{each}\n" for each in lines),
            env=self.env,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return honest(Done(code=ended.returncode, out=ended.stdout, err=ended.stderr), lines)

    def type(self, *args: str, answers: dict[str, Callable[[], str] | str]) -> Done:
        """On a terminal; the answers' patterns are looked for in order."""
        given: list[str] = []

        def reply(answer: Callable[[], str] | str) -> Callable[[], str]:
            def answered() -> str:
                given.append(answer if isinstance(answer, str) else answer())
                return given[-1]

            return answered

        replies = [(pattern, reply(answer)) for pattern, answer in answers.items()]
        code, screen = typed([str(clean.python()), str(SCRIPT), *args], replies, env=self.env, cwd=self.home)
        return honest(Done(code=code, out=screen), [each for each in given if each.isdigit() and len(each) == 6])


def honest(done: Done, codes: list[str]) -> Done:
    """What holds for every run: no traceback, and no code on the screen."""
    assert "Traceback" not in done.out + done.err, done
    # As a word: a thousand version ids hold any six digits now and then.
    assert not [each for each in codes if re.search(rf"(?<!\w){each}(?!\w)", done.out + done.err)], done
    return done


@pytest.fixture
def desk(cloud: Cloud) -> Iterator[Desk]:
    yield Desk(cloud)
    cloud.faults([])


def new_bucket(cloud: Cloud, name: str, *, tags: dict[str, str] | None = None, protected: bool = False) -> str:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name)
    if tags:
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]})
    if protected:
        s3.put_bucket_versioning(Bucket=name, MFA=cloud.mfa(), VersioningConfiguration=PROTECTED)
    return name


def tags_of(cloud: Cloud, bucket: str) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in cloud.client("s3").get_bucket_tagging(Bucket=bucket)["TagSet"]}


def puts(cloud: Cloud, bucket: str) -> list[dict[str, Any]]:
    return [
        each
        for each in cloud.calls()
        if each["operation"] == "PutBucketVersioning" and each["resource"].strip("/") == bucket
    ]


# 1. Who am I


def test_an_iam_user_is_refused_with_the_reason(cloud: Cloud) -> None:
    done = Desk(cloud, cloud.create_user("alice", ALLOW_ALL)).run("enable", "--bucket", "any", *STDIN)
    assert (done.code, "This is an IAM user; only the account's root user" in done.out) == (3, True)


def test_an_assumed_role_is_refused_with_the_reason(cloud: Cloud) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    arn = cloud.client("iam").create_role(RoleName="admin", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    cloud.client("iam").put_role_policy(RoleName="admin", PolicyName="all", PolicyDocument=json.dumps(ALLOW_ALL))
    bob = cloud.create_user("bob", ALLOW_ALL)
    given = cloud.client("sts", bob).assume_role(RoleArn=arn, RoleSessionName="night")["Credentials"]
    role = Credentials(
        access_key_id=given["AccessKeyId"],
        secret_access_key=given["SecretAccessKey"],
        session_token=given["SessionToken"],
    )
    done = Desk(cloud, role).run("enable", "--bucket", "any", *STDIN)
    assert (done.code, "This is an assumed role" in done.out) == (3, True)


def test_a_root_session_is_refused_and_told_how_to_go_on(cloud: Cloud) -> None:
    done = Desk(cloud, cloud.root_session()).run("enable", "--bucket", "any", *STDIN)
    assert (done.code, "S3 refuses a session token" in done.out, "aws configure" in done.out) == (3, True, True)


def test_another_account_than_the_one_named_is_refused(desk: Desk) -> None:
    done = desk.run("enable", "--bucket", "any", "--account", "444455556666", "--mfa-code", "-")
    assert (done.code, "account 111122223333, not of 444455556666" in done.out) == (3, True)


def test_the_account_is_confirmed_on_the_terminal(desk: Desk) -> None:
    done = desk.type("enable", "--bucket", "any", answers={r"Is this the account\? \[yes/no\]: $": "no"})
    assert (done.code, "account 111122223333 (no alias)" in done.out) == (3, True)


def test_without_terminal_or_account_nothing_is_done(desk: Desk) -> None:
    done = desk.run("enable", "--bucket", "any", "--mfa-code", "-")
    assert (done.code, "--account" in done.out) == (2, True)


def test_a_key_that_aws_does_not_know_yet_is_waited_for(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "new-key")
    unknown: dict[str, Any] = {"status": 403, "message": "not found"}
    desk.cloud.faults(
        [
            {"service": "sts", "match": "GetCallerIdentity", "code": "InvalidClientTokenId", **unknown},
            {"service": "s3", "match": "ListAllMyBuckets", "code": "InvalidAccessKeyId", **unknown},
        ]
    )
    done = desk.run("enable", "--bucket", bucket, *STDIN, codes=1)
    assert (done.code, done.out.count("AWS does not know key")) == (0, 2)


# 2. Which device


def test_of_several_devices_the_person_picks_and_a_hardware_token_counts(desk: Desk) -> None:
    bucket, token = new_bucket(desk.cloud, "token"), desk.cloud.add_device("hardware", "GAHT12345678")
    desk.cloud.add_device("passkey", "laptop")
    answers: Answers = {r"\[1-2\] $": "2", CODE: lambda: desk.cloud.next_code(token.serial), r"\[yes/no\]: $": "no"}
    done = desk.type("enable", "--bucket", bucket, *ACCOUNT, answers=answers)
    refused = desk.run("enable", "--bucket", new_bucket(desk.cloud, "token-2"), *STDIN, codes=1)
    for each in desk.cloud.devices()[1:]:
        desk.cloud.remove_device(each.serial)
    assert (done.code, "u2f" in done.out, versioning(desk.cloud, bucket)) == (0, False, PROTECTED)
    assert (refused.code, "--mfa-serial" in refused.out) == (2, True)


def test_passkeys_alone_are_explained(desk: Desk) -> None:
    bucket, passkey = new_bucket(desk.cloud, "passkey"), desk.cloud.add_device("passkey", "laptop")
    desk.cloud.remove_device(desk.cloud.device.serial)
    done = desk.run("enable", "--bucket", bucket, *STDIN)
    desk.cloud.remove_device(passkey.serial)
    none = desk.run("enable", "--bucket", bucket, *STDIN)
    desk.cloud.add_device("virtual", "root-account-mfa-device")
    assert (done.code, "as passkeys and security keys do not" in done.out, "Authenticator app" in done.out) == (
        3,
        True,
        True,
    )
    assert (none.code, "no device that shows six-digit codes" in none.out) == (3, True)


def test_the_device_is_found_among_the_virtual_ones_when_root_has_no_list(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "fallback")
    fault = {"service": "iam", "match": "ListMFADevices", "status": 403, "code": "AccessDenied"}
    desk.cloud.faults([fault])
    assert desk.run("enable", "--bucket", bucket, *STDIN, codes=1).code == 0


@pytest.mark.parametrize("serial", ["arn:aws:iam::444455556666:mfa/x", "arn:aws:iam::111122223333:u2f/root-account/x"])
def test_a_named_device_that_cannot_work_is_refused_before_a_code_is_spent(desk: Desk, serial: str) -> None:
    bucket = new_bucket(desk.cloud, f"serial-{len(serial)}")
    done = desk.run("enable", "--bucket", bucket, "--mfa-serial", serial, *STDIN, codes=1)
    assert (done.code, "not this root user's, or is a passkey" in done.out, puts(desk.cloud, bucket)) == (3, True, [])


# 3. Preflight


def test_a_protected_bucket_needs_no_code(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "done-already", protected=True)
    done = desk.run("enable", "--bucket", bucket, *STDIN)
    assert (done.code, len(puts(desk.cloud, bucket))) == (0, 1)


@pytest.mark.parametrize("verb", ["check", "enable"])
def test_a_lifecycle_configuration_is_named_and_left_alone(desk: Desk, verb: str) -> None:
    bucket = new_bucket(desk.cloud, f"lifecycle-{verb}")
    s3 = desk.cloud.client("s3")
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=EXPIRE)
    done = desk.run(verb, "--bucket", bucket, *(STDIN if verb == "enable" else ()), codes=1)
    assert (done.code, "old (disabled)" in done.out, puts(desk.cloud, bucket)) == (1, True, [])
    assert f"aws s3api delete-bucket-lifecycle --bucket {bucket}" in done.out
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]


def test_dry_run_and_check_change_nothing_and_say_what_will_stop_working(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "dry")
    dry = desk.run("enable", "--dry-run", "--bucket", bucket, *ACCOUNT)
    check = desk.run("check", "--bucket", bucket)
    assert (dry.code, check.code, puts(desk.cloud, bucket)) == (1, 1, [])
    for done in (dry, check):
        assert "unprotected" in done.out
        assert "ignore_changes = [versioning_configuration]" in done.out
    assert "us-east-1, partition aws" in check.out


def test_check_works_for_anybody_who_may_read(cloud: Cloud) -> None:
    bucket = new_bucket(cloud, "read-only", protected=True)
    done = Desk(cloud, cloud.create_user("reader", ALLOW_ALL)).run("check", "--bucket", bucket)
    assert (done.code, "Looking only. This is an IAM user" in done.out) == (0, True)


def test_object_lock_is_named(desk: Desk) -> None:
    desk.cloud.client("s3").create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    assert "Object Lock is on" in desk.run("check", "--bucket", "locked").out


def test_a_missing_bucket_and_a_directory_bucket_do_not_stop_the_others(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "good-one")
    names = ["--bucket", "no-such-bucket", "--bucket", "dir--use1-az4--x-s3", "--bucket", f"arn:aws:s3:::{bucket}"]
    done = desk.run("enable", *names, *STDIN, "--json", codes=1)
    assert done.code == 1
    assert [(each["bucket"], each["verdict"]) for each in done.objects] == [
        ("no-such-bucket", "unverifiable"),
        ("dir--use1-az4--x-s3", "unverifiable"),
        (bucket, "protected"),
    ]
    assert "There is no bucket no-such-bucket" in done.objects[0]["error"]
    assert "Directory buckets" in done.objects[1]["error"]


# 4. enable


def test_a_person_turns_it_on_and_the_code_is_not_echoed(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "by-hand")
    answers: Answers = {
        r"Is this the account\? \[yes/no\]: $": "yes",
        CODE: desk.cloud.next_code,
        r"\[yes/no\]: $": "no",
    }
    done = desk.type("enable", "--bucket", bucket, answers=answers)
    assert (done.code, versioning(desk.cloud, bucket)) == (0, PROTECTED)
    assert "Enabled/Enabled, read back" in done.out


def test_a_code_as_an_argument_is_refused_and_not_repeated(desk: Desk) -> None:
    for args in (("--mfa-code", "246813"), ("246813",)):
        done = desk.run("enable", "--bucket", "any", *args)
        assert (done.code, "246813" in done.err + done.out) == (2, False)


def test_the_proof_is_refused_and_cleared_away(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "prove")
    done = desk.run("enable", "--bucket", bucket, "--prove", *STDIN, codes=2)
    left = desk.cloud.client("s3").list_object_versions(Bucket=bucket)
    assert (done.code, left.get("Versions", [])) == (0, [])
    assert "proved: deleting a version without a code is refused" in done.out
    deletes = [each["status"] for each in desk.cloud.calls() if f"{bucket}/mfa-delete-proof/" in each["resource"]]
    assert deletes[-2:] == [403, 204]


def test_a_wrong_code_is_asked_again_and_never_sent_twice(desk: Desk) -> None:
    bucket, good = new_bucket(desk.cloud, "wrong-once"), desk.cloud.next_code()
    codes = ["000000", "000000", "12345", f"{good[:3]} {good[3:]}"]
    done = desk.run("enable", "--bucket", bucket, *STDIN, codes=codes)
    assert (done.code, [each["error"] for each in puts(desk.cloud, bucket)]) == (0, ["TokenCodeInvalidError", ""])
    assert ("(1 of 3)" in done.out, done.out.count("That is no six-digit code, or one that was used")) == (True, 2)


def test_three_wrong_codes_end_the_run(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "wrong-thrice")
    done = desk.run("enable", "--bucket", bucket, *STDIN, codes=["000000", "000001", "000002", desk.cloud.next_code()])
    assert (done.code, len(puts(desk.cloud, bucket)), versioning(desk.cloud, bucket)) == (3, 3, {})


# 10. S3-compatible servers, 11. version


def test_an_s3_compatible_server_gets_only_s3_calls(desk: Desk) -> None:
    bucket, before = new_bucket(desk.cloud, "compatible"), len(desk.cloud.calls())
    serial = ("--s3-compatible", "--mfa-serial", desk.cloud.device.serial, "--mfa-code", "-")
    done = desk.run("enable", "--bucket", bucket, *serial, codes=1)
    assert (done.code, versioning(desk.cloud, bucket)) == (0, PROTECTED)
    assert {each["service"] for each in desk.cloud.calls()[before:]} == {"s3"}
    del desk.env["AWS_ENDPOINT_URL"]
    assert desk.run("check", "--bucket", bucket, "--s3-compatible").code == 2
    assert desk.run("check", "--bucket", bucket, "--s3-compatible", "--endpoint-url", desk.cloud.endpoint).code == 0


def test_the_version_names_the_files_own_digest(desk: Desk) -> None:
    digest = hashlib.sha256(SCRIPT.read_bytes()).hexdigest()
    assert desk.run("--version").out == f"mfa_delete.py 1.0.0 sha256 {digest}\n"


def test_the_evidence_tells_everything_but_secrets(desk: Desk) -> None:
    bucket, codes = new_bucket(desk.cloud, "evidence"), [desk.cloud.next_code()]
    path = desk.home / "evidence.jsonl"
    for _ in range(2):
        assert desk.run("enable", "--bucket", bucket, *STDIN, "--evidence", str(path), codes=codes).code == 0
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert (first["account"], first["arn"][-5:], first["exit"]) == ("111122223333", ":root", 0)
    assert (first["buckets"][0]["before"], first["buckets"][0]["after"]) == ("never/never", "Enabled/Enabled")
    put = next(each for each in first["requests"] if each["call"] == "PutBucketVersioning")
    assert (put["bucket"], put["status"], bool(put["request_id"])) == (bucket, 200, True)
    assert "PutBucketVersioning" not in [each["call"] for each in second["requests"]]
    assert not [each for each in [*codes, desk.cloud.root.secret_access_key] if each in path.read_text()]


def test_the_script_imports_boto3_and_the_standard_library_only(desk: Desk) -> None:
    lone = desk.home / "mfa_delete.py"
    lone.write_bytes(SCRIPT.read_bytes())
    ended = subprocess.run(
        [clean.python(), "-P", lone, "--help"], cwd=desk.home, env=desk.env, capture_output=True, check=False
    )
    assert ended.returncode == 0
