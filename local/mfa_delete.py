"""MFA delete in front of ministack's S3: stored with the bucket, enforced with S3's own answers.

Runs inside `s3._dispatch`, so after IAM authorization and after the Region check: an unauthorised user gets the
plain AccessDenied of IAM, a call in the wrong Region its redirect, as on AWS.
Sources: S3 user guide "Configuring MFA delete", API references of PutBucketVersioning and DeleteObjects; the error
texts are those that public threads show.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from local import emulator
from local.devices import Devices, Refused
from local.exchange import Headers, Query, s3_operation
from local.identity import caller_of

MUST = ("AccessDenied", 403, "Mfa Authentication must be used for this request")
OWNER_ONLY = ("AccessDenied", 403, "This operation may only be performed by the bucket owner")
DEVPAY = ("InvalidRequest", 400, "DevPay and Mfa are mutually exclusive authorization methods.")
HAS_LIFECYCLE = (
    "InvalidBucketState",
    409,
    "Mfa Authentication is not supported on a bucket with lifecycle configuration. "
    "Delete lifecycle configuration before enabling Mfa Authentication.",
)
# The code is documented by analogy, the wording is ours: no captured text was found.
NO_LIFECYCLE = ("InvalidBucketState", 409, "Lifecycle configuration is not supported on a bucket with MFA delete.")

# Where the state lives: in the bucket's own record, so that it goes when the bucket goes.
_STATE = "mfa_delete"
_GATED = {"PutBucketVersioning", "GetBucketVersioning", "DeleteObject", "DeleteObjects", "PutBucketLifecycle"}

Dispatch = Callable[[str, str, str, dict[str, str], bytes, dict[str, list[str]]], tuple[int, dict[str, str], bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    operation: str
    bucket: str
    headers: Headers
    query: Query
    body: bytes

    @property
    def code(self) -> str | None:
        return self.headers.get("x-amz-mfa")

    @property
    def wanted(self) -> str:
        """MfaDelete of a PutBucketVersioning body, "" when not sent."""
        found = re.search(rb"<MfaDelete>\s*(\w+)\s*</MfaDelete>", self.body)
        return found[1].decode() if found else ""

    @property
    def names_version(self) -> bool:
        """Whether a delete names a version: by query for one object, by any VersionId in a batch."""
        return "versionId" in self.query or b"<VersionId>" in self.body


def install(devices: Devices) -> None:
    """Stand in front of ministack's S3."""
    emulator.s3._dispatch = _gate(emulator.s3._dispatch, devices)


def _gate(dispatch: Dispatch, devices: Devices) -> Dispatch:
    def gated(
        method: str, bucket: str, key: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> tuple[int, dict[str, str], bytes]:
        operation = s3_operation(method, key, query)
        record = emulator.s3._buckets.get(bucket)
        if record is None or operation not in _GATED:
            return dispatch(method, bucket, key, headers, body, query)
        call = _Call(operation=operation, bucket=bucket, headers=headers, query=query, body=body)
        try:
            _RULES[operation](call, record, devices)
        except Refused as refusal:
            error = emulator.s3._error(refusal.code, refusal.message, refusal.status, f"/{bucket}")
            return (error[0], error[1], error[2])
        answer = dispatch(method, bucket, key, headers, body, query)
        return _remember(call, record, answer)

    return gated


def _is_on(record: dict[str, Any]) -> bool:
    return record.get(_STATE) == "Enabled"


def _prove(call: _Call, devices: Devices) -> None:
    """Accept the MFA header or raise; only the owner's root with a long-term key can pass."""
    caller = caller_of(call.headers, call.query)
    if caller is not None and caller.is_temporary:
        raise Refused(*DEVPAY)
    # The request's account is the bucket owner's by now: ministack pins it before dispatching.
    if caller is None or not caller.is_root or caller.account != emulator.responses.get_account_id():
        raise Refused(*OWNER_ONLY)
    devices.spend(call.code or "")


def _versioning_rule(call: _Call, record: dict[str, Any], devices: Devices) -> None:
    if call.code is not None:
        _prove(call, devices)
    elif _is_on(record) or call.wanted == "Enabled":
        raise Refused(*MUST)
    enabling = call.wanted == "Enabled" and not _is_on(record)
    if enabling and emulator.s3._bucket_lifecycle.get(call.bucket):
        raise Refused(*HAS_LIFECYCLE)


def _delete_rule(call: _Call, record: dict[str, Any], devices: Devices) -> None:
    # A bad code fails the whole request even when no key names a version (DeleteObjects API reference).
    if call.code is not None:
        _prove(call, devices)
    elif _is_on(record) and call.names_version:
        raise Refused(*MUST)


def _lifecycle_rule(call: _Call, record: dict[str, Any], devices: Devices) -> None:
    if _is_on(record):
        raise Refused(*NO_LIFECYCLE)


def _no_rule(call: _Call, record: dict[str, Any], devices: Devices) -> None:
    """Reading is free."""


_RULES = {
    "PutBucketVersioning": _versioning_rule,
    "GetBucketVersioning": _no_rule,
    "DeleteObject": _delete_rule,
    "DeleteObjects": _delete_rule,
    "PutBucketLifecycle": _lifecycle_rule,
}


def _remember(
    call: _Call, record: dict[str, Any], answer: tuple[int, dict[str, str], bytes]
) -> tuple[int, dict[str, str], bytes]:
    status, headers, body = answer
    if status == 200 and call.operation == "PutBucketVersioning" and call.wanted:
        record[_STATE] = call.wanted
    if status == 200 and call.operation == "GetBucketVersioning" and _STATE in record:
        root = ElementTree.fromstring(body)  # noqa: S314  # the emulator's own answer
        namespace = root.tag.partition("}")[0].lstrip("{")
        ElementTree.SubElement(root, f"{{{namespace}}}MfaDelete").text = record[_STATE]
        body = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True, default_namespace=namespace)
    return status, headers, body
