"""The three handlers on moto: what goes out, what is kept, what is asked of AWS."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from handlers import bucket_change, sweep, version_delete
from shared.facts import BucketKey, Tags
from tests.functional.conftest import ACCOUNT, TAG, Stage
from tests.functional.events import batch, event

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import TagTypeDef

TICK = {"sweep": "scheduled"}
ROOT = ["Query", "GetAccountSummary", "ListVirtualMFADevices"]
NOTHING_OWED = ["Query", "GetTopicAttributes", "GetItem"]


def protected(stage: Stage, name: str = "vault") -> str:
    """A bucket that the guardrail has seen protected."""
    stage.bucket(name, mfa_delete="Enabled")
    stage.invoke(sweep.handler, TICK)
    return name


def disabled(stage: Stage, name: str = "vault", **changes: Any) -> dict[str, Any]:
    """Root turned it off: S3's answer changes, and the event comes."""
    stage.mfa_delete[name] = "Disabled"
    return event("put-bucket-versioning.root-disables", name, **changes)


def test_a_turn_off_by_root_is_told_once_as_critical(stage: Stage) -> None:
    bucket = protected(stage)
    stage.invoke(bucket_change.handler, disabled(stage))
    assert stage.subjects() == [f"[critical] MFA delete turned OFF: {bucket} (prod, us-east-1)"]
    stage.invoke(sweep.handler, TICK)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []


def test_the_same_event_twice_counts_once(stage: Stage) -> None:
    protected(stage)
    first = stage.invoke(version_delete.handler, batch(event("delete-object.version-denied", "vault")))
    again = stage.invoke(version_delete.handler, batch(event("delete-object.version-denied", "vault")))
    assert (first["duplicates"], again["duplicates"]) == (0, 1)
    assert len(stage.subjects()) == 1
    memory = stage.guard.store.recall(key("vault"), now=stage.now)
    assert [finding.count for finding in memory.findings] == [1]


def key(name: str) -> BucketKey:
    """A bucket of moto's account."""
    return BucketKey(account=ACCOUNT, region="us-east-1", name=name)


def test_turning_it_on_sends_one_resolved(stage: Stage) -> None:
    stage.bucket("vault")
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[high] MFA delete is not on: vault (prod, us-east-1)"]
    stage.mfa_delete["vault"] = "Enabled"
    stage.invoke(bucket_change.handler, event("put-bucket-versioning.root-enables", "vault"))
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[resolved] MFA delete is on: vault (prod, us-east-1)"]


def test_off_and_on_before_we_looked_is_told_and_resolved_by_the_next_sweep(stage: Stage) -> None:
    protected(stage)
    stage.invoke(bucket_change.handler, event("put-bucket-versioning.root-disables", "vault"))
    assert [subject.split("]")[0] for subject in stage.subjects()] == ["[critical"]
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[resolved] MFA delete is on again: vault (prod, us-east-1)"]


def test_a_bucket_without_the_tag_sends_nothing_and_costs_two_requests(stage: Stage) -> None:
    stage.bucket("other", tagged=False)
    stage.calls.clear()
    stage.invoke(bucket_change.handler, event("put-bucket-versioning.root-disables", "other"))
    assert stage.calls == ["Query", "GetBucketTagging"]
    stage.invoke(version_delete.handler, batch(event("delete-object.version-deleted-by-root", "other")))
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []


def test_an_event_on_an_enrolled_bucket_asks_as_little_as_it_can(stage: Stage) -> None:
    protected(stage)
    payload = disabled(stage)
    stage.calls.clear()
    stage.invoke(bucket_change.handler, payload)
    s3_and_table = ["Query", "GetBucketTagging", "GetBucketVersioning", "TransactWriteItems"]
    to_send = ["GetBucketLifecycleConfiguration", "Publish", "DeleteItem"]  # its place is taken by the transaction
    assert stage.calls == [*s3_and_table, *to_send]
    protected(stage, "second")
    payload = disabled(stage, "second", event_id="second")
    stage.calls.clear()
    stage.invoke(bucket_change.handler, payload)
    assert stage.calls == [*s3_and_table, *to_send]


def test_a_refused_delete_asks_as_little_as_it_can(stage: Stage) -> None:
    protected(stage)
    stage.calls.clear()
    stage.invoke(version_delete.handler, batch(event("delete-object.version-denied", "vault", at=stage.now)))
    asked = ["Query", "GetBucketTagging", "GetBucketVersioning", "TransactWriteItems", "Publish", "DeleteItem"]
    assert stage.calls == asked


def test_an_event_that_changes_nothing_costs_two_requests_to_s3_and_two_to_the_table(stage: Stage) -> None:
    protected(stage)
    stage.calls.clear()
    stage.invoke(bucket_change.handler, event("put-bucket-versioning.root-enables", "vault", at=stage.now))
    assert stage.calls == ["Query", "GetBucketTagging", "GetBucketVersioning", "TransactWriteItems"]


def test_a_cold_start_soon_after_another_alert_costs_one_transaction_more(stage: Stage) -> None:
    for name in ("vault", "second"):
        protected(stage, name)
    stage.invoke(bucket_change.handler, disabled(stage))
    stage.guard.teller.know(None)  # as in another function that starts now
    payload = disabled(stage, "second", event_id="second")
    stage.calls.clear()
    stage.invoke(bucket_change.handler, payload)
    asked = ["Query", "GetBucketTagging", "GetBucketVersioning", "TransactWriteItems", "TransactWriteItems"]
    assert stage.calls == [*asked, "GetBucketLifecycleConfiguration", "Publish", "DeleteItem"]
    assert len(stage.subjects()) == 2
    assert stage.guard.store.owed() == []


def test_a_sweep_that_finds_no_change_writes_nothing_about_buckets(stage: Stage) -> None:
    protected(stage)
    stage.calls.clear()
    stage.invoke(sweep.handler, TICK)
    assert stage.calls == [*ROOT, "GetBucketVersioning", *NOTHING_OWED]


def test_a_refused_read_is_unverifiable_and_never_missing(stage: Stage) -> None:
    protected(stage)
    stage.denied.add(("GetBucketVersioning", "vault"))
    stage.invoke(sweep.handler, TICK)
    [message] = stage.messages()
    assert message["Subject"] == "[high] Bucket may not be read by the guardrail: vault (prod, us-east-1)"
    assert json.loads(message["Message"])["control"] == "state-unverifiable"
    stage.denied.clear()
    stage.mfa_delete["vault"] = "Disabled"
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == [
        "[critical] MFA delete turned OFF: vault (prod, us-east-1)",  # the drift is not forgotten meanwhile
        "[resolved] Bucket can be read again: vault (prod, us-east-1)",
    ]


def test_refused_tags_of_a_listed_bucket_are_unverifiable(stage: Stage) -> None:
    stage.bucket("vault")
    stage.denied |= {("GetBucketVersioning", "vault"), ("GetBucketTagging", "vault")}
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[medium] Bucket may not be read by the guardrail: vault (prod, us-east-1)"]


def test_the_sweep_reads_tags_live_before_it_believes_the_tagging_api(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.bucket("ghost", tagged=False)

    class Ghosts:
        def buckets(self) -> list[tuple[str, Tags]]:
            return [("ghost", Tags(tagged=True)), ("long-gone", Tags(tagged=True))]

    monkeypatch.setattr(stage.guard, "enrolment", lambda _place: Ghosts())
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []


def test_a_bucket_missing_from_the_tagging_api_is_still_judged(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    protected(stage)

    class Late:
        def buckets(self) -> list[tuple[str, Tags]]:
            return []

    monkeypatch.setattr(stage.guard, "enrolment", lambda _place: Late())
    stage.mfa_delete["vault"] = "Disabled"
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[critical] MFA delete turned OFF: vault (prod, us-east-1)"]


def test_a_deleted_bucket_ends_its_findings_without_calling_them_resolved(stage: Stage) -> None:
    stage.bucket("vault")
    stage.invoke(sweep.handler, TICK)
    stage.messages()
    stage.s3.delete_bucket(Bucket="vault")
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[critical] Bucket is gone: vault (prod, us-east-1)"]
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []


def exempt(stage: Stage, name: str, until: str, reason: str) -> None:
    """Set the two tags of an exception beside the protection tag."""
    tags: list[TagTypeDef] = [TAG]
    for tag, value in {"mfa-delete-exempt-until": until, "mfa-delete-exempt-reason": reason}.items():
        tags.append({"Key": tag, "Value": value})
    stage.s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})


def test_planned_work_is_told_once_pages_nobody_and_ends_by_itself(stage: Stage) -> None:
    protected(stage)
    exempt(stage, "vault", "2026-09-25", "migration")
    stage.invoke(bucket_change.handler, event("put-bucket-tagging.single-tag", "vault", at=stage.now))
    stage.invoke(bucket_change.handler, disabled(stage, at=stage.now))
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[medium] Exception changed: vault (prod, us-east-1)"]
    stage.later(days=1)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[high] MFA delete is not on: vault (prod, us-east-1)"]
    stage.later(hours=1)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []


def test_an_exempt_bucket_is_not_written_at_each_sweep(stage: Stage) -> None:
    stage.bucket("vault")
    exempt(stage, "vault", "2026-10-01", "migration")
    stage.invoke(sweep.handler, TICK)
    stage.calls.clear()
    stage.invoke(sweep.handler, TICK)
    assert stage.calls == [*ROOT, "GetBucketVersioning", "GetBucketLifecycleConfiguration", *NOTHING_OWED]


def test_a_removed_tag_is_told_and_the_bucket_stays_judged_for_thirty_days(stage: Stage) -> None:
    protected(stage)
    stage.s3.delete_bucket_tagging(Bucket="vault")
    stage.invoke(bucket_change.handler, event("delete-bucket-tagging.root-in-console", "vault", at=stage.now))
    assert stage.subjects() == ["[high] Protection tag removed: vault (prod, us-east-1)"]
    stage.later(days=29)
    stage.invoke(version_delete.handler, batch(event("delete-object.version-deleted-by-user", "vault", at=stage.now)))
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == [
        "[high] Version deleted for good: vault (prod, us-east-1)",
        "[high] Still: Protection tag removed: vault (prod, us-east-1)",
    ]
    stage.later(days=2)
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[expired] No longer watched: vault (prod, us-east-1)"]
    stage.mfa_delete["vault"] = "Disabled"
    stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == []


def test_a_bucket_made_again_starts_anew(stage: Stage) -> None:
    protected(stage)
    stage.s3.delete_bucket(Bucket="vault")
    stage.invoke(bucket_change.handler, event("delete-bucket.done", "vault", at=stage.now))
    assert stage.subjects() == ["[critical] Bucket is gone: vault (prod, us-east-1)"]
    del stage.mfa_delete["vault"]
    stage.bucket("vault")
    stage.invoke(sweep.handler, TICK)
    [message] = stage.messages()
    assert message["Subject"] == "[high] MFA delete is not on: vault (prod, us-east-1)"


def test_what_is_owed_waits_for_a_listener_and_is_paid_by_the_first_sweep_that_finds_one(
    stage: Stage,
) -> None:
    stage.listens = False
    stage.bucket("vault")
    assert stage.invoke(sweep.handler, TICK)["still_owed"] == 1
    protected_now = stage.bucket("second")
    stage.invoke(bucket_change.handler, event("put-bucket-versioning.root-disables", protected_now))
    stage.messages()  # SNS took it, but nobody was there
    stage.listens = True
    assert stage.invoke(sweep.handler, TICK)["sent"] == 2
    assert [subject.split(" ")[0] for subject in stage.subjects()] == ["[critical]", "[high]"]
    stage.later(hours=1)
    assert stage.invoke(sweep.handler, TICK)["sent"] == 0


def test_an_alert_that_sns_refused_stays_owed_and_the_retry_pays(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    protected(stage)
    payload = disabled(stage)
    with monkeypatch.context() as patch:
        patch.setattr(stage.guard.topic, "publish", refuse)
        with pytest.raises(ExceptionGroup, match="1 things could not be done"):
            stage.invoke(bucket_change.handler, payload)
    assert stage.subjects() == []
    stage.later(minutes=1)
    answer = stage.invoke(bucket_change.handler, payload)
    assert answer["sent"] == 1
    assert len(stage.subjects()) == 1
    stage.later(minutes=1)
    assert stage.invoke(bucket_change.handler, payload)["sent"] == 0


def refuse(*_: Any) -> None:
    """SNS is down."""
    raise ClientError({"Error": {"Code": "InternalError", "Message": "down"}}, "Publish")


def test_an_alert_left_by_a_crash_is_paid_by_the_next_sweep(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    protected(stage)
    payload = disabled(stage)
    with monkeypatch.context() as patch:
        patch.setattr(stage.guard, "tell", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stage.invoke(bucket_change.handler, payload)
    stage.later(minutes=1)
    assert stage.invoke(sweep.handler, TICK)["sent"] == 0  # it could still be on its way
    stage.later(minutes=2)
    assert stage.invoke(sweep.handler, TICK)["sent"] == 1


def interrupt(*_: Any, **__: Any) -> None:
    """The function dies between storing and sending."""
    raise KeyboardInterrupt


def test_many_findings_at_once_are_five_alerts_and_one_digest_with_every_name(stage: Stage) -> None:
    names = [stage.bucket(f"vault-{n:02}") for n in range(12)]
    stage.invoke(sweep.handler, TICK)
    messages = stage.messages()
    assert len(messages) == 6
    assert messages[-1]["Subject"] == "[high] 7 more findings (prod, us-east-1)"
    told = " ".join(message["Subject"] + message["Message"] for message in messages)
    assert all(name in told for name in names)


USELESS = [
    {},
    {"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "detail": None},
    {"source": "aws.ec2", "detail-type": "AWS API Call via CloudTrail", "detail": {"eventSource": "ec2.amazonaws.com"}},
]


@pytest.mark.parametrize("useless", USELESS)
def test_a_useless_event_goes_to_the_dead_letters_once_with_its_reason(stage: Stage, useless: dict[str, Any]) -> None:
    answer = stage.invoke(bucket_change.handler, useless)
    [(body, attributes)] = stage.drain(stage.env["DEAD_LETTER_URL"])
    assert json.loads(body) == useless
    assert attributes["reason"] == answer["rejected"][0]


@pytest.mark.parametrize("useless", [*USELESS, "no json", "[]", '"text"'])
def test_a_useless_message_does_not_hold_up_its_batch(stage: Stage, useless: Any) -> None:
    protected(stage)
    answer = stage.invoke(version_delete.handler, batch(useless, event("delete-object.version-denied", "vault")))
    assert (len(answer["rejected"]), answer["batchItemFailures"]) == (1, [])
    assert len(stage.drain(stage.env["DEAD_LETTER_URL"])) == 1
    assert len(stage.subjects()) == 1


def test_an_event_without_request_parameters_is_rejected_with_a_reason(stage: Stage) -> None:
    answer = stage.invoke(
        bucket_change.handler,
        event("put-bucket-versioning.root-disables", "vault", requestParameters=None, resources=[]),
    )
    assert answer["rejected"] == ["no bucket is named"]


def test_a_large_event_is_settled_and_its_alert_is_small(stage: Stage) -> None:
    protected(stage)
    large = event("delete-object.version-denied", "vault", userAgent="x" * 250_000)
    stage.invoke(version_delete.handler, batch(large))
    [message] = stage.messages()
    assert len(message["Message"]) < 20_000


def test_a_sweep_by_hand_needs_its_input(stage: Stage) -> None:
    assert stage.invoke(sweep.handler, {})["rejected"]
    assert stage.invoke(sweep.handler, {"sweep": "by hand"})["rejected"] == []


def test_two_functions_at_once_settle_one_after_the_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    protected(stage)
    payload = disabled(stage)
    real = stage.guard.buckets.read
    raced: list[bool] = []

    def read(bucket: BucketKey, **how: Any) -> Any:
        reading = real(bucket, **how)
        if not raced:
            raced.append(True)
            stage.invoke(sweep.handler, TICK)  # the sweep settles between our reading and our writing
        return reading

    monkeypatch.setattr(stage.guard.buckets, "read", read)
    stage.invoke(bucket_change.handler, payload)
    assert stage.subjects() == ["[critical] MFA delete turned OFF: vault (prod, us-east-1)"]
    [finding] = stage.guard.store.recall(key("vault"), now=stage.now).findings
    assert finding.principal is not None  # the event, which came second, says who


def test_one_unreachable_bucket_does_not_stop_the_sweep_and_is_loud(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.bucket("first")
    stage.bucket("second")
    real = stage.guard.buckets.versioning

    def versioning(bucket: BucketKey, tags: Any, **how: Any) -> Any:
        if bucket.name == "first":
            refuse()
        return real(bucket, tags, **how)

    monkeypatch.setattr(stage.guard.buckets, "versioning", versioning)
    with pytest.raises(ExceptionGroup, match="1 things could not be done"):
        stage.invoke(sweep.handler, TICK)
    assert stage.subjects() == ["[high] MFA delete is not on: second (prod, us-east-1)"]
