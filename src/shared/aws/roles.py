"""What the guardrail's roles may do, as one digest: it changes when anybody changes a policy of theirs."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from shared.aws.calling import code, is_refused


def digest(iam: Any, names: Sequence[str]) -> str:
    """A digest of trust, boundary and policies of these roles; empty if they may not be read. Five requests each."""
    try:
        told = [list(_told(iam, name)) for name in sorted(names)]
    except ClientError as error:
        if is_refused(error):
            return ""
        raise
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _told(iam: Any, name: str) -> Iterator[Any]:
    yield name
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        return
    yield role.get("AssumeRolePolicyDocument")
    yield role.get("PermissionsBoundary")
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=name):
        yield sorted(each["PolicyArn"] for each in page["AttachedPolicies"])
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=name):
        for policy in sorted(page["PolicyNames"]):
            yield policy, iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
