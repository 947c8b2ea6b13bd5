"""Places that a commit takes for its alerts, where it knew too little of what went out lately."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from handlers import bucket_change
from shared.aws.places import Claim
from shared.aws.store import Commit
from shared.pace import Pace
from tests.functional.conftest import Stage
from tests.functional.test_handlers import disabled, protected

TABLE = {"Query", "TransactWriteItems", "GetItem", "UpdateItem", "DeleteItem"}
REFUSED = ["Query", "TransactWriteItems", "TransactWriteItems"]
NAIVE = {"free_at": None, "messages": ["2026-09-25T09:14:00"], "digest_at": None, "criticals": [],
         "critical_digest_at": None}  # fmt: skip


def sent(stage: Stage, *, messages: int = 0, criticals: int = 0) -> None:
    """Another function sends so many."""
    pace = Pace(messages=(stage.now,) * messages, criticals=(stage.now,) * criticals, free_at=stage.now)
    stage.guard.store.note_pace(stage.guard.store.topic(), pace, stage.now)


def asked_of_the_table(stage: Stage) -> list[str]:
    """Turn it off, and see what that costs."""
    payload = disabled(stage)
    stage.calls.clear()
    stage.invoke(bucket_change.handler, payload)
    return [call for call in stage.calls if call in TABLE]


def write(stage: Stage, name: str, value: Any) -> None:
    """Whoever may write to the table does."""
    store = stage.guard.store
    store.client.update_item(**store._topic_update(f"SET {name} = :new", {":new": value}))


def test_a_place_that_somebody_else_took_meanwhile_is_not_taken_twice(stage: Stage) -> None:
    protected(stage)
    stage.guard.teller.know(stage.guard.store.topic())
    sent(stage, messages=1)
    assert asked_of_the_table(stage) == [*REFUSED, "DeleteItem"]
    kept = stage.guard.store.topic().pace
    assert (len(kept.messages), len(kept.criticals)) == (1, 1)


def test_a_commit_takes_no_place_where_nobody_listens(stage: Stage) -> None:
    protected(stage)
    stage.guard.store.note_listener(confirmed=False)
    stage.guard.teller.know(None)
    assert asked_of_the_table(stage).count("TransactWriteItems") == 2
    assert len(stage.guard.store.owed()) == 1


def test_a_commit_takes_no_place_where_none_is_left(stage: Stage) -> None:
    protected(stage)
    sent(stage, criticals=5)
    stage.guard.teller.know(None)
    assert asked_of_the_table(stage) == REFUSED
    assert (stage.subjects(), len(stage.guard.store.owed())) == ([], 1)


def test_a_claim_is_made_anew_once_however_busy_the_others_are(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    protected(stage)
    commit: Callable[[Commit, Claim | None], None] = stage.guard.store.commit
    others: list[datetime] = []

    def late(look: Commit, claim: Claim | None) -> None:
        if claim and len(others) < 3:  # not for ever
            others.append(stage.now)
            sent(stage, messages=len(others))
        commit(look, claim)

    monkeypatch.setattr(stage.guard.store, "commit", late)
    asked = asked_of_the_table(stage)
    assert (len(others), asked.count("TransactWriteItems"), len(stage.subjects())) == (2, 3, 1)
    kept = stage.guard.store.topic().pace
    assert (len(kept.messages), len(kept.criticals)) == (2, 1)


def test_a_refusal_that_does_not_tell_the_pace_lets_it_be_asked_for_after_the_commit(stage: Stage) -> None:
    def forget(parsed: dict[str, Any], **_: Any) -> None:
        for reason in parsed.get("CancellationReasons", []):
            reason.pop("Item", None)

    protected(stage)
    sent(stage, messages=1)
    stage.guard.teller.know(None)
    stage.guard.store.client.meta.events.register("after-call.dynamodb.TransactWriteItems", forget)
    assert asked_of_the_table(stage) == [*REFUSED, "GetItem", "UpdateItem", "DeleteItem"]
    assert len(stage.subjects()) == 1


@pytest.mark.parametrize("doc", ["no pace", "[" * 100_000, "[]", '{"messages": 1}', json.dumps(NAIVE)])
def test_what_is_no_pace_holds_no_alert_back_and_is_written_over(stage: Stage, doc: str) -> None:
    protected(stage)
    write(stage, "pace", {"S": doc})
    stage.guard.teller.know(None)
    assert asked_of_the_table(stage) == [*REFUSED, "DeleteItem"]
    assert len(stage.subjects()) == 1
    assert len(json.loads(stage.guard.store.topic().pace_doc)["criticals"]) == 1


def test_names_that_are_none_hold_no_alert_back(stage: Stage) -> None:
    protected(stage)
    write(stage, "not_logged", {"L": [{"N": "1"}, {"S": "bulk"}]})
    stage.guard.teller.know(None)
    assert asked_of_the_table(stage) == [*REFUSED, "DeleteItem"]
    assert len(stage.subjects()) == 1
