"""What a review found once: each of these lost, doubled or falsified an alert."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from handlers import bucket_change, sweep, version_delete
from shared.aws.items import prefix
from shared.aws.store import EVENTS_AT_ONCE, Commit
from shared.controls import CONTROLS
from shared.deeds import VERSION_DELETED
from shared.finding import Change, Channel, Transition
from tests.functional.conftest import TAG, Stage
from tests.functional.events import batch, event
from tests.functional.test_handlers import TICK, disabled, key, protected
from tests.functional.test_schema import turned_off


def test_a_bucket_deleted_before_we_looked_hides_neither_the_turn_off_nor_the_deletes(stage: Stage) -> None:
    protected(stage)
    turn_off = disabled(stage)
    deletes = [
        event("delete-object.version-deleted-by-root", "vault", event_id=f"e{n}", at=stage.now) for n in range(5)
    ]
    stage.s3.delete_bucket(Bucket="vault")
    stage.later(minutes=5)
    stage.invoke(bucket_change.handler, turn_off)
    stage.invoke(version_delete.handler, batch(*deletes))
    stage.invoke(sweep.handler, TICK)
    told = [subject.split(":")[0] for subject in stage.subjects()]
    assert sorted(told) == [
        "[critical] Bucket is gone",
        "[critical] MFA delete turned OFF",
        "[high] Version deleted for good",
    ]


def test_hostile_keys_do_not_make_an_alert_too_large(stage: Stage) -> None:
    protected(stage)
    events = []
    for number in range(10):
        hostile = event("delete-object.version-denied", "vault", event_id=f"e{number}", userAgent="\x01" * 512)
        hostile["detail"]["requestParameters"]["key"] = "\x01" * 1020 + f"{number:04}"
        events.append(hostile)
    stage.invoke(version_delete.handler, batch(*events))
    assert len(stage.subjects()) == 1


def test_a_thousand_lifecycle_rules_do_not_make_an_alert_too_large(stage: Stage) -> None:
    stage.bucket("vault")
    rules: Any = [
        {
            "ID": f"rule-{n:04}-{'x' * 200}",
            "Filter": {"Prefix": f"{n}/"},
            "Status": "Enabled",
            "Expiration": {"Days": 1},
        }
        for n in range(1000)
    ]
    stage.s3.put_bucket_lifecycle_configuration(Bucket="vault", LifecycleConfiguration={"Rules": rules})
    stage.invoke(sweep.handler, TICK)
    [message] = stage.messages()
    assert "and 990 more" in json.loads(message["Message"])["runbook"]


def test_a_failing_read_for_the_runbook_does_not_hold_up_the_alert(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    protected(stage)

    def fail(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "InternalError", "Message": "x"}}, "GetBucketLifecycleConfiguration")

    monkeypatch.setattr(stage.guard.buckets._s3, "get_bucket_lifecycle_configuration", fail)
    stage.invoke(bucket_change.handler, disabled(stage))
    assert len(stage.subjects()) == 1


def test_a_policys_refusal_that_quotes_an_mfa_key_is_not_called_mfa(stage: Stage) -> None:
    protected(stage)
    text = (
        "User: arn:aws:iam::123456789012:root is not authorized to perform: s3:DeleteObjectVersion on resource: "
        '"arn:aws:s3:::vault/mfa-delete-proof/proof.txt" with an explicit deny in a resource-based policy'
    )
    stage.invoke(
        version_delete.handler, batch(event("delete-object.version-denied-policy", "vault", errorMessage=text))
    )
    [message] = stage.messages()
    assert json.loads(message["Message"])["cause"] == "policy"


def test_a_deeply_nested_message_does_not_spoil_its_batch(stage: Stage) -> None:
    protected(stage)
    answer = stage.invoke(version_delete.handler, batch("[" * 100_000, event("delete-object.version-denied", "vault")))
    assert (len(answer["rejected"]), answer["batchItemFailures"]) == (1, [])
    assert len(stage.subjects()) == 1


@pytest.mark.parametrize(("left_s", "again"), [(74, [{"itemIdentifier": "message-0"}]), (76, [])])
def test_a_batch_leaves_a_minute_for_telling_and_asks_for_the_rest_again(
    stage: Stage, left_s: int, again: list[dict[str, str]]
) -> None:
    protected(stage)
    late = SimpleNamespace(aws_request_id="late", get_remaining_time_in_millis=lambda: left_s * 1000)
    answer = version_delete.handler(batch(event("delete-object.version-denied", "vault")), late)
    assert answer["batchItemFailures"] == again


def test_a_version_delete_that_named_an_empty_version_is_no_dead_letter(stage: Stage) -> None:
    refused = event("delete-object.version-denied", "vault", errorCode="InvalidArgument", errorMessage="empty")
    refused["detail"]["requestParameters"]["versionId"] = ""
    answer = stage.invoke(version_delete.handler, batch(refused))
    assert (answer["ignored"], answer["rejected"]) == (1, [])


def test_sessions_of_another_account_are_one_finding(stage: Stage) -> None:
    protected(stage)
    for number in range(5):
        foreign = event("delete-object.version-denied-cross-account", "vault", event_id=f"e{number}")
        foreign["detail"]["userIdentity"]["principalId"] = f"AROACKCEVSQ6C2EXAMPLE:session-{number}"
        stage.invoke(version_delete.handler, batch(foreign))
    assert len(stage.subjects()) == 1


def test_a_batch_larger_than_a_transaction_is_told_with_its_whole_number(stage: Stage) -> None:
    protected(stage)
    deletes = [
        event("delete-object.version-deleted-by-root", "vault", event_id=f"e{n}", at=stage.now) for n in range(300)
    ]
    for number, one in enumerate(deletes):
        one["detail"]["requestParameters"]["key"] = f"key-{number}"
    stage.invoke(version_delete.handler, batch(*deletes))
    [message] = stage.messages()
    assert json.loads(message["Message"])["title"].startswith("300 versions were deleted for good")


def test_a_refused_batch_is_not_lost_in_a_refused_delete(stage: Stage) -> None:
    protected(stage)
    one, several = (
        event(name, "vault", at=stage.now) for name in ("delete-object.version-denied", "delete-objects.denied")
    )
    several["detail"]["userIdentity"] = one["detail"]["userIdentity"]
    stage.invoke(version_delete.handler, batch(one, several))
    [message] = stage.messages()
    title = json.loads(message["Message"])["title"]
    assert "tried to delete 1 version, and several objects at once (DeleteObjects; neither keys nor versions" in title


def test_two_attempts_on_one_version_are_not_two_versions(stage: Stage) -> None:
    protected(stage)
    twice = [event("delete-object.version-denied", "vault", event_id=f"e{n}", at=stage.now) for n in range(2)]
    stage.invoke(version_delete.handler, batch(*twice))
    [message] = stage.messages()
    document = json.loads(message["Message"])
    assert "tried to delete 1 version in 2 attempts" in document["title"]
    assert len(document["objects"]) == 1


def test_a_proof_that_is_repeated_after_another_turn_on_is_told_again(stage: Stage) -> None:
    for number, way in enumerate(("Enabled", "Disabled", "Enabled")):
        if not number:
            stage.bucket("vault")
            stage.invoke(sweep.handler, TICK)
        stage.mfa_delete["vault"] = way
        name = f"put-bucket-versioning.root-{way.lower().removesuffix('d')}s"
        stage.invoke(bucket_change.handler, event(name, "vault", at=stage.now, event_id=f"turn-{number}"))
        if way == "Enabled":
            proof = event("delete-object.proof-denied", "vault", at=stage.now, event_id=f"proof-{number}")
            stage.invoke(version_delete.handler, batch(proof))
        stage.later(minutes=5)
    assert [subject for subject in stage.subjects() if subject.startswith("[proof]")] == [
        "[proof] Proof received: vault (prod, us-east-1)"
    ] * 2


def test_an_unversioned_bucket_is_not_said_to_have_lost_nothing(stage: Stage) -> None:
    stage.s3.create_bucket(Bucket="vault")
    stage.s3.put_bucket_tagging(Bucket="vault", Tagging={"TagSet": [TAG]})
    stage.invoke(sweep.handler, TICK)
    [owed] = [item for item in stage.messages()]
    title = json.loads(owed["Message"])["title"]
    assert title.endswith("; versioning is not on either.")


def test_a_text_that_sqs_does_not_take_is_set_aside_all_the_same(stage: Stage) -> None:
    stage.invoke(bucket_change.handler, "\x00 no event")
    [(body, _)] = stage.drain(stage.env["DEAD_LETTER_URL"])
    assert json.loads(body) == "\x00 no event"


def test_the_largest_look_fits_a_transaction_even_if_it_sets_all_aside(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = [each.id for each in CONTROLS if each.clears and not each.id.startswith(("root-", "guardrail-"))]
    assert len(states) == 8
    # what can change at once on a bucket: each of its states, the deed that is told, the nameless one that it joins
    controls = [*states, VERSION_DELETED.id, VERSION_DELETED.id]
    turned_off(stage, "vault")
    bucket = key("vault")
    found = stage.guard.store.recall(bucket, now=stage.now).findings[0]
    findings = [replace(found, control=each, window=f"{number}") for number, each in enumerate(controls)]
    told = tuple(Transition(finding=each, change=Change.OPENED, to=(Channel.MAIL,)) for each in findings)
    sort_keys = (prefix(bucket), *(each.id for each in findings))
    for sk in sort_keys:  # none of them can be read
        boto3.client("dynamodb").put_item(TableName="guardrail", Item={"pk": {"S": "state"}, "sk": {"S": sk}})
    written: list[int] = []
    store = stage.guard.store
    monkeypatch.setattr(store.client, "transact_write_items", lambda TransactItems: written.append(len(TransactItems)))
    ids = tuple(str(number) for number in range(EVENTS_AT_ONCE))
    commit = Commit(
        bucket=bucket, rev=1, last=None, watched=None, event_ids=ids, transitions=told, unread=sort_keys, now=stage.now
    )
    store.commit(commit)
    assert len(ids) + 3 + 3 * len(controls) == written[0] <= 99  # and the pace
