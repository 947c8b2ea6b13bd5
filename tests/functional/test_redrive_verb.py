"""`guardrail redrive`: nothing is called empty, or useless, that is not."""

import json
from typing import Any

import pytest

from cli import redrive
from cli.stack import Stack, Trouble
from shared import parse_spokes
from shared.facts import Spoke
from tests.functional.conftest import Stage
from tests.functional.test_cli import deployed, run

__all__ = ["deployed"]

HELLO = {
    "source": "aws.events",
    "detail-type": "Scheduled Event",
    "account": "222233334444",
    "region": "eu-west-1",
    "time": "2026-09-01T00:00:00Z",
    "detail": {},
}


def put(stage: Stage, *events: Any) -> None:
    """Put these among the dead letters."""
    for each in events:
        stage.sqs.send_message(QueueUrl=stage.env["DEAD_LETTER_URL"], MessageBody=json.dumps(each))


def polled(patch: pytest.MonkeyPatch, **answer: Any) -> list[dict[str, Any]]:
    """What the polls ask; with an answer, they get that one and SQS is not asked."""
    asked: list[dict[str, Any]] = []
    real = Stack.client

    def client(self: Stack, name: str) -> Any:
        made = real(self, name)
        if name == "sqs":
            events = made.meta.events
            events.register("before-parameter-build.sqs.ReceiveMessage", lambda params, **_: asked.append(params))
            if answer:
                events.register(
                    "after-call.sqs.ReceiveMessage", lambda parsed, **_: (parsed.clear(), parsed.update(answer))
                )
        return made

    patch.setattr(Stack, "client", client)
    return asked


def test_every_server_of_the_queue_is_asked(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrive, "WAIT_S", 1)
    asked = polled(monkeypatch)
    assert run("redrive").stdout == "nothing waits there\n"
    assert [each["WaitTimeSeconds"] for each in asked] == [1, 1]


def test_a_queue_that_has_messages_and_hands_out_none_is_not_called_empty(
    deployed: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(deployed, {"sweep": "scheduled"})
    polled(monkeypatch, Messages=[])
    monkeypatch.setattr(redrive, "HIDE_S", 0)
    result = run("redrive")
    assert isinstance(result.exception, Trouble)
    assert str(result.exception) == "1 message(s) wait there, and SQS handed out none; run it again"


def test_a_drill_that_could_not_be_started_is_started_again(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    put(deployed, {"drill": "scheduled"})
    assert json.loads(run("redrive", "--dry-run", "--json").stdout)["done"] == "rejected", "the stack has no drill"
    outputs = {**Stack("x").outputs, "DrillFunctionName": "DrillFunctionName"}
    monkeypatch.setattr(Stack, "outputs", outputs)
    row = json.loads(run("redrive", "--dry-run", "--json").stdout)
    assert (row["to"], row["done"]) == ("DrillFunction", "waiting")


def test_a_spokes_hello_and_its_turn_are_deleted_for_the_next_one_takes_their_place(deployed: Stage) -> None:
    spoke = Spoke(account="222233334444", region="eu-west-1", heard_at=deployed.now)
    put(deployed, HELLO, json.loads(parse_spokes.turn(spoke)))
    rows = [json.loads(line) for line in run("redrive", "--dry-run", "--json").stdout.splitlines()]
    assert [(row["to"], row["done"]) for row in rows] == [("overtaken", "overtaken")] * 2
    result = run("redrive")
    assert (result.stdout.splitlines()[-1], result.return_value) == ("2 dropped", 0)
    assert deployed.drain(deployed.env["DEAD_LETTER_URL"]) == []
