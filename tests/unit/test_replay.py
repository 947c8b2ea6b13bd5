"""`guardrail replay --offline`: files in, one JSON object per finding out, nothing asked of AWS."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import guardrail
from tests.unit.cases import EVENTS, load

SAMPLES = Path(__file__).parent / "cloudtrail_samples"
BUCKET = "example-protected-bucket"
PROTECTED = {"verdict": "protected", "since": "2020-01-01T00:00:00Z"}
UNPROTECTED = {"verdict": "unprotected", "since": "2020-01-01T00:00:00Z"}


def state(folder: Path, **buckets: Any) -> Path:
    """A state file; `vault` stands for the bucket of most events."""
    path = folder / "state.json"
    named = {BUCKET if name == "vault" else name.replace("_", "-"): entry for name, entry in buckets.items()}
    path.write_text(json.dumps({"guardrail": {"account": "111122223333"}, "buckets": named}))
    return path


def entry(mfa_delete: str | None = "Enabled", last: Any = PROTECTED, **more: Any) -> dict[str, Any]:
    """A tagged bucket with versioning on."""
    tags = {"mfa-delete": "required"}
    return {"tags": tags, "versioning": "Enabled", "mfa_delete": mfa_delete, "last": last} | more


def run(*arguments: object) -> Result:
    """The command, as a person starts it."""
    return CliRunner(mix_stderr=False).invoke(guardrail, ["replay", *map(str, arguments)], standalone_mode=False)


def replayed(state_file: Path, *files: Path) -> tuple[list[dict[str, Any]], int, str]:
    """Findings, exit code and standard error."""
    result = run("--offline", "--state", state_file, "--json", *files)
    assert not result.exception, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()], result.return_value or 0, result.stderr


def test_one_line_says_all_of_a_finding(tmp_path: Path) -> None:
    record = EVENTS / "put-bucket-versioning.root-disables.json"
    found, code, said = replayed(state(tmp_path, vault=entry("Disabled")), record)
    assert found == [
        {
            "finding": "mfa-delete-disabled",
            "severity": "critical",
            "bucket": BUCKET,
            "account": "111122223333",
            "region": "us-east-1",
            "event_id": load(record.name)["detail"]["eventID"],
            "principal": "arn:aws:iam::111122223333:root",
            "at": "2026-09-25T09:14:03Z",
            "cause": None,
            "source_file": str(record),
        }
    ]
    assert code == 1
    assert said == "1 records, 1 findings, 0 rejected\n"


def test_bare_records_log_files_envelopes_lines_and_gzip_say_the_same(tmp_path: Path) -> None:
    event = load("delete-object.version-denied.json")
    shapes = {
        "bare.json": json.dumps(event["detail"]).encode(),
        "log.json": json.dumps({"Records": [event["detail"]]}).encode(),
        "log.json.gz": gzip.compress(json.dumps({"Records": [event["detail"]]}).encode()),
        "envelope.json": json.dumps(event, indent=1).encode(),
        "list.json": json.dumps([event]).encode(),
        "lines.json": b"\n".join([json.dumps(event["detail"]).encode()] * 2),
    }
    told = state(tmp_path, vault=entry())
    for name, content in shapes.items():
        (tmp_path / name).write_bytes(content)
        found, code, _ = replayed(told, tmp_path / name)
        assert [(each["finding"], each["cause"]) for each in found] == [("version-delete-denied", "mfa")], name
        assert code == 1
    together, _, _ = replayed(told, *(tmp_path / name for name in shapes))
    assert len(together) == 1  # the same event, six times


def test_ordinary_records_print_nothing(tmp_path: Path) -> None:
    quiet = [
        *SAMPLES.glob("*Trail*.json"),
        SAMPLES / "DeleteObject_plain_vendor.json",
        SAMPLES / "synthetic_DeleteObject_plain_marker_created.json",
        SAMPLES / "DeleteObjects_partial_failure_http200.json",
        SAMPLES / "ConsoleLogin_root_no_mfa.json",
        EVENTS / "delete-object.marker-removed.json",
        EVENTS / "delete-object.slow-down.json",
    ]
    found, code, _ = replayed(state(tmp_path, vault=entry(), example_data_bucket=entry()), *quiet)
    assert (found, code) == ([], 0)


def test_a_bucket_that_is_not_listed_is_not_enrolled(tmp_path: Path) -> None:
    found, code, _ = replayed(state(tmp_path), *EVENTS.glob("*.json"))
    assert found == []
    assert code == 3  # the schedule's input is no record


def test_every_sample_is_judged_or_raises_nothing(tmp_path: Path) -> None:
    names = ("vault", "example_data_bucket", "example_trail_logs", "example_tagged_bucket", "example_bucket")
    _, code, said = replayed(state(tmp_path, **{name: entry() for name in names}), *SAMPLES.glob("*.json"))
    assert code == 1
    assert said.splitlines()[-1].startswith("42 records, ")
    assert said.splitlines()[-1].endswith(", 0 rejected")


def test_what_could_not_be_read_is_unverifiable(tmp_path: Path) -> None:
    blind = {"tags": {"mfa-delete": "required"}, "unverifiable": "s3:GetBucketVersioning", "last": PROTECTED}
    told = state(tmp_path, example_data_bucket=blind | {"versioning": None, "mfa_delete": None})
    found, _, _ = replayed(told, EVENTS / "put-bucket-versioning.role-sends-disabled.json")
    assert [(each["finding"], each["severity"]) for each in found] == [("state-unverifiable", "high")]


def test_disabled_sent_by_a_role_is_no_turn_off(tmp_path: Path) -> None:
    told = state(tmp_path, example_data_bucket=entry("Disabled", UNPROTECTED))
    found, _, _ = replayed(told, EVENTS / "put-bucket-versioning.role-sends-disabled.json")
    assert [each["finding"] for each in found] == ["mfa-delete-missing"]


def test_a_record_that_puts_lifecycle_rules_says_what_they_are(tmp_path: Path) -> None:
    told = state(tmp_path, vault=entry("Disabled", UNPROTECTED))
    found, _, _ = replayed(told, EVENTS / "put-bucket-lifecycle.expires-noncurrent.json")
    assert {each["finding"] for each in found} == {"mfa-delete-missing", "lifecycle-expires-versions"}


def test_a_tagging_call_that_names_an_exception_is_what_set_or_removed_it(tmp_path: Path) -> None:
    exempt = {"mfa-delete": "required", "mfa-delete-exempt-until": "2026-10-01", "mfa-delete-exempt-reason": "move"}
    event = load("tag-resource.bucket.json")
    bucket = event["detail"]["requestParameters"]["bucketName"]
    tags = [{"Key": name, "Value": value} for name, value in exempt.items()]
    event["detail"]["requestParameters"]["TagResourceRequest"]["Tags"]["Tag"] = tags
    event["detail"]["eventTime"] = "2026-09-25T09:14:03Z"
    (tmp_path / "set.json").write_text(json.dumps(event))
    turned_off = entry("Disabled", PROTECTED) | {"tags": exempt}
    name = bucket.replace("-", "_")
    found, _, _ = replayed(state(tmp_path, **{name: turned_off}), tmp_path / "set.json")
    assert [each["finding"] for each in found] == ["exception-set"]
    removed = load("untag-resource.bucket.json")
    removed["detail"]["requestParameters"]["tagKeys"] = ["mfa-delete-exempt-until"]
    bucket = removed["detail"]["requestParameters"]["bucketName"]
    (tmp_path / "removed.json").write_text(json.dumps(removed))
    found, _, _ = replayed(state(tmp_path, **{bucket.replace("-", "_"): entry()}), tmp_path / "removed.json")
    assert [each["finding"] for each in found] == ["exception-set"]


def test_planned_work_is_quiet(tmp_path: Path) -> None:
    exempt = {"mfa-delete": "required", "mfa-delete-exempt-until": "2026-10-01", "mfa-delete-exempt-reason": "move"}
    told = state(tmp_path, vault=entry("Disabled") | {"tags": exempt})
    assert replayed(told, EVENTS / "put-bucket-versioning.root-disables.json")[0] == []


def test_a_deleted_bucket_was_gone_then(tmp_path: Path) -> None:
    found, _, _ = replayed(state(tmp_path, vault=entry()), EVENTS / "delete-bucket.done.json")
    assert [(each["finding"], each["severity"]) for each in found] == [("bucket-deleted", "critical")]


def test_many_refusals_are_one_finding_and_high(tmp_path: Path) -> None:
    event = load("delete-object.version-denied.json")
    records = [event["detail"] | {"eventID": f"event-{number}"} for number in range(12)]
    (tmp_path / "log.json").write_text(json.dumps({"Records": records}))
    found, _, _ = replayed(state(tmp_path, vault=entry()), tmp_path / "log.json")
    assert [(each["finding"], each["severity"], each["event_id"]) for each in found] == [
        ("version-delete-denied", "high", "event-0")
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "decode"),
        (gzip.compress(b"{}" * 999)[:-4], "end-of-stream"),
        (b"[1]", "not a JSON object"),
        (b'{"detail": null}', "not an S3 API call"),
        (
            b'{"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "detail": null}',
            "not a CloudTrail record",
        ),
        (b"[" * 100_000, "not JSON"),
    ],
    ids=["half", "not UTF-8", "cut gzip", "no object", "no detail", "null detail", "too deep"],
)
def test_what_is_damaged_is_named_and_the_rest_is_judged(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "bad").write_bytes(content)
    good = EVENTS / "delete-object.version-denied.json"
    found, code, said = replayed(state(tmp_path, vault=entry()), tmp_path / "bad", good)
    assert (len(found), code) == (1, 3)
    assert f"rejected: {tmp_path / 'bad'}" in said
    assert reason in said


def test_offline_without_a_state_is_a_usage_error() -> None:
    result = run("--offline", EVENTS / "schedule.tick.json")
    assert "--offline needs --state" in str(result.exception)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[" * 100_000,
        '{"buckets": {"b": {"tags": ["x"]}}}',
        '{"buckets": {"b": {"lifecycle": [1]}}}',
        "[]",
        '{"buckets": {"b": {"versioning": "on"}}}',
        '{"buckets": {"b": {"last": {"verdict": "fine"}}}}',
    ],
)
def test_a_state_file_that_is_none_is_a_usage_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    result = run("--offline", "--state", tmp_path / "state.json", EVENTS / "schedule.tick.json")
    assert "is not a state file" in str(result.exception)


@pytest.mark.parametrize("names", [("a-record", "b-own"), ("b-record", "a-own")])
def test_a_delete_that_cloudtrail_and_s3_itself_tell_of_counts_once_and_has_its_name(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    """Of one second, they are read in the order of their files."""
    record, own = load("delete-object.version-deleted-by-root.json"), load("object-deleted.permanently.json")
    detail = record["detail"]
    own["time"], own["detail"]["request-id"] = detail["eventTime"], detail["requestID"]
    asked = detail["requestParameters"]
    own["detail"]["object"] |= {"key": asked["key"], "version-id": asked["versionId"]}
    files = [tmp_path / f"{name}.json" for name in names]
    for file, told in zip(files, (record, own), strict=True):
        file.write_text(json.dumps(told))
    found, code, _ = replayed(state(tmp_path, vault=entry()), *files)
    assert [(each["finding"], each["principal"]) for each in found] == [
        ("version-deleted", "arn:aws:iam::111122223333:root")
    ]
    assert code == 1
