"""Rows 3 to 10: what is done to a bucket that is watched."""

import json
from datetime import UTC, datetime, timedelta

from tests.e2e.attack_stage import TAG, Acts, Attacker, Moves, Stage

MOVES = Moves()
UNLOGGED = "unlogged-"
"""The trail of this room logs no deletes of buckets whose names begin so."""
LOSE = ("s3:DeleteObjectVersion", "s3:DeleteObject")
"""The second is what the embedded cloud asks for a batch, whatever it names."""
OWN = "Without a trail that logs the deletes: S3's own events name no principal."


def lose(attacker: Attacker, bucket: str, *versions: dict[str, str]) -> None:
    """Delete versions for good, in one call."""
    answer = attacker("s3").delete_objects(Bucket=bucket, Delete={"Objects": list(versions)})
    assert not answer.get("Errors"), answer


@MOVES.move(
    3,
    "remove the protection tag, then delete versions",
    must=["protection-tag-removed", "version-deleted"],
)
def untag(stage: Stage) -> Acts:
    attacker = stage.attacker("s3:PutBucketTagging", *LOSE)
    bucket = stage.vault("untagged-vault")
    versions = [stage.version(bucket) for _ in range(3)]
    yield
    attacker("s3").delete_bucket_tagging(Bucket=bucket)
    lose(attacker, bucket, *versions)
    yield
    assert attacker.name in stage.told("protection-tag-removed")[0].body
    assert attacker.name in stage.told("version-deleted")[0].body


@MOVES.move(
    4,
    "set an exception with a soothing reason, then delete versions",
    must=["exception-set", "version-deleted"],
)
def exempt(stage: Stage) -> Acts:
    attacker = stage.attacker("s3:PutBucketTagging", *LOSE)
    bucket = stage.vault("soothed-vault")
    versions = [stage.version(bucket) for _ in range(3)]
    until = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%d")
    soothing = {"mfa-delete-exempt-until": until, "mfa-delete-exempt-reason": "planned clean-up, CHG-42"}
    yield
    tags = [TAG, *({"Key": name, "Value": value} for name, value in soothing.items())]
    attacker("s3").put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    lose(attacker, bucket, *versions)
    yield
    assert attacker.name in stage.told("exception-set")[0].body


@MOVES.move(
    5,
    "a lifecycle rule that expires noncurrent versions after a day",
    must=["lifecycle-expires-versions"],
)
def expire(stage: Stage) -> Acts:
    attacker, bucket = stage.attacker("s3:PutLifecycleConfiguration"), stage.vault("expiring-vault")
    rule = {"ID": "tidy-up", "Status": "Enabled", "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}  # fmt: skip
    yield
    attacker("s3").put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    yield
    [told] = stage.told("lifecycle-expires-versions")
    assert all(word in told.body for word in (attacker.name, "tidy-up", "delete-bucket-lifecycle"))


@MOVES.move(6, "DeleteObjects of versions, logged by a trail", must=["version-deleted"])
def batch(stage: Stage) -> Acts:
    attacker, bucket = stage.attacker(*LOSE), stage.vault("emptied-vault")
    versions = [stage.version(bucket, f"reports/{number}.csv") for number in range(50)]
    yield
    lose(attacker, bucket, *versions)
    yield
    told = stage.told("version-deleted")
    assert len(told) <= 2, "fifty deletes are one finding: at once, and at the threshold"
    assert attacker.name in told[0].body


@MOVES.move(6, "DeleteObjects of versions, told by S3's own events", must=["version-deleted"], note=OWN)
def batch_by_own_events(stage: Stage) -> Acts:
    attacker = stage.attacker(*LOSE)
    bucket = stage.vault(f"{UNLOGGED}emptied-vault", own_events=True)
    versions = [stage.version(bucket, f"reports/{number}.csv") for number in range(50)]
    yield
    lose(attacker, bucket, *versions)
    yield
    assert len(stage.told("version-deleted")) <= 2


@MOVES.move(7, "switch off the bucket's own events, by which its deletes were watched", must=["guardrail-blind"])
def own_events_off(stage: Stage) -> Acts:
    attacker = stage.attacker("s3:PutBucketNotification")
    bucket = stage.vault(f"{UNLOGGED}silenced-vault", own_events=True)
    yield
    attacker("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    yield
    [told] = stage.told("guardrail-blind")
    assert bucket in told.body
    assert attacker.name in told.body
    stage.own_events(bucket, on=True)


@MOVES.move(
    8,
    "empty and delete the bucket, make it again without the tag",
    must=["bucket-deleted"],
    may=["protection-tag-removed", "version-deleted"],
    note="Besides, by the order in which the events come, `version-deleted` or `protection-tag-removed`: deletes that "
    "are looked at when the new bucket is there already are not told.",
)
def remake(stage: Stage) -> Acts:
    attacker = stage.attacker(*LOSE, "s3:DeleteBucket", "s3:CreateBucket")
    bucket = stage.vault("remade-vault")
    versions = [stage.version(bucket) for _ in range(3)]
    yield
    lose(attacker, bucket, *versions)
    attacker("s3").delete_bucket(Bucket=bucket)
    attacker("s3").create_bucket(Bucket=bucket)
    yield
    stage.pass_time(3601)
    subjects = [mail.subject for mail in stage.cloud.mail() if bucket in mail.body]
    assert not [each for each in subjects if each.startswith("[resolved]")]


@MOVES.move(9, "a bucket policy that refuses the guardrail the read", must=["state-unverifiable"])
def unreadable(stage: Stage) -> Acts:
    attacker, bucket = stage.attacker("s3:PutBucketPolicy"), stage.vault("shut-vault", protected=True)
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetBucketVersioning",
        "Resource": f"arn:aws:s3:::{bucket}",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    yield
    attacker("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    yield
    [told] = stage.told("state-unverifiable")
    assert told.subject.startswith("[high]")
    assert attacker.name in told.body
    stage.root("s3").delete_bucket_policy(Bucket=bucket)


@MOVES.move(10, "suspend versioning, then overwrite", must=["versioning-suspended"])
def suspend(stage: Stage) -> Acts:
    attacker = stage.attacker("s3:PutBucketVersioning", "s3:PutObject")
    bucket = stage.vault("suspended-vault")
    stage.version(bucket)
    yield
    attacker("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    for _ in range(2):
        attacker("s3").put_object(Bucket=bucket, Key="report.csv", Body=b"nothing")
    yield
    assert attacker.name in stage.told("versioning-suspended")[0].body
