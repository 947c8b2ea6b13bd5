"""What a look at trails says of one that cannot deliver its logs, and of whom their selectors leave out."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from shared.aws import trails
from shared.facts import State
from tests.functional.conftest import ACCOUNT, Stage

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
MANAGEMENT: list[Any] = [{"Name": "settings", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}]
OTHERS: list[Any] = [{"Name": "others", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Insight"]}]}]


BULK = f"arn:aws:sts::{ACCOUNT}:assumed-role/bulk/"


def looked(
    stage: Stage, error: str, selectors: list[Any], *, is_logging: bool = True, enrolled: Sequence[str] = ()
) -> trails.TrailsRead:
    """A look at one trail with this delivery error, which no cloud of ours ever sets."""
    cloudtrail = boto3.client("cloudtrail", region_name="us-east-1")
    with Stubber(cloudtrail) as stub:
        trail = {"Name": "main", "TrailARN": ARN, "HomeRegion": "us-east-1", "IsMultiRegionTrail": True}
        stub.add_response("describe_trails", {"trailList": [trail]})
        stub.add_response(
            "get_trail_status",
            {"IsLogging": is_logging, "LatestDeliveryTime": datetime(2026, 1, 1, tzinfo=UTC)}
            | ({"LatestDeliveryError": error} if error else {}),
        )
        if is_logging:
            stub.add_response("get_event_selectors", {"TrailARN": ARN, "AdvancedEventSelectors": selectors})
        return trails.read(stage.guard.settings, {"cloudtrail": cloudtrail, "s3": stage.s3}.__getitem__, enrolled)


def test_a_trail_that_feeds_us_and_cannot_deliver_is_high_with_the_error_and_blinds_nobody(stage: Stage) -> None:
    read = looked(stage, "AccessDenied", MANAGEMENT)
    [trouble] = [each for each in read.conditions if each.state is State.BAD]
    assert (trouble.about, trouble.problem, trouble.blinds) == ("delivery", "trail-delivery", False)
    assert "the trail main cannot deliver its logs (AccessDenied)" in trouble.meaning
    assert trouble.mend.startswith(f"aws cloudtrail get-trail-status --name {ARN}")
    assert read.feeding == (ARN,)


@pytest.mark.parametrize(
    ("error", "selectors", "is_logging"),
    [("", MANAGEMENT, True), ("AccessDenied", OTHERS, True), ("AccessDenied", MANAGEMENT, False)],
    ids=["delivers", "does not feed us", "does not log"],
)
def test_a_trail_that_delivers_or_does_not_feed_us_is_no_delivery_trouble(
    stage: Stage, error: str, selectors: list[Any], is_logging: bool
) -> None:
    read = looked(stage, error, selectors, is_logging=is_logging)
    assert [each for each in read.conditions if each.about == "delivery"] == []


DELETES: list[Any] = [
    {
        "Name": "deletes, but for one role",
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
            {"Field": "userIdentity.arn", "NotStartsWith": [BULK]},
        ],
    }
]


def test_a_role_that_a_trail_leaves_out_is_named_with_the_trail_and_is_nobodys_fault(stage: Stage) -> None:
    read = looked(stage, "", MANAGEMENT + DELETES, enrolled=["vault"])
    assert read.unlogged == (f"{BULK}* (excluded by trail main)",)
    said = [each.meaning for each in read.conditions if "not seen" in each.meaning]
    assert said == [f"by choice, not seen: deletes by {BULK}* (excluded by trail main)"]
    assert {each.state for each in read.conditions} == {State.FINE}


def test_nobody_is_named_where_deletes_are_not_watched_or_nothing_is_enrolled(stage: Stage) -> None:
    assert looked(stage, "", MANAGEMENT + DELETES).unlogged == ()
    stage.guard.settings = replace(stage.guard.settings, watch_version_deletes=False)
    assert looked(stage, "", MANAGEMENT + DELETES, enrolled=["vault"]).unlogged == ()
