"""Rows 1 and 13 of docs/attacks.md: all rules at once, and the events of it too late."""

from collections.abc import Iterator

import pytest

from tests.e2e import (
    attack_buckets,
    attack_events,
    attack_outlets,
    attack_parts,
    attack_record,
    attack_rules,
    attack_stage,
)
from tests.e2e.attack_stage import ROOT_UNLOGGED, Attack, Stage

LATE_S = 2.5


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A stack whose events come late."""
    with attack_stage.stage(ROOT_UNLOGGED, delay_s=LATE_S) as made:
        yield made


@pytest.mark.parametrize("attack", attack_rules.MOVES.all, ids=str)
def test_an_attack_on_all_rules_is_told_as_recorded(stage: Stage, attack: Attack) -> None:
    attack_record.check(stage.suffer(attack), attack)


def test_what_is_recorded_is_what_is_played_and_every_row_is() -> None:
    rooms = (attack_rules, attack_parts, attack_outlets, attack_buckets, attack_events)
    played = [attack for room in rooms for attack in room.MOVES.all]
    assert attack_record.strays(played) == set()
    assert {attack.row for attack in played} == set(range(1, 18))
