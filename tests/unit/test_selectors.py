"""What a trail's selectors log of what the guardrail waits for."""

from typing import Any

import pytest

from shared.selectors import left_out, logs_deletes_of, logs_management_writes


def advanced(**fields: dict[str, list[str]]) -> dict[str, Any]:
    """One advanced selector; `_` in a name stands for a dot."""
    listed = [{"Field": name.replace("_", "."), **how} for name, how in fields.items()]
    return {"AdvancedEventSelectors": [{"FieldSelectors": listed}]}


def basic(**members: Any) -> dict[str, Any]:
    return {"EventSelectors": [members]}


OBJECTS = {"eventCategory": {"Equals": ["Data"]}, "resources_type": {"Equals": ["AWS::S3::Object"]}}


@pytest.mark.parametrize(
    ("selectors", "logs"),
    [
        (basic(ReadWriteType="All", IncludeManagementEvents=True), True),
        (basic(ReadWriteType="WriteOnly", IncludeManagementEvents=True), True),
        (basic(ReadWriteType="ReadOnly", IncludeManagementEvents=True), False),
        (basic(ReadWriteType="All", IncludeManagementEvents=False), False),
        (advanced(eventCategory={"Equals": ["Management"]}), True),
        (advanced(eventCategory={"Equals": ["Management"]}, readOnly={"Equals": ["false"]}), True),
        (advanced(eventCategory={"Equals": ["Management"]}, readOnly={"Equals": ["true"]}), False),
        (advanced(eventCategory={"Equals": ["Management"]}, eventSource={"NotEquals": ["kms.amazonaws.com"]}), True),
        (advanced(eventCategory={"Equals": ["Management"]}, eventSource={"NotEquals": ["s3.amazonaws.com"]}), False),
        (advanced(eventCategory={"Equals": ["Management"]}, eventName={"NotEquals": ["PutBucketVersioning"]}), False),
        (advanced(**OBJECTS), False),
        ({}, False),
    ],
)
def test_management_writes(selectors: dict[str, Any], logs: bool) -> None:
    assert logs_management_writes(selectors) is logs


def data(*values: str, how: str = "All") -> dict[str, Any]:
    return basic(ReadWriteType=how, DataResources=[{"Type": "AWS::S3::Object", "Values": list(values)}])


@pytest.mark.parametrize(
    ("selectors", "logs"),
    [
        (data("arn:aws:s3"), True),
        (data("arn:aws:s3:::"), True),
        (data("arn:aws:s3:::vault/"), True),
        (data("arn:aws:s3:::vault/keys/"), False),
        (data("arn:aws:s3:::vault2/"), False),
        (data("arn:aws:s3:::vault/", how="ReadOnly"), False),
        (advanced(**OBJECTS), True),
        (advanced(**OBJECTS, readOnly={"Equals": ["false"]}), True),
        (advanced(**OBJECTS, readOnly={"Equals": ["true"]}), False),
        (advanced(**OBJECTS, eventName={"Equals": ["DeleteObject", "DeleteObjects"]}), True),
        (advanced(**OBJECTS, eventName={"Equals": ["PutObject"]}), False),
        (advanced(**OBJECTS, eventName={"NotEquals": ["DeleteObject"]}), False),
        (advanced(**OBJECTS, resources_ARN={"StartsWith": ["arn:aws:s3:::vault/"]}), True),
        (advanced(**OBJECTS, resources_ARN={"StartsWith": ["arn:aws:s3:::other/"]}), False),
        (advanced(**OBJECTS, resources_ARN={"NotStartsWith": ["arn:aws:s3:::logs/"]}), True),
        (advanced(**OBJECTS, resources_ARN={"NotStartsWith": ["arn:aws:s3:::vault"]}), False),
        (advanced(**OBJECTS, resources_ARN={"NotStartsWith": ["arn:aws:s3:::vault/secret/"]}), False),
        (advanced(**OBJECTS, resources_ARN={"NotStartsWith": ["arn:aws:s3:::vault2/"]}), True),
        (advanced(**OBJECTS, resources_ARN={"NotEndsWith": [".csv"]}), False),
        (advanced(**OBJECTS, resources_ARN={"NotEquals": ["arn:aws:s3:::vault/one"]}), False),
        (advanced(**OBJECTS, resources_ARN={"NotEquals": ["arn:aws:s3:::other/one"]}), True),
        (advanced(**OBJECTS, resources_ARN={"Equals": ["arn:aws:s3:::vault/"]}), False),
        (advanced(**OBJECTS, resources_ARN={"EndsWith": ["/"]}), False),
        (advanced(**OBJECTS, sessionCredentialFromConsole={"NotEquals": ["true"]}), False),
        (advanced(**OBJECTS, eventType={"NotEquals": ["AwsServiceEvent"]}), True),
        (
            advanced(**OBJECTS, userIdentity_arn={"NotStartsWith": ["arn:aws:sts::111122223333:assumed-role/bulk"]}),
            True,
        ),
        (advanced(**OBJECTS, userIdentity_arn={"Equals": ["arn:aws:iam::111122223333:user/ann"]}), False),
        (advanced(eventCategory={"Equals": ["Management"]}), False),
        ({}, False),
    ],
)
def test_deletes_of_a_bucket(selectors: dict[str, Any], logs: bool) -> None:
    assert logs_deletes_of("vault", selectors) is logs


BULK, NIGHT = "arn:aws:sts::111122223333:assumed-role/bulk/", "arn:aws:sts::111122223333:assumed-role/night/"


def but(*who: str, how: str = "NotStartsWith") -> dict[str, Any]:
    """Deletes of everybody but these."""
    return advanced(**OBJECTS, userIdentity_arn={how: list(who)})


@pytest.mark.parametrize(
    ("trails", "who"),
    [
        ([but(BULK)], {f"{BULK}*"}),
        ([but(BULK, NIGHT)], {f"{BULK}*", f"{NIGHT}*"}),
        ([but(f"{BULK}one", how="NotEquals")], {f"{BULK}one"}),
        ([but("/one", how="NotEndsWith")], {"*/one"}),
        ([advanced(**OBJECTS)], set()),
        ([], set()),
        ([advanced(**OBJECTS, userIdentity_arn={"StartsWith": [BULK]})], set()),
        ([advanced(**OBJECTS, resources_ARN={"StartsWith": ["arn:aws:s3:::other/"]}), but(BULK)], {f"{BULK}*"}),
        ([but(BULK) | data("arn:aws:s3:::vault/")], set()),
        ([but(BULK), advanced(**OBJECTS)], set()),
        ([but(BULK), but(NIGHT)], set()),
        ([but(BULK, NIGHT), but(NIGHT)], {f"{NIGHT}*"}),
        ([but(f"{BULK}one", how="NotEquals"), but(BULK)], {f"{BULK}one"}),
        ([but(BULK), but("arn:aws:sts::111122223333:")], {f"{BULK}*"}),
    ],
)
def test_who_is_left_out_is_whom_every_selector_leaves_out(trails: list[dict[str, Any]], who: set[str]) -> None:
    assert left_out("vault", trails) == who
