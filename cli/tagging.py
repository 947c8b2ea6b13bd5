"""Put the protection tag on one bucket: beside its other tags, and never behind the back of the tool that owns them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from cli.readback import read_back
from cli.screen import printable
from cli.stack import Trouble
from shared.aws.buckets import near_miss
from shared.aws.calling import code, is_refused
from shared.facts import BucketKey

MOST = 50
"""Tags of the user's own that a bucket may have."""
SYSTEM = "aws:"
"""What the keys of tags begin with that AWS itself writes."""
STACK_TAG, LOGICAL_TAG = "aws:cloudformation:stack-name", "aws:cloudformation:logical-id"
TERRAFORM = ("terraform", "terragrunt", "tofu")
OWNERS = frozenset(
    {"managedby", "managed", "provisioner", "provisionedby", "createdby", "deployedby", "iac", "iactool"}
)
"""Keys of tags by which people say what made a resource, small letters and digits only."""

type TagSet = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """What writes tags: the two clients, the protection tag, and whether it may really write."""

    s3: Any
    s3control: Any
    partition: str
    key: str
    value: str
    dry_run: bool
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """What became of it: tagged, would be tagged, already tagged, or left to the tool that owns the bucket's tags."""

    done: str
    tool: str = ""
    snippet: str = ""
    notes: tuple[str, ...] = ()


def tag(pen: Pen, bucket: BucketKey) -> Tagged:
    """Read, merge, write, read back. Raises Trouble, one sentence, when it cannot be done."""
    before = _read(pen, bucket)
    if before.get(pen.key) == pen.value:
        return Tagged(done="already tagged")
    tool, notes = tool_of(before), tuple(_notes(pen, before))
    snippet = _snippet(pen, tool, before)
    if tool and not pen.force:
        return Tagged(done="left", tool=tool, snippet=snippet, notes=notes)
    wanted = {**before, pen.key: pen.value}
    if sum(not name.startswith(SYSTEM) for name in wanted) > MOST:
        raise Trouble(f"it has {MOST} tags already, and S3 takes no more; remove one first")
    if pen.dry_run:
        return Tagged(done="would be tagged", tool=tool, notes=notes)
    _write(pen, bucket, wanted)
    found = read_back(lambda: _read(pen, bucket), lambda tags: wanted.items() <= tags.items())
    if lost := sorted(wanted.items() - found.items()):
        missing = ", ".join(f"{name}={value}" for name, value in lost)
        raise Trouble(f"read back, its tags lack {printable(missing)}: did somebody else write them at the same time?")
    return Tagged(done="tagged", tool=tool, notes=notes)


def tool_of(tags: TagSet) -> str:
    """The tool that would take our tag away again, by the tags that it, or its users, put there."""
    if STACK_TAG in tags:
        return "CloudFormation"
    return "Terraform" if any(_says_terraform(name, value) for name, value in tags.items()) else ""


def _says_terraform(name: str, value: str) -> bool:
    key, said = "".join(char for char in name.casefold() if char.isalnum()), value.casefold()
    if any(word in key for word in TERRAFORM):
        return said not in {"false", "no", "0"}
    return key in OWNERS and any(word in said for word in TERRAFORM)


def _snippet(pen: Pen, tool: str, tags: TagSet) -> str:
    key, value = json.dumps(pen.key), json.dumps(pen.value)
    if tool == "CloudFormation":
        where = f"# stack {printable(tags[STACK_TAG])}, resource {printable(tags.get(LOGICAL_TAG, '(not named)'))}"
        return f"{where}, under Properties\nTags:\n  - Key: {key}\n    Value: {value}"
    if tool:
        where = "# in the bucket's aws_s3_bucket resource, beside the tags that are there"
        return f"{where}\ntags = {{\n  {key} = {value}\n}}"
    return ""


def _notes(pen: Pen, before: TagSet) -> Iterator[str]:
    if pen.key in before:
        yield f"{pen.key} was {printable(before[pen.key])}"
    elif alike := near_miss(before, pen.key, pen.value):
        yield f"it carries {printable(alike)} too, which looks alike and counts for nothing"


def _read(pen: Pen, bucket: BucketKey) -> dict[str, str]:
    try:
        answer = pen.s3.get_bucket_tagging(Bucket=bucket.name, ExpectedBucketOwner=bucket.account)
    except ClientError as error:
        if code(error) == "NoSuchTagSet":
            return {}
        raise said(error, "s3:GetBucketTagging") from error
    return {each["Key"]: each["Value"] for each in answer["TagSet"]}


def _write(pen: Pen, bucket: BucketKey, wanted: TagSet) -> None:
    if any(name.startswith(SYSTEM) for name in wanted):
        # A whole set may not lack AWS's own tags: "System Tags cannot be removed by requester".
        return _add(pen, bucket)
    listed = [{"Key": name, "Value": value} for name, value in wanted.items()]
    try:
        pen.s3.put_bucket_tagging(Bucket=bucket.name, Tagging={"TagSet": listed}, ExpectedBucketOwner=bucket.account)
    except ClientError as error:
        # A bucket whose tags decide on access (ABAC): it takes single tags only.
        if code(error) != "MethodNotAllowed":
            raise said(error, "s3:PutBucketTagging") from error
        _add(pen, bucket)
    return None


def _add(pen: Pen, bucket: BucketKey) -> None:
    """The one tag, whatever others there are."""
    arn, ours = f"arn:{pen.partition}:s3:::{bucket.name}", {"Key": pen.key, "Value": pen.value}
    try:
        pen.s3control.tag_resource(AccountId=bucket.account, ResourceArn=arn, Tags=[ours])
    except ClientError as error:
        raise said(error, "s3:TagResource") from error


def said(error: ClientError, action: str) -> Trouble:
    """An answer of S3 as one sentence."""
    if code(error) == "NoSuchBucket":
        return Trouble("there is no such bucket any more")
    if is_refused(error):
        return Trouble(f"{action} is refused (AccessDenied): by your own permissions, a policy, or another owner")
    return Trouble(printable(str(error)))
