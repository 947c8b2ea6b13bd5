"""What a trail's selectors log, basic and advanced ones: for management writes and for the deletes of one bucket.

Source: CloudTrail API reference, EventSelector and AdvancedFieldSelector.
"""

from collections.abc import Callable, Mapping
from typing import Any

WRITES = {"All", "WriteOnly"}


def logs_management_writes(selectors: Mapping[str, Any]) -> bool:
    """Whether an answer of GetEventSelectors covers PutBucketVersioning and the like."""
    basic = selectors.get("EventSelectors") or []
    if any(each.get("IncludeManagementEvents", True) and each.get("ReadWriteType", "All") in WRITES for each in basic):
        return True
    return any(_matches(each, {"eventCategory": "Management", "readOnly": "false"}) for each in _advanced(selectors))


def logs_deletes_of(bucket: str, selectors: Mapping[str, Any], partition: str = "aws") -> bool:
    """Whether it covers DeleteObject of any object of this bucket."""
    arn = f"arn:{partition}:s3:::{bucket}/"
    for each in selectors.get("EventSelectors") or []:
        values = [value for source in each.get("DataResources", []) for value in source.get("Values", [])]
        if each.get("ReadWriteType", "All") in WRITES and any(_covers(value, bucket) for value in values):
            return True
    call = {
        "eventCategory": "Data",
        "resources.type": "AWS::S3::Object",
        "eventName": "DeleteObject",
        "readOnly": "false",
        "eventSource": "s3.amazonaws.com",
        "resources.ARN": arn,
    }
    return any(_matches(each, call) for each in _advanced(selectors))


def _covers(value: str, bucket: str) -> bool:
    """`arn:aws:s3` and `arn:aws:s3:::` stand for every bucket; a prefix of keys does not cover the whole bucket."""
    return value.endswith((":s3", ":s3:::")) or value.endswith(f":s3:::{bucket}/")


def _advanced(selectors: Mapping[str, Any]) -> list[list[Mapping[str, Any]]]:
    return [each.get("FieldSelectors", []) for each in selectors.get("AdvancedEventSelectors") or []]


def _matches(fields: list[Mapping[str, Any]], call: Mapping[str, str]) -> bool:
    """All fields must let the call by; a field that we know nothing of (a user's ARN) leaves some calls out."""
    return all(
        _lets_by(each, call[each["Field"]]) if each["Field"] in call else _excludes_only(each) for each in fields
    )


def _excludes_only(field: Mapping[str, Any]) -> bool:
    return not any(field.get(operator) for operator in ("Equals", "StartsWith", "EndsWith"))


def _lets_by(field: Mapping[str, Any], value: str) -> bool:
    for operator, test in _TESTS.items():
        wanted, unwanted = field.get(operator) or [], field.get(f"Not{operator}") or []
        if wanted and not any(test(value, each) for each in wanted):
            return False
        if any(test(value, each) for each in unwanted):
            return False
    return True


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "Equals": str.__eq__,
    "StartsWith": str.startswith,
    "EndsWith": str.endswith,
}
