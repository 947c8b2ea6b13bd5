"""What helps until root is there: a statement for the bucket's policy."""

CONTAINMENT = "DenyPermanentDeletes"
"""The Sid of the statement below, by which `guardrail contain` knows it again."""


def containment(bucket: str, partition: str) -> dict[str, object]:
    """The statement for a bucket's policy that helps until root is there; `guardrail contain` puts it there."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return {
        "Sid": CONTAINMENT,
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:DeleteObjectVersion", "s3:PutLifecycleConfiguration"],
        "Resource": [arn, f"{arn}/*"],
    }


def limits_of_containment(*, versioning_on: bool) -> str:
    """What the statement does not stop, and when it has to go."""
    unversioned = "" if versioning_on else "nor overwrites and plain deletes, which are for good without versioning, "
    return (
        f"It does not stop whoever may change that policy, {unversioned}nor lifecycle rules that are there already. "
        "Take it out again before root removes a lifecycle configuration or proves the protection: it would refuse "
        "both."
    )
