"""Rows 11 to 17: other ways to the objects, and what is told or made believe by events."""

import copy
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from local.cloud import Credentials
from tests.e2e.attack_buckets import LOSE, lose
from tests.e2e.attack_stage import TAG, Acts, Attacker, Moves, Stage
from tests.e2e.local_setting import OFF
from tests.e2e.test_operator import guardrail

MOVES = Moves()
REFUSED = 1000
AT_ONCE_S = 15
"""However busy the machine is."""
BULK = "bulk-delete"
"""The role that the trail of this room leaves out."""
TIME = "%Y-%m-%dT%H:%M:%SZ"
YEAR = timedelta(days=365)
POINT = "As CloudTrail would write it: the embedded cloud has no access points."
HOSTILE = "report.csv\n\nSubject: [resolved] all is well\n\x1b[2J<a href='https://192.0.2.1'>sign in</a>`$(id)`"


def deleted(stage: Stage, bucket: str, named: str, host: str, at: datetime) -> dict[str, Any]:
    """A version delete as EventBridge would bring it. named: what stands as bucketName in the request."""
    arn = f"arn:aws:s3:::{bucket}"
    resources = [
        {"accountId": stage.cloud.account, "type": "AWS::S3::Bucket", "ARN": arn},
        {"type": "AWS::S3::Object", "ARN": f"{arn}/report.csv"},
    ]
    when = at.strftime(TIME)
    user = {"type": "IAMUser", "accountId": stage.cloud.account, "userName": "thief",
            "principalId": "AIDACKCEVSQ6C2EXAMPLE",
            "arn": f"arn:aws:iam::{stage.cloud.account}:user/thief"}  # fmt: skip
    detail = {
        "eventVersion": "1.11", "userIdentity": user, "eventTime": when, "eventSource": "s3.amazonaws.com",
        "eventName": "DeleteObject", "awsRegion": stage.cloud.region, "sourceIPAddress": "192.0.2.10",
        "userAgent": "[example]", "requestParameters": {"bucketName": named, "Host": host, "key": "report.csv",
                                                        "versionId": "3HL4kqtJvjVBH40Nrjfkd"},
        "responseElements": None, "requestID": f"R{abs(hash(named)):015X}"[:16], "eventID": f"{named}-{when}",
        "readOnly": False, "resources": resources, "eventType": "AwsApiCall", "managementEvent": False,
        "recipientAccountId": stage.cloud.account, "eventCategory": "Data",
    }  # fmt: skip
    return envelope(stage, detail, when)


def envelope(stage: Stage, detail: dict[str, Any], when: str) -> dict[str, Any]:
    """A CloudTrail record as EventBridge brings it."""
    source = f"aws.{detail['eventSource'].partition('.')[0]}"
    return {"version": "0", "id": detail["eventID"], "detail-type": "AWS API Call via CloudTrail", "source": source,
            "account": stage.cloud.account, "time": when, "region": stage.cloud.region, "resources": [],
            "detail": detail}  # fmt: skip


def through(stage: Stage, bucket: str, named: str, host: str, point: str = "") -> None:
    """A version is deleted through an access point."""
    event = deleted(stage, bucket, named, host, datetime.now(UTC))
    if point:
        event["detail"]["resources"] += [
            {"accountId": stage.cloud.account, "type": "AWS::S3::AccessPoint", "ARN": point}
        ]
    assert stage.deliver(event), "no rule waits for it"


# Row 11 -------------------------------------------------------------------------------------------------------------


@MOVES.move(11, "delete a version through an access point's alias", must=["version-deleted"], note=POINT)
def by_alias(stage: Stage) -> Acts:
    bucket, alias = stage.vault("aliased-vault"), "point-abcdefghijklmnopqrstuvwxyz123456-s3alias"
    arn = f"arn:aws:s3:{stage.cloud.region}:{stage.cloud.account}:accesspoint/point"
    yield
    through(stage, bucket, alias, f"{alias}.s3.{stage.cloud.region}.amazonaws.com", arn)
    yield
    assert bucket in stage.told("version-deleted")[0].subject


@MOVES.move(11, "delete a version through an access point's ARN", must=["version-deleted"], note=POINT)
def by_arn(stage: Stage) -> Acts:
    bucket = stage.vault("pointed-vault")
    arn = f"arn:aws:s3:{stage.cloud.region}:{stage.cloud.account}:accesspoint/point"
    yield
    through(stage, bucket, arn, f"point-{stage.cloud.account}.s3-accesspoint.{stage.cloud.region}.amazonaws.com", arn)
    yield
    assert bucket in stage.told("version-deleted")[0].subject


@MOVES.move(11, "delete a version through a multi-Region access point", must=["version-deleted"], note=POINT)
def by_mrap(stage: Stage) -> Acts:
    bucket, alias = stage.vault("spanned-vault"), "mfzwi23gnjvgw.mrap"
    arn = f"arn:aws:s3::{stage.cloud.account}:accesspoint/{alias}"
    yield
    through(stage, bucket, arn, f"{alias}.accesspoint.s3-global.amazonaws.com", arn)
    yield
    assert bucket in stage.told("version-deleted")[0].subject


# Row 12 -------------------------------------------------------------------------------------------------------------


@MOVES.move(
    12,
    "delete versions as the bulk-delete role that the trail's selectors leave out",
    silent="what no trail logs, no event tells of, and a deleted version leaves nothing that a sweep could find; a "
    "bucket that sends its own events to EventBridge is told of all the same; status, report and alerts name the role",
)
def as_bulk_role(stage: Stage) -> Acts:
    attacker, bucket = stage.attacker("sts:AssumeRole"), stage.vault("bulky-vault")
    versions = [stage.version(bucket) for _ in range(3)]
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{stage.cloud.account}:root"},
             "Action": "sts:AssumeRole"}  # fmt: skip
    may = {"Effect": "Allow", "Action": list(LOSE), "Resource": "*"}
    iam = stage.root("iam")
    role = iam.create_role(RoleName=BULK, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=BULK, PolicyName="delete", PolicyDocument=json.dumps({"Statement": [may]}))
    key = attacker("sts").assume_role(RoleArn=role, RoleSessionName="night")["Credentials"]
    session = Credentials(
        access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"], session_token=key["SessionToken"]
    )
    yield
    lose(Attacker(stage.cloud, session, BULK), bucket, *versions)
    yield
    left_out = f"arn:aws:sts::{stage.cloud.account}:assumed-role/{BULK}/* (excluded by trail lab)"
    status, report = (json.loads(guardrail(stage.cloud, verb, "--json").stdout) for verb in ("status", "report"))
    assert status["health"]["not_seen"] == [left_out], "what is not seen is said"
    assert any(left_out in each["meaning"] for each in report["guardrail"]["conditions"])


# Row 14 -------------------------------------------------------------------------------------------------------------


@MOVES.move(
    14,
    f"{REFUSED:,} refused version deletes, and among them root turns MFA delete off elsewhere",
    must=["version-delete-denied", "mfa-delete-disabled"],
)
def storm(stage: Stage) -> Acts:
    attacker, root = stage.attacker("s3:DeleteObjectVersion"), stage.root("s3")
    bucket, other = stage.vault("stormed-vault", protected=True), stage.vault("buried-vault", protected=True)
    version, client = stage.version(bucket), attacker("s3")

    def refused(_: int) -> None:
        with suppress(ClientError):
            client.delete_object(Bucket=bucket, **version)

    code = stage.cloud.mfa()
    yield
    with ThreadPoolExecutor(8) as pool:
        half = list(pool.map(refused, range(REFUSED // 2)))
        off = time.time()
        root.put_bucket_versioning(Bucket=other, MFA=code, VersioningConfiguration=OFF)
        assert len([*half, *pool.map(refused, range(REFUSED // 2))]) == REFUSED
    yield
    assert len(stage.told("version-delete-denied")) <= 2, "one finding: at once, and at the threshold"
    [critical] = stage.told("mfa-delete-disabled")
    assert critical.subject.startswith("[critical]")
    assert critical.at - off < AT_ONCE_S
    answer = root.head_object(Bucket=bucket, Key=version["Key"])
    assert answer["VersionId"] == version["VersionId"]


# Row 15 -------------------------------------------------------------------------------------------------------------

LIVE = "an event older than a day opens nothing on its own word; the live read, which it causes, found all as it was"


@MOVES.move(15, "last year's version delete, replayed", rightly=LIVE)
def old_delete(stage: Stage) -> Acts:
    bucket = stage.vault("archived-vault", protected=True)
    host = f"{bucket}.s3.{stage.cloud.region}.amazonaws.com"
    now = datetime.now(UTC)
    yield
    assert stage.deliver(deleted(stage, bucket, bucket, host, now - YEAR))
    yield
    assert stage.deliver(deleted(stage, bucket, bucket, host, now))
    stage.calm()
    assert stage.told("version-deleted"), "today's would have been told"


@MOVES.move(15, "last year's turning off of MFA delete by root, replayed", rightly=LIVE)
def old_turn_off(stage: Stage) -> Acts:
    bucket, now = stage.vault("replayed-vault", protected=True), datetime.now(UTC)
    yield
    assert stage.deliver(turned_off(stage, bucket, now - YEAR))
    yield
    assert stage.deliver(turned_off(stage, bucket, now))
    stage.calm()
    assert stage.told("mfa-delete-disabled"), "today's would have been told"


def turned_off(stage: Stage, bucket: str, at: datetime) -> dict[str, Any]:
    """Root's own record of it, after one that was really made."""
    made = (each for each in stage.cloud.records()[::-1] if each["eventName"] == "PutBucketVersioning")
    record, when = copy.deepcopy(next(made)), at.strftime(TIME)
    record |= {"eventTime": when, "eventID": f"replayed-{when}"}
    asked = {"Status": "Enabled", "MfaDelete": "Disabled"}
    record["requestParameters"] |= {"bucketName": bucket, "VersioningConfiguration": asked}
    assert record["userIdentity"]["type"] == "Root"
    return envelope(stage, record, when)


# Row 16 -------------------------------------------------------------------------------------------------------------


@MOVES.move(16, "PutEvents under the name of S3", rightly="EventBridge refuses a caller the sources of AWS")
def forged_source(stage: Stage) -> Acts:
    attacker, bucket = stage.attacker("events:PutEvents"), stage.vault("forged-vault", protected=True)
    event = deleted(stage, bucket, bucket, "example", datetime.now(UTC))
    entry = {"Source": "aws.s3", "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
    yield
    answer = attacker("events").put_events(Entries=[entry])
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"
    yield


@MOVES.move(16, "PutEvents under a name of their own", rightly="no rule of the guardrail waits for another source")
def own_source(stage: Stage) -> Acts:
    attacker, bucket = stage.attacker("events:PutEvents"), stage.vault("feigned-vault", protected=True)
    event = deleted(stage, bucket, bucket, "example", datetime.now(UTC))
    entry = {"Source": "s3", "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
    yield
    assert attacker("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    yield


@MOVES.move(
    16,
    "a forged record put straight into the queue of version deletes",
    must=["version-deleted"],
    note="A false alarm: whoever may write to our queue, or start our functions, can raise it, not take one back.",
)
def forged_message(stage: Stage) -> Acts:
    attacker, bucket = stage.attacker("sqs:SendMessage"), stage.vault("slandered-vault", protected=True)
    event = deleted(stage, bucket, bucket, "example", datetime.now(UTC))
    yield
    attacker("sqs").send_message(QueueUrl=stage.outputs["DeleteQueueUrl"], MessageBody=json.dumps(event))
    yield


def as_browser(attacker: Attacker, agent: str) -> Any:
    """A client whose calls carry this user agent."""
    client = attacker("s3")
    client.meta.events.register("before-send.s3", lambda request, **_: request.headers.__setitem__("User-Agent", agent))
    return client


@MOVES.move(16, "hostile names: keys, an exception's reason, the user agent", must=["version-deleted", "exception-set"])
def hostile(stage: Stage) -> Acts:
    attacker = stage.attacker("s3:DeleteObjectVersion", "s3:PutBucketTagging")
    bucket = stage.vault("named-vault")
    version, agent = stage.version(bucket, HOSTILE), "curl\u00e9 [resolved] https://192.0.2.1 `$(id)`"
    client = as_browser(attacker, agent.encode().decode("latin-1"))
    until = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%d")
    reason = "all is well: sign in at https://192.0.2.1/aws/console"
    tags = [
        TAG,
        {"Key": "mfa-delete-exempt-until", "Value": until},
        {"Key": "mfa-delete-exempt-reason", "Value": reason},
    ]
    yield
    client.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    client.delete_object(Bucket=bucket, **version)
    yield
    for mail in [*stage.told("version-deleted"), *stage.told("exception-set")]:
        assert mail.subject.isascii()
        assert HOSTILE not in mail.body
        assert all(line.isprintable() for line in mail.body.splitlines())
        assert not [line for line in mail.body.splitlines() if line.startswith(("Subject:", "sign in", "[resolved]"))]
    waiting = stage.root("sqs").receive_message(QueueUrl=stage.outputs["DeadLetterUrl"], VisibilityTimeout=0)
    assert "Messages" not in waiting


# Row 17 -------------------------------------------------------------------------------------------------------------


@MOVES.move(
    17,
    "disable the KMS key of the objects",
    silent="not ours: the objects are all there; watch DisableKey and ScheduleKeyDeletion of the keys that encrypt "
    "backups",
)
def objects_key(stage: Stage) -> Acts:
    attacker, bucket = stage.attacker("kms:DisableKey"), stage.vault("keyed-vault", protected=True)
    key = stage.root("kms").create_key()["KeyMetadata"]["KeyId"]
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    stage.root("s3").put_object(Bucket=bucket, Key="report.csv", Body=b"x", **encrypted)
    yield
    attacker("kms").disable_key(KeyId=key)
    yield


@MOVES.move(
    17,
    "overwrite the objects, encrypted with a key of their own (SSE-C)",
    silent="not ours: the versions before it are all there, and MFA delete keeps them; refuse SSE-C by a policy",
)
def ransom(stage: Stage) -> Acts:
    attacker, bucket = stage.attacker("s3:PutObject"), stage.vault("ransomed-vault", protected=True)
    version = stage.version(bucket)
    yield
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    attacker("s3").put_object(Bucket=bucket, Key="report.csv", Body=b"y", **key)
    yield
    listed = stage.root("s3").list_object_versions(Bucket=bucket)["Versions"]
    assert version["VersionId"] in {each["VersionId"] for each in listed}


@MOVES.move(
    17,
    "close the account",
    note="As CloudTrail would write it.",
    silent="not ours: the account takes the guardrail along; watch CloseAccount in the organization's management "
    "account",
)
def closed(stage: Stage) -> Acts:
    record = deleted(stage, "any", "any", "example", datetime.now(UTC))["detail"]
    record |= {"eventSource": "organizations.amazonaws.com", "eventName": "CloseAccount", "eventCategory": "Management",
               "requestParameters": {"accountId": stage.cloud.account}, "resources": []}  # fmt: skip
    yield
    assert stage.deliver(envelope(stage, record, record["eventTime"])) == []
    yield


# Row 13: the table, the last one: a function believes for minutes what it read of the pace ---------------------------


@MOVES.move(
    13,
    "write into the table that all messages are sent, far ahead, then delete versions",
    must=["version-deleted"],
)
def paced_ahead(stage: Stage) -> Acts:
    yield from paced(stage, "paced-ahead-vault", "2999-01-01T00:00:00+00:00")


@MOVES.move(
    13,
    "write into the table that all messages of this hour are sent, then delete versions",
    silent="no trail logs what is written to a table's items, and the pace of messages is kept there: whoever may "
    "write to the guardrail's table holds back the alerts of its functions for up to an hour, and may write again; the "
    "direct mail knows no pace",
)
def paced_now(stage: Stage) -> Acts:
    yield from paced(stage, "paced-vault", datetime.now(UTC).isoformat())


def paced(stage: Stage, name: str, late: str) -> Acts:
    """All places are taken, as the table says."""
    attacker, bucket = stage.attacker("dynamodb:UpdateItem", *LOSE), stage.vault(name)
    versions = [stage.version(bucket) for _ in range(3)]
    sent = {"free_at": None, "messages": [late] * 20, "digest_at": late, "criticals": [late] * 5,
            "critical_digest_at": late}  # fmt: skip
    yield
    attacker("dynamodb").update_item(
        TableName=stage.outputs["TableName"],
        Key={"pk": {"S": "guardrail"}, "sk": {"S": "alert-topic"}},
        UpdateExpression="SET pace = :sent",
        ExpressionAttributeValues={":sent": {"S": json.dumps(sent)}},
    )
    lose(attacker, bucket, *versions)
    yield
