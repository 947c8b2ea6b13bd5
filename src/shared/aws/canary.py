"""The two calls of a drill, on the stack's own empty bucket: each returns the request id by which it comes back."""

from typing import Any

from botocore.exceptions import ClientError

from shared.aws.calling import client, is_refused

KEY = "mfa-delete-guardrail-drill"


class NotRefused(Exception):
    """The canary's policy let a version delete by: somebody changed it."""


def change(bucket: str) -> str:
    """Set versioning to what it is."""
    answer = client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return _request_id(answer)


def refused_delete(bucket: str) -> str:
    """Nothing is there to be deleted, and the bucket's policy refuses it before S3 looks. Raises NotRefused."""
    try:
        client("s3").delete_object(Bucket=bucket, Key=KEY, VersionId="null")
    except ClientError as error:
        if is_refused(error):
            return _request_id(error.response)
        raise
    raise NotRefused(f"a version delete on {bucket} was not refused: deploy again, its policy was changed")


def _request_id(answer: Any) -> str:
    """As CloudTrail writes it."""
    told = answer["ResponseMetadata"]
    return str(told.get("HTTPHeaders", {}).get("x-amz-request-id") or told.get("RequestId", ""))
