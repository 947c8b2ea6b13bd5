"""`guardrail replay s3://...` on moto."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.functional.commands import Desk, as_deployed
from tests.functional.conftest import Stage
from tests.functional.events import event

FOLDER = "AWSLogs/111122223333/CloudTrail"
DELETED = event("delete-object.version-denied", "vault")["detail"]


@pytest.fixture
def desk(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A bucket of logs: one that matters, a digest, one that is damaged, one of another prefix."""
    stage.bucket("trail-logs", tagged=False)
    for key, content in {
        f"{FOLDER}/us-east-1/a.json.gz": packed(DELETED),
        f"{FOLDER}-Digest/us-east-1/a.json.gz": packed(),
        f"{FOLDER}/us-east-1/b.json.gz": b"\x1f\x8bdamaged",
        "elsewhere/c.json": packed(DELETED | {"eventTime": "2026-09-26T10:00:00Z", "eventID": "other"}),
    }.items():
        stage.s3.put_object(Bucket="trail-logs", Key=key, Body=content)
    return as_deployed(stage, monkeypatch, capsys)


def packed(*records: Any) -> bytes:
    """A log file."""
    return gzip.compress(json.dumps({"Records": records}).encode())


@pytest.fixture
def state(tmp_path: Path) -> str:
    """One protected bucket."""
    last = {"verdict": "protected", "since": "2020-01-01T00:00:00Z"}
    vault = {"tags": {"mfa-delete": "required"}, "versioning": "Enabled", "mfa_delete": "Enabled", "last": last}
    (tmp_path / "state.json").write_text(json.dumps({"buckets": {"vault": vault}}))
    return str(tmp_path / "state.json")


def test_logs_are_read_where_they_lie(desk: Desk, state: str, tmp_path: Path) -> None:
    words = ["replay", "--json", "--offline", "--state", state, "--resume", str(tmp_path / "resume")]
    code, out, err = desk.main(*words, f"s3://trail-logs/{FOLDER}")
    assert [json.loads(line)["source_file"] for line in out.splitlines()] == [
        f"s3://trail-logs/{FOLDER}/us-east-1/a.json.gz"
    ]
    assert code == 3
    assert f"rejected: s3://trail-logs/{FOLDER}/us-east-1/b.json.gz: " in err
    assert "1 files are no logs by their names" in err
    desk.stage.s3.put_object(Bucket="trail-logs", Key=f"{FOLDER}/us-east-1/b.json.gz", Body=packed())
    desk.sent.clear()
    code, out, _ = desk.main(*words, "s3://trail-logs")
    assert (code, len(out.splitlines())) == (1, 2)
    assert sorted(each["Key"] for each in desk.asked("GetObject")) == [
        f"{FOLDER}/us-east-1/b.json.gz",
        "elsewhere/c.json",
    ]


def test_an_object_that_may_not_be_read_is_named(desk: Desk, state: str) -> None:
    desk.errors["GetObject", "trail-logs"] = "AccessDenied"
    code, out, err = desk.main("replay", "--json", "--offline", "--state", state, "s3://trail-logs/elsewhere")
    assert (code, out) == (3, "")
    assert "rejected: s3://trail-logs/elsewhere/c.json: " in err
    assert "AccessDenied" in err


def test_a_bucket_that_may_not_be_listed_is_one_sentence(desk: Desk, state: str) -> None:
    desk.errors["ListObjectsV2", "trail-logs"] = "AccessDenied"
    assert "AccessDenied" in desk.refusal("replay", "--offline", "--state", state, "s3://trail-logs")
