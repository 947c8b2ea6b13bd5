"""Events of events/, moved to moto's account, another bucket, another time."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.functional.conftest import ACCOUNT
from tests.unit.cases import load


def event(name: str, bucket: str, *, at: datetime | None = None, event_id: str = "", **changes: Any) -> dict[str, Any]:
    """An event of events/ about this bucket; `changes` replace members of `detail`."""
    text = json.dumps(load(f"{name}.json"))
    for old in (
        "example-protected-bucket",
        "example-data-bucket",
        "example-tagged-bucket",
        "example-trail-logs",
        "example-bucket",
    ):
        text = text.replace(old, bucket)
    found: dict[str, Any] = json.loads(text.replace("111122223333", ACCOUNT))
    moment = (at or datetime(2026, 9, 25, 9, 14, 3, tzinfo=UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    found["time"] = moment
    found["region"] = "us-east-1"
    if found["detail-type"] == "AWS API Call via CloudTrail":
        found["detail"] |= {"eventTime": moment, "awsRegion": "us-east-1", "recipientAccountId": ACCOUNT, **changes}
        found["detail"]["eventID"] = event_id or found["detail"]["eventID"]
    return found


def batch(*events: Any) -> dict[str, Any]:
    """A batch of the delete queue."""
    bodies = [one if isinstance(one, str) else json.dumps(one) for one in events]
    return {"Records": [{"messageId": f"message-{n}", "body": body} for n, body in enumerate(bodies)]}
