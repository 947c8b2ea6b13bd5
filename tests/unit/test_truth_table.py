"""events/cases.toml, row by row, and what the table as a whole must have."""

from typing import Any

import pytest

from shared import lifecycle, runbook
from shared.controls import CONTROLS
from shared.finding import Change, Transition
from tests.unit.cases import EVENTS, evidence_of, rows

ROWS = rows()


def _controls(transitions: tuple[Transition, ...], *changes: Change) -> list[str]:
    return sorted(t.finding.control for t in transitions if t.change in changes)


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_row(row: dict[str, Any]) -> None:
    transitions = lifecycle.plan(evidence_of(row)).transitions
    raised = _controls(transitions, Change.OPENED, Change.REOPENED)
    assert raised == sorted(row["expect"])
    told = [t for t in transitions if t.change in {Change.OPENED, Change.REOPENED} and t.is_told]
    assert set(raised) - set(_controls(tuple(told), Change.OPENED, Change.REOPENED)) == set(row.get("untold", []))
    assert not set(raised) & set(row.get("spares", []))
    assert _controls(transitions, Change.RESOLVED) == sorted(row.get("resolves", []))
    assert _controls(transitions, Change.EXEMPTED) == sorted(row.get("exempts", []))
    assert _controls(transitions, Change.BUCKET_DELETED) == sorted(row.get("deleted", []))
    assert _controls(transitions, Change.SUPERSEDED) == sorted(row.get("supersedes", []))


@pytest.mark.parametrize("control", [control.id for control in CONTROLS])
def test_each_control_is_expected_in_two_rows_and_spared_in_three(control: str) -> None:
    assert sum(control in row["expect"] for row in ROWS) >= 2
    assert sum(control in row.get("spares", []) for row in ROWS) >= 3


def test_ids_are_unique_and_in_kebab_case() -> None:
    ids = [control.id for control in CONTROLS]
    assert len(set(ids)) == len(ids)
    assert all(part.isalpha() and part.islower() for control in ids for part in control.split("-"))


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_each_control_has_its_runbook_heading(control: Any) -> None:
    assert control.runbook in runbook.sections()


def test_every_event_that_raises_or_spares_is_in_the_table() -> None:
    in_no_row = {
        "delete-object.marker-created.json",  # no rule matches these (tests/template)
        "delete-object.plain.json",
        "delete-objects.partial-failure.json",
        "object-deleted.marker-created.json",
        "object-deleted.unversioned.json",
        "delete-object.slow-down.json",  # failed, not refused: counted and dropped (test_parse.py)
        "delete-objects.malformed.json",
        "tag-resource.access-point.json",
        "drill.tick.json",  # starts the drill, which judges nothing
    }
    assert {path.name for path in EVENTS.glob("*.json")} - {row["event"] for row in ROWS} == in_no_row
