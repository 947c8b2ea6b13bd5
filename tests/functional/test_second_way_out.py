"""The doctor asks the second topic itself whether anybody listens there; no function is told of it."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cli import doctor
from shared.facts import State
from tests.functional.conftest import Stage

TOPICS = {name: f"arn:aws:sns:us-east-1:111122223333:{name}" for name in ("alerts", "silence")}


@pytest.mark.parametrize("heard", TOPICS)
def test_a_listener_of_the_alerts_is_none_of_the_second_way_out(stage: Stage, heard: str) -> None:
    def get_topic_attributes(TopicArn: str) -> dict[str, Any]:  # moto counts no topic's subscriptions rightly
        return {"Attributes": {"SubscriptionsConfirmed": str(int(TopicArn == TOPICS[heard]))}}

    sns = SimpleNamespace(get_topic_attributes=get_topic_attributes)
    outputs = {"AlertTopicArn": TOPICS["alerts"], "SilenceTopicArn": TOPICS["silence"]}
    deployed: Any = SimpleNamespace(
        exists=True, outputs=outputs, client=lambda _name: sns, settings=stage.guard.settings
    )
    [said] = doctor._second_way_out(deployed)
    if heard == "silence":
        assert (said.state, said.mend) == (State.FINE, "")
    else:
        assert said.state is State.BAD
        assert f"aws sns subscribe --region us-east-1 --topic-arn {TOPICS['silence']} " in said.mend


def test_a_second_topic_that_is_gone_is_said_and_ends_no_doctor(stage: Stage) -> None:
    def get_topic_attributes(TopicArn: str) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "NotFound", "Message": "no topic"}}, "GetTopicAttributes")

    sns = SimpleNamespace(get_topic_attributes=get_topic_attributes)
    deployed: Any = SimpleNamespace(
        exists=True, outputs={"SilenceTopicArn": "gone"}, client=lambda _name: sns, settings=stage.guard.settings
    )
    [said] = doctor._second_way_out(deployed)
    assert (said.state, said.problem) == (State.BAD, "second way-gone")
    assert "restore-the-guardrail" in said.mend
