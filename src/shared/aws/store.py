"""What we remember, in one DynamoDB table (pk, sk; TTL `expires_at`).

    event#<id>   -                                                a settled event
    state        <account>#<region>#<bucket>#                     rev, last verdict
    state        <account>#<region>#<bucket>#<control>[#...]      a finding
    owed         <finding id>#<time>#<change>                     a change that some channel has not taken yet
    history      <account>#<region>#<bucket>#<time>#<rev>         what one commit changed, kept for auditors
    guardrail    alert-topic                                      confirmed subscription, pace, who is not logged

A commit names the `rev` of the bucket that it read before it read S3, and raises it by one: two functions that look at
one bucket at once cannot both settle on what they saw, and an older read never overwrites a newer one.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.aws.calling import client, code
from shared.aws.documents import dump
from shared.aws.places import Claim, KnownTopic, pace_doc, topic_from
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
from shared.pace import Pace

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SCHEMA = 1
EVENTS_AT_ONCE = 58
"""A transaction takes 100 items: so many event ids, the bucket, its history, the pace, two for each of its findings."""
KEEP_EVENTS = timedelta(days=15)
"""Longer than a message can wait in any of our queues."""
KEEP_CLOSED = timedelta(days=30)

type Item = dict[str, Any]


class Conflict(Exception):
    """Somebody settled this bucket since we read it: look again."""


class NoPlace(Exception):
    """The places that a commit was to take were not free: nothing is written. `topic`: as it is, if DynamoDB said."""

    def __init__(self, topic: KnownTopic | None) -> None:
        super().__init__("the places for its alerts were not free")
        self.topic = topic


class Known(Exception):
    """These events were settled before; `own_ids`: of these deletes S3's own events were."""

    def __init__(self, event_ids: tuple[str, ...], own_ids: tuple[str, ...]) -> None:
        super().__init__(f"{len(event_ids)} events were settled before, {len(own_ids)} as S3's own")
        self.event_ids, self.own_ids = event_ids, own_ids


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """All that one look settles, written at once or not at all. `before` is what was remembered until now."""

    bucket: BucketKey
    rev: int
    before: Last | None = None
    last: Last | None
    watched: Watched | None
    event_ids: tuple[str, ...]
    own_ids: tuple[str, ...] = ()
    transitions: tuple[Transition, ...]
    now: datetime

    @property
    def owed(self) -> tuple[Owed, ...]:
        """The alerts that it owes."""
        return tuple(_owed(transition, self.now) for transition in self.transitions if transition.to)


class Store:
    """The table."""

    def __init__(self, table: str, keep_history: timedelta, own: "DynamoDBClient | None" = None) -> None:
        self._table = table
        self._keep_history = keep_history
        self._db: DynamoDBClient = own or client("dynamodb")

    @property
    def client(self) -> "DynamoDBClient":
        """For what else is kept in the table (notes.py)."""
        return self._db

    def recall(self, bucket: BucketKey, *, now: datetime) -> Memory:
        """What is known of one bucket. One request, consistent."""
        return _memories(self._query("state", _prefix(bucket)), now).get(bucket, Memory())

    def recall_all(self, account: str, region: str, *, now: datetime) -> dict[BucketKey, Memory]:
        """What is known of every bucket of an account and Region, a request per megabyte."""
        return _memories(self._query("state", f"{account}#{region}#"), now)

    def recall_everything(self, *, now: datetime) -> dict[BucketKey, Memory]:
        """What is known of every bucket of every account and Region, a request per megabyte."""
        return _memories(self._query("state", None), now)

    def owed(self, bucket: BucketKey | None = None) -> list[Owed]:
        """What is owed for one bucket, or for all."""
        prefix = _prefix(bucket) if bucket else None
        return [
            Owed(
                sk=item["sk"]["S"],
                finding=_finding_from(item["doc"]["S"]),
                change=Change(item["change"]["S"]),
                since=datetime.fromisoformat(item["since"]["S"]),
                # written by a version that knew mail only, an item says nothing of channels
                to=tuple(map(Channel, item["to"]["S"].split())) if "to" in item else (Channel.MAIL,),
            )
            for item in self._query("owed", prefix)
        ]

    def commit(self, commit: Commit, claim: Claim | None = None) -> None:
        """Write a look, and take places for the alerts that it owes. Raises Known (event ids), Conflict or NoPlace."""
        puts = [_event_put(event_id, commit.now) for event_id in (*commit.event_ids, *commit.own_ids)]
        puts.append(_bucket_put(commit))
        puts += [_put(_finding_item(t.finding, commit.now)) for t in commit.transitions]
        puts += [_put(_owed_item(o)) for o in commit.owed]
        puts += [_put(item) for item in _history(commit, self._keep_history)]
        items: list[Any] = [{"Put": {"TableName": self._table, **put}} for put in puts]
        if claim:
            update = self._pace_update(claim.topic, claim.pace, commit.now)
            items.append({"Update": update | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}})
        try:
            self._db.transact_write_items(TransactItems=items)
        except ClientError as error:
            _raise_as_ours(error, commit, claims=claim is not None)

    def pay(self, owed: Owed, left: tuple[Channel, ...] = ()) -> None:
        """No longer owed, or only to the channels that are `left`."""
        if not left:
            self._db.delete_item(TableName=self._table, Key=_key("owed", owed.sk))
            return
        try:
            self._db.update_item(
                TableName=self._table,
                Key=_key("owed", owed.sk),
                UpdateExpression="SET #to = :left",
                ConditionExpression="attribute_exists(pk)",  # another run may have paid all of it
                ExpressionAttributeNames={"#to": "to"},
                ExpressionAttributeValues={":left": {"S": " ".join(left)}},
            )
        except ClientError as error:
            if code(error) != "ConditionalCheckFailedException":
                raise

    def topic(self) -> KnownTopic:
        """What is known of the topic. One request, consistent."""
        answer = self._db.get_item(TableName=self._table, Key=_key("guardrail", "alert-topic"), ConsistentRead=True)
        return topic_from(answer.get("Item", {}))

    def note_listener(self, *, confirmed: bool) -> None:
        """Keep what the sweep saw."""
        self._db.update_item(**self._topic_update("SET confirmed = :new", {":new": {"BOOL": confirmed}}))

    def note_unlogged(self, unlogged: Sequence[str]) -> None:
        """Keep whose deletes the trails leave out."""
        values: Item = {":new": {"L": [{"S": each} for each in unlogged]}}
        self._db.update_item(**self._topic_update("SET not_logged = :new", values))

    def note_pace(self, topic: KnownTopic, pace: Pace, now: datetime) -> KnownTopic:
        """Keep the new pace. Raises Conflict when somebody else did since `topic` was read: ask again."""
        try:
            self._db.update_item(**self._pace_update(topic, pace, now))
        except ClientError as error:
            if code(error) != "ConditionalCheckFailedException":
                raise
            raise Conflict("somebody else sent meanwhile") from error
        return replace(topic, pace=pace, pace_doc=pace_doc(pace))

    def _pace_update(self, topic: KnownTopic | None, pace: Pace, now: datetime) -> Item:
        """On the condition that the pace is as it was read; or, where nobody read it, that it does not matter."""
        values: Item = {":new": {"S": pace_doc(pace)}, ":quiet": _expiry(pace.quiet_from or now)}
        condition = "attribute_not_exists(pace)"
        if topic is None:
            # alerts name those whose deletes are not logged: where there are some, a refusal has to tell them
            named = "attribute_not_exists(not_logged) OR size(not_logged) = :none"
            condition = f"confirmed = :yes AND ({condition} OR quiet_from < :now) AND ({named})"
            values |= {":yes": {"BOOL": True}, ":now": _expiry(now), ":none": {"N": "0"}}
        elif topic.pace_doc:
            condition, values[":old"] = "pace = :old", {"S": topic.pace_doc}
        return self._topic_update("SET pace = :new, quiet_from = :quiet", values) | {"ConditionExpression": condition}

    def _topic_update(self, update: str, values: Item) -> Item:
        return {
            "TableName": self._table,
            "Key": _key("guardrail", "alert-topic"),
            "UpdateExpression": update,
            "ExpressionAttributeValues": values,
        }

    def _query(self, pk: str, prefix: str | None) -> Iterator[Item]:
        condition, values = "pk = :pk", {":pk": {"S": pk}}
        if prefix is not None:
            condition, values[":sk"] = f"{condition} AND begins_with(sk, :sk)", {"S": prefix}
        pages = self._db.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
        )
        return (item for page in pages for item in page["Items"])


def _prefix(bucket: BucketKey) -> str:
    return f"{bucket.account}#{bucket.region}#{bucket.name}#"


def _key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _put(item: Item) -> Item:
    return {"Item": item}


def _event_put(event_id: str, now: datetime) -> Item:
    item = {**_key(f"event#{event_id}", "-"), "expires_at": _expiry(now + KEEP_EVENTS)}
    return {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"}


def _bucket_put(commit: Commit) -> Item:
    item = {
        **_key("state", _prefix(commit.bucket)),
        "rev": {"N": str(commit.rev + 1)},
        "schema": {"N": str(SCHEMA)},
    }
    if commit.last:
        item["doc"] = {"S": dump(commit.last)}
    if commit.watched:
        item["watched"] = {"S": dump(commit.watched)}
    elif commit.last is None or commit.last.gone:
        item["expires_at"] = _expiry(commit.now + KEEP_CLOSED)
    if not commit.rev:
        return {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
    values = {":rev": {"N": str(commit.rev)}}
    return {"Item": item, "ConditionExpression": "rev = :rev", "ExpressionAttributeValues": values}


def _finding_item(finding: Finding, now: datetime) -> Item:
    item = {**_key("state", finding.id), "doc": {"S": dump(finding)}}
    if not finding.is_open or finding.window:
        item["expires_at"] = _expiry(now + KEEP_CLOSED)
    return item


def _owed(transition: Transition, now: datetime) -> Owed:
    sk = f"{transition.finding.id}#{now.isoformat()}#{transition.change.value}"
    return Owed(sk=sk, finding=transition.finding, change=transition.change, since=now, to=transition.to)


def _owed_item(owed: Owed) -> Item:
    return {
        **_key("owed", owed.sk),
        "doc": {"S": dump(owed.finding)},
        "change": {"S": owed.change.value},
        "since": {"S": owed.since.isoformat()},
        "to": {"S": " ".join(owed.to)},
    }


def _history(commit: Commit, keep: timedelta) -> list[Item]:
    """What an auditor asks for later: each change of a finding, of the verdict, of an exception. Not each count."""
    changes = [t for t in commit.transitions if t.change is not Change.ENRICHED]
    was, now = _remembered(commit.before), _remembered(commit.last)
    if not changes and was == now:
        return []
    doc = {"at": commit.now, "before": was, "after": now, "events": commit.event_ids, "changes": changes}
    item = {
        **_key("history", f"{_prefix(commit.bucket)}{commit.now.isoformat()}#{commit.rev + 1}"),
        "doc": {"S": dump(doc)},
        "expires_at": _expiry(commit.now + keep),
    }
    return [item]


def _remembered(last: Last | None) -> dict[str, Any] | None:
    return {"verdict": last.verdict, "exemption": last.exemption, "gone": last.gone} if last else None


def _expiry(at: datetime) -> Item:
    return {"N": str(int(at.timestamp()))}


def _raise_as_ours(error: ClientError, commit: Commit, *, claims: bool) -> None:
    if code(error) != "TransactionCanceledException":
        raise error
    reasons: list[Item] = [dict(reason) for reason in error.response.get("CancellationReasons", [])]
    of_claim = reasons.pop() if claims and reasons else {}
    failed = [reason.get("Code") for reason in reasons]
    ids = (*commit.event_ids, *commit.own_ids)
    known = {each for each, why in zip(ids, failed, strict=False) if why == "ConditionalCheckFailed"}
    if known:
        event_ids, own_ids = (tuple(i for i in some if i in known) for some in (commit.event_ids, commit.own_ids))
        raise Known(event_ids, own_ids) from error
    if "ConditionalCheckFailed" in failed or "TransactionConflict" in failed:
        raise Conflict from error
    if of_claim.get("Code") in {"ConditionalCheckFailed", "TransactionConflict"}:
        raise NoPlace(topic_from(of_claim["Item"]) if of_claim.get("Item") else None) from error
    raise error


def _finding_from(doc: str) -> Finding:
    return finding_of(json.loads(doc))


def finding_of(stored: Item) -> Finding:
    """A finding as it was before it was stored, here or in history."""
    data = dict(stored)
    for name in ("at", "last_at", "detected_at", "watched_since", "changed_at", "told_at"):
        data[name] = datetime.fromisoformat(data[name]) if data.get(name) else None
    data["bucket"] = BucketKey(**data["bucket"])
    data["principal"] = Principal(**data["principal"]) if data["principal"] else None
    data["expiries"] = tuple(Expiry(**each) for each in data.get("expiries", []))
    data["conditions"] = tuple(_condition_from(each) for each in data.get("conditions", []))
    data["resources"] = tuple(data.get("resources", []))
    data["objects"] = tuple(ObjectVersion(**version) for version in data["objects"])
    makers: dict[str, Callable[[str], Any]] = {"severity": Severity, "status": Status, "cause": Cause}
    return Finding(**{**data, **{name: make(data[name]) for name, make in makers.items()}})


def _condition_from(data: dict[str, Any]) -> Condition:
    return Condition(**{**data, "state": State(data["state"])})


def _watched_from(doc: str) -> Watched:
    data = json.loads(doc)
    return Watched(**{**data, "feeding": tuple(data["feeding"])})


def _last_from(doc: str) -> Last:
    data = json.loads(doc)
    times = {name: datetime.fromisoformat(data[name]) for name in ("since", "read_at", "first_seen")}
    exemption = Exemption(**data["exemption"]) if data.get("exemption") else None
    expiries = tuple(Expiry(**each) for each in data["expiries"]) if data.get("expiries") is not None else None
    return Last(verdict=Verdict(data["verdict"]), exemption=exemption, gone=data["gone"], expiries=expiries, **times)


def _memories(items: Iterator[Item], now: datetime) -> dict[BucketKey, Memory]:
    grouped: dict[BucketKey, list[Item]] = {}
    for item in items:
        account, region, name = item["sk"]["S"].split("#", 3)[:3]
        grouped.setdefault(BucketKey(account=account, region=region, name=name), []).append(item)
    return {bucket: _memory(found, now) for bucket, found in grouped.items()}


def _memory(items: Sequence[Item], now: datetime) -> Memory:
    rev, last, watched = 0, None, None
    findings = []
    for item in items:
        is_over = "expires_at" in item and int(item["expires_at"]["N"]) <= now.timestamp()  # TTL can be days late
        if "rev" in item:
            rev, last = int(item["rev"]["N"]), _last_from(item["doc"]["S"]) if "doc" in item and not is_over else None
            watched = _watched_from(item["watched"]["S"]) if "watched" in item else None
        elif not is_over:
            findings.append(_finding_from(item["doc"]["S"]))
    return Memory(rev=rev, last=last, watched=watched, findings=tuple(findings))
