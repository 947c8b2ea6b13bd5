"""`guardrail drill` tells its own drill from the one before."""

from datetime import timedelta

import pytest

from cli import drill
from cli.stack import Stack
from shared.facts import Drill
from tests.functional.commands import Desk, as_deployed
from tests.functional.conftest import Stage


@pytest.fixture
def desk(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A stack with a drill, whose last one came back yesterday."""
    made = as_deployed(stage, monkeypatch, capsys)
    monkeypatch.setattr(Stack, "outputs", {"DrillFunctionName": "drill"})
    yesterday = stage.now - timedelta(days=1)
    stage.guard.notes.note_drill(Drill(at=yesterday, change_id="1", delete_id=""))
    stage.guard.notes.note_back("change", "1", yesterday)
    return made


def test_a_clock_of_lambdas_that_is_behind_does_not_hide_the_drill(desk: Desk) -> None:
    started = Drill(at=desk.stage.now - timedelta(seconds=5), change_id="2", delete_id="")

    def invoke(*_: object) -> None:
        desk.stage.guard.notes.note_drill(started)
        desk.stage.guard.notes.note_back("change", "2", desk.stage.now)

    desk.patch.setattr(drill, "_invoke", invoke)
    result = desk.run("drill", "--wait", "0")
    assert (result.exception, result.return_value) == (None, 0)
    assert "after 5 s" in result.stdout


def test_a_drill_that_was_not_noted_is_said_though_an_older_one_came_back(desk: Desk) -> None:
    desk.patch.setattr(drill, "_invoke", lambda *_: None)
    assert desk.refusal("drill", "--wait", "0").startswith("the drill was not noted")


def test_what_it_says_to_do_is_for_this_stack_and_region(desk: Desk) -> None:
    started = Drill(at=desk.stage.now, change_id="2", delete_id="")
    desk.patch.setattr(drill, "_invoke", lambda *_: desk.stage.guard.notes.note_drill(started))
    result = desk.run("drill", "--wait", "0", columns=300)
    here = "guardrail --stack guardrail --region us-east-1 doctor"
    assert result.return_value == 1
    assert f"has not come back; {here} says what is wrong" in result.stdout
    assert f"no trail logs it; {here} prints the selector to add" in result.stdout
    desk.patch.setattr(Stack, "outputs", {})
    where = "--stack-name mfa-delete-guardrail --region us-east-1"
    assert desk.refusal("drill").endswith(f"has no drill: sam deploy {where} --parameter-overrides Drill=yes")
