"""Rows 1, 2 and 13 of docs/attacks.md: what the guardrail is made of."""

from collections.abc import Iterator

import pytest

from tests.e2e import attack_outlets, attack_parts, attack_record, attack_stage
from tests.e2e.attack_stage import ROOT_UNLOGGED, Attack, Stage


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A stack that is taken apart."""
    with attack_stage.stage(ROOT_UNLOGGED) as made:
        yield made


@pytest.mark.parametrize("attack", [*attack_parts.MOVES.all, *attack_outlets.MOVES.all], ids=str)
def test_an_attack_on_a_part_is_told_as_recorded(stage: Stage, attack: Attack) -> None:
    attack_record.check(stage.suffer(attack), attack)
