"""runbook/mfa_delete.py against the embedded cloud: several buckets, exemptions, version deletes, keys."""

import configparser
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import clean
from local.cloud import Cloud
from tests.e2e.local_setting import put_version, until, versioning
from tests.e2e.test_runbook_script import CODE, PROTECTED, SCRIPT, STDIN, Desk, desk, new_bucket, puts, tags_of

__all__ = ["desk"]
OFF = {"Status": "Enabled", "MFADelete": "Disabled"}
SOON = ("--for", "2h", "--reason", "clean-up CHG-42")


# 5. Several buckets


def test_five_buckets_take_five_codes_and_none_is_used_twice(desk: Desk) -> None:
    buckets = [new_bucket(desk.cloud, f"five-{number}") for number in range(5)]
    names = desk.home / "buckets.txt"
    names.write_text("# tonight\n" + "\n".join(buckets[2:]) + "\n")
    first = desk.cloud.next_code()
    codes = [first, first, *(desk.cloud.next_code() for _ in range(4))]
    done = desk.run(
        "enable", "--bucket", buckets[0], "--bucket", buckets[1], "--from-file", str(names), *STDIN, codes=codes
    )
    sent = [each["mfa"] for bucket in buckets for each in puts(desk.cloud, bucket)]
    assert (done.code, len(sent), len(set(sent))) == (0, 5, 5)
    assert [versioning(desk.cloud, each) for each in buckets] == [PROTECTED] * 5
    assert done.out.count("Enabled/Enabled     protected") == 5


def test_the_next_code_is_counted_down_on_the_terminal(desk: Desk) -> None:
    buckets = [new_bucket(desk.cloud, f"count-{number}") for number in range(2)]
    answers: dict[str, Callable[[], str] | str] = {CODE: desk.cloud.next_code, r"\[yes/no\]: $": "no"}
    done = desk.type("enable", "--bucket", buckets[0], "--bucket", buckets[1], *STDIN[:2], answers=answers)
    assert (done.code, "(next one in " in done.out) == (0, True)


def test_tagged_takes_exactly_the_buckets_with_the_tag(desk: Desk) -> None:
    wanted = new_bucket(desk.cloud, "tagged-1", tags={"mfa-delete": "required"})
    done_before = new_bucket(desk.cloud, "tagged-2", tags={"mfa-delete": "required"}, protected=True)
    other = new_bucket(desk.cloud, "tagged-3", tags={"mfa-delete": "Required"})
    done = desk.run("enable", "--tagged", *STDIN, "--json", codes=1)
    assert (done.code, [each["bucket"] for each in done.objects]) == (0, [wanted, done_before])
    assert (versioning(desk.cloud, wanted), versioning(desk.cloud, other)) == (PROTECTED, {})
    none = desk.run("check", "--tagged", "mfa-delete=nobody")
    assert (none.code, "carries the tag mfa-delete=nobody" in none.out) == (2, True)


def test_one_buckets_failure_does_not_stop_the_next(desk: Desk) -> None:
    buckets = [new_bucket(desk.cloud, f"fails-{number}") for number in range(2)]
    fault = {"service": "s3", "match": "PutBucketVersioning", "status": 409, "code": "OperationAborted"}
    desk.cloud.faults([fault])
    done = desk.run("enable", "--bucket", buckets[0], "--bucket", buckets[1], *STDIN, codes=2)
    assert (done.code, [versioning(desk.cloud, each) for each in buckets]) == (1, [{}, PROTECTED])
    assert "Another change of this bucket is under way" in done.out
    again = desk.run("enable", "--bucket", buckets[0], "--bucket", buckets[1], *STDIN, codes=1)
    assert (again.code, len(puts(desk.cloud, buckets[1]))) == (0, 1)


def test_after_a_kill_the_next_run_does_only_what_is_left(desk: Desk) -> None:
    buckets = [new_bucket(desk.cloud, f"kill-{number}") for number in range(3)]
    names = [part for each in buckets for part in ("--bucket", each)]
    command = [str(clean.python()), str(SCRIPT), "enable", *names, *STDIN]
    process = subprocess.Popen(command, env=desk.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stdin
    process.stdin.write(f"{desk.cloud.next_code()}\n")
    process.stdin.flush()
    until(lambda: versioning(desk.cloud, buckets[0]) == PROTECTED)
    process.kill()
    process.wait()
    process.stdin.close()
    done = desk.run("enable", *names, *STDIN, codes=2)
    assert (done.code, [len(puts(desk.cloud, each)) for each in buckets]) == (0, [1, 1, 1])


# 6. disable


def test_disable_sets_the_exemption_first_and_enable_removes_it(desk: Desk) -> None:
    tags = {"mfa-delete": "required", "team": "a b"}
    bucket = new_bucket(desk.cloud, "planned", tags=tags, protected=True)
    before = len(desk.cloud.calls())
    done = desk.run("disable", "--bucket", bucket, *SOON, *STDIN, codes=1)
    order = [each["operation"] for each in desk.cloud.calls()[before:] if each["operation"].startswith("PutBucket")]
    assert (done.code, order) == (0, ["PutBucketTagging", "PutBucketVersioning"])
    assert versioning(desk.cloud, bucket) == OFF
    now = tags_of(desk.cloud, bucket)
    assert {name: now[name] for name in tags} == tags
    assert (now["mfa-delete-exempt-reason"], now["mfa-delete-exempt-until"][-1]) == ("clean-up CHG-42", "Z")
    check = desk.run("check", "--bucket", bucket, "--json")
    assert (check.code, check.objects[0]["verdict"]) == (1, "exempt")
    assert desk.run("enable", "--bucket", bucket, *STDIN, codes=1).code == 0
    assert (versioning(desk.cloud, bucket), tags_of(desk.cloud, bucket)) == (PROTECTED, tags)


def test_disable_asks_for_end_and_reason(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "asked", protected=True)
    answers: dict[str, Callable[[], str] | str] = {
        r"Until when [^\n]*\? $": "2099-12-01",
        r"Why [^\n]*\? $": "move",
        CODE: desk.cloud.next_code,
        r"\[yes/no\]: $": "no",
    }
    done = desk.type("disable", "--bucket", bucket, *STDIN[:2], answers=answers)
    assert (done.code, tags_of(desk.cloud, bucket)) == (
        0,
        {"mfa-delete-exempt-until": "2099-12-01", "mfa-delete-exempt-reason": "move"},
    )
    assert "90 days" in done.out


@pytest.mark.parametrize(
    "args",
    [
        ("--until", "2020-01-01", "--reason", "x"),
        ("--for", "soon", "--reason", "x"),
        ("--for", "2h", "--reason", "a*b"),
        (),
    ],
)
def test_an_exemption_that_cannot_be_is_a_usage_error(desk: Desk, args: tuple[str, ...]) -> None:
    assert desk.run("disable", "--bucket", "any", *args, *STDIN).code == 2


def test_an_exemption_does_not_stay_when_turning_off_fails(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "stays-on", tags={"team": "a"}, protected=True)
    done = desk.run("disable", "--bucket", bucket, *SOON, *STDIN, codes=["000000", "000001", "000002"])
    assert (done.code, versioning(desk.cloud, bucket), tags_of(desk.cloud, bucket)) == (3, PROTECTED, {"team": "a"})
    assert "taken back" in done.out


# 7. delete-version


def test_versions_are_shown_and_deleted_after_the_person_agreed(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "versions", protected=True)
    old, new = put_version(desk.cloud, bucket), put_version(desk.cloud, bucket)
    wanted = ("delete-version", "--bucket", bucket, "--key", "report.csv", "--version-id", old)
    refused = desk.type(*wanted, *STDIN[:2], answers={r"Type 1 [^\n]*: $": "no", r"\[yes/no\]: $": "no"})
    assert (refused.code, old in refused.out, "1 version(s), 1 bytes" in refused.out) == (3, True, True)
    answers: dict[str, Callable[[], str] | str] = {
        r"Type 1 [^\n]*: $": "1",
        CODE: desk.cloud.next_code,
        r"\[yes/no\]: $": "no",
    }
    done = desk.type(*wanted, *STDIN[:2], answers=answers)
    left = desk.cloud.client("s3").list_object_versions(Bucket=bucket)["Versions"]
    assert (done.code, [each["VersionId"] for each in left]) == (0, [new])


def test_undelete_removes_the_marker_that_hides_a_key_and_nothing_else(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "undelete", protected=True)
    s3 = desk.cloud.client("s3")
    for key in ("report.csv", "report.csv.old"):
        put_version(desk.cloud, bucket, key)
        s3.delete_object(Bucket=bucket, Key=key)
    done = desk.run("delete-version", "--bucket", bucket, "--undelete", "report.csv", "--yes", *STDIN, codes=1)
    assert (done.code, "delete marker: its object comes back" in done.out) == (0, True)
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["report.csv"]


def test_many_versions_go_with_one_code_per_thousand(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "many", protected=True)
    s3 = desk.cloud.client("s3")
    for number in range(1001):
        s3.put_object(Bucket=bucket, Key=f"k{number % 3}", Body=b"x")
    listed = s3.get_paginator("list_object_versions").paginate(Bucket=bucket).build_full_result()
    path = desk.home / "versions.json"
    path.write_text(json.dumps(listed, default=str))
    done = desk.run(
        "delete-version", "--bucket", bucket, "--versions-file", str(path), "--yes", "--json", *STDIN, codes=2
    )
    deletes = [
        each for each in desk.cloud.calls() if each["operation"] == "DeleteObjects" and bucket in each["resource"]
    ]
    assert (done.code, len({each["mfa"] for each in deletes}), len(deletes)) == (0, 2, 2)
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)
    assert done.objects[0]["notes"] == ["1001 deleted, 0 left"]


def test_versions_that_are_gone_need_no_code(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "gone", protected=True)
    done = desk.run("delete-version", "--bucket", bucket, "--key", "a", "--version-id", "v1", "--yes", *STDIN)
    assert (done.code, "1 of those named do not exist" in done.out) == (0, True)


# 8. Leave nothing behind


def with_profile(cloud: Cloud) -> tuple[Desk, str]:
    """A desk whose root key stands in the profile root_user, beside others."""
    key = cloud.client("iam", cloud.root_session()).create_access_key()["AccessKey"]
    desk = Desk(cloud)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        del desk.env[name]
    folder = desk.home / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(
        "# mine\n[default]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = s\n\n"
        f"[root_user]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n"
        "[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = t\n"
    )
    (folder / "config").write_text(
        "[default]\nregion = eu-west-1\n[profile root_user]\nregion = us-east-1\n[profile work]\n"
    )
    (folder / "credentials").chmod(0o600)
    (folder / "config").chmod(0o640)
    return desk, key["AccessKeyId"]


def root_keys(cloud: Cloud) -> list[str]:
    listed = cloud.client("iam", cloud.root_session()).list_access_keys()["AccessKeyMetadata"]
    return [each["AccessKeyId"] for each in listed]


def sections(path: Path) -> list[str]:
    parser = configparser.ConfigParser(default_section="")
    parser.read(path)
    return parser.sections()


def test_the_key_and_its_profile_are_removed_when_the_person_agrees(cloud: Cloud) -> None:
    desk, key = with_profile(cloud)
    bucket = new_bucket(cloud, "farewell")
    answers: dict[str, Callable[[], str] | str] = {
        CODE: cloud.next_code,
        r"Delete the access key [^\n]*\[yes/no\]: $": "yes",
    }
    done = desk.type("enable", "--profile", "root_user", "--bucket", bucket, *STDIN[:2], answers=answers)
    files = [desk.home / ".aws" / name for name in ("credentials", "config")]
    assert (done.code, root_keys(cloud), key in done.out) == (0, [], True)
    assert [sections(each) for each in files] == [["default", "work"], ["default", "profile work"]]
    assert [each.stat().st_mode & 0o777 for each in files] == [0o600, 0o640]
    assert files[0].read_text().startswith("# mine\n[default]\naws_access_key_id = AKIAOTHER\n")
    assert "SummaryMap.AccountAccessKeysPresent" in done.out
    assert sorted(each.name for each in (desk.home / ".aws").iterdir() if each.is_file()) == ["config", "credentials"]


def test_keep_key_declines(cloud: Cloud) -> None:
    desk, key = with_profile(cloud)
    done = desk.run(
        "enable", "--profile", "root_user", "--bucket", new_bucket(cloud, "keeps"), *STDIN, "--keep-key", codes=1
    )
    assert (done.code, root_keys(cloud)) == (0, [key])
    assert f"aws iam delete-access-key --access-key-id {key} --profile root_user" in done.out
    gone = desk.run("enable", "--profile", "root_user", "--bucket", "keeps", *STDIN, "--delete-key")
    assert (gone.code, root_keys(cloud)) == (0, [])


# 9. Temporary key


def test_a_temporary_key_is_made_used_and_deleted(cloud: Cloud) -> None:
    desk, bucket = Desk(cloud, cloud.root_session()), new_bucket(cloud, "temporary")
    done = desk.run("enable", "--temporary-key", "--bucket", bucket, *STDIN, codes=1)
    assert (done.code, versioning(cloud, bucket), root_keys(cloud)) == (0, PROTECTED, [])
    assert "never run against AWS" in done.out
    assert "deleted, verified" in done.out


def test_a_temporary_key_is_deleted_when_the_work_fails(cloud: Cloud) -> None:
    desk, bucket = Desk(cloud, cloud.root_session()), new_bucket(cloud, "temporary-fails")
    done = desk.run("enable", "--temporary-key", "--bucket", bucket, *STDIN, codes=["000000", "000001", "000002"])
    assert (done.code, root_keys(cloud)) == (3, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_temporary_key_is_deleted_on_a_signal(cloud: Cloud, number: signal.Signals) -> None:
    desk, bucket = Desk(cloud, cloud.root_session()), new_bucket(cloud, f"temporary-{number.name.lower()}")
    command = [str(clean.python()), str(SCRIPT), "enable", "--temporary-key", "--bucket", bucket, *STDIN]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, env=desk.env, cwd=desk.home, text=True, **pipes)
    until(lambda: root_keys(cloud), 10)
    time.sleep(0.3)
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, root_keys(cloud), number.name in out) == (4, [], True)
    assert "Traceback" not in out


def test_the_next_start_finds_a_key_that_a_kill_left_behind(cloud: Cloud) -> None:
    desk, bucket = Desk(cloud, cloud.root_session()), new_bucket(cloud, "left-behind")
    command = [str(clean.python()), str(SCRIPT), "enable", "--temporary-key", "--bucket", bucket, *STDIN]
    process = subprocess.Popen(command, env=desk.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    left = until(lambda: root_keys(cloud), 10)
    process.kill()
    process.communicate()
    answers: dict[str, Callable[[], str] | str] = {r"was killed \[yes/no\]: $": "yes", CODE: cloud.next_code}
    done = desk.type("enable", "--temporary-key", "--bucket", bucket, *STDIN[:2], answers=answers)
    assert (done.code, root_keys(cloud), left[0] in done.out) == (0, [], True)


def test_two_keys_leave_no_room_and_a_root_key_needs_none(cloud: Cloud, desk: Desk) -> None:
    iam = cloud.client("iam", cloud.root_session())
    keys = [iam.create_access_key()["AccessKey"]["AccessKeyId"] for _ in range(2)]
    bucket = new_bucket(cloud, "no-room")
    done = Desk(cloud, cloud.root_session()).run("enable", "--temporary-key", "--bucket", bucket, *STDIN)
    assert (done.code, "two access keys" in done.out, sorted(root_keys(cloud))) == (3, True, sorted(keys))
    for each in keys:
        iam.delete_access_key(AccessKeyId=each)
    assert desk.run("enable", "--temporary-key", "--bucket", bucket, *STDIN).code == 2


def test_a_temporary_key_that_cannot_be_deleted_is_shouted_about(cloud: Cloud) -> None:
    desk, bucket = Desk(cloud, cloud.root_session()), new_bucket(cloud, "shout")
    cloud.faults([{"service": "iam", "match": "DeleteAccessKey", "status": 403, "code": "AccessDenied", "times": None}])
    done = desk.run("enable", "--temporary-key", "--bucket", bucket, *STDIN, codes=1)
    cloud.faults([])
    left = root_keys(cloud)
    assert (done.code, len(left), f"{left[0]} could not be deleted" in done.out) == (1, 1, True)
    cloud.client("iam", cloud.root_session()).delete_access_key(AccessKeyId=left[0])
    assert os.listdir(desk.home)


def test_a_replicated_bucket_is_told_that_its_replica_needs_protection_of_its_own(desk: Desk) -> None:
    source, replica = new_bucket(desk.cloud, "origin"), new_bucket(desk.cloud, "replica")
    s3 = desk.cloud.client("s3")
    for name in (source, replica):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    destination = {"Bucket": f"arn:aws:s3:::{replica}"}
    rule = {"ID": "copy", "Priority": 1, "Filter": {}, "Status": "Enabled", "Destination": destination}
    rule |= {"DeleteMarkerReplication": {"Status": "Disabled"}}
    role = "arn:aws:iam::111122223333:role/copies"
    s3.put_bucket_replication(Bucket=source, ReplicationConfiguration={"Role": role, "Rules": [rule]})
    done = desk.run("check", "--bucket", source)
    assert done.code == 1
    assert f"replicates to arn:aws:s3:::{replica}, which needs MFA delete of its own" in done.out
