"""Records found piece by piece are those that a plain json.loads of the whole file finds."""

import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli import records
from cli.records import Damaged, Taken, is_subscribed, taken_from
from tests.unit.cases import load

NASTY = (
    '},{"eventVersion":"1.08","eventName":"PutBucketVersioning"',
    '{"Records":[',
    ']}\n{"Records":[{"eventVersion"',
    '"}]}',
    "\\",
    '\\"},{"',
    "DeleteObject",
    "é漢\u2028\x7f",
)
LOUD = ("PutBucketVersioning", "DeleteObject", "DeleteObjects", "PutBucketTagging", "TagResource")
QUIET = ("GetObject", "PutObject", "DescribeInstances", "PutBucketVersioningX", "")
ARN = "arn:aws:s3:::b"
TEXTS = st.one_of(st.sampled_from(NASTY), st.text(max_size=8))
NESTED = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(TEXTS, st.just("eventVersion")), inner, max_size=3)
    ),
    max_leaves=6,
)
ASKED = st.one_of(
    NESTED, st.dictionaries(st.sampled_from(("versionId", "bucketName", "resource", "x")), st.just(ARN), max_size=4)
)
MEMBERS = {
    "eventVersion": st.just("1.11"),
    "eventName": st.sampled_from(LOUD + QUIET),
    "eventSource": st.sampled_from(("s3.amazonaws.com", "ec2.amazonaws.com", "s3.amazonaws.comx")),
    "requestParameters": ASKED,
    "errorCode": st.one_of(st.just("AccessDenied"), st.none()),
    "responseElements": NESTED,
    "userAgent": TEXTS,
}
OPTIONAL = ("requestParameters", "errorCode", "responseElements", "userAgent")
ONE = st.fixed_dictionaries(
    {name: each for name, each in MEMBERS.items() if name not in OPTIONAL},
    optional={name: MEMBERS[name] for name in OPTIONAL},
)
OTHERS = st.one_of(
    NESTED,
    st.fixed_dictionaries({"detail": NESTED, "eventName": st.just("x"), "eventSource": st.just("y")}),
    st.fixed_dictionaries({"source": st.just("aws.s3"), "detail-type": st.just("Object Deleted"), "detail": NESTED}),
)
RECORDS = st.lists(st.one_of(ONE, ONE, ONE, OTHERS), max_size=12)


def escaped(text: str, letters: frozenset[str]) -> str:
    """The same JSON, some letters of its strings written as escapes."""
    shown, in_string, skip = [], False, False
    for char in text:
        in_string ^= char == '"' and not skip
        shown.append(f"\\u{ord(char):04x}" if in_string and not skip and char in letters else char)
        skip = char == "\\" and not skip
    return "".join(shown)


@st.composite
def formatted(draw: st.DrawFn) -> str:
    """The text of a log file, in one of the ways that JSON can be written."""
    found = draw(RECORDS)
    for record in found:
        if isinstance(record, dict) and draw(st.booleans()):
            items = draw(st.permutations(list(record.items())))
            record.clear()
            record.update(items)
    options: dict[str, Any] = {
        "ensure_ascii": draw(st.booleans()),
        "indent": draw(st.sampled_from((None, None, 1))),
        "separators": draw(st.sampled_from(((",", ":"), (", ", ": "), (" ,\t", " : ")))),
    }
    form = draw(st.sampled_from(("log", "log", "list", "lines", "logs", "spaced", "more")))
    gap = draw(st.sampled_from(("", "\n")))
    text = {
        "log": lambda: json.dumps({"Records": found}, **options),
        "spaced": lambda: (
            '\n { "Records" :\r\n [ ' + ",\n".join(json.dumps(each, **options) for each in found) + " ] } "
        ),
        "more": lambda: json.dumps({"Records": found, "more": {"Records": [1]}}, **options),
        "list": lambda: json.dumps(found, **options),
        "lines": lambda: "\n".join(json.dumps(each, **options | {"indent": None}) for each in found),
        "logs": lambda: gap.join(json.dumps({"Records": [each]}, **options) for each in found),
    }[form]()
    return escaped(text, draw(st.sampled_from((frozenset(), frozenset("DNs"), frozenset("Rr")))))


def by_json(text: str) -> Taken:
    """What is to be found: every document and entry parsed."""
    taken, decoder, at = Taken(), json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        document, at = decoder.raw_decode(text, at)
        inside = document.get("Records") if isinstance(document, dict) else document
        for entry in inside if isinstance(inside, list) else [document]:
            event = records._event_of(entry)
            taken.records += 1
            if isinstance(event, str):
                taken.rejected.append(event)
            elif is_subscribed(event):
                taken.events.append(event)
    return taken


def read(content: bytes) -> Taken:
    """As a file of this content is read."""
    taken = Taken()
    for piece in taken_from(io.BufferedReader(io.BytesIO(content))):
        taken.records += piece.records
        taken.events += piece.events
        taken.rejected += piece.rejected
    return taken


@settings(max_examples=300, deadline=None)
@given(text=formatted(), packed=st.booleans(), piece=st.sampled_from((7, 64, 300, 1 << 17)))
def test_what_is_found_by_pieces_is_what_json_finds_in_the_whole(text: str, packed: bool, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "PIECE", piece)
        found = read(gzip.compress(text.encode()) if packed else text.encode())
    assert found == by_json(text)


@pytest.mark.parametrize(
    "record",
    [
        '{"eventSource":"s3.amazonaws.com","eventName":"PutBucketVersioning","n":NaN}',
        '{"eventSource":"s3.amazonaws.com","eventName":"PutBucketVersioning","text":"\\ud800"}',
        '{"eventSource":"s3.amazonaws.com","eventName":"GetObject","eventName":"PutBucketVersioning"}',
        '{"eventName":"PutBucketVersionin\\u0067","event\\u0053ource":"s3.amazonaws.com"}',
        '{ "eventSource" : "s3.amazonaws.com" , "eventName" : "DeleteObjects" , "errorCode" : null }',
        '{"eventSource":"s3.amazonaws.com","eventName":"DeleteObject","requestParameters":{"versionId":["v"]}}',
        '{"requestParameters":[{"eventVersion":1},{"eventVersion":2}],"eventSource":"s3.amazonaws.com",'
        '"eventName":"PutBucketVersioning"}',
    ],
)
def test_what_json_writes_in_odd_ways_is_not_missed(record: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PIECE", 64)
    for text in (record, f'{{"Records":[{record}]}}', f'{{"Records":[{",".join([record] * 9)}]}}'):
        found = read(text.encode())
        assert (found.records, found.rejected) == (len(found.events), [])
        assert len(found.events) == text.count("s3.amazonaws.com")


def test_of_what_no_rule_lets_through_only_the_name_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    loud = load("delete-object.version-denied.json")["detail"]
    quiet, parsed = loud | {"eventName": "GetObject"}, list[str]()

    def noted(text: str) -> Any:
        parsed.append(text)
        return json.JSONDecoder().decode(text)

    monkeypatch.setattr("cli.records.json.loads", noted)
    found = read(json.dumps({"Records": [quiet] * 500 + [loud] + [quiet] * 500}).encode())
    assert (found.records, len(found.events), len(parsed)) == (1001, 1, 1)


def test_a_record_with_bytes_that_are_no_text_damages_its_file() -> None:
    record = b'{"eventSource":"s3.amazonaws.com","eventName":"PutBucketVersioning","userAgent":"\xff"}'
    with pytest.raises(Damaged, match="decode"):
        read(b'{"Records":[' + record + b"]}")
