"""CloudTrail records out of a file: bare ones, log files, EventBridge envelopes, plain or gzip.

A file is read piece by piece, and of a record that no rule lets through only its name is read. Where a record ends is
never guessed from braces: what looks like an end is one if all before it, closed, is valid JSON, since a parser that
reads from left to right is then in the same place in the whole. Whatever does not fit the fast way (another shape, a
damaged line, NaN) is read by json.
"""

import contextlib
import json
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any, BinaryIO

import msgspec
from isal import igzip, isal_zlib
from msgspec import UNSET, Raw, UnsetType

from shared import parse
from shared.facts import BUCKET_CALLS, VERSIONING_CALL, Trigger
from shared.parse import Event

PIECE = 1 << 17
"""Bytes read at a time: few enough to stay in a core's cache, which is worth more than fewer pieces."""
HELD_AT_MOST = 1 << 28
"""Bytes held while no end of a record is found. CloudTrail's own records have at most 256 KB."""
TRIES = 4
_BUCKET_ARN = re.compile(r"arn:[^:]*:s3:::.*", re.DOTALL)
_BLANK = re.compile(r"\s*")
_BOM, _GZIP = b"\xef\xbb\xbf", b"\x1f\x8b"
_S3 = "s3.amazonaws.com"
_WRONG_JSON: tuple[type[Exception], ...] = (ValueError, RecursionError)
_WRONG_FILE: Any = (OSError, EOFError, zlib.error, isal_zlib.IsalError)  # the last has no type
_NOT_THE_FAST_WAY: tuple[type[Exception], ...] = (msgspec.MsgspecError, ValueError, RecursionError)


class Damaged(Exception):
    """A file, or an entry of one, that cannot be read; the text says why."""


@dataclass(slots=True, kw_only=True)
class Taken:
    """What a piece holds: how many records, the events that a rule would let through, why entries were rejected."""

    records: int = 0
    events: list[Event] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)


class _Asked(msgspec.Struct):
    versionId: Raw | UnsetType = UNSET  # noqa: N815  # CloudTrail's name


class _Head(msgspec.Struct):
    """What rules a record out. The last three are no members of records: who has one is something else."""

    eventSource: str  # noqa: N815  # CloudTrail's name
    eventName: str  # noqa: N815  # CloudTrail's name
    requestParameters: _Asked | None = None  # noqa: N815  # CloudTrail's name
    errorCode: Raw | UnsetType = UNSET  # noqa: N815  # CloudTrail's name
    detail: Raw | UnsetType = UNSET
    kind: Raw | UnsetType = msgspec.field(default=UNSET, name="detail-type")
    Records: Raw | UnsetType = UNSET

    def may_matter(self) -> bool:
        """False only for what no rule lets through; `is_subscribed` decides about the others."""
        if self.detail is not UNSET or self.kind is not UNSET or self.Records is not UNSET:
            return True
        if self.eventSource != _S3:
            return False
        if self.eventName == "DeleteObject":
            return self.requestParameters is not None and self.requestParameters.versionId is not UNSET
        if self.eventName == "DeleteObjects":
            return self.errorCode is not UNSET
        return self.eventName in BUCKET_CALLS


class _Log[T](msgspec.Struct):
    Records: list[T]


_LOG_HEADS, _LOG_RAW = msgspec.json.Decoder(_Log[_Head]), msgspec.json.Decoder(_Log[Raw])
_LIST_HEADS, _LIST_RAW = msgspec.json.Decoder(list[_Head]), msgspec.json.Decoder(list[Raw])
_LINE_HEADS, _LINE_RAW = msgspec.json.Decoder(_Head), msgspec.json.Decoder(Raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How entries follow each other: what stands before them, what closes them, and where one may end.

    `cuts`, the likeliest first: group 1 is left out, and what follows it goes on in the same form.
    """

    lead: bytes
    close: bytes
    begins: re.Pattern[bytes]
    cuts: tuple[re.Pattern[bytes], ...]

    def heads(self, text: bytes) -> list[_Head]:
        if self is _LOG:
            return _LOG_HEADS.decode(text).Records
        return _LIST_HEADS.decode(text) if self is _LIST else _LINE_HEADS.decode_lines(text)

    def raw(self, text: bytes) -> list[Raw]:
        if self is _LOG:
            return _LOG_RAW.decode(text).Records
        return _LIST_RAW.decode(text) if self is _LIST else _LINE_RAW.decode_lines(text)


_BETWEEN = (re.compile(rb'\}(\s*,\s*)\{\s*"eventVersion"'), re.compile(rb"\}(\s*,\s*)\{"))
_LOG = _Form(lead=b'{"Records":[', close=b"]}", begins=re.compile(rb'\s*\{\s*"Records"\s*:\s*\['), cuts=_BETWEEN)
_LIST = _Form(lead=b"[", close=b"]", begins=re.compile(rb"\s*\["), cuts=_BETWEEN)
_LINES = _Form(lead=b"", close=b"", begins=re.compile(b""), cuts=(re.compile(rb"\}([ \t\r]*\n)"),))
_NEXT_LOG = re.compile(rb'\]\s*\}\s*(?=\{\s*"Records"\s*:\s*\[)')
"""Between two log files that somebody wrote one after the other."""


def taken_from(stream: BufferedReader) -> Iterator[Taken]:
    """Read a file, plain or gzip, piece by piece. Raises Damaged when it cannot be read to its end."""
    try:
        yield from _pieces(_unpacked(stream))
    except _WRONG_FILE as wrong:
        raise Damaged(str(wrong)) from wrong


def trigger_of(event: Event) -> Trigger:
    """Read it as the function behind its rule would. Raises BadEvent."""
    detail = event.get("detail")
    name = detail.get("eventName") if isinstance(detail, Mapping) else None
    is_delete = event.get("detail-type") == "Object Deleted" or name in {"DeleteObject", "DeleteObjects"}
    return parse.version_delete(event) if is_delete else parse.bucket_change(event)


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
    if event.get("detail-type") != "AWS API Call via CloudTrail" or detail.get("eventSource") != _S3:
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


def _unpacked(stream: BufferedReader) -> BinaryIO:
    if stream.peek(len(_GZIP))[: len(_GZIP)] != _GZIP:
        return stream
    unpacking: Any = igzip.IGzipFile  # it has no types
    unpacked: BinaryIO = unpacking(fileobj=stream)
    return unpacked


def _pieces(stream: BinaryIO) -> Iterator[Taken]:
    form, held = _begun(stream.read(PIECE).removeprefix(_BOM))
    while more := stream.read(max(PIECE, len(held))):
        held += more
        while len(held) > PIECE and (cut := _cut(form, held)):
            piece, form, held = cut
            yield piece
        if len(held) > HELD_AT_MOST:
            raise Damaged(f"no record ends within {HELD_AT_MOST >> 20} MB")
    yield _last(form, form.lead + held)


def _begun(held: bytes) -> tuple[_Form, bytes]:
    """At the beginning of a document: its form, and what follows the form's lead."""
    for form in (_LOG, _LIST):
        if found := form.begins.match(held):
            return form, held[found.end() :]
    return _LINES, held


def _cut(form: _Form, held: bytes) -> tuple[Taken, _Form, bytes] | None:
    """What can be read of it, and the rest; None if no record surely ends in it."""
    if form is _LOG and b'"Records"' in held and (between := _NEXT_LOG.search(held)):
        with contextlib.suppress(*_WRONG_JSON):
            return _read(form, form.lead + held[: between.end()]), *_begun(held[between.end() :])
    for ends in form.cuts:
        for end in reversed(deque(ends.finditer(held, len(held) - len(held) // 16), TRIES)):
            rest = held[end.end(1) :]
            with contextlib.suppress(*_WRONG_JSON):
                piece = _read(form, b"".join((form.lead, memoryview(held)[: end.start(1)], form.close)))
                return (piece, *_begun(rest)) if form is _LINES else (piece, form, rest)
    return None


def _read(form: _Form, text: bytes) -> Taken:
    """Read a whole text. Raises ValueError or RecursionError when it is not JSON to its end."""
    try:
        heads = form.heads(text)
        matter = [number for number, head in enumerate(heads) if head.may_matter()]
        taken = Taken(records=len(heads) - len(matter))
        raw = form.raw(text) if matter else []
        documents = [json.loads(bytes(raw[number]).decode()) for number in matter]
    except _NOT_THE_FAST_WAY:
        taken, documents = Taken(), list(_documents(text.decode()))
    _take(documents, taken)
    return taken


def _last(form: _Form, text: bytes) -> Taken:
    """Read what is left. Lines that are none do not spoil the others. Raises Damaged."""
    try:
        return _read(form, text)
    except _WRONG_JSON as wrong:
        lines = [_line(line) for line in text.splitlines() if line.strip()] if form is _LINES else []
        if not lines or not isinstance(lines[0], dict):
            raise Damaged(f"not JSON: {wrong}") from wrong
        taken = Taken()
        _take(lines, taken)
        return taken


def _documents(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), _next(text, 0)
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        yield document
        at = _next(text, at)


def _next(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _line(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except _WRONG_JSON:
        return None


def _take(documents: Iterable[Any], taken: Taken) -> None:
    for document in documents:
        records = document.get("Records") if isinstance(document, Mapping) else document
        for entry in records if isinstance(records, list) else [document]:
            taken.records += 1
            event = _event_of(entry)
            if isinstance(event, str):
                taken.rejected.append(event)
            elif is_subscribed(event):
                taken.events.append(event)


def _event_of(entry: Any) -> Event | str:
    """The event as EventBridge would deliver it, or why it is none."""
    if not isinstance(entry, Mapping):
        return "an entry is not a JSON object"
    if "detail-type" in entry or "detail" in entry:
        return entry
    if not all(isinstance(entry.get(name), str) for name in ("eventName", "eventSource")):
        return "an entry is neither a CloudTrail record nor an EventBridge event"
    source = entry["eventSource"].partition(".")[0]
    account = entry.get("recipientAccountId") or _member(entry, "userIdentity", "accountId")
    return {
        "source": f"aws.{source}",
        "detail-type": "AWS API Call via CloudTrail",
        "account": account,
        "detail": entry,
    }
