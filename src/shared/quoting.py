"""Text that others chose (keys, names, user agents, error texts) made safe to show: one line, ASCII, no codes."""

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

_CODE = re.compile(r"(?<![0-9])[0-9]{6}(?![0-9])")
_UNSAFE = {"`": "\\u0060", "<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "$": "\\u0024", "|": "\\u007c"}


def redact(text: str) -> str:
    """Take six-digit groups out: NotDeviceOwnerError repeats the one-time code (S3 API reference, error responses)."""
    return _CODE.sub("[code]", text)


def quoted(text: str, limit: int = 120) -> str:
    """A JSON string in ASCII, cut in the middle: nothing in it can break a line, Markdown, HTML or a terminal."""
    inside = "".join(_UNSAFE.get(char, char) for char in json.dumps(text)[1:-1].replace("\x7f", "\\u007f"))
    return f'"{cut(inside, limit)}"'


def plain(text: str, limit: int = 120) -> str:
    """For values that are nearly always harmless (addresses, user agents): as they are, unless they are not."""
    inside = quoted(text, limit)[1:-1]
    return inside if inside == text else f'"{inside}"'


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the middle replaced by `..`."""
    if len(text) <= limit:
        return text
    head = (limit - 2 + 1) // 2
    return f"{text[:head]}..{text[len(text) - (limit - 2 - head) :]}"


def first_lines(lines: Sequence[str], limit: int, more: str) -> str:
    """Whole lines, as many as fit into `limit` characters; `more` says that there are others."""
    kept: list[str] = []
    left = limit - len(more)
    for line in (cut(line, limit // 3) for line in lines):
        left -= len(line) + 1
        if left < 0:
            return "\n".join([*kept, more])
        kept.append(line)
    return "\n".join(kept)


def utc(at: datetime) -> str:
    """`2026-11-24 03:12:05 UTC`."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def minute(at: datetime) -> str:
    """`2026-11-24 03:12 UTC`."""
    return at.strftime("%Y-%m-%d %H:%M UTC")


def span(length: timedelta) -> str:
    """A length of time in the two largest units that matter: `4 s`, `12 min 5 s`, `3 h 2 min`, `2 d 4 h`."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"
