"""What happens around the story: doubled, useless and failing events, late listeners, two stacks, faults."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import clean, stack
from local.cloud import ROOM, Cloud, Mail
from tests.e2e import again
from tests.e2e.local_setting import posted_to

TAG = [{"Key": "mfa-delete", "Value": "required"}]


def mails(cloud: Cloud, bucket: str) -> list[Mail]:
    """What the on-call person got about this bucket."""
    return [mail for mail in cloud.mail() if mail.to == stack.MAILBOX and bucket in mail.body]


def eventually[T](look: Callable[[], T], limit_s: float = 60) -> T:
    """Look until it is true."""
    deadline = time.monotonic() + limit_s
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found
    return found


def guardrail(cloud: Cloud, *words: str) -> subprocess.CompletedProcess[str]:
    """The operator's command, with root's key here."""
    command = [str(ROOM / ".venv" / "bin" / "guardrail"), "--stack", "guardrail", *words]
    return subprocess.run(command, env=cloud.environment(), capture_output=True, text=True, check=False)


def vault(cloud: Cloud, name: str) -> str:
    """A tagged bucket with versioning on."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": TAG})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def looks(cloud: Cloud, bucket: str) -> int:
    """How often a function has looked at this bucket: its first read is that of the tags."""
    return len(cloud.calls(operation="GetBucketTagging", resource=f"/{bucket}"))


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    """The stack, by the real `sam deploy`, which is run again below."""
    return stack.deploy(cloud)


@pytest.fixture(autouse=True)
def undisturbed(cloud: Cloud, outputs: dict[str, str]) -> Iterator[None]:
    """No fault outlives its test, and each begins a new hour of messages."""
    cloud.client("dynamodb").update_item(
        TableName=outputs["TableName"],
        Key={"pk": {"S": "guardrail"}, "sk": {"S": "alert-topic"}},
        UpdateExpression="REMOVE pace",
    )
    yield
    cloud.faults([])


@pytest.fixture(scope="module", autouse=True)
def swept(cloud: Cloud, outputs: dict[str, str]) -> dict[str, str]:
    """The first sweep has seen that somebody listens."""
    stack.sweep(cloud, outputs)
    return outputs


def event_of(cloud: Cloud, operation: str) -> dict[str, Any]:
    """The newest CloudTrail record of this name, as EventBridge delivered it."""
    record = next(record for record in reversed(cloud.records()) if record["eventName"] == operation)
    return {
        "version": "0",
        "id": "again",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.s3",
        "account": cloud.account,
        "time": record["eventTime"],
        "region": cloud.region,
        "resources": [],
        "detail": record,
    }


def invoke(cloud: Cloud, function: str, event: Any) -> dict[str, Any]:
    """Run a deployed function at once."""
    answer = cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    payload: dict[str, Any] = json.loads(answer["Payload"].read())
    return payload


def test_an_event_delivered_again_is_told_once_and_counted_once(cloud: Cloud, outputs: dict[str, str]) -> None:
    name = vault(cloud, "twice-vault")
    s3 = cloud.client("s3")
    version = s3.put_object(Bucket=name, Key="k", Body=b"1")["VersionId"]
    s3.delete_object(Bucket=name, Key="k", VersionId=version)
    eventually(lambda: any("deleted for good" in mail.subject for mail in mails(cloud, name)))
    before = len(mails(cloud, name))
    batch = {"Records": [{"messageId": "m", "body": json.dumps(event_of(cloud, "DeleteObject"))}]}
    answer = invoke(cloud, outputs["VersionDeleteFunctionName"], batch)
    assert (answer["duplicates"], answer["transitions"], answer["sent"]) == (1, [], 0)
    assert len(mails(cloud, name)) == before


USELESS = {
    "BucketChangeFunctionName": {"source": "aws.s3", "detail": None},
    "VersionDeleteFunctionName": {"Records": [{"messageId": "m", "body": "{}"}]},
    "SweepFunctionName": {"sweep": ""},
    "HealthFunctionName": {"health": ""},
}


@pytest.mark.parametrize("function", USELESS)
def test_a_useless_event_is_in_the_dead_letters_with_its_reason(
    function: str, cloud: Cloud, outputs: dict[str, str]
) -> None:
    answer = invoke(cloud, outputs[function], USELESS[function])
    sqs = cloud.client("sqs")
    found = sqs.receive_message(QueueUrl=outputs["DeadLetterUrl"], MessageAttributeNames=["All"])["Messages"]
    assert found[0]["MessageAttributes"]["reason"]["StringValue"] == answer["rejected"][0]
    sqs.purge_queue(QueueUrl=outputs["DeadLetterUrl"])


def test_the_look_at_the_guardrail_itself_sends_what_nobody_else_does(cloud: Cloud, outputs: dict[str, str]) -> None:
    name = vault(cloud, "left-vault")
    eventually(lambda: mails(cloud, name) and not _owed(cloud, outputs, name))  # an end waits for its beginning
    db = cloud.client("dynamodb")
    cloud.faults([{"service": "sns", "match": "Publish", "times": 100, "status": 500}])
    cloud.client("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    items = eventually(lambda: _owed(cloud, outputs, name))
    cloud.faults([])
    for item in items:  # as old as what a function that died has left
        item["since"] = {"S": "2026-01-01T00:00:00+00:00"}
        db.put_item(TableName=outputs["TableName"], Item=item)
    invoke(cloud, outputs["HealthFunctionName"], {"health": "by hand"})
    assert [mail for mail in mails(cloud, name) if "suspended" in mail.subject]
    assert _owed(cloud, outputs, name) == []


def _owed(cloud: Cloud, outputs: dict[str, str], name: str) -> list[dict[str, Any]]:
    """What is owed for a bucket."""
    items = cloud.client("dynamodb").scan(TableName=outputs["TableName"])["Items"]
    return [item for item in items if item["pk"]["S"] == "owed" and name in item["sk"]["S"]]


def test_a_function_that_keeps_failing_ends_in_on_failure_and_the_sweep_still_tells(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    name = vault(cloud, "failing-vault")
    eventually(lambda: mails(cloud, name))
    s3 = cloud.client("s3")
    s3.put_bucket_versioning(
        Bucket=name, MFA=cloud.mfa(), VersioningConfiguration={"Status": "Enabled", "MFADelete": "Enabled"}
    )
    eventually(lambda: [mail for mail in mails(cloud, name) if mail.subject.startswith("[resolved]")])
    eventually(lambda: looks(cloud, name) >= 4)  # nothing of the bucket's making is still on its way
    cloud.faults([{"service": "dynamodb", "times": 1000, "status": 500, "code": "InternalServerError"}])
    s3.put_bucket_versioning(
        Bucket=name, MFA=cloud.mfa(), VersioningConfiguration={"Status": "Enabled", "MFADelete": "Disabled"}
    )
    sqs = cloud.client("sqs")
    failed = eventually(
        lambda: sqs.receive_message(QueueUrl=outputs["OnFailureUrl"], VisibilityTimeout=0).get("Messages")
    )
    assert json.loads(failed[0]["Body"])["requestPayload"]["detail"]["eventName"] == "PutBucketVersioning"
    cloud.faults([])
    stack.sweep(cloud, outputs)
    assert [mail for mail in mails(cloud, name) if mail.subject.startswith("[critical]")]
    answered = guardrail(cloud, "redrive", "--json")
    assert json.loads(answered.stdout)["done"] == "sent", answered.stderr


def test_throttled_calls_are_tried_again(cloud: Cloud) -> None:
    cloud.faults(
        [
            {"service": "sns", "match": "Publish", "times": 2, "status": 400, "code": "Throttling"},
            {"service": "dynamodb", "times": 1, "status": 400, "code": "ProvisionedThroughputExceededException"},
            {"service": "s3", "match": "tagging", "times": 1, "status": 503, "code": "SlowDown"},
        ]
    )
    name = vault(cloud, "throttled-vault")
    eventually(lambda: mails(cloud, name))


def at_rest(count: Callable[[], int], quiet_s: float = 3) -> int:
    """The count when it has not changed for a while."""
    found, since = count(), time.monotonic()
    while time.monotonic() - since < quiet_s:
        time.sleep(0.1)
        if (now := count()) != found:
            found, since = now, time.monotonic()
    return found


def test_what_is_owed_is_sent_by_its_own_schedule(cloud: Cloud, outputs: dict[str, str]) -> None:
    name = vault(cloud, "owing-vault")
    eventually(lambda: mails(cloud, name))
    [finding] = json.loads(guardrail(cloud, "status", "--json").stdout)["buckets"][name]["findings"]
    cloud.faults([{"service": "lambda", "match": "Invoke", "status": 500, "times": 1}])
    done = guardrail(cloud, "ack", finding["id"], "--why", "planned")
    assert done.returncode == 0
    assert "the next one announces it" in done.stderr
    assert not [mail for mail in mails(cloud, name) if mail.subject.startswith("[acknowledged]")]
    cloud.advance(301)
    eventually(lambda: [mail for mail in mails(cloud, name) if mail.subject.startswith("[acknowledged]")])


def test_a_hundred_ordinary_deletes_invoke_nothing(cloud: Cloud, outputs: dict[str, str]) -> None:
    name = vault(cloud, "busy-vault")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="beacon")
    made = 3  # CreateBucket, PutBucketTagging, PutBucketVersioning: each makes a function look, when it gets to it
    eventually(lambda: looks(cloud, name) >= made and looks(cloud, "beacon") >= 1)
    before = at_rest(lambda: looks(cloud, name))  # two functions at once look again
    for number in range(100):
        s3.delete_object(Bucket=name, Key=f"key-{number}")
    s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": f"key-{n}"} for n in range(50)]})
    # Records leave in the order of the calls: once the delete that does count was looked at, the others were passed by.
    s3.delete_object(Bucket="beacon", Key="k", VersionId="null")
    eventually(lambda: looks(cloud, "beacon") >= 2)
    time.sleep(2)  # the batching window, and as long again
    assert looks(cloud, name) == before


def test_s3s_own_event_of_a_delete_and_cloudtrails_are_one_alert(cloud: Cloud) -> None:
    name = vault(cloud, "notifying-vault")
    eventually(lambda: mails(cloud, name))
    s3 = cloud.client("s3")
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}})
    version = s3.put_object(Bucket=name, Key="k", Body=b"1")["VersionId"]
    s3.delete_object(Bucket=name, Key="k", VersionId=version)
    eventually(lambda: [mail for mail in mails(cloud, name) if "deleted for good" in mail.subject])
    time.sleep(2)
    told = [mail for mail in mails(cloud, name) if "deleted for good" in mail.subject]
    assert len(told) == 1
    assert f"arn:aws:iam::{cloud.account}:root" in told[0].body


def test_a_refused_batch_delete_is_told_without_keys(cloud: Cloud, outputs: dict[str, str]) -> None:
    name = vault(cloud, "batch-vault")
    s3 = cloud.client("s3")
    version = s3.put_object(Bucket=name, Key="k", Body=b"1")["VersionId"]
    s3.put_bucket_versioning(
        Bucket=name, MFA=cloud.mfa(), VersioningConfiguration={"Status": "Enabled", "MFADelete": "Enabled"}
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k", "VersionId": version}]})
    told = eventually(lambda: [mail for mail in mails(cloud, name) if "refused" in mail.subject])
    assert told[0].body.startswith("Refused: nothing was deleted.")
    assert "neither keys nor versions are in the record" in told[0].body


def test_only_our_functions_may_publish_alerts(cloud: Cloud, outputs: dict[str, str]) -> None:
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    admin = cloud.create_user("admin", everything)
    for credentials in (cloud.root, admin):
        with pytest.raises(ClientError, match=r"Auth|Denied"):
            cloud.client("sns", credentials).publish(TopicArn=outputs["AlertTopicArn"], Message="forged")


def test_a_bad_parameter_is_refused_before_anything_is_made(cloud: Cloud) -> None:
    with pytest.raises(stack.DeployError, match="AlertUrl"):
        stack.deploy(cloud, "third", AlertUrl="http://example.com/plain")


def test_a_second_stack_fits_beside_the_first_and_watches_its_own_tag(cloud: Cloud, outputs: dict[str, str]) -> None:
    second = stack.deploy(cloud, "second", ProtectTagValue="second", AlertEmail="second@example.com")
    assert set(second.values()) & set(outputs.values()) <= {
        outputs[name] for name in ("ScriptSha256", "FindingsThatWork", "Version")
    }
    stack.sweep(cloud, second)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="second-vault")
    s3.put_bucket_tagging(Bucket="second-vault", Tagging={"TagSet": [{"Key": "mfa-delete", "Value": "second"}]})
    s3.put_bucket_versioning(Bucket="second-vault", VersioningConfiguration={"Status": "Enabled"})
    told = eventually(lambda: [mail for mail in cloud.mail() if "second-vault" in mail.body])
    time.sleep(1)
    assert {mail.to for mail in told} <= {"second@example.com", stack.HOOK}
    assert mails(cloud, "second-vault") == []


@pytest.fixture
def listener() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An HTTP subscriber on this machine that keeps what it is sent."""
    with posted_to(lambda sent: json.loads(sent.rfile.read(int(sent.headers["Content-Length"])))) as (url, got):
        yield f"{url}/hook", got


def test_an_alert_waits_for_a_subscriber_that_confirms_late(
    listener: tuple[str, list[dict[str, Any]]],
) -> None:
    url, _ = listener
    with Cloud.start() as cloud:
        outputs = again.deploy(cloud, AlertEmail="", AlertUrl="")
        topic = outputs["AlertTopicArn"]
        cloud.client("sns").subscribe(TopicArn=topic, Protocol="http", Endpoint=url)
        vault(cloud, "early-vault")
        assert stack.sweep(cloud, outputs)["sent"] == 0
        eventually(lambda: cloud.calls(operation="GetTopicAttributes"))
        assert cloud.mail() == []
        cloud.confirm_subscriptions(url)
        assert stack.sweep(cloud, outputs)["sent"] == 1
        told = eventually(lambda: [mail for mail in cloud.mail() if mail.to == url])
        assert "early-vault" in told[0].body
        assert stack.sweep(cloud, outputs)["sent"] == 0


def test_a_finding_is_listed_acknowledged_and_announced(cloud: Cloud, outputs: dict[str, str]) -> None:
    name = vault(cloud, "seen-vault")
    eventually(lambda: mails(cloud, name))
    listed = guardrail(cloud, "status", "--json")
    assert listed.returncode == 1, listed.stderr
    [finding] = json.loads(listed.stdout)["buckets"][name]["findings"]
    done = guardrail(cloud, "ack", finding["id"], "--why", "goes away on Friday")
    assert done.returncode == 0, done.stderr
    told = eventually(lambda: [mail for mail in mails(cloud, name) if mail.subject.startswith("[acknowledged]")])
    assert "goes away on Friday" in told[0].body
    assert ":root" in told[0].body
    again = guardrail(cloud, "ack", finding["id"], "--why", "again")
    assert again.returncode == 3
    assert "is acknowledged already" in again.stderr


def test_without_a_stack_the_command_says_what_to_do(cloud: Cloud) -> None:
    done = guardrail(cloud, "--stack", "elsewhere", "redrive")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("guardrail: there is no stack elsewhere in this account and Region")


def script(cloud: Cloud, verb: str, bucket: str, *words: str, codes: int = 1) -> None:
    """The runbook script, run by root."""
    typed = "".join(f"{cloud.next_code()}\n" for _ in range(codes))
    who = ["--account", cloud.account, "--mfa-code", "-", "--mfa-serial", cloud.device.serial, "--keep-key"]
    command = [str(clean.python()), str(ROOM / "runbook" / "mfa_delete.py"), verb, "--bucket", bucket, *who, *words]
    env = cloud.environment()
    done = subprocess.run(command, env=env, input=typed, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_planned_work_by_the_script_pages_nobody(cloud: Cloud, outputs: dict[str, str]) -> None:
    name = vault(cloud, "planned-vault")
    script(cloud, "enable", name)
    eventually(lambda: [mail for mail in mails(cloud, name) if mail.subject.startswith("[resolved]")])
    before = len(mails(cloud, name))
    script(cloud, "disable", name, "--for", "2h", "--reason", "clean-up CHG-42")
    told = eventually(lambda: mails(cloud, name)[before:])
    stack.sweep(cloud, outputs)
    time.sleep(2)
    assert [mail.subject.split(":")[0] for mail in told] == ["[medium] Exception changed"]
    assert '"clean-up CHG-42"' in told[0].body
    script(cloud, "enable", name)
    eventually(lambda: len(mails(cloud, name)) > before + 1)
    assert not [mail for mail in mails(cloud, name)[before:] if mail.subject.startswith(("[critical]", "[high]"))]


def test_the_runbooks_proof_is_one_alert_that_says_so(cloud: Cloud, outputs: dict[str, str]) -> None:
    name = vault(cloud, "proved-vault")
    script(cloud, "enable", name, "--prove", codes=2)
    told = eventually(lambda: [mail for mail in mails(cloud, name) if mail.subject.startswith("[proof]")])
    assert told[0].body.startswith("Proof received: refused version deletes are seen")
    time.sleep(2)  # the removal of the proof's object has gone by
    assert not [mail for mail in mails(cloud, name) if "deleted for good" in mail.subject]


def test_an_endpoint_elsewhere_is_refused() -> None:
    for endpoint in ("https://s3.us-east-1.amazonaws.com", "http://10.0.0.1:4566", "http://localhost.example.com:4566"):
        with pytest.raises(Exception, match="is not on 127\\.0\\.0\\.1"):
            Cloud(endpoint)


def test_nothing_of_the_callers_aws_survives(cloud: Cloud) -> None:
    environment = cloud.environment()
    values = " ".join(environment.values())
    assert environment["AWS_ENDPOINT_URL"] == cloud.endpoint
    assert "AWS_PROFILE" not in environment
    assert "192.0.2.1" not in values
    assert "somebody" not in values
