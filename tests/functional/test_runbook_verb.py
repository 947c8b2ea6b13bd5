"""`guardrail runbook`: the page for the bucket as it is now, by the code that alerts use."""

import json
import re
import sys
from typing import Any

import pytest

from handlers import bucket_change
from shared import runbook
from shared.facts import BucketState
from tests.functional.commands import Desk, as_deployed
from tests.functional.conftest import Stage
from tests.functional.test_handlers import disabled, exempt, key, protected

RULE: Any = {
    "Rules": [
        {
            "ID": "tidy",
            "Status": "Disabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        }
    ]
}


@pytest.fixture
def desk(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A deployed stack."""
    return as_deployed(stage, monkeypatch, capsys)


def _title(desk: Desk, *words: str) -> str:
    result = desk.run("runbook", *words)
    assert (result.exception, result.return_value) == (None, 0)
    return result.stdout.split("\n", 1)[0]


def test_the_section_is_the_one_that_fits_the_state_of_now(desk: Desk) -> None:
    for name in ("off", "excused", "refused", "resting", "plain"):
        desk.stage.bucket(name, tagged=name != "plain")
    exempt(desk.stage, "excused", "2026-10-01", "migration")
    desk.stage.denied.add(("GetBucketVersioning", "refused"))
    desk.stage.s3.put_bucket_versioning(Bucket="resting", VersioningConfiguration={"Status": "Suspended"})
    assert _title(desk, "off") == "# Turn MFA delete on: bucket off"
    assert _title(desk, "excused") == "# Turn MFA delete on: bucket excused"
    assert _title(desk, "refused") == "# Let the guardrail read bucket refused again"
    assert _title(desk, "resting") == "# Resume versioning: bucket resting"
    assert _title(desk, "plain") == "# Turn MFA delete on: bucket plain"
    assert "plain is not enrolled" in desk.run("runbook", "plain").stderr
    assert "exempt until 2026-10-01: migration" in desk.run("runbook", "excused").stderr


def test_the_page_is_the_very_one_of_the_alert_lifecycle_included(desk: Desk) -> None:
    protected(desk.stage)
    desk.stage.s3.put_bucket_lifecycle_configuration(Bucket="vault", LifecycleConfiguration=RULE)
    desk.stage.invoke(bucket_change.handler, disabled(desk.stage))
    [alert] = desk.stage.messages()
    page = desk.run("runbook", "vault").stdout
    assert '"tidy"' in page
    assert page == json.loads(alert["Message"])["runbook"] + "\n"
    reading = desk.stage.guard.buckets.read(key("vault"), judged_before=True, with_lifecycle=True)
    assert isinstance(reading, BucketState)
    wanted = runbook.filled(
        "turn-mfa-delete-on", key("vault"), desk.stage.guard.settings, runbook.obstacle(key("vault"), reading.lifecycle)
    )
    assert page == wanted + "\n"


def test_a_refused_read_of_the_lifecycle_is_said_on_the_page(desk: Desk) -> None:
    desk.stage.bucket("vault")
    desk.stage.denied.add(("GetBucketLifecycleConfiguration", "vault"))
    assert "could not be read (AccessDenied, s3:GetLifecycleConfiguration)" in desk.run("runbook", "vault").stdout


def test_a_protected_bucket_says_so_and_any_section_can_still_be_had(desk: Desk) -> None:
    protected(desk.stage)
    result = desk.run("runbook", "vault")
    assert (result.return_value, result.stdout) == (
        0, "vault is protected: versioning and MFA delete are on. Nothing is to be done.\n"
    )  # fmt: skip
    assert (
        _title(desk, "vault", "--section", "look-into-a-version-delete")
        == "# Look into a permanent delete: bucket vault"
    )
    desk.stage.s3.delete_bucket_tagging(Bucket="vault")
    assert _title(desk, "vault") == "# Put the protection tag back: bucket vault"


def test_what_else_is_open_is_named_with_its_section(desk: Desk) -> None:
    protected(desk.stage)
    desk.stage.invoke(bucket_change.handler, disabled(desk.stage))
    said = desk.run("runbook", "vault", "--section", "put-the-tag-back").stderr
    assert "mfa-delete-disabled (" in said
    assert "--section turn-mfa-delete-on" in said


def test_a_bucket_that_is_gone_has_a_page_if_it_was_judged_and_else_one_sentence(desk: Desk) -> None:
    protected(desk.stage)
    desk.stage.s3.delete_bucket(Bucket="vault")
    assert _title(desk, "vault") == "# Look into a deleted bucket: vault"
    assert desk.refusal("runbook", "missing") == "there is no bucket missing in account 123456789012"


def test_all_sections_are_listed_and_another_is_a_usage_error(desk: Desk) -> None:
    assert desk.run("runbook", "--list").stdout.split() == list(runbook.sections())
    code, _, err = desk.main("runbook", "vault", "--section", "turn-it-off")
    assert (code, "there is no section turn-it-off" in err) == (2, True)
    assert desk.main("runbook")[0] == 2
    assert desk.main("runbook", "--section", "put-the-tag-back")[0] == 2
    assert _title(desk, "--section", "restore-the-guardrail").startswith("# Restore the guardrail guardrail")


def test_on_a_terminal_it_is_rendered_and_a_long_command_stays_on_one_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.stage.bucket("vault")
    plain = desk.main("runbook", "vault")[1]
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, _ = desk.main("runbook", "vault")
    assert "```" in plain
    assert "```" not in out
    commands = [line for line in plain.splitlines() if line.lstrip().startswith(("aws s3api", "python3 "))]
    assert len(commands) == 4
    shown = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in out.splitlines()]
    for command in commands:
        assert command.strip() in shown
