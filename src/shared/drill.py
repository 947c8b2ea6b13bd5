"""The drill: two calls on a bucket of our own must come back as events; one that does not is a link that is broken."""

from typing import Any

from botocore.exceptions import ClientError

from shared import parse
from shared.aws.calling import client, is_refused
from shared.facts import CALLED, Drill
from shared.guardrail import Guardrail
from shared.report import Report

KEY = "mfa-delete-guardrail-drill"


class NotRefused(Exception):
    """The canary's policy let a version delete by: somebody changed it."""


def run(guard: Guardrail, event: parse.Event) -> Report:
    """Make the two calls and note their request ids. Without a trail that logs the canary's deletes, only the first."""
    parse.drill(event)
    bucket, s3 = guard.settings.canary_bucket, client("s3")
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
        if is_refused(error):
            return _request_id(error.response)
        raise
    raise NotRefused(f"a version delete on {bucket} was not refused: deploy again, its policy was changed")


def _request_id(answer: Any) -> str:
    """As CloudTrail writes it."""
    told = answer["ResponseMetadata"]
    return str(told.get("HTTPHeaders", {}).get("x-amz-request-id") or told.get("RequestId", ""))
