"""What we remember, in one DynamoDB table (pk, sk; TTL `expires_at`).

    event#<id>   -                                                a settled event
    state        <account>#<region>#<bucket>#                     rev, last verdict
    state        <account>#<region>#<bucket>#<control>[#...]      a finding
    owed         <finding id>#<time>#<change>                     a change that some channel has not taken yet
    history      <account>#<region>#<bucket>#<time>#<rev>         what one commit changed, kept for auditors
    unread       <sort key in state>#<time>                       what this version could not read and wrote over
    guardrail    alert-topic                                      confirmed subscription, pace, who is not logged

A commit names the `rev` of the bucket that it read before it read S3, and raises it by one: two functions that look at
one bucket at once cannot both settle on what they saw, and an older read never overwrites a newer one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.aws import items
from shared.aws.calling import client, code
from shared.aws.items import Item, Owed, Unread
from shared.aws.places import Claim, KnownTopic, pace_doc, topic_from
from shared.evidence import Memory
from shared.facts import BucketKey, Last, Watched
from shared.finding import Change, Channel, Transition
from shared.pace import Pace

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EVENTS_AT_ONCE = 58
"""A transaction takes 100 items: so many event ids, the bucket, its history, the pace, up to three for each finding.

Those are itself, what is owed of it, and what it writes over and could not be read, which the bucket may have as well.
"""
KEEP_EVENTS = timedelta(days=15)
"""Longer than a message can wait in any of our queues."""


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
class Commit:
    """All that one look settles, written at once or not at all.

    `before` is what was remembered until now, `unread` what is in the table and could not be read.
    """

    bucket: BucketKey
    rev: int
    before: Last | None = None
    last: Last | None
    watched: Watched | None
    event_ids: tuple[str, ...]
    own_ids: tuple[str, ...] = ()
    transitions: tuple[Transition, ...]
    unread: tuple[str, ...] = ()
    now: datetime

    @property
    def owed(self) -> tuple[Owed, ...]:
        """The alerts that it owes."""
        return tuple(items.owed_by(transition, self.now) for transition in self.transitions if transition.to)

    @property
    def written(self) -> frozenset[str]:
        """Sort keys of what it remembers."""
        return frozenset({items.prefix(self.bucket), *(transition.finding.id for transition in self.transitions)})


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
        return items.memories(self._query("state", items.prefix(bucket)), now).get(bucket, Memory())

    def recall_all(self, account: str, region: str, *, now: datetime) -> dict[BucketKey, Memory]:
        """What is known of every bucket of an account and Region, a request per megabyte."""
        return items.memories(self._query("state", f"{account}#{region}#"), now)

    def recall_everything(self, *, now: datetime) -> dict[BucketKey, Memory]:
        """What is known of every bucket of every account and Region, a request per megabyte."""
        return items.memories(self._query("state", None), now)

    def owed(self, bucket: BucketKey | None = None) -> list[Owed]:
        """What is owed for one bucket, or for all; what cannot be read is left out."""
        return self.owed_and_unread(bucket)[0]

    def owed_and_unread(self, bucket: BucketKey | None = None) -> tuple[list[Owed], list[Unread]]:
        """What is owed for one bucket, or for all, and what of it this version cannot read."""
        owed, unread = [], []
        for item in self._query("owed", items.prefix(bucket) if bucket else None):
            try:
                owed.append(items.readable(item, items.owed_from))
            except Unread as why:
                unread.append(why)
        return owed, unread

    def commit(self, commit: Commit, claim: Claim | None = None) -> None:
        """Write a look, and take places for the alerts that it owes. Raises Known (event ids), Conflict or NoPlace."""
        puts = [_event_put(event_id, commit.now) for event_id in (*commit.event_ids, *commit.own_ids)]
        puts.append(_bucket_put(commit))
        puts += [_put(items.finding_item(t.finding, commit.now)) for t in commit.transitions]
        puts += [_put(items.owed_item(o)) for o in commit.owed]
        puts += [_put(item) for item in (*_history(commit, self._keep_history), *self._set_aside(commit))]
        parts: list[Any] = [{"Put": {"TableName": self._table, **put}} for put in puts]
        if claim:
            update = self._pace_update(claim.topic, claim.pace, commit.now)
            parts.append({"Update": update | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}})
        try:
            self._db.transact_write_items(TransactItems=parts)
        except ClientError as error:
            _raise_as_ours(error, commit, claims=claim is not None)

    def _set_aside(self, commit: Commit) -> list[Item]:
        """What could not be read and is written over now, as it stands; a request for each, after a rollback only."""
        found = (self._state(sk) for sk in commit.unread if sk in commit.written)
        kept = {"expires_at": items.expiry(commit.now + self._keep_history)}
        return [
            item | items.key("unread", f"{item['sk']['S']}#{commit.now.isoformat()}") | kept for item in found if item
        ]

    def _state(self, sk: str) -> Item:
        answer = self._db.get_item(TableName=self._table, Key=items.key("state", sk), ConsistentRead=True)
        return dict(answer.get("Item", {}))

    def pay(self, owed: Owed, left: tuple[Channel, ...] = ()) -> None:
        """No longer owed, or only to the channels that are `left`."""
        if not left:
            self._db.delete_item(TableName=self._table, Key=items.key("owed", owed.sk))
            return
        try:
            self._db.update_item(
                TableName=self._table,
                Key=items.key("owed", owed.sk),
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
        answer = self._db.get_item(
            TableName=self._table, Key=items.key("guardrail", "alert-topic"), ConsistentRead=True
        )
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
        values: Item = {":new": {"S": pace_doc(pace)}, ":quiet": items.expiry(pace.quiet_from or now)}
        condition = "attribute_not_exists(pace)"
        if topic is None:
            # alerts name those whose deletes are not logged: where there are some, a refusal has to tell them
            named = "attribute_not_exists(not_logged) OR size(not_logged) = :none"
            condition = f"confirmed = :yes AND ({condition} OR quiet_from < :now) AND ({named})"
            values |= {":yes": {"BOOL": True}, ":now": items.expiry(now), ":none": {"N": "0"}}
        elif topic.pace_doc:
            condition, values[":old"] = "pace = :old", {"S": topic.pace_doc}
        return self._topic_update("SET pace = :new, quiet_from = :quiet", values) | {"ConditionExpression": condition}

    def _topic_update(self, update: str, values: Item) -> Item:
        return {
            "TableName": self._table,
            "Key": items.key("guardrail", "alert-topic"),
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


def _put(item: Item) -> Item:
    return {"Item": item}


def _event_put(event_id: str, now: datetime) -> Item:
    """Nothing is ever read out of it: that it is there is all that counts."""
    item = {**items.key(f"event#{event_id}", "-"), "expires_at": items.expiry(now + KEEP_EVENTS)}
    return {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"}


def _bucket_put(commit: Commit) -> Item:
    item = items.bucket_item(commit.bucket, commit.rev + 1, commit.last, commit.watched, commit.now)
    if not commit.rev:
        # there is none, or it is damaged, and set aside
        is_free = "attribute_not_exists(pk) OR NOT attribute_type(rev, :number)"
        values: Item = {":number": {"S": "N"}}
        return {"Item": item, "ConditionExpression": is_free, "ExpressionAttributeValues": values}
    values = {":rev": {"N": str(commit.rev)}}
    return {"Item": item, "ConditionExpression": "rev = :rev", "ExpressionAttributeValues": values}


def _history(commit: Commit, keep: timedelta) -> list[Item]:
    """What an auditor asks for later: each change of a finding, of the verdict, of an exception. Not each count."""
    changes = [t for t in commit.transitions if t.change is not Change.ENRICHED]
    was, now = _remembered(commit.before), _remembered(commit.last)
    if not changes and was == now:
        return []
    doc = {"at": commit.now, "before": was, "after": now, "events": commit.event_ids, "changes": changes}
    return [items.history_item(commit.bucket, commit.rev + 1, commit.now, doc, keep)]


def _remembered(last: Last | None) -> dict[str, Any] | None:
    return {"verdict": last.verdict, "exemption": last.exemption, "gone": last.gone} if last else None


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
