"""What helps until root is there: a statement for the bucket's policy."""

import json

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


def until_root(bucket: str, partition: str, command: str, *, versioning_on: bool) -> str:
    """What an alert says of it: first the command, which adds to what the policy holds and reads it back.

    command: how the operator begins one for this stack; empty for a bucket that it knows nothing of.
    """
    by_hand = "add this statement to the bucket's policy (or, without Principal, to an SCP)."
    how = f"Until then, without root: {by_hand}"
    if command:
        how = (
            f"Until then, without root: {command} contain {bucket}\n"
            f"It adds the statement below to the bucket's policy and reads it back. Without the command: {by_hand}"
        )
    limits = limits_of_containment(versioning_on=versioning_on)
    return f"{how} {limits}\n{json.dumps(containment(bucket, partition))}"


def limits_of_containment(*, versioning_on: bool) -> str:
    """What the statement does not stop, and when it has to go."""
    unversioned = "" if versioning_on else "nor overwrites and plain deletes, which are for good without versioning, "
    return (
        f"It does not stop whoever may change that policy, {unversioned}nor lifecycle rules that are there already. "
        "Take it out again before root removes a lifecycle configuration or proves the protection: it would refuse "
        "both."
    )
