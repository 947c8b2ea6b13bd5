"""CloudTrail records out of files: bare ones, log files, EventBridge envelopes, plain or gzip."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shared.facts import BUCKET_CALLS, VERSIONING_CALL
from shared.parse import Event

_BUCKET_ARN = re.compile(r"arn:[^:]*:s3:::.*", re.DOTALL)
_BLANK = re.compile(r"\s*")
_GZIP = b"\x1f\x8b"


class Damaged(Exception):
    """A file, or an entry of one, that cannot be read; the text says why."""


def events_in(path: Path) -> Iterator[Event | Damaged]:
    """The events of a file, each as EventBridge would deliver it; a Damaged for what is none.

    Raises Damaged when the whole file cannot be read.
    """
    for entry in _entries(_text(path)):
        if not isinstance(entry, Mapping):
            yield Damaged("an entry is not a JSON object")
        elif not _is_event(entry):
            yield Damaged("an entry is neither a CloudTrail record nor an EventBridge event")
        else:
            yield _as_event(entry)


def _is_event(entry: Mapping[str, Any]) -> bool:
    if "detail" in entry or "detail-type" in entry:
        return True
    return all(isinstance(entry.get(name), str) for name in ("eventName", "eventSource"))


def is_subscribed(event: Event) -> bool:
    """Whether a rule of template.yaml would let it through (tests compare with the rules themselves)."""
    detail = event.get("detail")
    if not isinstance(detail, Mapping):
        return True  # useless, and to be rejected with its reason
    if event.get("source") != "aws.s3":
        return False
    if event.get("detail-type") == "Object Deleted":
        version = _member(detail, "object", "version-id")
        return detail.get("deletion-type") == "Permanently Deleted" and version is not None
    if event.get("detail-type") != "AWS API Call via CloudTrail" or detail.get("eventSource") != "s3.amazonaws.com":
        return False
    name, refused = str(detail.get("eventName")), "errorCode" in detail
    if name == "DeleteObject":
        return _member(detail, "requestParameters", "versionId") is not None
    if name in {"TagResource", "UntagResource"}:
        resource = _member(detail, "requestParameters", "resource")
        return not refused and isinstance(resource, str) and bool(_BUCKET_ARN.fullmatch(resource))
    if name == "DeleteObjects":
        return refused
    return name == VERSIONING_CALL or (name in BUCKET_CALLS and not refused)


def _member(detail: Mapping[str, Any], outer: str, inner: str) -> Any:
    found = detail.get(outer)
    return found.get(inner) if isinstance(found, Mapping) else None


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if raw.startswith(_GZIP) else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as wrong:
        raise Damaged(str(wrong)) from wrong


def _entries(text: str) -> Iterator[Any]:
    """One JSON document, or several after each other, as in JSON lines."""
    try:
        documents = list(_documents(text))
    except (ValueError, RecursionError) as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise Damaged(f"not JSON: {whole}") from whole
        documents = [_line(line) for line in lines]
    for document in documents:
        records = document.get("Records") if isinstance(document, Mapping) else None
        yield from records if isinstance(records, list) else document if isinstance(document, list) else [document]


def _documents(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), _next(text, 0)
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        yield document
        at = _next(text, at)


def _next(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _as_event(entry: Mapping[str, Any]) -> Event:
    if "detail-type" in entry or "detail" in entry:
        return entry
    source = str(entry.get("eventSource", "")).partition(".")[0]
    account = entry.get("recipientAccountId") or _member(entry, "userIdentity", "accountId")
    return {
        "source": f"aws.{source}",
        "detail-type": "AWS API Call via CloudTrail",
        "account": account,
        "detail": entry,
    }
