"""`make invoke EVENT=events/NAME.json`: one event through the built handler, under the real Lambda runtime client.

The stack is deployed into an embedded cloud of its own, with the bucket that the event names: tagged, versioned, and
MFA delete turned off, or as the event's own request leaves it. The event happens now: the guardrail does not take the
word of an old one (shared/evidence.py).
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local import stack
from local.cloud import Cloud, CloudError
from local.runtime import BUILD, BuiltFunction, RunError
from local.story import TAG

QUEUED = "VersionDeleteFunction"
CLOCKS = {"sweep": "SweepFunction", "health": "HealthFunction", "drill": "DrillFunction"}
"""What a schedule's input says, and whom it starts."""
NEVER_S = 86400.0
"""CloudTrail's lag here, so that what we prepare (tagging, versioning) is not an event before the one event."""
MAIL_LIMIT_S = 5.0


class UsageError(Exception):
    """What was asked for makes no sense; one sentence."""


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, 1 when the handler failed, 2 for wrong usage, 3 when it could not be tried."""
    try:
        file = _file(arguments)
        event = at(_loaded(file), datetime.now(UTC))
        function = function_for(event)
        with Cloud.start(event_delay_s=NEVER_S) as cloud:
            print("sam deploy to an embedded cloud, on 127.0.0.1 only", file=sys.stderr, flush=True)
            outputs = prepared(cloud, event)
            with BuiltFunction.deployed(cloud, outputs[f"{function}Name"], BUILD / function) as built:
                print(f"{file.name} -> {function}", file=sys.stderr, flush=True)
                return _run(cloud, built, as_batch(event) if function == QUEUED else event)
    except UsageError as wrong:
        return _refused(wrong, 2)
    except (CloudError, stack.DeployError, RunError) as wrong:
        return _refused(wrong, 3)


def _run(cloud: Cloud, built: BuiltFunction, event: Any) -> int:
    before = len(cloud.mail())
    try:
        answer = built.invoke(event)
    except RunError as wrong:
        return _refused(wrong, 1)
    print(json.dumps(answer, indent=2))
    for subject in _subjects(cloud, before, expected=bool(answer.get("sent"))):
        print(f"mail: {subject}")
    return 0


def _refused(wrong: Exception, code: int) -> int:
    print(f"invoke: {wrong}", file=sys.stderr)
    return code


def _file(arguments: Sequence[str]) -> Path:
    if len(arguments) != 1 or not arguments[0].strip():
        raise UsageError("name one event: make invoke EVENT=events/NAME.json")
    file = Path(arguments[0])
    if not file.is_file():
        raise UsageError(f"{file} is not there: choose a file of events/")
    return file


def function_for(event: Any) -> str:
    """The logical id of the function that gets such events by the rules; bucket_change rejects what is useless."""
    detail = _member(event, "detail")
    is_delete = _member(detail, "eventName") in ("DeleteObject", "DeleteObjects")
    function = "BucketChangeFunction"
    if is_delete or _member(event, "detail-type") == "Object Deleted":
        function = QUEUED
    elif clock := next((each for each in CLOCKS if _member(event, each)), None):
        function = CLOCKS[clock]
    elif _is_about_us(detail):
        function = "HealthFunction"
    if not (BUILD / function).is_dir():
        raise RunError("nothing is built: run make build")
    return function


def _is_about_us(detail: Any) -> bool:
    """Calls of other services are on parts of the guardrail; and by what a bucket tells of itself deletes are seen."""
    others = _member(detail, "eventSource") not in (None, "s3.amazonaws.com")
    return others or _member(detail, "eventName") == "PutBucketNotification"


def _loaded(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except ValueError as wrong:
        raise UsageError(f"{file} is not JSON: {wrong}") from None


def at(event: Any, moment: datetime) -> Any:
    """The same event, happening at this moment."""
    if not isinstance(event, dict):
        return event
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    moved = event | ({"time": stamp} if "time" in event else {})
    if isinstance(moved.get("detail"), dict) and "eventTime" in moved["detail"]:
        moved["detail"] = moved["detail"] | {"eventTime": stamp}
    return moved


def bucket_of(event: Any) -> str:
    """The bucket an event names; for one that names none, the sweep's for instance, one that there is to see."""
    detail = _member(event, "detail")
    named = _member(_member(detail, "requestParameters"), "bucketName") or _member(_member(detail, "bucket"), "name")
    return named if isinstance(named, str) else "example-protected-bucket"


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def as_batch(event: Any) -> dict[str, Any]:
    """The event as the delete queue hands it to its function."""
    message = {
        "messageId": "11111111-2222-4333-8444-555555555555",
        "receiptHandle": "example",
        "body": json.dumps(event),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }
    return {"Records": [message]}


def prepared(cloud: Cloud, event: Any) -> dict[str, str]:
    """Deploy, let a first sweep see that somebody listens, and make the bucket. Returns the stack's outputs."""
    outputs = stack.deploy(cloud, Drill="yes")
    stack.sweep(cloud, outputs)
    make_bucket(cloud, event)
    return outputs


def make_bucket(cloud: Cloud, event: Any) -> None:
    """Enrolled by its tag, MFA delete on once, and now as the event asked for; off when it asked for nothing."""
    s3, name = cloud.client("s3"), bucket_of(event)
    s3.create_bucket(Bucket=name)
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [TAG]})
    for state in ({"Status": "Enabled", "MFADelete": "Enabled"}, _asked(event)):
        s3.put_bucket_versioning(Bucket=name, MFA=cloud.mfa(), VersioningConfiguration=state)


def _asked(event: Any) -> dict[str, str]:
    detail = _member(event, "detail")
    asked = _member(_member(detail, "requestParameters"), "VersioningConfiguration")
    if _member(detail, "errorCode"):
        asked = None
    # CloudTrail writes MfaDelete, the S3 API MFADelete (events/README.md)
    return {
        "Status": _member(asked, "Status") or "Enabled",
        "MFADelete": _member(asked, "MfaDelete") or "Disabled",
    }


def _subjects(cloud: Cloud, before: int, *, expected: bool) -> list[str]:
    """Of the mails that came since, one subscriber's."""
    if expected:
        cloud.wait_for_mail(lambda mail: mail.to == stack.MAILBOX and bool(mail.message_attributes), MAIL_LIMIT_S)
    return [mail.subject for mail in cloud.mail(before) if mail.to == stack.MAILBOX]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
