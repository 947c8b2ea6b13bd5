"""What earlier versions left behind (fixtures/README.md), as if they had left it just now; no tests of its own."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures"
RELEASED = ("2a83c1d",)
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d(?:Z|:\d\d(?:\.\d+)?\+00:00)")

type Item = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A version's template, and its table and buckets as they stood when `made_at` was now."""

    template: Path
    parameters: dict[str, str]
    buckets: dict[str, dict[str, Any]]
    items: list[Item]

    def of(self, pk: str) -> dict[str, Item]:
        """The items of one kind, by sort key."""
        return {item["sk"]["S"]: item for item in self.items if item["pk"]["S"] == pk}


def left_by(version: str, now: datetime | None = None) -> Left:
    """All of it; each time in it is as long ago as it was. now: None: the times stay what they were."""
    folder = FIXTURES / version
    text = (folder / "table.json").read_text(encoding="utf-8")
    made_at = datetime.fromisoformat(json.loads(text)["made_at"])
    span = now - made_at if now else timedelta()
    document = json.loads(_TIME.sub(lambda found: _moved(found[0], span), text))
    return Left(
        template=folder / "template.yaml",
        parameters=document["parameters"],
        buckets=document["buckets"],
        items=[_with_seconds_moved(item, span) for item in document["items"]],
    )


def _moved(text: str, span: timedelta) -> str:
    at = datetime.fromisoformat(text) + span
    return at.strftime("%Y-%m-%dT%H:%MZ") if text.endswith("Z") else at.astimezone(UTC).isoformat()


def _with_seconds_moved(item: Item, span: timedelta) -> Item:
    """The times that DynamoDB or a condition compares are numbers."""
    numbers = {name: item[name] for name in ("expires_at", "quiet_from") if name in item}
    moved = {name: {"N": str(int(value["N"]) + int(span.total_seconds()))} for name, value in numbers.items()}
    return item | moved
