"""What of runbook/mfa_delete.py the embedded cloud cannot show: lost answers, ABAC, odd files, odd texts."""

import argparse
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from hypothesis import given
from hypothesis import strategies as st

from runbook import mfa_delete as script

NAME = "example-bucket"
ON, OFF = "Enabled/Enabled", "Enabled/Disabled"


def refusal(code: str, message: str = "", status: int = 400) -> ClientError:
    meta: Any = {"HTTPStatusCode": status, "RequestId": "R1"}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": meta}, "Call")


class Fake:
    """S3, S3 Control and IAM of one bucket; `odd` replaces a call, the original is handed to it."""

    def __init__(self, tags: dict[str, str] | None = None) -> None:
        self.state, self.tags, self.calls = ["Enabled", "never"], tags or {}, list[str]()
        self.odd: dict[str, Callable[..., Any]] = {}
        self.owners = dict[str, Any]()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**what: Any) -> Any:
            self.calls.append(name)
            self.owners[name] = what.get("ExpectedBucketOwner")
            known = getattr(type(self), f"do_{name}")
            return self.odd[name](lambda: known(self, **what)) if name in self.odd else known(self, **what)

        return call

    def do_get_bucket_versioning(self, **_: Any) -> dict[str, str]:
        named = zip(("Status", "MFADelete"), self.state, strict=True)
        return {name: value for name, value in named if value != "never"}

    def do_put_bucket_versioning(self, VersioningConfiguration: dict[str, str], **_: Any) -> None:
        self.state = list(VersioningConfiguration.values())

    def do_get_bucket_tagging(self, **_: Any) -> dict[str, Any]:
        if not self.tags:
            raise refusal("NoSuchTagSet")
        return {"TagSet": [{"Key": k, "Value": v} for k, v in self.tags.items()]}

    def do_put_bucket_tagging(self, Tagging: dict[str, Any], **_: Any) -> None:
        self.tags = {each["Key"]: each["Value"] for each in Tagging["TagSet"]}

    def do_delete_bucket_tagging(self, **_: Any) -> None:
        self.tags = {}

    def do_tag_resource(self, AccountId: str, ResourceArn: str, Tags: list[dict[str, str]]) -> None:
        assert (AccountId, ResourceArn) == ("111122223333", f"arn:aws:s3:::{NAME}")
        self.tags |= {each["Key"]: each["Value"] for each in Tags}

    def do_untag_resource(self, TagKeys: list[str], **_: Any) -> None:
        self.tags = {k: v for k, v in self.tags.items() if k not in TagKeys}

    def do_put_object(self, **_: Any) -> dict[str, str]:
        return {"VersionId": "v1"}

    def do_delete_object(self, MFA: str = "", **_: Any) -> None:
        if not MFA:
            raise refusal("AccessDenied", "Mfa Authentication must be used for this request", 403)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> script.Run:
    args = argparse.Namespace(profile="root user", verb="enable", dry_run=None, json=None, wait=0, s3_compatible=None)
    args.prove = None
    made = script.Run(args)
    made.account, made.serial = "111122223333", "arn:aws:iam::111122223333:mfa/x"
    codes = iter(f"{number:06}" for number in range(100000, 100100))
    monkeypatch.setattr(made, "code", lambda _purpose: next(codes))
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    return made


def bucket_of(run: script.Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> script.Bucket:
    monkeypatch.setattr(run, "client", lambda *_args, **_named: fake)
    made = script.Bucket(NAME, run)
    made.before = made.after = "/".join(fake.state)
    return made


def timeout(_known: Callable[[], Any]) -> None:
    raise ReadTimeoutError(endpoint_url="https://example")


# Lost answers


def test_a_change_whose_answer_was_lost_is_found_done(run: script.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    bucket = bucket_of(run, fake, monkeypatch)

    def done_but_lost(known: Callable[[], Any]) -> None:
        known()
        raise ReadTimeoutError(endpoint_url="https://example")

    fake.odd["put_bucket_versioning"] = done_but_lost
    bucket.guarded(bucket.act)
    assert (bucket.done, bucket.after, fake.calls.count("put_bucket_versioning")) == (True, ON, 1)


def test_a_change_without_answer_that_was_not_made_is_not_claimed(
    run: script.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake()
    bucket = bucket_of(run, fake, monkeypatch)
    fake.odd["put_bucket_versioning"] = timeout
    bucket.guarded(bucket.act)
    assert (bucket.done, bucket.after, fake.calls.count("put_bucket_versioning")) == (False, "Enabled/never", 1)
    assert "ReadTimeoutError" in bucket.error


def test_a_change_that_is_never_read_back_is_said(run: script.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    bucket = bucket_of(run, fake, monkeypatch)
    fake.odd["put_bucket_versioning"] = lambda _known: None
    bucket.guarded(bucket.act)
    assert (bucket.done, bucket.error[:12], "still answers Enabled/never" in bucket.error) == (
        False,
        "NotReadBack:",
        True,
    )


def test_an_unreadable_bucket_is_unverifiable_afterwards(run: script.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    bucket = bucket_of(run, fake, monkeypatch)
    fake.odd["put_bucket_versioning"] = fake.odd["get_bucket_versioning"] = timeout
    bucket.guarded(bucket.act)
    assert (bucket.verdict(), bucket.notes) == ("unverifiable", ["its state could not be read afterwards: run check"])


def test_a_proof_that_is_not_refused_is_an_alarm(run: script.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    bucket = bucket_of(run, fake, monkeypatch)
    run.args.prove = True
    fake.odd["delete_object"] = lambda _known: None
    bucket.guarded(bucket.act)
    assert (bucket.done, "MFA delete does not work here" in bucket.error) == (False, True)


def test_every_call_on_a_bucket_names_the_account_that_must_own_it(
    run: script.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake({"a": "1"})
    bucket = bucket_of(run, fake, monkeypatch)
    run.args.prove = True
    bucket.guarded(bucket.act)
    bucket.set_tags({"a": "2"})
    bucket.set_tags({"a": None})
    assert {"put_bucket_versioning", "put_object", "delete_object", "put_bucket_tagging"} <= fake.owners.keys()
    assert set(fake.owners.values()) == {"111122223333"}


# The proof


@pytest.mark.parametrize("answer", [{}, {"VersionId": "null"}])
def test_where_no_version_id_comes_the_other_buckets_have_their_turn(
    run: script.Run, monkeypatch: pytest.MonkeyPatch, answer: dict[str, str]
) -> None:
    fake = Fake()
    bucket = bucket_of(run, fake, monkeypatch)
    fake.odd["put_object"] = lambda _known: answer
    run.args.prove = True
    bucket.guarded(bucket.act)
    assert bucket.error.startswith("NotNumbered: S3 stored a proof without a version id: versioning is new.")
    assert (bucket.done, bucket.after) == (False, ON)
    assert "delete_object" not in fake.calls
    assert [note.rpartition(", ")[2] for note in bucket.notes] == ["version null"]


# Tags


@pytest.mark.parametrize("how", ["aws:", "ABAC"])
def test_system_tags_and_abac_take_the_other_api(run: script.Run, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    fake = Fake({"aws:cloudformation:stack-name" if how == "aws:" else "team": "a"})
    before = dict(fake.tags)
    bucket = bucket_of(run, fake, monkeypatch)

    def abac(_known: Callable[[], Any]) -> None:
        raise refusal("MethodNotAllowed", "use TagResource", 405)

    fake.odd["put_bucket_tagging"] = fake.odd["delete_bucket_tagging"] = abac
    bucket.set_tags({"a": "1", "b": "2"})
    assert fake.tags == before | {"a": "1", "b": "2"}
    bucket.set_tags({"a": None, "b": None})
    assert (fake.tags, fake.calls.count("put_bucket_tagging")) == (before, 0 if how == "aws:" else 2)


def test_tags_that_are_not_kept_are_noticed(run: script.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake({"team": "a"})
    bucket = bucket_of(run, fake, monkeypatch)
    fake.odd["put_bucket_tagging"] = lambda _known: None
    with pytest.raises(script.Failure, match="still answers others after 0 s"):
        bucket.set_tags({"a": "1"})


def test_tags_that_are_seen_a_moment_later_are_waited_for(run: script.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake({"team": "a"})
    bucket = bucket_of(run, fake, monkeypatch)
    old = {"TagSet": [{"Key": "team", "Value": "a"}]}
    answers = [old, old, old]
    fake.odd["get_bucket_tagging"] = lambda known: answers.pop() if answers else known()
    run.args.wait = 60
    bucket.set_tags({"a": "1"})
    assert bucket.tags == {"team": "a", "a": "1"}


def test_the_last_tag_is_removed_with_the_set(run: script.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake({"a": "1"})
    bucket_of(run, fake, monkeypatch).set_tags({"a": None})
    assert (fake.tags, "delete_bucket_tagging" in fake.calls) == ({}, True)


def test_an_exemption_is_kept_when_nobody_knows_whether_the_bucket_is_off(
    run: script.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake()
    fake.state = ["Enabled", "Enabled"]
    bucket = bucket_of(run, fake, monkeypatch)
    run.args.verb, bucket.exempt = "disable", {script.UNTIL: "2099-01-01", script.REASON: "x"}
    fake.odd["put_bucket_versioning"] = fake.odd["get_bucket_versioning"] = timeout
    bucket.guarded(bucket.act)
    assert fake.tags == bucket.exempt
    assert bucket.notes[0] == f"the exemption tags {script.UNTIL} and {script.REASON} are set"


@pytest.mark.parametrize(
    ("state", "until", "reason", "verdict"),
    [
        (ON, "", "", "protected"),
        (OFF, "", "", "unprotected"),
        (OFF, "2099-01-01", "x", "exempt"),
        (OFF, "2099-01-01T10:00Z", "x", "exempt"),
        (OFF, "2099-01-01", "", "unprotected"),
        (OFF, "2020-01-01", "x", "unprotected"),
        (OFF, "tomorrow", "x", "unprotected"),
        ("never/never", "", "", "unprotected"),
        ("Suspended/Enabled", "2099-01-01", "x", "suspended"),
        ("Suspended/never", "", "", "suspended"),
        ("", "2099-01-01", "x", "unverifiable"),
    ],
)
def test_the_verdict_is_the_guardrails(run: script.Run, state: str, until: str, reason: str, verdict: str) -> None:
    bucket = script.Bucket(NAME, run)
    bucket.after, bucket.tags = state, {script.UNTIL: until, script.REASON: reason}
    assert bucket.verdict() == verdict


def test_an_exemption_by_date_is_inclusive() -> None:
    assert script.end_of("2026-12-01") == datetime(2026, 12, 2, tzinfo=UTC)
    assert script.end_of("2026-12-01T14:30Z") == datetime(2026, 12, 1, 14, 30, tzinfo=UTC)
    assert script.end_of("2026-12-01T14:30+01:00") is None


# What a person reads


@given(text=st.text(max_size=40), code=st.integers(0, 999999).map(lambda number: f"{number:06}"))
def test_no_code_survives_in_an_error(text: str, code: str) -> None:
    args = argparse.Namespace(profile=None, verb="enable", dry_run=None, json=None, wait=0)
    run = script.Run(args)
    run.hidden.add(code)
    failure = run.explain(refusal("NotDeviceOwnerError", f"{text} {code} {text}{code}"), NAME)
    assert code not in failure.said.replace("R1", "")


def test_an_account_id_in_an_error_is_kept(run: script.Run) -> None:
    said = run.explain(refusal("AccessDenied", "arn:aws:iam::111122223333:root token 246813 is")).said
    assert said == "AccessDenied: arn:aws:iam::111122223333:root token ****** is (request id R1)"


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (EndpointConnectionError(endpoint_url="https://x"), "AWS cannot be reached"),
        (ReadTimeoutError(endpoint_url="https://x"), "AWS cannot be reached, or gave no answer"),
        (SSLError(endpoint_url="https://x", error=ValueError("bad")), "The TLS certificate"),
        (RuntimeError("odd"), "An error that this script does not know"),
        (refusal("403"), "Refused"),
        (refusal("404"), "There is no bucket"),
        (refusal("LimitExceeded"), "two access keys"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_without_a_server_are_translated_too(run: script.Run, error: Exception, means: str) -> None:
    assert means in run.explain(error, NAME).means


def test_commands_in_remedies_are_quoted(run: script.Run) -> None:
    remedy = run.explain(refusal("NoSuchBucket"), "a b").remedy
    assert remedy == "Check the account: aws s3api list-buckets --profile 'root user'"
    remedy = run.explain(refusal("InvalidBucketState", "lifecycle"), "a;b").remedy
    assert "--bucket 'a;b' --profile 'root user'" in remedy


def test_the_table_of_errors_is_sound() -> None:
    seen: set[tuple[str, str]] = set()
    for codes, text, status, means, remedy in script.RULES:
        assert status in ("1", "2", "3"), codes
        assert means.endswith((".", "!", "{option}", "{question}", "}")), means
        assert remedy, codes
        for code in codes.split():
            assert (code, "") not in seen, f"{code} {text!r} is never reached"
            seen.add((code, text))
    assert not [rule for rule in script.RULES if re.search(r"\d{6}", " ".join(rule))]


def test_what_is_not_printable_never_reaches_the_terminal() -> None:
    assert script.printable("a\x1b[2Jb\u202ec\nd") == "a?[2Jb?c\nd"


def test_the_next_code_is_counted_down(run: script.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert run.prompt("to x") == "Code to x: "
    run.sent_at = 995.0
    assert run.prompt("to x") == "Code to x (next one in 20 s): "
    run.sent_at = 960.0
    assert run.prompt("to x") == "Code to x (a new one): "


# The profile


CREDENTIALS = """; by hand
[default]
aws_access_key_id = AKIAOTHER

[root_user]
aws_access_key_id = AKIAROOT
aws_secret_access_key = s
s3 =
  max_concurrent_requests = 20
[root_user_2]
aws_access_key_id = AKIATWO
"""


def test_only_the_section_goes_and_mode_and_link_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "credentials"
    real.write_text(CREDENTIALS.replace("\n", "\r\n"), newline="")
    real.chmod(0o640)
    link.symlink_to(real)
    assert script.drop_profile(link.resolve(), "root_user", "AKIAROOT")
    start, end = CREDENTIALS.index("[root_user]"), CREDENTIALS.index("[root_user_2]")
    assert real.read_bytes().decode() == (CREDENTIALS[:start] + CREDENTIALS[end:]).replace("\n", "\r\n")
    assert (link.is_symlink(), real.stat().st_mode & 0o777, len(list(tmp_path.iterdir()))) == (True, 0o640, 2)
    assert not script.drop_profile(real, "root_user", "AKIAROOT")
    assert not script.drop_profile(tmp_path / "none", "root_user", "AKIAROOT")


@pytest.mark.parametrize("header", ["[profile root_user]", '[profile "root_user"]', "[ profile root_user ]"])
def test_the_config_files_headers_are_known(tmp_path: Path, header: str) -> None:
    path = tmp_path / "config"
    path.write_text(f"[default]\nregion = x\n{header}\nregion = y\n")
    assert script.drop_profile(path, "root_user", "AKIAROOT")
    assert path.read_text() == "[default]\nregion = x\n"


def test_the_default_profile_keeps_its_region(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("[default]\nregion = x\n")
    assert not script.drop_profile(path, "default", "AKIAROOT")


def test_a_key_that_stands_elsewhere_too_is_said(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("# AKIAROOT\n[root_user]\naws_access_key_id = AKIAROOT\n")
    with pytest.raises(ValueError, match="stands elsewhere"):
        script.drop_profile(path, "root_user", "AKIAROOT")
    assert path.read_text().count("AKIAROOT") == 2


# Usage


@pytest.mark.parametrize(
    "line",
    [
        "enable",
        "enable --bucket b --tagged",
        "enable --tagged x --mfa-code -",
        "enable --bucket b --mfa-code 246813",
        "enable --bucket b",
        "enable --bucket b --mfa-code - --keep-key --delete-key",
        "enable --bucket b --mfa-code - --s3-compatible",
        "disable --bucket b --mfa-code - --until 2099-01-01 --for 2h",
        "disable --tagged --mfa-code -",
        "delete-version --bucket b --mfa-code -",
        "delete-version --bucket b --bucket c --undelete k --mfa-code -",
        "delete-version --bucket b --undelete k --key l --mfa-code -",
        "check --bucket b --prove",
        "check --buck b",
        "",
    ],
)
def test_wrong_usage_ends_with_2(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(SystemExit) as caught:
        script.parse(line.split())
    assert caught.value.code == 2
    assert "246813" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "is_ordinary"),
    [
        ("https://s3.us-east-1.amazonaws.com", True),
        ("https://s3.dualstack.eu-west-1.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://s3.amazonaws.com.example.org", False),
        ("https://s3.amazonaws.com@example.org", False),
        ("https://example.org/s3.amazonaws.com", False),
        ("http://s3.us-east-1.amazonaws.com", False),
    ],
)
def test_an_address_that_only_looks_like_awss_own_is_named(
    where: str, is_ordinary: bool, run: script.Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aws = SimpleNamespace(
        get_frozen_credentials=lambda: ("AKIAIOSFODNN7EXAMPLE", "secret", None),
        get_caller_identity=lambda: {"Arn": "arn:aws:iam::111122223333:root"},
        list_account_aliases=lambda: {"AccountAliases": []},
        meta=SimpleNamespace(endpoint_url=where),
    )
    run.args.verb, run.session = "check", SimpleNamespace(get_credentials=lambda: aws)
    monkeypatch.setattr(run, "client", lambda *_args, **_named: aws)
    run.identify()
    assert (f"go to {where}: not the ordinary address of AWS" in capsys.readouterr().out) is not is_ordinary


def test_the_script_stays_small() -> None:
    lines = Path(script.__file__).read_text().splitlines()
    assert len(lines) <= 910
    imported = {line.split()[1].partition(".")[0] for line in lines if re.match(r"\s*(import|from) \w", line)}
    assert not imported & {"shared", "handlers", "local", "cli"}


def test_a_secret_inside_an_error_text_is_not_shown(run: script.Run) -> None:
    run.hidden |= {"wJalr+XUt/EXAMPLEKEY"}
    error = refusal("Odd", "secret wJalr+XUt/EXAMPLEKEY over http://ann:pa55@proxy.example.com:8080 failed")
    said = run.explain(error, NAME).said
    assert "EXAMPLEKEY" not in said
    assert "pa55" not in said
    assert "proxy.example.com" in said


def test_what_a_credential_process_printed_is_not_shown(run: script.Run) -> None:
    error = CredentialRetrievalError(provider="custom-process", error_msg="token=hunter2")
    assert "hunter2" not in run.explain(error, NAME).said


def test_an_explicit_deny_is_not_blamed_on_the_identity(run: script.Run) -> None:
    text = (
        "User: x is not authorized to perform: s3:DeleteObjectVersion with an explicit deny in a resource-based policy"
    )
    assert "to root too" in run.explain(refusal("AccessDenied", text), NAME).means


def test_comments_of_the_next_profile_stay(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[root_user]\naws_access_key_id = AKIAROOT\n\n# of work\n; and more\n[work]\nx = 1\n")
    assert script.drop_profile(path, "root_user", "AKIAROOT")
    assert path.read_text() == "\n# of work\n; and more\n[work]\nx = 1\n"


def test_a_list_that_lags_behind_is_not_believed(run: script.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    lists: Iterator[list[str]] = iter([[], [], [], ["AKIANEW"], []])  # what is said of one, and then of a lost one

    class Iam:
        def list_access_keys(self) -> dict[str, Any]:
            calls.append("list")
            keys = [{"AccessKeyId": key, "CreateDate": datetime(2026, 1, 1, tzinfo=UTC)} for key in next(lists)]
            return {"AccessKeyMetadata": keys}

        def delete_access_key(self, AccessKeyId: str) -> None:
            calls.append(AccessKeyId)

    monkeypatch.setattr(run, "client", lambda *_args, **_kw: Iam())
    monkeypatch.setattr("time.sleep", lambda _s: None)
    run.key = "AKIANEW"
    run.end_temporary_key(set())
    assert calls == ["AKIANEW", "list"]
    calls.clear()
    run.key = ""  # its answer was lost
    run.end_temporary_key(set())
    assert calls == ["list", "list", "list", "AKIANEW", "list"]
    assert run.key_fate == "deleted"
