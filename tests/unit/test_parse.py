"""Raw events: what is read out of them, and what is refused with which reason."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import parse
from shared.facts import BUCKET_CALLS, BadEvent, Cause, MfaDelete, Outcome, Trigger, Versioning
from tests.unit.cases import EVENTS, load, trigger_of

SAMPLES = sorted((Path(__file__).parent / "cloudtrail_samples").glob("*.json"))

CHANGES = BUCKET_CALLS
DELETES = {"DeleteObject", "DeleteObjects"}


def enveloped(record: dict[str, Any]) -> dict[str, Any]:
    """A bare record as EventBridge would deliver it."""
    source = record["eventSource"].split(".")[0]
    return {"source": f"aws.{source}", "detail-type": "AWS API Call via CloudTrail", "detail": record}


def parsed(event: dict[str, Any]) -> Trigger | str:
    """The trigger, or why there is none."""
    for read in (parse.bucket_change, parse.version_delete):
        try:
            return read(event)
        except BadEvent as bad:
            reason = str(bad)
    return reason


def test_there_are_42_samples() -> None:
    assert len(SAMPLES) == 42


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_each_sample_parses_or_is_rejected_with_a_stated_reason(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    result = parsed(enveloped(record))
    named = bool((record.get("requestParameters") or {}).get("versionId"))
    refused_batch = record["eventName"] == "DeleteObjects" and "errorCode" in record
    ours = record["eventName"] in CHANGES or (record["eventName"] == "DeleteObject" and named) or refused_batch
    if ours:
        assert isinstance(result, Trigger)
        assert result.bucket.name == record["requestParameters"]["bucketName"]
        assert result.event_ids == (record.get("sharedEventID", record["eventID"]),)
    elif record["eventSource"] != "s3.amazonaws.com":
        assert result == "the event is not an S3 API call via CloudTrail"
    elif record["eventName"] == "DeleteObject":
        assert result == "DeleteObject without a versionId: it only adds a delete marker"
    else:
        assert result == f'eventName "{record["eventName"]}" is not a version delete that we subscribe to'


@pytest.mark.parametrize(
    ("name", "outcome", "cause"),
    [
        ("delete-object.version-denied", Outcome.DENIED, Cause.MFA),
        ("delete-object.version-denied-owner-only", Outcome.DENIED, Cause.MFA),
        ("delete-object.version-denied-code-invalid", Outcome.DENIED, Cause.MFA),
        ("delete-object.version-denied-wrong-device", Outcome.DENIED, Cause.MFA),
        ("delete-object.version-denied-object-lock", Outcome.DENIED, Cause.OBJECT_LOCK),
        ("delete-object.version-denied-policy", Outcome.DENIED, Cause.POLICY),
        ("delete-object.version-denied-cross-account", Outcome.DENIED, Cause.UNKNOWN),
        ("delete-objects.denied", Outcome.DENIED, Cause.MFA),
        ("delete-object.slow-down", Outcome.FAILED, Cause.NONE),
        ("delete-objects.malformed", Outcome.FAILED, Cause.NONE),
        ("delete-object.version-deleted-by-root", Outcome.DONE, Cause.NONE),
        ("object-deleted.permanently", Outcome.DONE, Cause.NONE),
        ("put-bucket-versioning.temporary-credentials", Outcome.DENIED, Cause.MFA),
    ],
)
def test_outcome_and_cause(name: str, outcome: Outcome, cause: Cause) -> None:
    trigger = trigger_of(f"{name}.json")
    assert (trigger.outcome, trigger.cause) == (outcome, cause)


def test_an_error_code_nobody_knows_is_taken_for_a_refusal() -> None:
    event = load("delete-object.version-denied.json")
    event["detail"] |= {"errorCode": "SomethingNew", "errorMessage": "No."}
    trigger = parse.version_delete(event)
    assert (trigger.outcome, trigger.cause) == (Outcome.DENIED, Cause.UNKNOWN)


@pytest.mark.parametrize("code", ["InvalidRequest", "InvalidArgument"])
@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("Mfa header is invalid -- the header should be formatted as {serialNumber}(space){tokenCode}", Outcome.DENIED),
        ("DevPay and Mfa are mutually exclusive authorization methods.", Outcome.DENIED),
        ("Invalid version id specified", Outcome.FAILED),
    ],
)
def test_a_bad_request_is_a_refusal_only_with_an_mfa_text(code: str, message: str, outcome: Outcome) -> None:
    event = load("delete-object.version-denied.json")
    event["detail"] |= {"errorCode": code, "errorMessage": message}
    assert parse.version_delete(event).outcome is outcome


def test_root_is_root_and_a_role_is_named_without_its_session() -> None:
    root = trigger_of("put-bucket-versioning.root-disables.json").principal
    role = trigger_of("put-bucket-versioning.suspended-in-console.json").principal
    assert root is not None
    assert root.is_root
    assert role is not None
    assert not role.is_root
    assert ":role/" in role.id
    assert role.session
    assert role.session not in role.id


def test_a_caller_without_an_arn_still_has_a_name() -> None:
    principal = trigger_of("delete-object.version-denied-cross-account.json").principal
    assert principal is not None
    assert "444455556666" in principal.id


def test_what_was_asked_is_read_in_both_spellings_and_shapes() -> None:
    event = load("put-bucket-versioning.root-disables.json")
    assert parse.bucket_change(event).asked_mfa_delete is MfaDelete.DISABLED
    configuration = event["detail"]["requestParameters"]["VersioningConfiguration"]
    configuration["MFADelete"] = configuration.pop("MfaDelete")
    event["detail"]["requestParameters"]["VersioningConfiguration"] = [configuration]
    trigger = parse.bucket_change(event)
    assert (trigger.asked_status, trigger.asked_mfa_delete) == (Versioning.ENABLED, MfaDelete.DISABLED)


@pytest.mark.parametrize(
    "name",
    [
        "arn:aws:s3:us-east-1:111122223333:accesspoint/vault-point",
        "vault-point-abcdefghijklmnopqrstuvwxyz1-s3alias",  # pragma: allowlist secret - an alias
        "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
    ],
)
def test_an_access_point_is_traced_to_its_bucket(name: str) -> None:
    event = load("delete-object.version-denied.json")
    event["detail"]["requestParameters"]["bucketName"] = name
    assert parse.version_delete(event).bucket.name == "example-protected-bucket"


def test_codes_in_error_texts_are_redacted() -> None:
    trigger = trigger_of("delete-object.version-denied-wrong-device.json")
    assert "123456" not in trigger.error_message
    assert "[code]" in trigger.error_message


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "detail is null": ({"detail": None}, "detail is not a CloudTrail record"),
    "another source": ({"source": "aws.ec2"}, "the event is not an S3 API call via CloudTrail"),
    "another event source": ({"detail": {"eventSource": "sns.amazonaws.com"}}, "is not s3.amazonaws.com"),
    "no time": ({"eventTime": None}, "is not ISO 8601"),
    "no event id": ({"eventID": None}, "eventID is missing"),
    "no request parameters": ({"requestParameters": None, "resources": None}, "no bucket is named"),
    "a hostile bucket name": ({"requestParameters": {"bucketName": "a b\n;rm"}}, "is not a bucket name"),
    "a hostile Region": ({"awsRegion": "us-east-1;rm"}, "is not a Region"),
    "a hostile account": ({"recipientAccountId": "1; rm"}, "account id"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_event_is_rejected_with_its_reason(case: str) -> None:
    changes, reason = BAD[case]
    event = load("put-bucket-versioning.root-disables.json")
    outer = {"detail", "source"} & set(changes)
    (event if outer else event["detail"]).update(changes)
    with pytest.raises(BadEvent, match=reason):
        parse.bucket_change(event)


def test_the_dedupe_id_of_s3s_own_event_names_request_key_and_version() -> None:
    event = load("object-deleted.permanently.json")
    other = copy.deepcopy(event)
    other["detail"]["object"]["key"] = "another"
    assert parse.version_delete(event).event_ids != parse.version_delete(other).event_ids
    assert parse.version_delete(event).event_ids == parse.version_delete(copy.deepcopy(event)).event_ids


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
MEMBERS = [
    "eventName",
    "eventTime",
    "userIdentity",
    "requestParameters",
    "resources",
    "errorCode",
    "awsRegion",
    "object",
]


@given(json_values)
def test_any_json_is_a_trigger_or_a_typed_rejection(value: Any) -> None:
    for read in (parse.bucket_change, parse.version_delete, parse.sweep):
        try:
            read(value)
        except BadEvent as bad:
            assert str(bad)  # noqa: PT017  # the reason is the claim


@given(st.sampled_from(sorted(path.name for path in EVENTS.glob("*.json"))), st.sampled_from(MEMBERS), json_values)
def test_any_member_may_be_anything(name: str, member: str, value: Any) -> None:
    event = load(name)
    event.setdefault("detail", {})[member] = value
    assert parsed(event)


def test_a_record_of_another_account_than_the_envelopes_is_forged() -> None:
    found = load("put-bucket-versioning.root-disables.json")
    assert parse.bucket_change(found).recipient == "111122223333"
    with pytest.raises(BadEvent, match="account \"444455556666\"'s, its record is account 111122223333's"):
        parse.bucket_change(found | {"account": "444455556666"})


def test_the_account_of_the_envelope_counts_whatever_the_record_calls_so() -> None:
    found = load("put-bucket-versioning.root-disables.json")
    detail = {key: value for key, value in found["detail"].items() if key not in {"recipientAccountId", "resources"}}
    trigger = parse.bucket_change(found | {"detail": detail | {"account": "444455556666"}})
    assert (trigger.bucket.account, trigger.recipient) == ("111122223333", "111122223333")
