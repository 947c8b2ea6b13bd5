"""What the guardrail notes of itself beside its findings: its last look, and its last drill.

guardrail   health    when it last looked at itself, and whether a trail logs the canary's deletes
guardrail   drill     the last drill: when, the request ids of its calls, when each came back

They are written anew all the time: one that cannot be read, because another version wrote it, counts as none.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.aws.calling import client, code
from shared.aws.items import Item, Unread, readable
from shared.facts import CALLED, CHANGE, DELETE, Drill, LastLook

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class Notes:
    """The two items of the table."""

    def __init__(self, table: str, own: "DynamoDBClient | None" = None) -> None:
        self._table = table
        self._db: DynamoDBClient = own or client("dynamodb")

    def look(self) -> LastLook | None:
        """The last look at the guardrail itself; None if there was none. One request."""
        return self._noted("health", _look_from)

    def note_look(self, look: LastLook) -> None:
        """Keep when it was, and what the drill needs to know. One request."""
        item = _key("health") | {"at": {"S": look.at.isoformat()}, "canary_logged": {"BOOL": look.canary_logged}}
        self._db.put_item(TableName=self._table, Item=item)

    def drill(self) -> Drill | None:
        """The last drill; None if there was none. One request."""
        return self._noted("drill", _drill_from)

    def note_drill(self, drill: Drill) -> None:
        """Keep that it begins; the one before is forgotten. One request."""
        told = {"at": drill.at.isoformat(), f"{CHANGE}_id": drill.change_id, f"{DELETE}_id": drill.delete_id}
        item = _key("drill") | {name: {"S": value} for name, value in told.items()}
        self._db.put_item(TableName=self._table, Item=item)

    def note_called(self, change_id: str, delete_id: str) -> None:
        """Keep the request ids, beside what may have come back already. One request."""
        self._db.update_item(
            TableName=self._table,
            Key=_key("drill"),
            UpdateExpression=f"SET {CHANGE}_id = :change, {DELETE}_id = :delete",
            ExpressionAttributeValues={":change": {"S": change_id}, ":delete": {"S": delete_id}},
        )

    def note_back(self, half: str, request_id: str, at: datetime) -> bool:
        """Keep that a call of the last drill came back, the first time it does. False for any other call. One request.

        half: CHANGE or DELETE.
        """
        try:
            self._db.update_item(
                TableName=self._table,
                Key=_key("drill"),
                UpdateExpression=f"SET {half}_back = :at",
                ConditionExpression=f"{half}_id IN (:id, :called) AND attribute_not_exists({half}_back)",
                ExpressionAttributeValues={
                    ":at": {"S": at.isoformat()},
                    ":id": {"S": request_id},
                    ":called": {"S": CALLED},
                },
            )
        except ClientError as error:
            if code(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def _noted[N](self, name: str, read: Callable[[Item], N]) -> N | None:
        item = self._db.get_item(TableName=self._table, Key=_key(name), ConsistentRead=True).get("Item")
        try:
            return readable(dict(item), read) if item else None
        except Unread:
            return None


def _look_from(item: Item) -> LastLook:
    return LastLook(at=datetime.fromisoformat(item["at"]["S"]), canary_logged=item["canary_logged"]["BOOL"])


def _drill_from(item: Item) -> Drill:
    told = {name: value["S"] for name, value in item.items() if "S" in value}
    times = {name: _time(told.get(name)) for name in (f"{CHANGE}_back", f"{DELETE}_back")}
    ids = {name: told.get(name, "") for name in (f"{CHANGE}_id", f"{DELETE}_id")}
    return Drill(at=datetime.fromisoformat(told["at"]), **ids, **times)  # type: ignore[arg-type]


def _key(name: str) -> dict[str, Any]:
    return {"pk": {"S": "guardrail"}, "sk": {"S": name}}


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
