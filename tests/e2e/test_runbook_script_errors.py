"""runbook/mfa_delete.py against the embedded cloud: every translated error, and every way of being interrupted."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import clean
from local.cloud import Cloud, Credentials
from tests.e2e.local_setting import EXPIRE, until, versioning
from tests.e2e.test_runbook_script import ACCOUNT, CODE, PROTECTED, SCRIPT, STDIN, Desk, desk, new_bucket, puts

__all__ = ["desk"]

# Code, HTTP status, AWS's words; what the person must read. These concern one bucket: the next one is tried.
OF_A_BUCKET = [
    ("AccessDenied", 403, "Mfa Authentication must be used for this request", "S3 wants an MFA code with this call"),
    ("AccessDenied", 403, "User is not authorized to perform: s3:PutBucketVersioning", "lacks the permission"),
    ("AccessDenied", 403, "Access Denied", "Refused: another account's bucket"),
    ("AccessDenied", 403, "Access Denied because object protected by object lock.", "Object Lock retention"),
    ("MalformedXML", 400, "The XML you provided was not well-formed", "An illegal setting, or no MFA code"),
    ("IllegalVersioningConfigurationException", 400, "versioning configuration is invalid", "An illegal setting"),
    ("InvalidBucketState", 409, "not supported on a bucket with lifecycle configuration", "delete-bucket-lifecycle"),
    ("InvalidBucketState", 409, "An Object Lock configuration is present", "Object Lock needs versioning"),
    ("OperationAborted", 409, "A conflicting conditional operation", "Another change of this bucket is under way"),
    ("MethodNotAllowed", 405, "not allowed against this resource", "ABAC"),
    ("NoSuchTagSet", 404, "The TagSet does not exist", "no tags, which is normal"),
    ("NoSuchBucket", 404, "The specified bucket does not exist", "There is no bucket"),
    ("SlowDown", 503, "Please reduce your request rate.", "AWS asks for patience"),
    ("InternalError", 500, "We encountered an internal error.", "AWS asks for patience"),
    ("HeisenbergError", 418, "code 135791 and nothing else", "An error that this script does not know"),
]
# These concern credentials or device: the run ends.
OF_THE_PERSON = [
    ("AccessDenied", 403, "This operation may only be performed by the bucket owner", "Only root of the bucket's own"),
    ("AccessDenied", 403, "explicit deny in a service control policy", "organization's policy forbids"),
    ("InvalidRequest", 400, "DevPay and Mfa are mutually exclusive authorization methods.", "temporary credentials"),
    ("NotDeviceOwnerError", 400, "The device that generated token 135791 is not owned", "not this root user's"),
    ("DeviceNotActiveError", 400, "The device is not currently active.", "assigned but not active"),
    ("InvalidArgument", 400, "Mfa header is invalid -- the header should be", "cannot read serial number and code"),
    ("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist", "does not know the access key"),
    ("RequestTimeTooSkewed", 403, "The difference is too large", "clock is off"),
    ("ExpiredToken", 400, "The provided token has expired.", "The session has ended"),
]


def put_faults(rows: list[tuple[str, int, str, str]]) -> list[dict[str, Any]]:
    names = ("code", "status", "message")
    return [{"service": "s3", "match": "PutBucketVersioning"} | dict(zip(names, row, strict=False)) for row in rows]


def test_every_error_of_a_bucket_is_translated_and_the_next_bucket_tried(desk: Desk) -> None:
    buckets = [new_bucket(desk.cloud, f"error-{number}") for number in range(len(OF_A_BUCKET))]
    desk.cloud.faults(put_faults(OF_A_BUCKET))
    names = [part for each in buckets for part in ("--bucket", each)]
    done = desk.run("enable", *names, *STDIN, "--json", codes=len(buckets))
    assert done.code == 1
    for (code, _, _, expected), shown in zip(OF_A_BUCKET, done.objects, strict=True):
        assert code in shown["error"]
        assert expected in shown["error"] + shown["remedy"]
        assert shown["remedy"]
    assert "135791" not in done.out + done.err
    assert "request id" in done.objects[-1]["error"]
    assert [len(puts(desk.cloud, each)) for each in buckets] == [1] * len(buckets)


@pytest.mark.parametrize("row", OF_THE_PERSON, ids=lambda row: f"{row[0]}-{row[1]}-{len(row[2])}")
def test_every_error_of_the_person_is_translated_and_ends_the_run(desk: Desk, row: tuple[str, int, str, str]) -> None:
    buckets = [new_bucket(desk.cloud, f"person-{len(row[2])}-{number}") for number in range(2)]
    desk.cloud.faults(put_faults([row]))
    done = desk.run("enable", "--bucket", buckets[0], "--bucket", buckets[1], *STDIN, codes=2)
    assert (done.code, row[3] in done.out, "135791" in done.out) == (3, True, False)
    assert [len(puts(desk.cloud, each)) for each in buckets] == [1, 0]


@pytest.mark.parametrize("code", ["PermanentRedirect", "AuthorizationHeaderMalformed"])
def test_a_bucket_in_another_region_than_it_seemed_is_explained(desk: Desk, code: str) -> None:
    bucket = new_bucket(desk.cloud, f"region-{len(code)}")
    # Twice: botocore looks for the right Region by itself before it gives up.
    desk.cloud.faults([{"service": "s3", "match": "PutBucketVersioning", "status": 400, "code": code, "times": 2}])
    done = desk.run("enable", "--bucket", bucket, *STDIN, codes=1)
    assert (done.code, "The bucket is in another Region" in done.out) == (1, True)


def test_the_clouds_own_refusals_are_translated(desk: Desk) -> None:
    bucket, serial = new_bucket(desk.cloud, "own-words"), desk.cloud.device.serial
    other = desk.run("enable", "--bucket", bucket, "--mfa-serial", f"{serial}-2", *STDIN, codes=1)
    desk.cloud.switch_device(serial, active=False)
    inactive = desk.run("enable", "--bucket", bucket, "--mfa-serial", serial, *STDIN, codes=1)
    desk.cloud.switch_device(serial, active=True)
    assert (other.code, "not this root user's" in other.out) == (3, True)
    assert (inactive.code, "assigned but not active" in inactive.out) == (3, True)


def test_credentials_that_do_not_work_are_explained(cloud: Cloud) -> None:
    unknown = Credentials(access_key_id="AKIAIOSFODNN7NOBODY1", secret_access_key="x")  # noqa: S106  # made up
    wrong = Credentials(access_key_id=cloud.root.access_key_id, secret_access_key="x")  # noqa: S106  # made up
    done = Desk(cloud, unknown).run("enable", "--bucket", "any", "--wait", "0", *STDIN)
    assert (done.code, "does not know the access key" in done.out) == (3, True)
    done = Desk(cloud, wrong).run("enable", "--bucket", "any", *STDIN)
    assert (done.code, "The secret does not belong" in done.out) == (3, True)
    desk = Desk(cloud)
    done = desk.run("enable", "--profile", "nobody", "--bucket", "any", *STDIN)
    assert (done.code, "no credentials that can be used" in done.out) == (3, True)
    del desk.env["AWS_ACCESS_KEY_ID"], desk.env["AWS_SECRET_ACCESS_KEY"]
    done = desk.run("check", "--bucket", "any")
    assert (done.code, "no credentials that can be used" in done.out) == (3, True)


def test_a_lifecycle_rule_that_comes_in_between_is_explained(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "in-between")

    def code() -> str:
        desk.cloud.client("s3").put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=EXPIRE)
        return desk.cloud.next_code()

    answers: dict[str, Callable[[], str] | str] = {CODE: code, r"\[yes/no\]: $": "no"}
    done = desk.type("enable", "--bucket", bucket, *ACCOUNT, answers=answers)
    assert (done.code, "A lifecycle configuration is in the way" in done.out) == (1, True)


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
def test_ctrl_c_and_ctrl_d_end_with_a_true_account(desk: Desk, key: str) -> None:
    buckets = [new_bucket(desk.cloud, f"interrupt-{ord(key)}-{number}") for number in range(2)]
    replies = iter([desk.cloud.next_code, lambda: key])
    answers: dict[str, Callable[[], str] | str] = {CODE: lambda: str(next(replies)())}
    command = ("enable", "--bucket", buckets[0], "--bucket", buckets[1], *ACCOUNT)
    done = controlled(desk, command, answers)
    assert (done[0], [versioning(desk.cloud, each) for each in buckets]) == (4, [PROTECTED, {}])
    assert "not done: stopped" in done[1]
    assert "still exists" in done[1]
    assert "Traceback" not in done[1]


def controlled(desk: Desk, args: tuple[str, ...], answers: dict[str, Callable[[], str] | str]) -> tuple[int, str]:
    """Run on a pseudo-terminal that is the script's controlling terminal; "" as an answer closes it."""
    pid, screen = pty.fork()
    if pid == 0:
        os.chdir(desk.home)
        os.execve(clean.python(), [str(clean.python()), str(SCRIPT), *args], desk.env)  # noqa: S606  # in a terminal of its own
    shown, answered, deadline = "", 0, time.monotonic() + 30
    while time.monotonic() < deadline:
        if not select.select([screen], [], [], 0.1)[0]:
            continue
        try:
            shown += os.read(screen, 4096).decode(errors="replace")
        except OSError:
            break
        for pattern, answer in answers.items():
            if re.search(pattern, shown[answered:]):
                answered, reply = len(shown), answer if isinstance(answer, str) else answer()
                if not reply:
                    os.close(screen)
                    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown
                os.write(screen, f"{reply}\n".encode() if reply.isdigit() else reply.encode())
                break
    os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def test_a_closed_terminal_leaves_the_account_in_a_file(desk: Desk) -> None:
    buckets = [new_bucket(desk.cloud, f"hangup-{number}") for number in range(2)]
    replies = iter([desk.cloud.next_code, lambda: ""])
    command = ("enable", "--bucket", buckets[0], "--bucket", buckets[1], *ACCOUNT)
    code, _ = controlled(desk, command, {CODE: lambda: str(next(replies)())})
    (path,) = desk.home.glob("mfa-delete-*.json")
    told = json.loads(path.read_text())
    assert (code, told["exit"], [each["as_asked"] for each in told["buckets"]]) == (4, 4, [True, False])
    assert [each["after"] for each in told["buckets"]] == ["Enabled/Enabled", "never/never"]


def test_a_closed_terminal_takes_a_temporary_key_along(cloud: Cloud) -> None:
    desk, bucket = Desk(cloud, cloud.root_session()), new_bucket(cloud, "hangup-key")
    code, _ = controlled(desk, ("enable", "--temporary-key", "--bucket", bucket, *ACCOUNT), {CODE: ""})
    listed = cloud.client("iam", cloud.root_session()).list_access_keys()["AccessKeyMetadata"]
    assert (code, listed) == (4, [])


def test_an_interrupt_during_the_call_tells_how_the_bucket_is(desk: Desk) -> None:
    bucket = new_bucket(desk.cloud, "mid-call")
    desk.cloud.faults([{"service": "s3", "match": "PutBucketVersioning", "delay": 1.0}])
    command = [str(clean.python()), str(SCRIPT), "enable", "--bucket", bucket, *STDIN]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, env=desk.env, cwd=desk.home, text=True, **pipes)
    assert process.stdin
    process.stdin.write(f"{desk.cloud.next_code()}\n")
    process.stdin.flush()
    until(
        lambda: any("/mid-call" in each["resource"] and "ifecycle" in each["operation"] for each in desk.cloud.calls())
    )
    time.sleep(0.3)  # between the last look and the end of the delay
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, "NOT AS ASKED" in out, "Traceback" in out) == (4, True, False)
    assert "Enabled" in out or "never/never" in out


def test_a_dead_network_is_told_and_nothing_is_claimed(tmp_path: Path) -> None:
    with Cloud.start(batching_window_s=None) as cloud:
        desk, bucket = Desk(cloud), new_bucket(cloud, "dead")

        def unplug() -> str:
            code = cloud.next_code()
            cloud.stop()
            return code

        answers: dict[str, Callable[[], str] | str] = {CODE: unplug, r"\[yes/no\]: $": "no"}
        desk.env |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}  # the cloud's own folders go with it
        desk.home = tmp_path
        done = desk.type("enable", "--bucket", bucket, *ACCOUNT, answers=answers)
    assert (done.code, "AWS cannot be reached" in done.out, "unknown" in done.out) == (1, True, True)
    assert "could not be read afterwards" in done.out
