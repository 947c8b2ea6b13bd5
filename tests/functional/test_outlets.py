"""A part by which we are heard: there, gone, or not to be read."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.aws import outlets
from shared.aws.parts import Part, Stack
from shared.facts import State
from tests.functional.conftest import Stage

LOOKS = [
    (outlets.topics, "AWS::SNS::Topic", "NotFound"),
    (outlets.topics, "AWS::SNS::Subscription", "NotFound"),
    (outlets.bus, "AWS::Events::EventBus", "ResourceNotFoundException"),
]


def stack(stage: Stage, kind: str, code: str) -> Stack:
    """A stack of one part, about which AWS answers with this error."""

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code}}, "Read")

    reads = ("get_topic_attributes", "get_subscription_attributes", "describe_event_bus")
    aws = SimpleNamespace(**dict.fromkeys(reads, refuse))
    part = Part(logical_id="It", kind=kind, name="arn:it", changed_at=datetime.now(UTC), changing=False)
    return Stack(settings=stage.guard.settings, clients=lambda _name: aws, parts={"It": part}, enrolled=())


@pytest.mark.parametrize(("look", "kind", "code"), LOOKS)
def test_what_is_gone_is_bad_and_what_may_not_be_read_is_not_called_gone(
    stage: Stage, look: Any, kind: str, code: str
) -> None:
    [gone] = look(stack(stage, kind, code))
    assert gone.state is State.BAD
    with pytest.raises(ClientError, match="AccessDenied"):
        list(look(stack(stage, kind, "AccessDenied")))
