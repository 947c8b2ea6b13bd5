"""The drill: two calls on a bucket of our own must come back as events; one that does not is a link that is broken."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import ClientError

from shared import quoting
from shared.aws.calling import CONFIG, code, is_refused
from shared.facts import CALLED, CHANGE, BadEvent, Condition, Drill, State
from shared.guardrail import Guardrail, Report
from shared.parse import Event
from shared.settings import Settings

LIMIT = timedelta(minutes=30)
EVERY = timedelta(days=1)
KEY = "mfa-delete-guardrail-drill"
HALVES = {CHANGE: "its change of versioning that changes nothing", "delete": "its refused version delete"}


class NotRefused(Exception):
    """The canary's policy let a version delete by: somebody changed it."""


def run(guard: Guardrail, event: Event) -> Report:
    """Make the two calls and note their request ids. Without a trail that logs the canary's deletes, only the first."""
    if not isinstance(event, dict) or not event.get("drill"):
        raise BadEvent('the drill expects {"drill": "scheduled"} or {"drill": "by hand"}')
    bucket, s3 = guard.settings.canary_bucket, boto3.client("s3", config=CONFIG)
    look = guard.notes.look()
    logged = look is not None and look.canary_logged
    guard.notes.note_drill(Drill(at=guard.clock(), change_id=CALLED, delete_id=CALLED if logged else ""))
    delete_id = _refused_delete(s3, bucket) if logged else ""
    answer = s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    guard.notes.note_called(_request_id(answer), delete_id)
    notes = () if logged else ("no trail is known that logs the canary's deletes: that half is left out",)
    return Report(notes=notes)


def _refused_delete(s3: Any, bucket: str) -> str:
    """Nothing is there to be deleted, and the bucket's policy refuses it before S3 looks."""
    try:
        s3.delete_object(Bucket=bucket, Key=KEY, VersionId="null")
    except ClientError as error:
        if is_refused(error) or code(error) == "403":
            return _request_id(error.response)
        raise
    raise NotRefused(f"a version delete on {bucket} was not refused: deploy again, its policy was changed")


def _request_id(answer: Any) -> str:
    """As CloudTrail writes it."""
    told = answer["ResponseMetadata"]
    return str(told.get("HTTPHeaders", {}).get("x-amz-request-id") or told.get("RequestId", ""))


def conditions(drill: Drill | None, settings: Settings, now: datetime, waiting: Sequence[str]) -> Iterator[Condition]:
    """What the last drill says of the way from S3 to us. waiting: queues in which something waits."""
    if drill is None or not settings.canary_bucket:
        return
    name = f"the drill of {quoting.minute(drill.at)}"
    mend = f"guardrail --stack {settings.stack_name} --region {settings.aws_region} doctor"
    overdue = [half for half in drill.missing if now - drill.at > LIMIT]
    for half in overdue:
        last = f"messages in {', '.join(waiting)}" if waiting else f"S3, which answered (request {drill.id_of(half)})"
        yield Condition(
            about="drill",
            state=State.BAD,
            problem=f"drill-{half}-lost",
            meaning=f"{name}: {HALVES[half]} has not come back as an event; last seen: {last}",
            mend=mend,
        )
    if not overdue and now - drill.at > 2 * EVERY:
        meaning = f"{name} was the last; one is due every day"
        yield Condition(about="drill", state=State.BAD, problem="drill-missing", meaning=meaning, mend=mend)
    elif not overdue:
        yield Condition(
            about="drill", state=State.FINE, meaning=f"the drill of {drill.at:%Y-%m-%d %H:%M} UTC {_came(drill)}"
        )


def _came(drill: Drill) -> str:
    lags = ", ".join(f"{half} after {lag.total_seconds():.0f} s" for half, lag in drill.lags.items())
    return f"came back ({lags})" if not drill.missing else "is on its way"
