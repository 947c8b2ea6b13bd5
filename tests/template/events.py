"""Events as EventBridge delivers them."""

from typing import Any

Event = dict[str, Any]


def by_cloudtrail(name: str, source: str = "s3", *, kind: str = "AWS API Call via CloudTrail", **detail: Any) -> Event:
    """An API call as EventBridge delivers it."""
    record = {"eventSource": f"{source}.amazonaws.com", "eventName": name, "requestParameters": {"bucketName": "b"}}
    return {"source": f"aws.{source}", "detail-type": kind, "resources": [], "detail": {**record, **detail}}
