"""What a trail's selectors log, basic and advanced ones: for management writes and for the deletes of one bucket.

Source: CloudTrail API reference, EventSelector and AdvancedFieldSelector.
"""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

WRITES = {"All", "WriteOnly"}
_CALL = {"readOnly": "false", "eventSource": "s3.amazonaws.com", "eventType": "AwsApiCall"}

type Fields = list[Mapping[str, Any]]
"""The conditions of one advanced selector, all of which must be met."""


def logs_management_writes(selectors: Mapping[str, Any]) -> bool:
    """Whether an answer of GetEventSelectors covers PutBucketVersioning and the like."""
    basic = selectors.get("EventSelectors") or []
    if any(each.get("IncludeManagementEvents", True) and each.get("ReadWriteType", "All") in WRITES for each in basic):
        return True
    call = {**_CALL, "eventCategory": "Management", "eventName": "PutBucketVersioning"}
    return any(_matches(each, call) for each in _advanced(selectors))


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
    call = {**_CALL, "eventCategory": "Data", "resources.type": "AWS::S3::Object", "eventName": "DeleteObject"}
    objects = f"arn:{partition}:s3:::{bucket}/"
    basic: list[Fields] = [[] for each in selectors.get("EventSelectors") or [] if _basic_covers(each, bucket)]
    return basic + [fields for fields in _advanced(selectors) if _matches(fields, call, objects)]


def _basic_covers(selector: Mapping[str, Any], bucket: str) -> bool:
    values = [value for source in selector.get("DataResources", []) for value in source.get("Values", [])]
    return selector.get("ReadWriteType", "All") in WRITES and any(_covers(value, bucket) for value in values)


def _covers(value: str, bucket: str) -> bool:
    """`arn:aws:s3` and `arn:aws:s3:::` stand for every bucket; a prefix of keys does not cover the whole bucket."""
    return value.endswith((":s3", ":s3:::")) or value.endswith(f":s3:::{bucket}/")


def _advanced(selectors: Mapping[str, Any]) -> list[Fields]:
    return [each.get("FieldSelectors", []) for each in selectors.get("AdvancedEventSelectors") or []]


def _matches(fields: Fields, call: Mapping[str, str], objects: str = "") -> bool:
    """All fields must let the call by; a field that we know nothing of may leave it out.

    objects: what the ARNs of the bucket's objects begin with. The callers left out are for `left_out` to name.
    """
    return all(_covers_calls(each, call, objects) for each in fields)


def _covers_calls(field: Mapping[str, Any], call: Mapping[str, str], objects: str) -> bool:
    name = field["Field"]
    if name == "resources.ARN":
        return bool(objects) and _covers_all(field, objects)
    if name == "userIdentity.arn":
        return not any(field.get(operator) for operator in _TESTS)
    return name in call and _lets_by(field, call[name])


def _covers_all(field: Mapping[str, Any], objects: str) -> bool:
    """Whether a condition on the ARN lets every object of the bucket by: some objects end or are called like that."""
    if field.get("Equals") or field.get("EndsWith") or field.get("NotEndsWith"):
        return False
    wanted, unwanted = field.get("StartsWith"), field.get("NotStartsWith") or []
    if wanted and not any(objects.startswith(each) for each in wanted):
        return False
    if any(objects.startswith(each) or each.startswith(objects) for each in unwanted):
        return False
    return not any(each.startswith(objects) for each in field.get("NotEquals") or [])


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
