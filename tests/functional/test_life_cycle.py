"""What becomes of findings: graces, reminders, thresholds, sums, proofs, acknowledgements, caps, history."""

import json
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest

from handlers import bucket_change, sweep, version_delete
from shared import channels, lifecycle
from shared.aws.store import Commit
from tests.functional.conftest import ACCOUNT, TAG, Stage
from tests.functional.events import batch, event
from tests.functional.test_handlers import TICK, disabled, exempt, key, protected

OWED = {"sweep": "owed"}


def rule(days: int, name: str = "tidy") -> Any:
    """A lifecycle rule that deletes versions."""
    return {
        "ID": name,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days},
    }


def put_rules(stage: Stage, *rules: Any) -> None:
    """What the bucket's lifecycle configuration is now."""
    stage.s3.put_bucket_lifecycle_configuration(Bucket="vault", LifecycleConfiguration={"Rules": list(rules)})


def acknowledge(stage: Stage, control: str, why: str = "planned") -> None:
    """What `guardrail ack` does: a commit that owes the message."""
    memory = stage.guard.store.recall(key("vault"), now=stage.now)
    [finding] = [f for f in memory.findings if f.control == control and f.is_open]
    change = lifecycle.acknowledge(finding, by="arn:aws:iam::123456789012:role/ada", why=why, now=stage.now)
    stage.guard.store.commit(
        Commit(
            bucket=key("vault"),
            rev=memory.rev,
            before=memory.last,
            last=memory.last,
            watched=memory.watched,
            event_ids=(),
            transitions=channels.addressed((change,), memory, stage.guard.settings),
            now=stage.now,
        )
    )


def denials(stage: Stage, count: int, start: int = 0, at: datetime | None = None) -> dict[str, Any]:
    """A batch of refused version deletes by one user."""
    return batch(
        *(
            event("delete-object.version-denied", "vault", event_id=f"denied-{n}", at=at or stage.now)
            for n in range(start, start + count)
        )
    )


def test_an_open_finding_is_reminded_of_in_one_digest_until_somebody_acknowledges_it(stage: Stage) -> None:
    stage.bucket("vault")
    stage.bucket("second")
    stage.invoke(sweep.handler, TICK)
    assert len(stage.subjects()) == 2
    stage.later(hours=23)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []
    stage.later(hours=1)
    stage.invoke(sweep.handler, TICK)
    [message] = stage.messages()
    assert message["Subject"] == "[high] News of 2 findings (prod, us-east-1)"
    told = json.loads(message["Message"])["findings"]
    assert [(one["change"], one["bucket"]) for one in told] == [("reminded", "second"), ("reminded", "vault")]
    acknowledge(stage, "mfa-delete-missing")
    stage.invoke(sweep.handler, OWED)
    assert stage.subjects() == ["[acknowledged] MFA delete is not on: vault (prod, us-east-1)"]
    stage.later(hours=25)
    stage.invoke(sweep.handler, TICK)
    [message] = stage.messages()
    assert "vault" not in message["Message"]
    stage.mfa_delete["vault"] = "Enabled"
    stage.invoke(sweep.handler, TICK)
    assert "[resolved] MFA delete is on: vault (prod, us-east-1)" in stage.subjects()


def test_a_critical_finding_is_reminded_of_after_four_hours(stage: Stage) -> None:
    protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage))
    stage.messages()
    stage.later(hours=3)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []
    stage.later(hours=1)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[critical] Still: MFA delete turned OFF: vault (prod, us-east-1)"]


def test_refused_deletes_are_told_at_once_at_the_threshold_and_once_more_in_sum(stage: Stage) -> None:
    protected(stage)
    stage.invoke(version_delete.handler, denials(stage, 9))
    assert stage.subjects() == ["[medium] Version delete refused: vault (prod, us-east-1)"]
    stage.invoke(version_delete.handler, denials(stage, 1, 9))
    assert stage.subjects() == ["[high] Version delete refused, 10 times: vault (prod, us-east-1)"]
    stage.invoke(version_delete.handler, denials(stage, 30, 10))
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []
    stage.later(hours=1)
    stage.invoke(sweep.handler, TICK)
    [message] = stage.messages()
    [told] = json.loads(message["Message"])["findings"]
    assert (told["control"], told["change"], told["count"]) == ("version-delete-denied", "summed", 40)
    stage.later(hours=1)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []


def test_many_at_once_are_high_at_once(stage: Stage) -> None:
    protected(stage)
    stage.invoke(version_delete.handler, denials(stage, 10))
    assert stage.subjects() == ["[high] Version delete refused: vault (prod, us-east-1)"]


def test_deeds_of_an_acknowledged_finding_that_go_on_are_told_again_and_counted_on(stage: Stage) -> None:
    protected(stage)
    stage.invoke(version_delete.handler, denials(stage, 2))
    acknowledge(stage, "version-delete-denied")
    stage.invoke(sweep.handler, OWED)
    stage.messages()
    stage.invoke(version_delete.handler, denials(stage, 1, 2))
    assert stage.subjects() == ["[medium] Version delete refused: vault (prod, us-east-1)"]
    [finding] = stage.guard.store.recall(key("vault"), now=stage.now).findings
    assert (finding.count, finding.status) == (3, "open")


def test_the_runbooks_proof_is_one_alert_and_its_removal_none(stage: Stage) -> None:
    stage.bucket("vault")
    stage.invoke(sweep.handler, TICK)
    stage.mfa_delete["vault"] = "Enabled"
    stage.invoke(bucket_change.handler, event("put-bucket-versioning.root-enables", "vault", at=stage.now))
    stage.messages()
    stage.later(minutes=5)
    stage.invoke(version_delete.handler, batch(event("delete-object.proof-denied", "vault", at=stage.now)))
    [message] = stage.messages()
    assert message["Subject"] == "[proof] Proof received: vault (prod, us-east-1)"
    document = json.loads(message["Message"])
    assert (document["status"], document["is_proof"]) == ("acknowledged", True)
    assert document["title"].startswith("Proof received: refused version deletes are seen")
    stage.invoke(version_delete.handler, batch(event("delete-object.proof-removed", "vault", at=stage.now)))
    stage.later(days=8)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []


def test_anything_beyond_the_proof_is_ordinary(stage: Stage) -> None:
    stage.bucket("vault", mfa_delete="Enabled")
    stage.invoke(sweep.handler, TICK)
    proof, gone = "delete-object.proof-denied", "delete-object.proof-removed"
    stage.invoke(version_delete.handler, batch(event(proof, "vault", at=stage.now)))
    assert stage.subjects() == ["[proof] Proof received: vault (prod, us-east-1)"]
    other = event(gone, "vault", at=stage.now, event_id="other")
    other["detail"]["requestParameters"]["versionId"] = "another"
    stage.invoke(version_delete.handler, batch(other))
    assert stage.subjects() == ["[high] Version deleted for good: vault (prod, us-east-1)"]
    by_root = event("delete-object.version-denied", "vault", at=stage.now, event_id="by root")
    by_root["detail"]["userIdentity"] = event(proof, "vault")["detail"]["userIdentity"]
    stage.invoke(version_delete.handler, batch(by_root))
    assert stage.subjects() == ["[medium] Version delete refused: vault (prod, us-east-1)"]
    stage.later(minutes=16)
    stage.invoke(version_delete.handler, batch(event(gone, "vault", at=stage.now, event_id="late")))
    assert len(stage.guard.store.recall(key("vault"), now=stage.now).findings) == 2


def test_a_rule_that_deletes_versions_is_told_with_who_and_when_and_ends_with_the_rule(stage: Stage) -> None:
    stage.bucket("vault")
    put_rules(stage, rule(30, "old"))
    stage.invoke(sweep.handler, TICK)
    [message] = stage.messages()  # what stood there at enrolment is a line in the finding, not a message
    assert "a lifecycle configuration is in the way" in json.loads(message["Message"])["runbook"]
    put_rules(stage, rule(30, "old"), rule(1))
    stage.invoke(bucket_change.handler, event("put-bucket-lifecycle.expires-noncurrent", "vault", at=stage.now))
    [message] = stage.messages()
    assert message["Subject"] == "[high] Lifecycle rule deletes versions: vault (prod, us-east-1)"
    document = json.loads(message["Message"])
    assert 'rule "tidy" after 1 day(s)' in document["title"]
    assert "2026-09-26 00:00 UTC" in document["title"]
    assert document["principal"].endswith(":user/example-user")
    assert "delete-bucket-lifecycle" in document["runbook"]
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []
    put_rules(stage, rule(30, "old"))
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[resolved] No new lifecycle rule deletes versions: vault (prod, us-east-1)"]


def test_a_rule_that_is_acknowledged_and_then_shortened_is_told_again(stage: Stage) -> None:
    stage.bucket("vault")
    stage.invoke(sweep.handler, TICK)
    put_rules(stage, rule(90))
    stage.invoke(sweep.handler, TICK)
    acknowledge(stage, "lifecycle-expires-versions")
    stage.invoke(sweep.handler, TICK)
    stage.messages()
    put_rules(stage, rule(1))
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[high] Lifecycle rule deletes versions: vault (prod, us-east-1)"]


def test_a_lifecycle_configuration_that_may_not_be_read_is_said_and_the_bucket_is_still_judged(stage: Stage) -> None:
    stage.bucket("vault")
    stage.denied.add(("GetBucketLifecycleConfiguration", "vault"))
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == [
        "[high] MFA delete is not on: vault (prod, us-east-1)",
        "[medium] Bucket may not be read by the guardrail: vault (prod, us-east-1)",
    ]
    stage.denied.clear()
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[resolved] Bucket can be read again: vault (prod, us-east-1)"]


def test_a_root_access_key_is_told_after_its_grace_and_not_if_it_is_gone_by_then(stage: Stage) -> None:
    stage.root["AccountAccessKeysPresent"] = 1
    stage.invoke(sweep.handler, TICK)
    stage.later(minutes=30)
    stage.root["AccountAccessKeysPresent"] = 0
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []
    stage.root["AccountAccessKeysPresent"] = 2  # sometimes it is the count
    stage.invoke(sweep.handler, TICK)
    stage.later(hours=1)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[high] Root has an access key: root user (prod, us-east-1)"]
    stage.root["AccountAccessKeysPresent"] = 0
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[resolved] Root has no access key: root user (prod, us-east-1)"]


@pytest.mark.parametrize(
    ("summary", "device_of", "told"),
    [
        ({"AccountMFAEnabled": 0}, "root", "[high] Root has no device that shows codes: root user (prod, us-east-1)"),
        ({}, "user/ann", "[low] Root has no device that shows codes: root user (prod, us-east-1)"),
        (
            {"AccountMFAEnabled": 0, "AccountPasswordPresent": 0},
            "root",
            "[low] Root has no device that shows codes: root user (prod, us-east-1)",
        ),
    ],
)
def test_a_root_without_codes_is_told(stage: Stage, summary: dict[str, int], device_of: str, told: str) -> None:
    stage.root |= summary
    stage.root_device = f"arn:aws:iam::{ACCOUNT}:{device_of}"
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == [told]


def test_iam_that_refuses_is_unverifiable(stage: Stage) -> None:
    stage.denied.add(("GetAccountSummary", ""))
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[medium] Bucket may not be read by the guardrail: root user (prod, us-east-1)"]


def test_both_accounts_copies_of_one_call_are_one_finding(stage: Stage) -> None:
    protected(stage)
    name = "delete-object.version-denied-cross-account"
    copies = [event(name, "vault", at=stage.now, event_id=f"copy-{n}") for n in range(2)]
    assert copies[0]["detail"]["sharedEventID"] == copies[1]["detail"]["sharedEventID"]
    stage.invoke(version_delete.handler, batch(copies[0]))
    stage.invoke(version_delete.handler, batch(copies[1]))
    [finding] = stage.guard.store.recall(key("vault"), now=stage.now).findings
    assert (finding.count, len(stage.subjects())) == (1, 1)


def test_another_accounts_bucket_is_not_looked_at(stage: Stage) -> None:
    theirs = event("delete-object.version-denied", "vault", at=stage.now)
    theirs["detail"]["resources"] = [
        {"accountId": "444455556666", "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::vault"}
    ]
    stage.calls.clear()
    stage.invoke(version_delete.handler, batch(theirs))
    assert stage.calls == []


def test_many_unprotected_buckets_at_first_are_six_messages_with_every_name(stage: Stage) -> None:
    names = [stage.bucket(f"vault-{n:03}") for n in range(60)]
    stage.invoke(sweep.handler, TICK)
    messages = stage.messages()
    assert len(messages) <= 6
    told = " ".join(message["Subject"] + message["Message"] for message in messages)
    assert all(name in told for name in names)
    stage.later(minutes=5)
    stage.invoke(sweep.handler, OWED)
    assert stage.subjects() == []


def test_root_turning_off_many_buckets_in_five_minutes_is_few_messages_the_first_at_once(stage: Stage) -> None:
    names = [stage.bucket(f"vault-{n:03}", mfa_delete="Enabled") for n in range(40)]
    stage.invoke(sweep.handler, TICK)
    first = stage.invoke(bucket_change.handler, disabled(stage, names[0], event_id="first", at=stage.now))
    assert first["sent"] == 1
    for number, name in enumerate(names[1:]):
        stage.later(seconds=7.5)
        stage.invoke(bucket_change.handler, disabled(stage, name, event_id=f"off-{number}", at=stage.now))
        if number in {14, 38}:
            stage.invoke(sweep.handler, OWED)
    for _ in range(4):
        stage.later(minutes=5)
        stage.invoke(sweep.handler, OWED)
    messages = stage.messages()
    assert len(messages) <= 10
    told = " ".join(message["Subject"] + message["Message"] for message in messages)
    assert all(name in told for name in names)


def test_an_hour_has_no_more_than_twenty_messages_and_nothing_is_lost(stage: Stage) -> None:
    names = [stage.bucket(f"vault-{n:02}") for n in range(40)]
    for number, name in enumerate(names):
        made = event("create-bucket.with-tags", name, event_id=f"made-{number}", at=stage.now)
        made["detail"]["requestParameters"]["bucketName"] = name
        stage.invoke(bucket_change.handler, made)
    assert len(stage.messages()) == 15
    rest = []
    for _ in range(6):
        stage.later(minutes=5)
        stage.invoke(sweep.handler, OWED)
        rest += stage.messages()
    assert len(rest) <= 5
    assert stage.guard.store.owed() == []


def test_what_a_finding_was_is_kept_for_four_hundred_days(stage: Stage) -> None:
    protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage))
    acknowledge(stage, "mfa-delete-disabled", why="CHG-42")
    exempt(stage, "vault", "2026-09-26", "migration")
    stage.invoke(sweep.handler, TICK)
    found = boto3.client("dynamodb").query(
        TableName="guardrail", KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": "history"}}
    )["Items"]
    docs = [json.loads(item["doc"]["S"]) for item in found]
    changes = [[(c["finding"]["control"], c["change"]) for c in doc["changes"]] for doc in docs]
    assert changes == [
        [],  # first seen, protected
        [("mfa-delete-disabled", "opened")],
        [("mfa-delete-disabled", "acknowledged")],
        [("exception-set", "opened"), ("mfa-delete-disabled", "exempted")],
    ]
    assert [(doc["before"] or {}).get("verdict") for doc in docs] == [None, "protected", "unprotected", "unprotected"]
    assert docs[2]["changes"][0]["finding"]["why"] == "CHG-42"
    keep = timedelta(seconds=int(found[-1]["expires_at"]["N"]) - stage.now.timestamp())
    assert keep == timedelta(days=400)


def test_an_exception_that_is_lengthened_or_removed_within_the_hour_is_told_again(stage: Stage) -> None:
    protected(stage)
    for number, until in enumerate(["2026-09-26", "2026-12-01", None]):
        if until:
            exempt(stage, "vault", until, "migration")
        else:
            stage.s3.put_bucket_tagging(Bucket="vault", Tagging={"TagSet": [TAG]})
        changed = event("put-bucket-tagging.single-tag", "vault", event_id=f"tags-{number}", at=stage.now)
        stage.invoke(bucket_change.handler, changed)
        stage.later(minutes=2)
    titles = [json.loads(message["Message"])["title"] for message in stage.messages()]
    assert [title.partition("was changed: ")[2] for title in titles] == [
        'until "2026-09-26", because "migration".',
        'until "2026-12-01", because "migration".',
        "removed.",
    ]
