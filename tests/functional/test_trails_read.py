"""What a look at trails says of one that cannot deliver its logs; no cloud of ours ever sets that, so it is told."""

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


def looked(stage: Stage, error: str, selectors: list[Any], *, is_logging: bool = True) -> trails.TrailsRead:
    """A look at one trail with this delivery error; nothing is enrolled."""
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
        return trails.read(stage.guard.settings, {"cloudtrail": cloudtrail, "s3": stage.s3}.__getitem__, [])


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
