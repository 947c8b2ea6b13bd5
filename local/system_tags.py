"""Tags that AWS itself writes, on the buckets of CloudFormation's stacks; a set of tags without them is refused.

ministack writes none and takes any set. The sentences are those of S3 in public threads (cloud-custodian, 2834 and
370), and that a set may repeat AWS's own unchanged is in the mend of the first.
"""

from collections.abc import Callable
from typing import Any

from local import emulator
from local.exchange import s3_operation
from local.mfa_delete import Dispatch

PREFIX = "aws:"
REMOVED = "System Tags cannot be removed by requester"
ADDED = "Your TagKey cannot be prefixed with aws:"

Tags = dict[str, str]


def install() -> None:
    """Stand in front of ministack's S3, and behind its making of buckets."""
    handlers = emulator.provisioners._RESOURCE_HANDLERS
    handlers["AWS::S3::Bucket"] = {**handlers["AWS::S3::Bucket"], "create": _marked(handlers["AWS::S3::Bucket"])}
    emulator.s3._dispatch = _kept(emulator.s3._dispatch)


def _marked(handler: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        name, attributes = handler["create"](logical_id, properties, stack_name)
        ours = {"stack-name": stack_name, "logical-id": logical_id}
        listed = {each["Key"]: each["Value"] for each in properties.get("Tags", [])}
        system = {f"{PREFIX}cloudformation:{key}": value for key, value in ours.items()}
        emulator.s3._bucket_tags[name] = listed | system
        return name, attributes

    return create


def _kept(dispatch: Dispatch) -> Dispatch:
    def guarded(
        method: str, bucket: str, key: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> tuple[int, dict[str, str], bytes]:
        if s3_operation(method, key, query) == "PutBucketTagging" and (said := _refusal(bucket, body)):
            error = emulator.s3._error("InvalidTag", said, 400, f"/{bucket}")
            return (error[0], error[1], error[2])
        return dispatch(method, bucket, key, headers, body, query)

    return guarded


def _refusal(bucket: str, body: bytes) -> str:
    """Why the set is not taken; empty if it is."""
    before = _system(emulator.s3._bucket_tags.get(bucket) or {})
    try:
        after = _system(emulator.s3._parse_tags_xml(body))
    except SyntaxError:
        return ""  # ministack says that it is no XML
    if before.keys() - after.keys():
        return REMOVED
    return ADDED if after != before else ""


def _system(tags: Tags) -> Tags:
    return {key: value for key, value in tags.items() if key.startswith(PREFIX)}
