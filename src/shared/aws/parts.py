"""The stack's parts as CloudFormation knows them, and how a look at one of them is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from shared.aws.calling import code
from shared.aws.trails import Clients
from shared.facts import Condition, State
from shared.settings import Settings

_GONE = {
    "ResourceNotFoundException", "NotFound", "NotFoundException", "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist", "NoSuchEntity",
}  # fmt: skip
_WATCHES = {"BucketChangeRule", "BucketChangeFunction"}
"""Without one of these, no change of a bucket is noticed when it happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A resource of the stack: its id in the template, its type, its name or ARN."""

    logical_id: str
    kind: str
    name: str
    changed_at: datetime
    changing: bool

    @property
    def tail(self) -> str:
        """The last part of its name, by which ARNs and URLs of it end."""
        return self.name.replace("/", ":").rpartition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What the looks need: the settings, clients, the stack's parts by logical id, the buckets to be watched."""

    settings: Settings
    clients: Clients
    parts: Mapping[str, Part]
    enrolled: Sequence[str]

    def of(self, kind: str) -> list[Part]:
        """The parts of one type; one that CloudFormation has only begun to make has no name to ask for."""
        return [each for each in self.parts.values() if each.kind == kind and each.name]


def parts_of(settings: Settings, clients: Clients) -> dict[str, Part]:
    """The stack's resources as CloudFormation knows them. One request per hundred."""
    pages = clients("cloudformation").get_paginator("list_stack_resources").paginate(StackName=settings.stack_name)
    return {
        each["LogicalResourceId"]: Part(
            logical_id=each["LogicalResourceId"],
            kind=each["ResourceType"],
            name=each.get("PhysicalResourceId", ""),
            changed_at=each["LastUpdatedTimestamp"],
            changing=each["ResourceStatus"].endswith("_IN_PROGRESS"),
        )
        for page in pages
        for each in page["StackResourceSummaries"]
    }


def refused(about: str, error: ClientError) -> Condition:
    """A look that was refused: never fine, and never bad."""
    meaning = f"{error.operation_name} is refused: nobody knows whether the {about} is as it should be"
    mend = f"allow {error.operation_name} to the role that looks, in its policies and in the organization's"
    return Condition(about=about, state=State.UNKNOWN, problem=f"{about}-unverifiable", meaning=meaning, mend=mend)


def unseen(about: str, where: str, error: ClientError) -> Condition:
    """A look that came to nothing in one place, which holds up no other."""
    meaning = f"{where} does not answer ({code(error)}): nobody knows whether the {about} is as it should be"
    mend = f"look into {where} by hand, then acknowledge this if it is to stay so"
    problem = f"{about}-unverifiable-{where}"
    return Condition(about=about, state=State.UNKNOWN, problem=problem, meaning=meaning, mend=mend)


def fine(about: str, meaning: str) -> Condition:
    """A part that is as it should be."""
    return Condition(about=about, state=State.FINE, meaning=meaning)


def bad(about: str, problem: str, meaning: str, mend: str, part: Part | None = None) -> Condition:
    """A part that is not: what that means, and what mends it. part: which, if it may be one that blinds."""
    blinds = part is not None and part.logical_id in _WATCHES
    return Condition(
        about=about, state=State.BAD, problem=f"{about}-{problem}", meaning=meaning, mend=mend, blinds=blinds
    )


def depth(sqs: Any, url: str) -> int:
    """How many messages are in a queue. One request; raises ClientError if it is gone."""
    names = ["ApproximateNumberOfMessages"]
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]])


def is_gone(error: ClientError) -> bool:
    """Whether there is no such thing; each service has its own word for it."""
    return code(error) in _GONE


def answer_of(read: Callable[..., Mapping[str, Any]], **asked: str) -> Mapping[str, Any] | None:
    """What AWS answers about a part; None where it is gone. Raises what else goes wrong."""
    try:
        return read(**asked)
    except ClientError as error:
        if is_gone(error):
            return None
        raise
