"""The rules' event patterns, read out of template.yaml, against events that must and must not match."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.records import is_subscribed
from tests.template.events import Event, by_cloudtrail

Template = dict[str, Any]

CHANGE, SETTING = "BucketChangeRule", "BucketSettingRule"
DELETE, S3_OWN = "VersionDeleteRule", "ObjectDeletedRule"
OF_BUCKETS = {CHANGE, SETTING, DELETE, S3_OWN}
TELLS, TRAIL = "BucketNotificationRule", "TrailTamperRule"
FED_BY_ROWS_HERE = OF_BUCKETS | {TELLS, TRAIL}
"""The others have their rows in test_tamper_patterns.py."""
WITHOUT_A_FILE = {
    *("TargetTamperRule", "ScheduleTamperRule", "QueueTamperRule", "TableTamperRule", "KeyTamperRule"),
    *("AlarmTamperRule", "TopicTamperRule", "RoleTamperRule", "OwnTrailTamperRule", "BusTamperRule"),
}
"""Read by the same parser as the other tamper rules, whose files stand for these."""

# What the name of a file in events/ begins with, and the rule that must take it. The first that fits counts.
EVENT_FILES: tuple[tuple[str, set[str]], ...] = (
    ("put-bucket-versioning.", {CHANGE}),
    ("create-bucket.", {SETTING}),
    ("delete-bucket.", {SETTING}),
    ("delete-bucket-tagging.", {SETTING}),
    ("put-bucket-tagging.", {SETTING}),
    ("put-bucket-policy.", {SETTING}),
    ("put-bucket-lifecycle.", {SETTING}),
    ("delete-bucket-lifecycle.", {SETTING}),
    ("tag-resource.bucket.", {SETTING}),
    ("tag-resource.access-point.", set()),
    ("untag-resource.", {SETTING}),
    ("delete-object.marker-created.", set()),
    ("delete-object.plain.", set()),
    ("delete-object.marker-removed.", {DELETE}),
    ("delete-object.proof-", {DELETE}),
    ("delete-object.slow-down.", {DELETE}),
    ("delete-object.version-", {DELETE}),
    ("delete-objects.denied", {DELETE}),
    ("delete-objects.malformed.", {DELETE}),
    ("delete-objects.partial-failure.", set()),
    ("object-deleted.permanently.", {S3_OWN}),
    ("object-deleted.marker-created.", set()),
    ("object-deleted.unversioned.", set()),
    ("put-bucket-notification.done.", {TELLS}),
    ("stop-logging.done.", {TRAIL}),  # a trail that is not the stack's own
    ("stop-logging.denied.", set()),
    ("start-logging.done.", {TRAIL}),
    ("disable-rule.our-rule.", {"RuleTamperRule"}),
    ("update-function-code.our-function.", {"FunctionTamperRule"}),
    ("execute-change-set.done.", {"DeployRule"}),
    ("delete-stack.done.", {"StackDeletionRule"}),
    ("schedule.", set()),
    ("health.", set()),
    ("drill.", set()),
)


def by_s3(deletion: str = "Permanently Deleted", *, kind: str = "Object Deleted", **members: Any) -> Event:
    """S3's own event."""
    detail = {"bucket": {"name": "b"}, "object": {"key": "k", **members}, "deletion-type": deletion}
    return {"source": "aws.s3", "detail-type": kind, "detail": detail}


PLAIN = {"bucketName": "b", "key": "k"}
VERSION = {**PLAIN, "versionId": "v"}
RESOURCE = {"bucketName": "b", "resource": "arn:aws:s3:::b"}
POINT = "arn:aws:s3:us-east-1:111122223333:accesspoint/p"
EXPRESS = "s3express.amazonaws.com"
BY_A_PERSON = {"sourceIPAddress": "203.0.113.9"}
BY_CLOUDFORMATION = {"sourceIPAddress": "cloudformation.amazonaws.com"}
REFUSED = {"errorCode": "AccessDenied", "errorMessage": "Mfa Authentication must be used for this request"}

ROWS: tuple[tuple[str, Event, set[str]], ...] = (
    # must match
    ("versioning changed", by_cloudtrail("PutBucketVersioning"), {CHANGE}),
    ("versioning change refused", by_cloudtrail("PutBucketVersioning", **REFUSED), {CHANGE}),
    ("no request parameters", by_cloudtrail("PutBucketVersioning", requestParameters=None), {CHANGE}),
    ("version deleted", by_cloudtrail("DeleteObject", requestParameters=VERSION), {DELETE}),
    ("version delete refused", by_cloudtrail("DeleteObject", requestParameters=VERSION, **REFUSED), {DELETE}),
    ("null version", by_cloudtrail("DeleteObject", requestParameters={**PLAIN, "versionId": "null"}), {DELETE}),
    ("batch refused", by_cloudtrail("DeleteObjects", **REFUSED), {DELETE}),
    ("batch refused, names nothing", by_cloudtrail("DeleteObjects", requestParameters=None, **REFUSED), {DELETE}),
    ("batch too fast", by_cloudtrail("DeleteObjects", errorCode="SlowDown"), {DELETE}),
    ("S3 says a version is gone", by_s3(**{"version-id": "v"}), {S3_OWN}),
    ("bucket made", by_cloudtrail("CreateBucket"), {SETTING}),
    ("bucket deleted", by_cloudtrail("DeleteBucket"), {SETTING}),
    ("tags replaced", by_cloudtrail("PutBucketTagging"), {SETTING}),
    ("tags removed", by_cloudtrail("DeleteBucketTagging"), {SETTING}),
    ("tagged by S3 Control", by_cloudtrail("TagResource", requestParameters=RESOURCE), {SETTING}),
    ("untagged by S3 Control", by_cloudtrail("UntagResource", requestParameters=RESOURCE), {SETTING}),
    ("tagging handed to TagResource", by_cloudtrail("PutBucketAbac"), {SETTING}),
    ("policy set", by_cloudtrail("PutBucketPolicy"), {SETTING}),
    ("policy removed", by_cloudtrail("DeleteBucketPolicy"), {SETTING}),
    ("lifecycle set", by_cloudtrail("PutBucketLifecycle"), {SETTING}),
    ("lifecycle removed", by_cloudtrail("DeleteBucketLifecycle"), {SETTING}),
    ("a bucket's notifications set", by_cloudtrail("PutBucketNotification"), {TELLS}),
    ("a trail started", by_cloudtrail("StartLogging", "cloudtrail", **BY_A_PERSON), {TRAIL}),
    ("a trail stopped", by_cloudtrail("StopLogging", "cloudtrail", **BY_A_PERSON), {TRAIL}),
    # must not match
    ("an access point tagged", by_cloudtrail("TagResource", requestParameters={"resource": POINT}), set()),
    ("another service's tags", by_cloudtrail("TagResource", "sns", requestParameters=RESOURCE), set()),
    ("tags replaced, refused", by_cloudtrail("PutBucketTagging", **REFUSED), set()),
    ("plain delete", by_cloudtrail("DeleteObject", requestParameters=PLAIN), set()),
    ("plain delete, no parameters", by_cloudtrail("DeleteObject", requestParameters=None), set()),
    ("plain delete refused", by_cloudtrail("DeleteObject", requestParameters=PLAIN, **REFUSED), set()),
    (
        "plain delete, answered with the id of its delete marker",
        by_cloudtrail(
            "DeleteObject", requestParameters=PLAIN, responseElements={"x-amz-version-id": "v", "versionId": "v"}
        ),
        set(),
    ),
    ("batch done", by_cloudtrail("DeleteObjects"), set()),
    ("a version is read", by_cloudtrail("GetObject", requestParameters=VERSION), set()),
    ("a version is read, refused", by_cloudtrail("GetObject", requestParameters=VERSION, **REFUSED), set()),
    ("versioning is read", by_cloudtrail("GetBucketVersioning"), set()),
    ("lifecycle set, refused", by_cloudtrail("PutBucketLifecycle", **REFUSED), set()),
    ("a bucket's notifications set, refused", by_cloudtrail("PutBucketNotification", **REFUSED), set()),
    ("a trail stopped, refused", by_cloudtrail("StopLogging", "cloudtrail", **BY_A_PERSON, **REFUSED), set()),
    ("a trail stopped by CloudFormation", by_cloudtrail("StopLogging", "cloudtrail", **BY_CLOUDFORMATION), set()),
    ("a trail is read", by_cloudtrail("GetTrailStatus", "cloudtrail", **BY_A_PERSON), set()),
    ("bucket deleted, refused", by_cloudtrail("DeleteBucket", **REFUSED), set()),
    ("another service's call of that name", by_cloudtrail("PutBucketVersioning", "s3-outposts"), set()),
    ("another service's delete of that name", by_cloudtrail("DeleteObject", "x", requestParameters=VERSION), set()),
    ("a directory bucket's change", by_cloudtrail("PutBucketVersioning", eventSource=EXPRESS), set()),
    ("a directory bucket's delete", by_cloudtrail("DeleteObjects", eventSource=EXPRESS, **REFUSED), set()),
    ("of CloudTrail, not a call", by_cloudtrail("PutBucketVersioning", kind="AWS Insight via CloudTrail"), set()),
    (
        "another source with S3's record",
        by_cloudtrail("PutBucketVersioning") | {"source": "custom.s3"},
        set(),
    ),
    ("another source, S3's own kind", by_s3(**{"version-id": "v"}) | {"source": "custom.s3"}, set()),
    ("delete marker made", by_s3("Delete Marker Created", **{"version-id": "v"}), set()),
    ("gone from a bucket without versioning", by_s3(), set()),
    ("object made", by_s3(kind="Object Created", **{"version-id": "v"}), set()),
    ("no detail", {"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "detail": None}, set()),
    ("the schedule", {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": {}}, set()),
)


@pytest.mark.parametrize(("event", "rules"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_an_event_is_taken_by_exactly_the_rules_it_should(
    event: Event, rules: set[str], rules_that_take: Callable[[Event], set[str]]
) -> None:
    assert rules_that_take(event) == rules


@pytest.mark.parametrize("event", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_replay_takes_what_the_rules_about_buckets_take(
    event: Event, rules_that_take: Callable[[Event], set[str]]
) -> None:
    taken = rules_that_take(event) & OF_BUCKETS
    assert is_subscribed(event) == bool(taken) or event["detail"] is None  # rejected with a reason


def test_each_of_these_rules_has_a_row_that_matches_and_one_that_misses_it() -> None:
    for rule in FED_BY_ROWS_HERE:
        assert any(rule in row[2] for row in ROWS)
        assert any(rule not in row[2] for row in ROWS)


def test_each_event_file_is_taken_by_exactly_the_rules_it_should(
    root: Path, rules_that_take: Callable[[Event], set[str]]
) -> None:
    files = sorted((root / "events").glob("*.json"))
    assert files, "events/ is empty"
    wrong = {}
    for file in files:
        expected = [rules for start, rules in EVENT_FILES if file.name.startswith(start)]
        taken = rules_that_take(json.loads(file.read_text()))
        if not expected or taken != expected[0]:
            wrong[file.name] = {"taken by": taken, "expected": expected[0] if expected else "no row in EVENT_FILES"}
    assert not wrong


def test_each_rule_takes_an_event_file(
    root: Path, patterns: dict[str, Event], rules_that_take: Callable[[Event], set[str]]
) -> None:
    taken: set[str] = set()
    for file in (root / "events").glob("*.json"):
        taken |= rules_that_take(json.loads(file.read_text()))
    assert taken == patterns.keys() - WITHOUT_A_FILE


def test_without_version_deletes_no_rule_waits_for_them(deployed: Callable[..., Template]) -> None:
    watched, unwatched = (
        {n for n, e in deployed(WatchVersionDeletes=watch).items() if e["Type"] == "AWS::Events::Rule"}
        for watch in ("yes", "no")
    )
    assert watched - unwatched == {DELETE, S3_OWN, TELLS}
    assert not unwatched - watched
