"""One API call as the server sees it: the request, its names, and the answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import parse_qs, unquote

from local import cbor, emulator

# What CloudTrail calls the S3 operations we record; the key is (method, has an object key, sub-resource).
_S3_NAMES = {
    ("PUT", False, "versioning"): "PutBucketVersioning",
    ("GET", False, "versioning"): "GetBucketVersioning",
    ("PUT", False, "tagging"): "PutBucketTagging",
    ("DELETE", False, "tagging"): "DeleteBucketTagging",
    ("PUT", False, "lifecycle"): "PutBucketLifecycle",
    ("DELETE", False, "lifecycle"): "DeleteBucketLifecycle",
    ("PUT", False, "policy"): "PutBucketPolicy",
    ("DELETE", False, "policy"): "DeleteBucketPolicy",
    ("PUT", False, "notification"): "PutBucketNotification",
    ("POST", False, "delete"): "DeleteObjects",
    ("PUT", False, ""): "CreateBucket",
    ("DELETE", False, ""): "DeleteBucket",
    ("DELETE", True, ""): "DeleteObject",
}
# Query keys that do not choose the operation.
_NO_SUBRESOURCE = {"versionId", "x-id", "bypassGovernanceRetention"}

Query = Mapping[str, list[str]]
Headers = Mapping[str, str]


def s3_operation(method: str, key: str, query: Query) -> str:
    """The S3 operation, or "" for one this room has no interest in."""
    chosen = [each for each in query if each not in _NO_SUBRESOURCE and not each.lower().startswith("x-amz-")]
    return _S3_NAMES.get((method, bool(key), chosen[0] if chosen else ""), "")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request with its whole body."""

    method: str
    path: str
    query: Query
    headers: Headers
    body: bytes

    @cached_property
    def service(self) -> str:
        """The signing name in the credential scope ("s3", "sns"), "" when unsigned."""
        scope = re.search(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/", self.headers.get("authorization", ""))
        return scope[1] if scope else ""

    @cached_property
    def bucket_and_key(self) -> tuple[str, str]:
        bucket, _, key = self.path.lstrip("/").partition("/")
        return bucket, unquote(key) if "%" in key else key

    @cached_property
    def action(self) -> str:
        """The IAM action the call needs, as ministack maps it; "" when it knows none."""
        headers, query = dict(self.headers), dict(self.query)
        params = emulator.app._routing_params(self.method, self.path, headers, self.body, query)
        service = emulator.app.detect_service(self.method, self.path, headers, params)
        return (
            emulator.iam_actions.extract_iam_action(service, self.method, self.path, headers, self.body, params) or ""
        )

    @cached_property
    def operation(self) -> str:
        """The API operation, named by target header, Action parameter or S3 route, else by its IAM action."""
        named = self.headers.get("x-amz-target", "").rpartition(".")[2] or self._action_parameter()
        if self.service == "s3":
            named = s3_operation(self.method, self.bucket_and_key[1], self.query)
        smithy = re.search(r"/operation/(\w+)$", self.path)
        return named or (smithy[1] if smithy else "") or self.action.partition(":")[2] or f"{self.method} {self.path}"

    def _action_parameter(self) -> str:
        if not self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return ""
        return parse_qs(self.body.decode("utf-8", "replace")).get("Action", [""])[0]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What went back to the caller."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str:
        return next((value.decode() for key, value in self.headers if key.decode().lower() == name), "")

    @cached_property
    def error(self) -> tuple[str, str]:
        """Error code and message, both "" on success or when the body names none."""
        if self.status < 300:
            return "", ""
        if "cbor" in self.header("content-type"):
            return _cbor_error(self.body)
        text = self.body.decode("utf-8", "replace")
        code = re.search(r"<Code>(.*?)</Code>|\"(?:__type|[Cc]ode)\":\s*\"(?:[^\"]*#)?([^\"]*)\"", text)
        message = re.search(r"<Message>(.*?)</Message>|\"[Mm]essage\":\s*\"([^\"]*)\"", text, re.DOTALL)
        # Lambda and Scheduler name the error in a header alone.
        named = self.header("x-amzn-errortype").partition(":")[0]
        return _first(code) or named, _first(message)


def _cbor_error(body: bytes) -> tuple[str, str]:
    said = cbor.loads(body)
    return str(said.get("__type", "")).rpartition("#")[2], str(said.get("message", said.get("Message", "")))


def _first(found: re.Match[str] | None) -> str:
    return next((group for group in found.groups() if group), "") if found else ""
