"""What a second review found: each of these blinded the guardrail, or lost, doubled or falsified an alert."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from cli.stack import Stack
from handlers import bucket_change, sweep, version_delete
from shared.aws.store import Conflict
from tests.functional.conftest import ACCOUNT, TAG, Stage
from tests.functional.events import batch, event
from tests.functional.test_cli import deployed, run
from tests.functional.test_handlers import TICK, disabled, exempt, key, protected
from tests.functional.test_life_cycle import acknowledge, put_rules, rule

__all__ = ["deployed"]


def test_an_exception_until_the_end_of_time_blinds_nobody(stage: Stage) -> None:
    protected(stage)
    protected(stage, "other")
    exempt(stage, "vault", "9999-12-31", "never")
    stage.mfa_delete |= {"vault": "Disabled", "other": "Disabled"}
    stage.invoke(sweep.handler, TICK)
    told = stage.subjects()
    assert {subject for subject in told if subject.startswith("[critical]")} == {
        f"[critical] MFA delete turned OFF: {name} (prod, us-east-1)" for name in ("vault", "other")
    }


def test_whatever_one_bucket_does_the_others_are_judged(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.bucket("first")
    stage.bucket("second")
    real = stage.guard.buckets.versioning

    def versioning(bucket: Any, tags: Any, **how: Any) -> Any:
        if bucket.name == "first":
            raise OverflowError("odd")
        return real(bucket, tags, **how)

    monkeypatch.setattr(stage.guard.buckets, "versioning", versioning)
    with pytest.raises(ExceptionGroup):
        stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[high] MFA delete is not on: second (prod, us-east-1)"]
    both = batch(
        event("delete-object.version-denied", "first", event_id="one", at=stage.now),
        event("delete-object.version-denied", "second", event_id="two", at=stage.now),
    )
    assert stage.invoke(version_delete.handler, both)["batchItemFailures"] == [{"itemIdentifier": "message-0"}]
    assert len(stage.subjects()) == 1


def test_many_deeds_due_at_once_do_not_make_a_bucket_unsweepable(stage: Stage) -> None:
    protected(stage)
    for turn in range(2):
        events = []
        for number in range(60):
            one = event("delete-object.version-denied", "vault", event_id=f"{turn}-{number}", at=stage.now)
            one["detail"]["userIdentity"] = {"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/u{number}"}
            events.append(one)
        stage.invoke(version_delete.handler, batch(*events))
    stage.later(hours=2)
    stage.mfa_delete["vault"] = "Disabled"
    stage.invoke(sweep.handler, TICK)
    assert any("turned OFF" in subject for subject in stage.subjects())
    summed = set()
    for _ in range(6):
        stage.later(hours=1)
        stage.invoke(sweep.handler, TICK)
        for message in stage.messages():
            found = json.loads(message["Message"]).get("findings", [])
            summed |= {one["principal"] for one in found if one["change"] == "summed"}
    memory = stage.guard.store.recall(key("vault"), now=stage.now)
    assert all(f.told_count == f.count == 2 for f in memory.findings if f.is_deed)


def test_an_exception_does_not_say_that_mfa_delete_is_on_again(stage: Stage) -> None:
    protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage))
    exempt(stage, "vault", "2026-09-26", "migration")
    stage.messages()
    stage.invoke(sweep.handler, TICK)
    assert "[exempted] MFA delete still OFF, by exception: vault (prod, us-east-1)" in stage.subjects()
    stage.later(days=2)
    stage.invoke(sweep.handler, TICK)
    [message] = stage.messages()
    assert json.loads(message["Message"])["title"].endswith("; its exception has ended.")


def test_what_gets_worse_while_it_is_open_is_told(stage: Stage) -> None:
    stage.bucket("vault")
    stage.invoke(sweep.handler, TICK)
    put_rules(stage, rule(365, "a"))
    stage.invoke(sweep.handler, TICK)
    stage.messages()
    put_rules(stage, rule(1, "a"), rule(1, "b"))
    stage.invoke(sweep.handler, TICK)
    [message] = stage.messages()
    assert 'rule "a" after 1 day(s), rule "b" after 1 day(s)' in json.loads(message["Message"])["title"]
    acknowledge(stage, "lifecycle-expires-versions")
    put_rules(stage, rule(1, "a"))
    stage.invoke(sweep.handler, TICK)
    assert not [subject for subject in stage.subjects() if subject.startswith("[high]")]  # less is no news


def test_a_root_that_loses_its_device_is_told_as_high(stage: Stage) -> None:
    stage.root_device = f"arn:aws:iam::{ACCOUNT}:user/ann"
    stage.invoke(sweep.handler, TICK)
    stage.root["AccountMFAEnabled"] = 0
    stage.invoke(sweep.handler, TICK)
    assert [subject.split("]")[0] for subject in stage.subjects()] == ["[low", "[high"]


def test_another_refusal_of_the_same_bucket_is_named(stage: Stage) -> None:
    stage.bucket("vault")
    stage.denied.add(("GetBucketVersioning", "vault"))
    stage.invoke(sweep.handler, TICK)
    stage.denied = {("GetBucketLifecycleConfiguration", "vault")}
    stage.messages()
    stage.invoke(sweep.handler, TICK)
    details = [json.loads(message["Message"])["detail"] or "" for message in stage.messages()]
    assert any("s3:GetLifecycleConfiguration" in detail for detail in details)


def test_a_bucket_deleted_and_made_again_before_we_looked_is_told_as_deleted(stage: Stage) -> None:
    protected(stage)
    stage.s3.delete_bucket(Bucket="vault")
    del stage.mfa_delete["vault"]
    stage.bucket("vault")
    stage.invoke(bucket_change.handler, event("delete-bucket.done", "vault", at=stage.now))
    assert stage.subjects() == [
        "[critical] Bucket is gone: vault (prod, us-east-1)",
        "[high] MFA delete is not on: vault (prod, us-east-1)",
    ]
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []


def test_who_deleted_a_bucket_is_told_when_the_sweep_was_faster(stage: Stage) -> None:
    protected(stage)
    stage.s3.delete_bucket(Bucket="vault")
    stage.invoke(sweep.handler, TICK)
    stage.messages()
    stage.invoke(bucket_change.handler, event("delete-bucket.done", "vault", at=stage.now))
    [message] = stage.messages()
    assert json.loads(message["Message"])["principal"]
    found = stage.guard.store.recall(key("vault"), now=stage.now).findings
    assert [f.principal is not None for f in found if f.is_open] == [True]
    stage.invoke(bucket_change.handler, event("delete-bucket.done", "vault", event_id="again", at=stage.now))
    assert stage.subjects() == []


def test_an_acknowledged_turn_off_does_not_hide_suspended_versioning(stage: Stage) -> None:
    protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage))
    acknowledge(stage, "mfa-delete-disabled")
    stage.invoke(sweep.handler, TICK)
    stage.messages()
    stage.s3.put_bucket_versioning(Bucket="vault", VersioningConfiguration={"Status": "Suspended"})
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[high] Versioning is suspended: vault (prod, us-east-1)"]


def test_refusals_for_different_reasons_do_not_borrow_one(stage: Stage) -> None:
    protected(stage)
    names = ["delete-object.version-denied-policy", *["delete-object.version-denied"] * 12]
    events = [event(name, "vault", event_id=f"e{n}", at=stage.now) for n, name in enumerate(names)]
    for one in events:
        one["detail"]["userIdentity"] = events[0]["detail"]["userIdentity"]
    stage.invoke(version_delete.handler, batch(*events))
    last = json.loads(stage.messages()[-1]["Message"])
    assert (last["count"], last["cause"]) == (13, "unknown")


def test_a_conflict_over_root_is_looked_at_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.root["AccountMFAEnabled"] = 0
    real, tries = stage.guard.store.commit, []

    def commit(one: Any, claim: Any = None) -> Any:
        tries.append(one)
        if len(tries) == 1:
            raise Conflict("an acknowledgement was faster")
        return real(one, claim)

    monkeypatch.setattr(stage.guard.store, "commit", commit)
    stage.invoke(sweep.handler, TICK)
    assert len(stage.subjects()) == 1


def test_an_event_older_than_a_day_stays_for_replay(deployed: Stage) -> None:
    protected(deployed)
    old = event("delete-object.version-deleted-by-root", "vault", at=deployed.now)
    dead = deployed.env["DEAD_LETTER_URL"]
    deployed.sqs.send_message(QueueUrl=dead, MessageBody=json.dumps(old))
    deployed.later(days=2)
    result = run("redrive", "--json")
    assert (json.loads(result.stdout)["done"], result.return_value) == ("too old", 1)
    assert len(deployed.drain(dead)) == 1


def test_what_fails_again_stays_and_is_there_for_the_next_try(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    protected(deployed)
    failed = Stack("x").outputs["OnFailureUrl"]
    wrapped = json.dumps({"requestPayload": disabled(deployed, at=deployed.now), "responsePayload": {}})
    deployed.sqs.send_message(QueueUrl=failed, MessageBody=wrapped)

    def refuse(*_: Any, **__: Any) -> None:
        raise ClientError({"Error": {"Code": "InternalError", "Message": "down"}}, "Query")

    with monkeypatch.context() as patch:
        patch.setattr(deployed.guard.store, "recall", refuse)
        assert run("redrive").stdout.splitlines()[-1] == "1 failed"
    with monkeypatch.context() as patch:
        patch.setattr("cli.redrive._target", interrupted)
        run("redrive")
    assert run("redrive").stdout.splitlines()[-1] == "1 sent"
    assert deployed.subjects() == ["[critical] MFA delete turned OFF: vault (prod, us-east-1)"]


def interrupted(*_: Any, **__: Any) -> None:
    """Somebody presses Ctrl-C."""
    raise KeyboardInterrupt


def test_replay_prints_what_was_told_already(deployed: Stage, tmp_path: Any) -> None:
    protected(deployed)
    denied = event("delete-object.version-denied", "vault", at=deployed.now)
    deployed.invoke(version_delete.handler, batch(denied))
    (tmp_path / "log.json").write_text(json.dumps(denied))
    assert run("replay", str(tmp_path / "log.json")).return_value == 1


def test_a_medium_finding_is_reminded_of_after_a_week(stage: Stage) -> None:
    protected(stage)
    exempt(stage, "vault", "next week", "migration")
    stage.invoke(sweep.handler, TICK)
    stage.messages()
    stage.later(days=6)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []
    stage.later(days=1)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[medium] Still: Exception is not valid: vault (prod, us-east-1)"]


def test_what_is_remembered_of_a_deleted_bucket_goes_after_thirty_days(stage: Stage) -> None:
    protected(stage)
    stage.s3.delete_bucket(Bucket="vault")
    stage.invoke(sweep.handler, TICK)
    item = boto3.client("dynamodb").get_item(
        TableName="guardrail", Key={"pk": {"S": "state"}, "sk": {"S": f"{ACCOUNT}#us-east-1#vault#"}}
    )["Item"]
    assert int(item["expires_at"]["N"]) == int(stage.now.timestamp()) + 30 * 86400
    assert TAG["Key"] == "mfa-delete"
