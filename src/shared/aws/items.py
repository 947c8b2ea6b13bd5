"""How what we remember stands in items of the table, and how it is read back.

Verdicts, findings, history and what is owed carry the number of their schema (docs/architecture.md: when it is raised).
What cannot be read, because a newer version wrote it, or because it is damaged, is named and holds up nothing else.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.aws.documents import dump
from shared.controls import BY_ID
from shared.evidence import Memory
from shared.facts import (
    BucketKey,
    Cause,
    Condition,
    Exemption,
    Expiry,
    Last,
    ObjectVersion,
    Principal,
    State,
    Verdict,
    Watched,
)
from shared.finding import Change, Channel, Finding, Severity, Status, Transition

SCHEMA = 1
KEEP_CLOSED = timedelta(days=30)

type Item = dict[str, Any]


class Unread(Exception):
    """An item of the table that this version cannot read; it stays there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A change that not every channel has taken yet; `to`: those that have not.

    Mail is taken when SNS accepted it on a topic that had a confirmed subscription.
    """

    sk: str
    finding: Finding
    change: Change
    since: datetime
    to: tuple[Channel, ...] = (Channel.MAIL,)


# ---- written -------------------------------------------------------------------------------------------------------


def prefix(bucket: BucketKey) -> str:
    """How the sort keys of all that is remembered of a bucket begin; its own item has no more than this."""
    return f"{bucket.account}#{bucket.region}#{bucket.name}#"


def key(pk: str, sk: str) -> Item:
    """The key of an item."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def expiry(at: datetime) -> Item:
    """A time in the form that DynamoDB's TTL wants."""
    return {"N": str(int(at.timestamp()))}


def bucket_item(bucket: BucketKey, rev: int, last: Last | None, watched: Watched | None, now: datetime) -> Item:
    """A bucket's own item: how often it was settled, and its last verdict."""
    item = _versioned("state", prefix(bucket)) | {"rev": {"N": str(rev)}}
    if last:
        item["doc"] = {"S": dump(last)}
    if watched:
        item["watched"] = {"S": dump(watched)}
    elif last is None or last.gone:
        item["expires_at"] = expiry(now + KEEP_CLOSED)
    return item


def finding_item(finding: Finding, now: datetime) -> Item:
    """A finding; closed ones, and deeds, are forgotten."""
    item = _versioned("state", finding.id) | {"doc": {"S": dump(finding)}}
    if not finding.is_open or finding.window:
        item["expires_at"] = expiry(now + KEEP_CLOSED)
    return item


def owed_by(transition: Transition, now: datetime) -> Owed:
    """What the channels are owed of it."""
    sk = f"{transition.finding.id}#{now.isoformat()}#{transition.change.value}"
    return Owed(sk=sk, finding=transition.finding, change=transition.change, since=now, to=transition.to)


def owed_item(owed: Owed) -> Item:
    """What is owed."""
    return _versioned("owed", owed.sk) | {
        "doc": {"S": dump(owed.finding)},
        "change": {"S": owed.change.value},
        "since": {"S": owed.since.isoformat()},
        "to": {"S": " ".join(owed.to)},
    }


def history_item(bucket: BucketKey, rev: int, at: datetime, doc: Mapping[str, Any], keep: timedelta) -> Item:
    """What one commit changed."""
    return _versioned("history", f"{prefix(bucket)}{at.isoformat()}#{rev}") | {
        "doc": {"S": dump(doc)},
        "expires_at": expiry(at + keep),
    }


def _versioned(pk: str, sk: str) -> Item:
    return key(pk, sk) | {"schema": {"N": str(SCHEMA)}}


# ---- read back -----------------------------------------------------------------------------------------------------


def readable[R](item: Item, read: Callable[[Item], R]) -> R:
    """What it says. Raises Unread when this version cannot tell."""
    name, schema = f"{item['pk']['S']} {item['sk']['S']}", number(item, "schema", SCHEMA)
    if schema > SCHEMA:
        raise Unread(f"{name} is of schema {schema:g}, and this version knows {SCHEMA}")
    try:
        return read(item)
    except Exception as error:  # whatever is wrong with it: one item is not to hold up the others
        raise Unread(f"{name} cannot be read: {type(error).__name__}: {error}") from error


def number(item: Item, name: str, otherwise: float) -> float:
    """A number of an item; what has another of DynamoDB's types is none."""
    return float(item.get(name, {}).get("N", otherwise))


def owed_from(item: Item) -> Owed:
    """What is owed."""
    return Owed(
        sk=item["sk"]["S"],
        finding=finding_of(json.loads(item["doc"]["S"])),
        change=Change(item["change"]["S"]),
        since=datetime.fromisoformat(item["since"]["S"]),
        # written by a version that knew mail only, an item says nothing of channels
        to=tuple(map(Channel, item["to"]["S"].split())) if "to" in item else (Channel.MAIL,),
    )


def memories(items: Iterator[Item], now: datetime) -> dict[BucketKey, Memory]:
    """What is remembered, by bucket."""
    grouped: dict[BucketKey, list[Item]] = {}
    for item in items:
        account, region, name = (*item["sk"]["S"].split("#", 3), "", "")[:3]
        grouped.setdefault(BucketKey(account=account, region=region, name=name), []).append(item)
    return {bucket: _memory(found, now) for bucket, found in grouped.items()}


def _memory(items: Sequence[Item], now: datetime) -> Memory:
    own, findings, unread = Memory(), [], []
    for item in items:
        is_own = item["sk"]["S"].endswith("#")  # as `prefix` does; the id of a finding does not
        is_over = number(item, "expires_at", float("inf")) <= now.timestamp()  # TTL can be days late
        try:
            if is_own:
                own = readable(item, partial(_own, is_over=is_over))
            elif not is_over:
                findings.append(readable(item, _known_finding))
        except Unread:
            unread.append(item["sk"]["S"])
            # what is to be forgotten (a deleted bucket, one let go) was not judged any more
            own = Memory(rev=int(number(item, "rev", 0)), hides_last="expires_at" not in item) if is_own else own
    return replace(own, findings=tuple(findings), unread=tuple(unread))


def _own(item: Item, *, is_over: bool) -> Memory:
    last = _last_from(item["doc"]["S"]) if "doc" in item and not is_over else None
    watched = _watched_from(item["watched"]["S"]) if "watched" in item else None
    return Memory(rev=int(item["rev"]["N"]), last=last, watched=watched)


def _known_finding(item: Item) -> Finding:
    finding = finding_of(json.loads(item["doc"]["S"]))
    if finding.control not in BY_ID:
        raise ValueError(f"no control {finding.control}")
    return finding


def finding_of(stored: Item) -> Finding:
    """A finding as it was before it was stored, here or in history."""
    data = dict(stored)
    for name in ("at", "last_at", "detected_at", "watched_since", "changed_at", "told_at"):
        data[name] = datetime.fromisoformat(data[name]) if data.get(name) else None
    data["bucket"] = _made(BucketKey, data["bucket"])
    data["principal"] = _made(Principal, data["principal"]) if data["principal"] else None
    data["expiries"] = tuple(_made(Expiry, each) for each in data.get("expiries", []))
    data["conditions"] = tuple(_condition_from(each) for each in data.get("conditions", []))
    data["resources"] = tuple(data.get("resources", []))
    data["objects"] = tuple(_made(ObjectVersion, version) for version in data["objects"])
    makers: dict[str, Callable[[str], Any]] = {"severity": Severity, "status": Status, "cause": Cause}
    return _made(Finding, {**data, **{name: make(data[name]) for name, make in makers.items()}})


def _made[T](kind: type[T], data: Mapping[str, Any]) -> T:
    """Out of what it knows; what a newer version of the same schema added may be left out."""
    return kind(**{name: data[name] for name in kind.__dataclass_fields__ if name in data})  # type: ignore[attr-defined]


def _condition_from(data: Mapping[str, Any]) -> Condition:
    return _made(Condition, {**data, "state": State(data["state"])})


def _watched_from(doc: str) -> Watched:
    data = json.loads(doc)
    return _made(Watched, {**data, "feeding": tuple(data["feeding"])})


def _last_from(doc: str) -> Last:
    data = json.loads(doc)
    times = {name: datetime.fromisoformat(data[name]) for name in ("since", "read_at", "first_seen")}
    exemption = _made(Exemption, data["exemption"]) if data.get("exemption") else None
    expiries = tuple(_made(Expiry, each) for each in data["expiries"]) if data.get("expiries") is not None else None
    return Last(verdict=Verdict(data["verdict"]), exemption=exemption, gone=data["gone"], expiries=expiries, **times)
