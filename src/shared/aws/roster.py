"""Which spokes there are: those that said hello. Nobody keeps a list: a stack of spoke.yaml enrols itself.

spoke   <account>#<region>   when its last hello came; forgotten 30 days after it
spoke   <account>            what the account is called
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any

from shared.aws.calling import WORKERS, client
from shared.aws.items import Item, Unread, number, readable
from shared.facts import Spoke

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FORGET = timedelta(days=30)


class NotSent(Exception):
    """Some spokes got no turn in this sweep."""


class Roster:
    """The spokes' items of the table."""

    def __init__(self, table: str, queue_url: str, client: "DynamoDBClient") -> None:
        self._table, self._queue_url, self._db = table, queue_url, client

    def hear(self, spoke: Spoke) -> bool:
        """Note a hello; returns whether it is the first that is known. One request."""
        item = _key(f"{spoke.account}#{spoke.region}") | {
            "heard_at": {"S": spoke.heard_at.isoformat()},
            "expires_at": {"N": str(int((spoke.heard_at + FORGET).timestamp()))},
        }
        answer = self._db.put_item(TableName=self._table, Item=item, ReturnValues="ALL_OLD")
        return "Attributes" not in answer

    def knows(self, account: str, region: str) -> bool:
        """Whether a spoke there ever said hello, and is not forgotten. One request."""
        return bool(self._item(f"{account}#{region}"))

    def heard_at(self, spoke: Spoke) -> datetime:
        """When its last hello came, as it is known now. One request."""
        item = self._item(f"{spoke.account}#{spoke.region}")
        return _heard(item) if item else spoke.heard_at

    def spokes(self, now: datetime) -> list[Spoke]:
        """All that are not forgotten. A request per megabyte (12,000)."""
        return sorted(self._read(now), key=lambda spoke: (spoke.account, spoke.region))

    def names(self) -> dict[str, str]:
        """What the accounts are called, by their numbers. Requests as for `spokes`."""
        return {item["sk"]["S"]: item["name"]["S"] for item in self._items() if "name" in item}

    def _items(self) -> Iterator[dict[str, Any]]:
        pages = self._db.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "spoke"}},
        )
        return (dict(item) for page in pages for item in page["Items"])

    def _read(self, now: datetime) -> Iterator[Spoke]:
        for item in self._items():
            account, _, region = item["sk"]["S"].partition("#")
            if region and number(item, "expires_at", float("inf")) > now.timestamp():  # TTL can be days late
                yield Spoke(account=account, region=region, heard_at=_heard(item))

    def give_turns(self, bodies: Sequence[str]) -> None:
        """Put a message for each into the spoke queue, a request per ten. Raises NotSent when SQS did not take all."""
        sqs = client("sqs")

        def send(some: tuple[str, ...]) -> int:
            entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(some)]
            answer = sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
            return len(answer.get("Failed", []))

        with ThreadPoolExecutor(WORKERS) as pool:
            failed = sum(pool.map(send, batched(bodies, 10, strict=False)))
        if failed:
            raise NotSent(f"SQS did not take {failed} of {len(bodies)} turns")

    def note_name(self, account: str, name: str) -> None:
        """Keep what an account is called. One request."""
        self._db.put_item(TableName=self._table, Item=_key(account) | {"name": {"S": name}})

    def name(self, account: str) -> str:
        """What an account is called; empty if nobody knows. One request."""
        return str(self._item(account).get("name", {}).get("S", ""))

    def _item(self, name: str) -> dict[str, Any]:
        return dict(self._db.get_item(TableName=self._table, Key=_key(name)).get("Item", {}))


def _heard(item: Item) -> datetime:
    """When it said hello. Where that cannot be read, it never did, which is told; its next hello writes it anew."""
    try:
        return readable(item, lambda heard: datetime.fromisoformat(heard["heard_at"]["S"]))
    except Unread:
        return datetime.fromtimestamp(0, UTC)


def _key(name: str) -> dict[str, Any]:
    return {"pk": {"S": "spoke"}, "sk": {"S": name}}
