"""CBOR (RFC 8949) as far as CloudWatch's wire protocol needs it; stands in for the `cbor2` ministack asks for."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_EPOCH_TAG = 1
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_INDEFINITE = 31
_BREAK = 0xFF


@dataclass(frozen=True, slots=True)
class CBORTag:
    """A tagged value; 1 is a time in epoch seconds."""

    tag: int
    value: Any


def loads(body: bytes) -> Any:
    """The first value in `body`. Raises ValueError when it is cut off or of a kind not known here."""
    try:
        return _Reader(body).value()
    except (IndexError, struct.error) as wrong:
        raise ValueError("CBOR that ends too early") from wrong


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def value(self) -> Any:
        first = self._body[self._at]
        self._at += 1
        major, info = first >> 5, first & 31
        if major == 7:
            return self._simple(info)
        if info == _INDEFINITE:
            return self._indefinite(major)
        return self._definite(major, self._argument(info))

    def _argument(self, info: int) -> int:
        return info if info < 24 else int.from_bytes(self._take(1 << (info - 24)))

    def _take(self, count: int) -> bytes:
        taken = self._body[self._at : self._at + count]
        if len(taken) < count:
            raise ValueError("CBOR that ends too early")
        self._at += count
        return taken

    def _simple(self, info: int) -> Any:
        if info in _FLOATS:
            return struct.unpack(_FLOATS[info], self._take(1 << (info - 24)))[0]
        if info not in _SIMPLE:
            raise ValueError(f"CBOR simple value {info}")
        return _SIMPLE[info]

    def _definite(self, major: int, count: int) -> Any:
        kinds: dict[int, Callable[[], Any]] = {
            0: lambda: count,
            1: lambda: -1 - count,
            2: lambda: self._take(count),
            3: lambda: self._take(count).decode(),
            4: lambda: [self.value() for _ in range(count)],
            5: lambda: {self.value(): self.value() for _ in range(count)},
            6: lambda: self._tagged(count),
        }
        return kinds[major]()

    def _tagged(self, tag: int) -> Any:
        value = self.value()
        return datetime.fromtimestamp(value, UTC) if tag == _EPOCH_TAG else value

    def _indefinite(self, major: int) -> Any:
        parts = []
        while self._body[self._at] != _BREAK:
            parts.append(self.value())
        self._at += 1
        if major in (2, 3):
            return (b"" if major == 2 else "").join(parts)
        return dict(zip(parts[::2], parts[1::2], strict=True)) if major == 5 else parts


def dumps(value: Any) -> bytes:
    """Raises TypeError for a value CBOR has no form for here."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value)
    raise TypeError(f"no CBOR form for {type(value).__name__}")


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    size = next(each for each in range(4) if number < 1 << (8 << each))
    return bytes([major << 5 | 24 + size]) + number.to_bytes(1 << size)


def _integer(value: int) -> bytes:
    return _head(0, value) if value >= 0 else _head(1, -1 - value)


def _text(value: str) -> bytes:
    raw = value.encode()
    return _head(3, len(raw)) + raw


_WRITERS: tuple[tuple[type, Callable[[Any], bytes]], ...] = (
    (int, _integer),
    (float, lambda value: b"\xfb" + struct.pack(">d", value)),
    (str, _text),
    (bytes, lambda value: _head(2, len(value)) + value),
    (datetime, lambda value: dumps(CBORTag(_EPOCH_TAG, value.timestamp()))),
    (CBORTag, lambda value: _head(6, value.tag) + dumps(value.value)),
    (list, lambda value: _head(4, len(value)) + b"".join(map(dumps, value))),
    (dict, lambda value: _head(5, len(value)) + b"".join(dumps(k) + dumps(v) for k, v in value.items())),
)
