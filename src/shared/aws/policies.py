"""What may be done with the guardrail's parts, as one digest: it changes when anybody changes a policy."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from shared.aws.calling import code
from shared.aws.parts import Stack, is_gone


def digest(stack: Stack) -> str:
    """A digest of the policies of roles, topics, queues and buses. Five requests for a role. Raises ClientError.

    Empty when a topic, a queue or a bus is gone: that is another trouble, told by its own look.
    """
    iam = stack.clients("iam")
    names = sorted(part.name for part in stack.of("AWS::IAM::Role"))
    try:
        told = [list(_of_role(iam, name)) for name in names]
        told += [*_of_topics(stack), *_of_queues(stack), *_of_buses(stack)]
    except ClientError as error:
        if is_gone(error):
            return ""
        raise
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _of_role(iam: Any, name: str) -> Iterator[Any]:
    """Trust, boundary, attached and own policies."""
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


def _of_topics(stack: Stack) -> Iterator[Any]:
    sns = stack.clients("sns")
    for name in sorted(part.name for part in stack.of("AWS::SNS::Topic")):
        attributes = sns.get_topic_attributes(TopicArn=name)["Attributes"]
        yield name, json.loads(attributes.get("Policy") or "{}")


def _of_queues(stack: Stack) -> Iterator[Any]:
    sqs = stack.clients("sqs")
    for name in sorted(part.name for part in stack.of("AWS::SQS::Queue")):
        answer = sqs.get_queue_attributes(QueueUrl=name, AttributeNames=["Policy"])
        yield name, json.loads(answer.get("Attributes", {}).get("Policy") or "{}")


def _of_buses(stack: Stack) -> Iterator[Any]:
    events = stack.clients("events")
    for name in sorted(part.name for part in stack.of("AWS::Events::EventBus")):
        yield name, json.loads(events.describe_event_bus(Name=name).get("Policy") or "{}")
