"""What the last drill says of the links between S3 and the guardrail."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared import overdue
from shared.facts import CALLED, Condition, Drill, State
from tests.unit.test_render import TOLD

AT = datetime(2026, 9, 25, 9, 0, tzinfo=UTC)
BACK = AT + timedelta(seconds=90)
WITH_DRILL = replace(TOLD, canary_bucket="canary")
WHOLE = Drill(at=AT, change_id="R1", delete_id="R2", change_back=BACK, delete_back=BACK)


def said(drill: Drill | None, after: timedelta, *waiting: str) -> list[Condition]:
    return list(overdue.conditions(drill, WITH_DRILL, AT + after, waiting))


def test_a_drill_that_came_back_is_fine_and_says_how_long_it_took() -> None:
    [condition] = said(WHOLE, timedelta(hours=3))
    assert condition.state is State.FINE
    assert "change after 90 s, delete after 90 s" in condition.meaning


def test_a_drill_that_may_still_come_back_is_no_trouble() -> None:
    [condition] = said(replace(WHOLE, delete_back=None), timedelta(minutes=30))
    assert condition.state is State.FINE


@pytest.mark.parametrize(
    ("half", "lost", "drill"),
    [("change", "R1", replace(WHOLE, change_back=None)), ("delete", "R2", replace(WHOLE, delete_back=None))],
)
def test_what_is_not_back_in_30_minutes_names_the_half_and_the_last_link(half: str, lost: str, drill: Drill) -> None:
    [condition] = said(drill, timedelta(minutes=31))
    assert (condition.state, condition.problem) == (State.BAD, f"drill-{half}-lost")
    assert condition.meaning.endswith(f"last seen: S3, which answered (request {lost})")
    [stuck] = said(drill, timedelta(minutes=31), "DeleteQueue")
    assert stuck.meaning.endswith("last seen: messages in DeleteQueue")


def test_a_half_that_was_left_out_is_not_missed() -> None:
    [condition] = said(replace(WHOLE, delete_id="", delete_back=None), timedelta(hours=3))
    assert condition.state is State.FINE


def test_a_call_that_s3_never_answered_is_missed() -> None:
    [condition] = said(replace(WHOLE, change_id=CALLED, change_back=None), timedelta(hours=1))
    assert condition.meaning.endswith("last seen: the drill function, before S3 answered")


def test_no_drill_for_two_days_is_a_trouble() -> None:
    assert said(WHOLE, timedelta(days=2))[0].state is State.FINE
    [condition] = said(WHOLE, timedelta(days=2, minutes=1))
    assert (condition.state, condition.problem) == (State.BAD, "drill-missing")


def test_without_a_drill_nothing_is_said() -> None:
    assert list(overdue.conditions(WHOLE, TOLD, AT, ())) == []
    assert said(None, timedelta(days=9)) == []
