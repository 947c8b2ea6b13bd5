"""What a review of runbook/mfa_delete.py found once: each of these lied, lost or left something behind."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from local import clean
from local.cloud import Cloud
from tests.e2e.local_setting import until
from tests.e2e.test_runbook_script import ACCOUNT, CODE, SCRIPT, STDIN, Desk, desk, new_bucket
from tests.e2e.test_runbook_script_errors import controlled
from tests.e2e.test_runbook_script_more import root_keys, with_profile

__all__ = ["desk"]
FAREWELL = r"Delete the access key [^\n]*\[yes/no\]: $"


def test_an_interrupt_while_the_temporary_key_is_made_leaves_none(cloud: Cloud) -> None:
    desk, bucket = Desk(cloud, cloud.root_session()), new_bucket(cloud, "made-slowly")
    cloud.faults([{"service": "iam", "match": "CreateAccessKey", "delay": 1.5}])
    command = [str(clean.python()), str(SCRIPT), "enable", "--temporary-key", "--bucket", bucket, *STDIN]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    before = len(cloud.calls(operation="ListAccessKeys"))
    process = subprocess.Popen(command, env=desk.env, cwd=desk.home, text=True, **pipes)
    until(lambda: len(cloud.calls(operation="ListAccessKeys")) > before, 10)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    cloud.faults([])
    assert (process.returncode, root_keys(cloud)) == (4, [])
    assert "deleted, verified" in out


def test_a_temporary_key_that_was_refused_is_not_said_to_be_deleted(cloud: Cloud) -> None:
    desk, bucket = Desk(cloud, cloud.root_session()), new_bucket(cloud, "refused-key")
    cloud.faults([{"service": "iam", "match": "CreateAccessKey", "status": 403, "code": "AccessDenied", "times": None}])
    done = desk.run("enable", "--temporary-key", "--bucket", bucket, *STDIN)
    cloud.faults([])
    assert done.code == 1
    assert "deleted, verified" not in done.out
    assert "No temporary key was made, or its id was lost" in done.out


def test_deletes_that_were_done_before_an_interrupt_are_told(desk: Desk) -> None:
    bucket, s3 = new_bucket(desk.cloud, "half-gone"), desk.cloud.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(1001):
        s3.put_object(Bucket=bucket, Key=f"key-{number}", Body=b"x")
    listed = [page for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket)]
    rows = [{"Key": row["Key"], "VersionId": row["VersionId"]} for page in listed for row in page["Versions"]]
    (desk.home / "versions.json").write_text(json.dumps(rows))
    named = ("--bucket", bucket, "--versions-file", "versions.json", "--yes", "--evidence", "ticket.jsonl")
    done = desk.run("delete-version", *named, *STDIN, codes=1)  # and none for the last one
    assert done.code == 1
    assert "1000 deleted, 1 left" in done.out
    assert "1000 deleted, 1 left" in (desk.home / "ticket.jsonl").read_text()


def test_a_run_without_any_bucket_does_nothing_and_says_so(desk: Desk) -> None:
    (desk.home / "names.txt").write_text("# none yet\n\n")
    for named in (["--bucket", ""], ["--from-file", "names.txt"]):
        before = len(desk.cloud.calls())
        done = desk.run("enable", *named, *STDIN)
        assert (done.code, len(desk.cloud.calls())) == (2, before)
        assert "No bucket is named" in done.out


def test_an_interrupt_at_the_last_question_says_that_the_key_still_exists(cloud: Cloud) -> None:
    desk, key = with_profile(cloud)
    bucket = new_bucket(cloud, "undecided")
    args = ("enable", "--profile", "root_user", "--bucket", bucket, "--evidence", "ticket.jsonl", *ACCOUNT)
    code, screen = controlled(desk, args, {CODE: cloud.next_code, FAREWELL: "\x03"})
    assert (code, root_keys(cloud)) == (4, [key])
    assert f"Access key {key} still exists" in screen
    assert json.loads((desk.home / "ticket.jsonl").read_text())["key_fate"] == "kept"
    cloud.client("iam", cloud.root_session()).delete_access_key(AccessKeyId=key)


def test_ctrl_z_does_not_show_the_code(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "stopped")
    codes: list[str] = []

    def after_ctrl_z() -> str:
        codes.append(desk.cloud.next_code())
        return f"\x1a{codes[-1]}\n"

    code, screen = controlled(desk, ("enable", "--bucket", bucket, *ACCOUNT, "--keep-key"), {CODE: after_ctrl_z})
    assert code == 0
    assert codes[-1] not in screen


def test_undelete_takes_every_marker_that_hides_the_object(desk: Desk) -> None:
    bucket, s3 = new_bucket(desk.cloud, "twice-deleted"), desk.cloud.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="k/a.txt", Body=b"figures")
    s3.put_object(Bucket=bucket, Key="k/a.txt.bak", Body=b"other")
    for _ in range(2):
        s3.delete_object(Bucket=bucket, Key="k/a.txt")
    done = desk.run("delete-version", "--bucket", bucket, "--undelete", "k/a.txt", "--yes", *STDIN, codes=1)
    assert done.code == 0
    assert s3.get_object(Bucket=bucket, Key="k/a.txt")["Body"].read() == b"figures"


def test_an_address_that_is_not_awss_own_is_named(desk: Desk) -> None:
    done = desk.run("check", "--bucket", new_bucket(desk.cloud, "elsewhere"))
    assert f"All calls, and the codes, go to {desk.cloud.endpoint}: not the ordinary address of AWS" in done.out


def test_evidence_that_cannot_be_written_is_noticed_before_anything_is_done(desk: Desk) -> None:
    before = len(desk.cloud.calls())
    done = desk.run("enable", "--bucket", "any", "--evidence", "no/such/folder", *STDIN, codes=1)
    assert (done.code, len(desk.cloud.calls())) == (2, before)
    assert "no/such/folder cannot be used" in done.out


def test_a_call_without_an_answer_is_in_the_evidence(desk: Desk) -> None:
    desk.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"  # nothing listens there
    done = desk.run("check", "--bucket", "any", "--evidence", "ticket.jsonl")
    [line] = (desk.home / "ticket.jsonl").read_text().splitlines()
    assert done.code == 1
    assert [(each["call"], each["error"]) for each in json.loads(line)["requests"]] == [
        ("GetCallerIdentity", "EndpointConnectionError")
    ]


def test_a_plain_terminal_and_a_closed_one_end_without_a_traceback(desk: Desk, tmp_path: Path) -> None:
    bucket, s3 = new_bucket(desk.cloud, "plain-text"), desk.cloud.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="grüße\nforged", Body=b"x")
    desk.env |= {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    version = s3.list_object_versions(Bucket=bucket)["Versions"][0]
    (desk.home / "versions.json").write_text(json.dumps([{"Key": version["Key"], "VersionId": version["VersionId"]}]))
    done = desk.run("delete-version", "--bucket", bucket, "--versions-file", "versions.json", "--dry-run", *ACCOUNT)
    assert done.code == 1
    assert "\nforged" not in done.out
    closed = ["sh", "-c", f"{clean.python()} {SCRIPT} check --bucket {bucket} >&-"]
    ended = subprocess.run(closed, env=desk.env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_the_same_bucket_by_name_and_arn_takes_one_code(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "two-names")
    done = desk.run("enable", "--bucket", bucket, "--bucket", f"arn:aws:s3:::{bucket}", *STDIN, "--json", codes=1)
    assert (done.code, len(done.objects)) == (0, 1)
