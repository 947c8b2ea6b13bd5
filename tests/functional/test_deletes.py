"""Batches of the delete queue: grouped, joined, read once, settled once, told once."""

import json
from typing import Any

import pytest

from handlers import bucket_change, version_delete
from shared.facts import BucketKey
from tests.functional.conftest import Stage
from tests.functional.events import batch, event
from tests.functional.test_handlers import disabled, key, protected, refuse


def test_hundreds_of_version_deletes_of_one_call_are_one_finding(stage: Stage) -> None:
    protected(stage)
    events = [
        event("delete-object.version-denied", "vault", event_id=f"event-{n}", requestID="one-call") for n in range(301)
    ]
    for start in range(0, 301, 100):
        assert stage.invoke(version_delete.handler, batch(*events[start : start + 100]))["batchItemFailures"] == []
    assert len(stage.subjects()) == 1
    [finding] = stage.guard.store.recall(key("vault"), now=stage.now).findings
    assert finding.count == 301


def test_a_group_that_was_partly_settled_counts_the_rest(stage: Stage) -> None:
    protected(stage)
    events = [event("delete-object.version-denied", "vault", event_id=f"event-{n}") for n in range(4)]
    stage.invoke(version_delete.handler, batch(*events[:2]))
    answer = stage.invoke(version_delete.handler, batch(*events))
    assert answer["duplicates"] == 2
    [finding] = stage.guard.store.recall(key("vault"), now=stage.now).findings
    assert finding.count == 4


def test_a_batch_reads_each_bucket_once(stage: Stage) -> None:
    protected(stage)
    denied = event("delete-object.version-denied", "vault")
    deleted = event("delete-object.version-deleted-by-root", "vault")
    stage.calls.clear()
    stage.invoke(version_delete.handler, batch(denied, deleted))
    assert stage.calls.count("GetBucketVersioning") == 1
    assert len(stage.subjects()) == 2


def test_s3s_own_event_joins_cloudtrails_record_of_the_same_request(stage: Stage) -> None:
    protected(stage)
    named = event("delete-object.version-deleted-by-root", "vault", requestID="one-request")
    own = event("object-deleted.permanently", "vault")
    own["detail"] |= {"request-id": "one-request"}
    version = named["detail"]["requestParameters"]
    own["detail"]["object"] |= {"key": version["key"], "version-id": version["versionId"]}
    answer = stage.invoke(version_delete.handler, batch(own, named))
    assert (answer["duplicates"], answer["sent"]) == (1, 1)
    later = stage.invoke(version_delete.handler, batch(own))
    assert (later["duplicates"], later["sent"]) == (1, 0)  # also when it comes minutes later
    other = event("object-deleted.permanently", "vault")
    assert stage.invoke(version_delete.handler, batch(other))["sent"] == 1


def test_a_done_delete_whose_alert_was_refused_is_told_by_the_batchs_next_delivery(stage: Stage) -> None:
    protected(stage)
    done = batch(event("delete-object.version-deleted-by-root", "vault", requestID="one-request"))
    stage.denied.add(("Publish", ""))
    with pytest.raises(ExceptionGroup):
        stage.invoke(version_delete.handler, done)
    stage.denied.clear()
    stage.later(minutes=13)
    answer = stage.invoke(version_delete.handler, done)
    assert (answer["duplicates"], answer["sent"]) == (1, 1)
    assert len(stage.subjects()) == 1


def test_a_delete_that_s3_told_of_first_is_one_finding_when_its_principal_is_known(stage: Stage) -> None:
    protected(stage)
    for number in range(2):
        own = event("object-deleted.permanently", "vault", at=stage.now)
        own["detail"] |= {"request-id": f"request-{number}"}
        own["detail"]["object"] |= {"key": "k", "version-id": f"v{number}"}
        stage.invoke(version_delete.handler, batch(own))
    stage.later(minutes=3)
    for number in range(2):
        named = event(
            "delete-object.version-deleted-by-root", "vault", event_id=f"named-{number}", requestID=f"request-{number}",
            at=stage.now,
        )  # fmt: skip
        named["detail"]["requestParameters"] |= {"key": "k", "versionId": f"v{number}"}
        stage.invoke(version_delete.handler, batch(named))
        found = stage.guard.store.recall(key("vault"), now=stage.now).findings
        assert (
            sorted((f.principal.kind, f.count) for f in found if f.is_open and f.principal)
            == [
                [("Requester", 1), ("Root", 1)],
                [("Root", 2)],
            ][number]
        )
    assert len(stage.subjects()) == 2  # once without a name, once with it


def test_losses_that_both_told_of_are_counted_once(stage: Stage) -> None:
    protected(stage)
    stage.invoke(version_delete.handler, batch(event("object-deleted.permanently", "vault", at=stage.now)))
    stage.invoke(version_delete.handler, batch(event("delete-object.version-deleted-by-root", "vault", at=stage.now)))
    stage.messages()
    stage.invoke(bucket_change.handler, disabled(stage))
    assert [json.loads(message["Message"])["versions_deleted"] for message in stage.messages()] == [1]


def test_a_group_that_cannot_be_settled_is_delivered_again_and_the_others_are_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    protected(stage)
    protected(stage, "broken")
    real = stage.guard.buckets.read

    def read(bucket: BucketKey, **how: Any) -> Any:
        if bucket.name == "broken":
            refuse()
        return real(bucket, **how)

    monkeypatch.setattr(stage.guard.buckets, "read", read)
    both = batch(
        event("delete-object.version-denied", "broken", event_id="one"),
        event("delete-object.version-denied", "vault", event_id="two"),
    )
    assert stage.invoke(version_delete.handler, both)["batchItemFailures"] == [{"itemIdentifier": "message-0"}]
    assert len(stage.subjects()) == 1


def test_failed_requests_are_counted_and_dropped(stage: Stage) -> None:
    protected(stage)
    failed = batch(event("delete-object.slow-down", "vault"), event("delete-objects.malformed", "vault"))
    answer = stage.invoke(version_delete.handler, failed)
    assert (answer["ignored"], answer["rejected"], answer["batchItemFailures"]) == (2, [], [])
    assert stage.subjects() == []
    assert stage.drain(stage.env["DEAD_LETTER_URL"]) == []
