"""What auditors ask for: what each commit changed, read back. The functions write it (store.py) and never read it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.aws.items import Item, Unread, finding_of, readable
from shared.aws.store import Store
from shared.facts import BucketKey, Exemption, Verdict
from shared.finding import Change, Transition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Stood:
    """What was remembered of a bucket before or after a commit."""

    verdict: Verdict
    exemption: Exemption | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What one commit changed. `before`, `after`: None if nothing was remembered of the bucket.

    `unread`: this version cannot read what it was; only when it was, and of which bucket, is known.
    """

    bucket: BucketKey
    at: datetime
    before: Stood | None = None
    after: Stood | None = None
    event_ids: tuple[str, ...] = ()
    transitions: tuple[Transition, ...] = ()
    unread: bool = False


class History:
    """The history items of the table."""

    def __init__(self, table: str, store: Store) -> None:
        self._table = table
        self._db: DynamoDBClient = store.client

    def read(self, account: str, region: str, *, until: datetime) -> Iterator[Past]:
        """Everything kept of an account and Region up to then, bucket by bucket, oldest first. A request per megabyte.

        There is no `since`: how a bucket stood at a moment is what the commit before it left.
        """
        pages = self._db.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": "history"}, ":sk": {"S": f"{account}#{region}#"}},
            ConsistentRead=True,
        )
        found = (_past(item) for page in pages for item in page["Items"])
        return (past for past in found if past.at <= until)


def _past(item: Item) -> Past:
    account, region, name, rest = item["sk"]["S"].split("#", 3)
    bucket = BucketKey(account=account, region=region, name=name)
    try:
        return readable(item, partial(_read, bucket))
    except Unread:
        return Past(bucket=bucket, at=datetime.fromisoformat(rest.partition("#")[0]), unread=True)


def _read(bucket: BucketKey, item: Item) -> Past:
    doc = json.loads(item["doc"]["S"])
    return Past(
        bucket=bucket,
        at=datetime.fromisoformat(doc["at"]),
        before=_stood(doc["before"]),
        after=_stood(doc["after"]),
        event_ids=tuple(doc["events"]),
        transitions=tuple(
            Transition(finding=finding_of(each["finding"]), change=Change(each["change"])) for each in doc["changes"]
        ),
    )


def _stood(doc: dict[str, Any] | None) -> Stood | None:
    if doc is None:
        return None
    exemption = Exemption(**doc["exemption"]) if doc["exemption"] else None
    return Stood(verdict=Verdict(doc["verdict"]), exemption=exemption, gone=doc["gone"])
