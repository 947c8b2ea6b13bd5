"""Roles that a trail leaves out, to save money or to be unseen: named wherever it is said what was seen."""

import json

import pytest

from handlers import bucket_change, guardrail_health
from shared.aws import health
from shared.facts import GuardrailHealth
from tests.functional.conftest import Stage
from tests.functional.test_cli import deployed, run
from tests.functional.test_handlers import disabled, protected

__all__ = ["deployed"]

BULK = "arn:aws:sts::111122223333:assumed-role/bulk/* (excluded by trail main)"
NIGHT = "arn:aws:sts::111122223333:assumed-role/night/* (excluded by trail main)"


def look(stage: Stage, monkeypatch: pytest.MonkeyPatch, unlogged: tuple[str, ...] | None) -> None:
    """A look at the guardrail itself that finds this of the trails, and nothing else."""
    monkeypatch.setattr(health, "read", lambda *_: GuardrailHealth(conditions=(), unlogged=unlogged))
    stage.invoke(guardrail_health.handler, {"health": "scheduled"})


def test_what_a_look_finds_is_in_the_next_alert_without_a_request_of_its_own(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    protected(stage)
    stage.messages()
    look(stage, monkeypatch, (BULK, NIGHT))
    stage.calls.clear()
    stage.invoke(bucket_change.handler, disabled(stage))
    [message] = stage.messages()
    assert json.loads(message["Message"])["not_seen"] == [BULK, NIGHT]
    assert "GetItem" not in stage.calls, "the commit was refused its place, and told why"


def test_who_is_logged_again_is_named_no_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for unlogged in ((BULK, NIGHT), (NIGHT,), ()):
        look(stage, monkeypatch, unlogged)
        assert stage.guard.store.topic().unlogged == unlogged


def test_a_look_that_may_not_read_the_trails_forgets_nobody_and_one_that_finds_the_same_writes_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(stage, monkeypatch, (BULK,))
    look(stage, monkeypatch, None)
    assert stage.guard.store.topic().unlogged == (BULK,)
    stage.calls.clear()
    look(stage, monkeypatch, (BULK,))
    assert "UpdateItem" not in stage.calls


def test_status_names_them_on_every_channel_of_its_own(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    protected(deployed)
    look(deployed, monkeypatch, (BULK,))
    shown, as_json, as_csv = run("status"), run("status", "--json"), run("status", "--csv")
    assert f"not seen: deletes by {BULK}" in " ".join(shown.stdout.split())
    assert json.loads(as_json.stdout)["health"]["not_seen"] == [BULK]
    assert f"not seen: deletes by {BULK}" in as_csv.stderr
    assert BULK not in as_csv.stdout
    assert shown.return_value == 0, "it is somebody's choice"
