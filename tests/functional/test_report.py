"""`guardrail report` on moto: what it says, what it writes, what it refuses."""

import os
import stat
from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from cli import doctor
from cli.stack import Stack
from handlers import bucket_change, sweep, version_delete
from shared import runbook
from shared.facts import Condition, LastLook, State
from tests.functional.conftest import Stage
from tests.functional.events import batch, event
from tests.functional.reports import look_at_itself, reported
from tests.functional.test_cli import deployed, run
from tests.functional.test_handlers import TICK, disabled, exempt, protected

__all__ = ["deployed"]


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor's looks need a whole stack (tests/e2e); here they find one thing."""
    fine = Condition(about="trail", state=State.FINE, meaning="a trail logs <all> of it")
    monkeypatch.setattr(doctor, "LOOKS", (lambda _stack: iter([fine]),))


def test_the_page_is_written_for_its_owner_and_says_who_made_it_of_what(deployed: Stage, tmp_path: Path) -> None:
    protected(deployed)
    file = tmp_path / "report.html"
    result = run("report", "--html", str(file))
    assert (result.exception, result.return_value) == (None, 0)
    assert result.stdout == f"{file}: buckets: 1, open findings: 0\n"
    page = file.read_text()
    for said in ("arn:aws:sts::123456789012:", "us-east-1", "vault", "Security Hub S3.20", "&lt;all&gt;"):
        assert said in page, said
    assert "<all>" not in page
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_report_is_replaced_by_its_successor_and_no_other_file_is(deployed: Stage, tmp_path: Path) -> None:
    protected(deployed)
    file = tmp_path / "report.html"
    run("report", "--html", str(file))
    deployed.bucket("bad")
    deployed.invoke(sweep.handler, TICK)
    assert run("report", "--html", str(file)).return_value == 1
    assert "bad" in file.read_text()
    (tmp_path / "notes.txt").write_text("mine")
    deployed.calls.clear()
    refused = run("report", "--html", str(tmp_path / "notes.txt"))
    assert "exists and is no report of this command" in str(refused.exception)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert "there is no folder" in str(run("report", "--html", str(tmp_path / "no" / "x.html")).exception)
    assert deployed.calls == []  # refused before anything was asked


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--since", "yesterday"], "'yesterday' is not a day (2026-09-25), a time with its zone"),
        (["--since", "2026-02-30"], "'2026-02-30' is not a day"),
        (["--at", "2026-09-25T09:15"], "'2026-09-25T09:15' is not a day"),
        (["--until", "2027-01-01"], "2027-01-01 is in the future"),
        (["--at", "2026-09-26"], "2026-09-26 is in the future"),
        (["--since", "9999d"], "'9999d' is not"),
        (["--since", "2026-09-20", "--until", "2026-09-10"], "2026-09-20 is not before 2026-09-10"),
        (["--at", "2026-09-01", "--since", "2026-09-10", "--until", "2026-09-20"], "2026-09-01 is not between"),
    ],
)
def test_a_bad_time_is_refused_in_one_sentence(deployed: Stage, arguments: list[str], why: str) -> None:
    if arguments == ["--since", "9999d"]:
        deployed.now = deployed.now.replace(year=20)
    result = run("report", "--json", *arguments)
    assert why in str(result.exception)
    assert "\n" not in str(result.exception)
    assert result.stdout == ""


def test_neither_a_page_nor_json_is_a_mistake_of_usage(deployed: Stage) -> None:
    assert "give --html FILE, --json, or both" in str(run("report").exception)


def test_where_nothing_is_deployed_it_says_so(stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(Stack, "_description", {})
    result = run("--region", "us-east-1", "report", "--html", str(tmp_path / "r.html"))
    assert "there is no stack mfa-delete-guardrail in this account and Region" in str(result.exception)
    assert os.listdir(tmp_path) == []


def test_it_counts_every_bucket_and_shows_what_is_open_with_its_runbook(deployed: Stage) -> None:
    protected(deployed, "good")
    deployed.bucket("bad")
    deployed.bucket("excused")
    exempt(deployed, "excused", "2026-10-01", "migration")
    deployed.bucket("plain", tagged=False)
    deployed.invoke(sweep.handler, TICK)
    deployed.invoke(version_delete.handler, batch(event("delete-object.version-denied", "good", at=deployed.now)))
    result, said = reported()
    assert result.return_value == 1
    assert said["population"] == {
        "buckets": 4, "enrolled": 3, "protected": 1, "unprotected": 1, "suspended": 0, "exempt": 1, "unverifiable": 0,
        "not_enrolled": 1, "not_observed": 0,
    }  # fmt: skip
    assert [(one["name"], one["standing"]) for one in said["buckets"]] == [
        ("bad", "unprotected"), ("excused", "exempt"), ("good", "protected"),
    ]  # fmt: skip
    found = {one["control"]: one for one in said["findings"]}
    assert "--bucket bad" in found["mfa-delete-missing"]["runbook"]
    assert found["mfa-delete-missing"]["refs"] == [
        "CIS AWS Foundations 2.1.2", "Security Hub S3.20", "Config s3-bucket-mfa-delete-enabled",
    ]  # fmt: skip
    assert found["version-delete-denied"]["bucket"] == "good"
    assert {each["id"]: each["open"] for each in said["controls"]}["version-delete-denied"] == 1
    deployed.denied.add(("GetBucketVersioning", "good"))
    assert reported()[0].return_value == 3


def test_at_a_moment_that_is_past_it_tells_the_state_and_the_findings_of_then(deployed: Stage) -> None:
    protected(deployed)
    deployed.later(days=1)
    off = deployed.now
    deployed.invoke(bucket_change.handler, disabled(deployed, at=off))
    deployed.later(days=1)
    deployed.mfa_delete["vault"] = "Enabled"
    deployed.invoke(sweep.handler, TICK)
    deployed.later(days=1)
    before, then, now = (
        reported(*arguments)
        for arguments in (
            ("--at", f"{off - timedelta(minutes=1):%Y-%m-%dT%H:%MZ}"),
            ("--at", f"{off + timedelta(hours=2):%Y-%m-%dT%H:%MZ}"),
            (),
        )
    )
    assert [said["buckets"][0]["standing"] for _, said in (before, then, now)] == [
        "protected",
        "unprotected",
        "protected",
    ]
    assert [result.return_value for result, _ in (before, then, now)] == [0, 1, 0]
    assert [[f["control"] for f in said["findings"]] for _, said in (before, then, now)] == [
        [], ["mfa-delete-disabled"], [],
    ]  # fmt: skip
    assert then[1]["population"]["not_enrolled"] is None
    assert then[1]["findings"][0]["runbook"] is None
    assert then[1]["buckets"][0]["spans"][-1]["end"] == then[1]["span"]["at"]
    assert then[1]["buckets"][0]["spans"][-1]["by"].endswith(":root")


def test_a_time_in_which_it_was_blind_is_told_and_counts_as_not_observed(deployed: Stage) -> None:
    protected(deployed)
    deployed.later(days=1)
    look_at_itself(deployed, blind=True)
    deployed.later(days=1)
    look_at_itself(deployed, blind=False)
    deployed.later(days=2)
    _, said = reported("--since", "4d")
    [gap] = said["guardrail"]["gaps"]
    assert gap["why"] == "the guardrail was blind"
    assert said["buckets"][0]["protected_percent"] == 100.0
    result, then = reported("--at", "60h")
    assert (result.return_value, then["population"]["not_observed"]) == (3, 1)


def test_what_the_doctor_finds_bad_is_found(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    protected(deployed)
    deployed.guard.notes.note_look(LastLook(at=deployed.now, canary_logged=False))
    assert reported()[0].return_value == 0
    bad = Condition(about="trail", state=State.BAD, meaning="no trail", mend="make one")
    monkeypatch.setattr(doctor, "LOOKS", (lambda _stack: iter([bad]),))
    assert reported()[0].return_value == 1


def test_every_name_of_others_is_cut_and_one_line(deployed: Stage) -> None:
    protected(deployed)
    long = event("delete-object.version-denied", "vault", at=deployed.now, userAgent="x" * 9000)
    deployed.invoke(version_delete.handler, batch(long))
    _, said = reported()
    assert len(said["findings"][0]["user_agent"]) <= 300


def test_of_a_bucket_that_may_not_be_read_now_the_page_says_that_obstacles_are_not_known(deployed: Stage) -> None:
    deployed.bucket("bad")
    deployed.invoke(sweep.handler, TICK)
    deployed.denied.add(("GetBucketVersioning", "bad"))
    [missing] = [each for each in reported()[1]["findings"] if each["control"] == "mfa-delete-missing"]
    assert runbook.unknown_obstacle("AccessDenied, s3:GetBucketVersioning") in missing["runbook"]
