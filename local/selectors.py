"""Which records the trails of an account log: what no trail logs never reaches EventBridge.

Judged from the CloudTrail user guide alone (filtering data events, evaluation of several conditions for a field), so
that it is a second opinion on what the product concludes from the same selectors.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from local import emulator

Record = dict[str, Any]
Selector = dict[str, Any]

LAB = "lab"
# In the account of somebody else, so that no bucket of it shows up here.
_LAB_BUCKET = "lab-trail-logs"
_LAB_SELECTORS = [
    {"Name": "management", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]},
    {
        "Name": "objects",
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        ],
    },
]
_EVERY_BUCKET = {"arn:aws:s3", "arn:aws:s3:::"}
_GLOBAL_SOURCES = {"iam.amazonaws.com"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """A trail that is logging, as it was when asked."""

    home_region: str
    is_multi_region: bool
    has_global_events: bool
    selectors: tuple[Selector, ...]


def put_lab_trail(account: str, region: str) -> None:
    """A trail that logs all this room records, as an account with a guardrail has one."""
    cloudtrail = emulator.cloudtrail
    with emulator.responses.request_scope(account, region):
        cloudtrail._create_trail({"Name": LAB, "S3BucketName": _LAB_BUCKET, "IsMultiRegionTrail": True})
        cloudtrail._put_event_selectors({"TrailName": LAB, "AdvancedEventSelectors": _LAB_SELECTORS})
        cloudtrail._start_logging({"Name": LAB})


def logging_trails(account: str) -> tuple[Trail, ...]:
    """The trails of an account that are logging now."""
    cloudtrail = emulator.cloudtrail
    return tuple(
        Trail(
            home_region=region,
            is_multi_region=bool(trail.get("IsMultiRegionTrail")),
            has_global_events=bool(trail.get("IncludeGlobalServiceEvents", True)),
            selectors=tuple(
                cloudtrail._event_selectors.get_scoped(account, region, name, cloudtrail._DEFAULT_EVENT_SELECTORS)
            ),
        )
        for region, name, trail in cloudtrail._account_trail_items(account)
        if trail.get("IsLogging")
    )


def is_logged(record: Record, trails: Iterable[Trail]) -> bool:
    """Whether one of these trails logs the record."""
    return any(_covers(each, record) and any(_selects(one, record) for one in each.selectors) for each in trails)


def _covers(trail: Trail, record: Record) -> bool:
    if record["eventSource"] in _GLOBAL_SOURCES and not trail.has_global_events:
        return False
    return trail.is_multi_region or trail.home_region == record["awsRegion"]


def _selects(selector: Selector, record: Record) -> bool:
    if "FieldSelectors" in selector:
        return all(_field_holds(each, _value(each["Field"], record)) for each in selector["FieldSelectors"])
    return _basic_selects(selector, record)


# Basic selectors ----------------------------------------------------------------------------------------------------


def _basic_selects(selector: Selector, record: Record) -> bool:
    wanted = {"ReadOnly": {True}, "WriteOnly": {False}}.get(selector.get("ReadWriteType", "All"), {True, False})
    if record["readOnly"] not in wanted:
        return False
    if record["eventCategory"] == "Management":
        is_excluded = record["eventSource"] in selector.get("ExcludeManagementEventSources", [])
        return bool(selector.get("IncludeManagementEvents", True)) and not is_excluded
    return any(_names_object(each, _object_arn(record) or "") for each in selector.get("DataResources", []))


def _names_object(resource: dict[str, Any], object_arn: str) -> bool:
    if resource.get("Type") != "AWS::S3::Object":
        return False
    return any(each in _EVERY_BUCKET or _is_below(each, object_arn) for each in resource.get("Values", []))


def _is_below(value: str, object_arn: str) -> bool:
    """`arn:aws:s3:::bucket/` and longer are prefixes; without the slash no object is meant."""
    return "/" in value and object_arn.startswith(value)


# Advanced selectors -------------------------------------------------------------------------------------------------


def _value(field: str, record: Record) -> str | None:
    """What a field selector looks at, None when the record has no such field."""
    values = {name: record.get(name) for name in ("eventCategory", "eventSource", "eventName", "eventType")}
    values |= {
        "readOnly": str(record["readOnly"]).lower(),
        "userIdentity.arn": record["userIdentity"].get("arn"),
        "resources.ARN": _object_arn(record),
        "resources.type": "AWS::S3::Object" if _object_arn(record) else None,
    }
    return values.get(field)


def _object_arn(record: Record) -> str | None:
    """Of a data event; DeleteObjects names the bucket's objects by their common prefix."""
    if record["eventCategory"] != "Data":
        return None
    found = [each for each in record["resources"] if each["type"] == "AWS::S3::Object"]
    return str(found[0].get("ARN") or found[0].get("ARNPrefix")) if found else None


_Fits = Callable[[str, str], bool]
_SELECT: dict[str, _Fits] = {"Equals": str.__eq__, "StartsWith": str.startswith, "EndsWith": str.endswith}


def _field_holds(field: dict[str, Any], value: str | None) -> bool:
    """Operators that select are joined by or, those that deselect by and; both groups must hold."""
    selecting = [_fits(fits, field[name], value) for name, fits in _SELECT.items() if name in field]
    deselected = any(_fits(fits, field.get(f"Not{name}", []), value) for name, fits in _SELECT.items())
    return not deselected and (any(selecting) or not selecting)


def _fits(fits: _Fits, wanted: list[str], value: str | None) -> bool:
    return value is not None and any(fits(value, each) for each in wanted)
