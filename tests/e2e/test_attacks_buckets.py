"""Rows 3 to 17 of docs/attacks.md but for the parts: what is done to buckets, and made believe by events."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import attack_buckets, attack_events, attack_record, attack_stage
from tests.e2e.attack_stage import Attack, Stage

ACCOUNT = "111122223333"
SELECTORS: list[dict[str, Any]] = [
    {"Name": "settings", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]},
    {
        "Name": "deletes, but for some buckets and one role",
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
            {"Field": "resources.ARN", "NotStartsWith": [f"arn:aws:s3:::{attack_buckets.UNLOGGED}"]},
            {
                "Field": "userIdentity.arn",
                "NotStartsWith": [f"arn:aws:sts::{ACCOUNT}:assumed-role/{attack_events.BULK}/"],
            },
        ],
    },
]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A stack in an account whose trail does not log everything."""
    with attack_stage.stage(SELECTORS) as made:
        yield made


@pytest.mark.parametrize("attack", [*attack_buckets.MOVES.all, *attack_events.MOVES.all], ids=str)
def test_an_attack_on_a_bucket_is_told_as_recorded(stage: Stage, attack: Attack) -> None:
    attack_record.check(stage.suffer(attack), attack)
