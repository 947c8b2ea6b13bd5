"""A stack of an earlier version can be updated: what holds something is not replaced, and nobody is asked anew."""

import importlib
from typing import Any

import pytest

from cli.leftovers import RETAINED
from tests.e2e.released import FIXTURES, RELEASED
from tests.template.cloudformation import Template, written

STATEFUL = {
    "AWS::CloudTrail::Trail",
    "AWS::DynamoDB::Table",
    "AWS::Events::EventBus",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
}
"""What holds something, or has a name that others know: findings, alerts on their way, logs, who confirmed."""
POLICIES = ("Condition", "DeletionPolicy", "UpdateReplacePolicy")


@pytest.fixture(scope="module", params=RELEASED)
def older(request: pytest.FixtureRequest) -> Template:
    """The template of an earlier version."""
    return written(FIXTURES / request.param / "template.yaml")


def fixed(kind: str) -> list[str]:
    """The properties that cannot be changed in place, by CloudFormation's own schema of the type."""
    schemas = importlib.import_module("cfnlint.schema.manager").PROVIDER_SCHEMA_MANAGER
    schema = schemas.get_resource_schema("us-east-1", kind).schema
    paths = [*(schema.get("createOnlyProperties") or []), *(schema.get("conditionalCreateOnlyProperties") or [])]
    return [path.removeprefix("/properties/").partition("/")[0] for path in paths]


def kept(resource: dict[str, Any]) -> dict[str, Any]:
    """What must not change, or CloudFormation would replace it, or treat what it holds in another way."""
    properties = resource.get("Properties", {})
    said = {name: properties.get(name) for name in fixed(resource["Type"])}
    return said | {name: resource.get(name) for name in ("Type", *POLICIES)}


def test_what_holds_something_is_neither_dropped_nor_replaced(older: Template, template: Template) -> None:
    holding = {name: each for name, each in older["Resources"].items() if each["Type"] in STATEFUL}
    assert len(holding) > 15
    assert {name: kept(template["Resources"].get(name, {"Type": "none"})) for name in holding} == {
        name: kept(each) for name, each in holding.items()
    }


def test_what_forces_a_replacement_is_looked_up(template: Template) -> None:
    assert "TableName" in fixed("AWS::DynamoDB::Table")
    assert "KeySchema" in fixed("AWS::DynamoDB::Table")
    assert "Endpoint" in fixed("AWS::SNS::Subscription")


def test_every_value_that_a_parameter_could_have_it_still_can(older: Template, template: Template) -> None:
    for name, was in older["Parameters"].items():
        now = template["Parameters"].get(name)
        assert now, f"{name}: a samconfig.toml that sets it could not be deployed"
        assert (name, now["Type"], now.get("AllowedPattern")) == (name, was["Type"], was.get("AllowedPattern"))
        assert set(was.get("AllowedValues", ())) <= set(now.get("AllowedValues", was.get("AllowedValues", ()))), name
        for least, most in (("MinValue", "MaxValue"), ("MinLength", "MaxLength")):
            assert now.get(least, 0) <= was.get(least, 0), name
            assert now.get(most, float("inf")) >= was.get(most, float("inf")), name


def test_a_parameter_that_is_new_need_not_be_given(older: Template, template: Template) -> None:
    new = template["Parameters"].keys() - older["Parameters"].keys()
    assert [name for name in new if "Default" not in template["Parameters"][name]] == []


def test_what_uninstall_says_stays_is_what_cloudformation_is_told_to_keep(template: Template) -> None:
    keeping = {"Retain", "RetainExceptOnCreate", "Snapshot"}
    kept = {name for name, each in template["Resources"].items() if each.get("DeletionPolicy") in keeping}
    assert kept == RETAINED.keys()


def test_what_a_stack_told_it_still_tells(older: Template, template: Template) -> None:
    assert older["Outputs"].keys() <= template["Outputs"].keys()
