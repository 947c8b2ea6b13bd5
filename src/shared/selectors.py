"""What a trail's selectors log, basic and advanced ones: for management writes and for the deletes of one bucket.

Source: CloudTrail API reference, EventSelector and AdvancedFieldSelector.
"""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

WRITES = {"All", "WriteOnly"}

type Fields = list[Mapping[str, Any]]
"""The conditions of one advanced selector, all of which must be met."""


def logs_management_writes(selectors: Mapping[str, Any]) -> bool:
    """Whether an answer of GetEventSelectors covers PutBucketVersioning and the like."""
    basic = selectors.get("EventSelectors") or []
    if any(each.get("IncludeManagementEvents", True) and each.get("ReadWriteType", "All") in WRITES for each in basic):
        return True
    return any(_matches(each, {"eventCategory": "Management", "readOnly": "false"}) for each in _advanced(selectors))


def logs_deletes_of(bucket: str, selectors: Mapping[str, Any], partition: str = "aws") -> bool:
    """Whether it covers DeleteObject of any object of this bucket."""
    return bool(_of_deletes(bucket, selectors, partition))


def left_out(bucket: str, trails: Iterable[Mapping[str, Any]], partition: str = "aws") -> set[str]:
    """Who may delete in this bucket without that any of these answers covers it, though they cover everybody else.

    Returns ARNs, with a star for what may follow or precede: what a selector starts or ends with.
    """
    excluded = [_excluded(fields) for each in trails for fields in _of_deletes(bucket, each, partition)]
    everybody = set().union(*excluded)
    return {who for who in everybody if all(any(fnmatchcase(who, wider) for wider in one) for one in excluded)}


def _excluded(fields: Fields) -> set[str]:
    """Whom one selector leaves out."""
    by_arn = [each for each in fields if each["Field"] == "userIdentity.arn"]
    shapes = {"NotEquals": "{}", "NotStartsWith": "{}*", "NotEndsWith": "*{}"}
    return {shape.format(arn) for each in by_arn for how, shape in shapes.items() for arn in each.get(how) or []}


def _of_deletes(bucket: str, selectors: Mapping[str, Any], partition: str) -> list[Fields]:
    """The selectors that cover deletes of any object of this bucket; a basic one has no fields, and excludes nobody."""
    call = {
        "eventCategory": "Data",
        "resources.type": "AWS::S3::Object",
        "eventName": "DeleteObject",
        "readOnly": "false",
        "eventSource": "s3.amazonaws.com",
        "resources.ARN": f"arn:{partition}:s3:::{bucket}/",
    }
    basic: list[Fields] = [[] for each in selectors.get("EventSelectors") or [] if _basic_covers(each, bucket)]
    return basic + [fields for fields in _advanced(selectors) if _matches(fields, call)]


def _basic_covers(selector: Mapping[str, Any], bucket: str) -> bool:
    values = [value for source in selector.get("DataResources", []) for value in source.get("Values", [])]
    return selector.get("ReadWriteType", "All") in WRITES and any(_covers(value, bucket) for value in values)


def _covers(value: str, bucket: str) -> bool:
    """`arn:aws:s3` and `arn:aws:s3:::` stand for every bucket; a prefix of keys does not cover the whole bucket."""
    return value.endswith((":s3", ":s3:::")) or value.endswith(f":s3:::{bucket}/")


def _advanced(selectors: Mapping[str, Any]) -> list[Fields]:
    return [each.get("FieldSelectors", []) for each in selectors.get("AdvancedEventSelectors") or []]


def _matches(fields: Fields, call: Mapping[str, str]) -> bool:
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
