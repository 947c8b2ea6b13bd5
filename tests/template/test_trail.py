"""The trail a user may ask for: it logs deletes, and nothing that was not asked for."""

from collections.abc import Callable
from typing import Any

import pytest

Template = dict[str, Any]
OF_THE_TRAIL = {"DeleteTrail", "TrailLogs", "TrailLogsPolicy", "OwnTrailTamperRule"}


def selectors(resources: Template) -> list[dict[str, dict[str, list[str]]]]:
    """The trail's selectors, each as field -> operator -> values."""
    return [
        {field.pop("Field"): field for field in map(dict, selector["FieldSelectors"])}
        for selector in resources["DeleteTrail"]["Properties"]["AdvancedEventSelectors"]
    ]


def logs(selector: dict[str, dict[str, list[str]]], arn: str) -> bool:
    """Whether a selector takes an object, as CloudTrail decides: any that selects, none that deselects."""
    operators = selector["resources.ARN"]
    assert operators.keys() <= {"StartsWith", "NotStartsWith"}
    selected = any(arn.startswith(start) for start in operators.get("StartsWith", [""]))
    return selected and not any(arn.startswith(start) for start in operators["NotStartsWith"])


def test_by_default_there_is_no_trail(deployed: Callable[..., Template]) -> None:
    assert not OF_THE_TRAIL & deployed().keys()
    assert deployed(Trail="deletes").keys() - deployed().keys() == OF_THE_TRAIL


@pytest.mark.parametrize("trail", ["deletes", "all"])
def test_of_the_data_events_only_deletes_are_logged(deployed: Callable[..., Template], trail: str) -> None:
    data, *_ = selectors(deployed(Trail=trail))
    data.pop("resources.ARN")
    assert data == {
        "eventCategory": {"Equals": ["Data"]},
        "resources.type": {"Equals": ["AWS::S3::Object"]},
        "readOnly": {"Equals": ["false"]},
        "eventName": {"Equals": ["DeleteObject", "DeleteObjects"]},
    }


def test_management_events_are_logged_only_where_all_is_asked_for(deployed: Callable[..., Template]) -> None:
    assert len(selectors(deployed(Trail="deletes"))) == 1
    _, management = selectors(deployed(Trail="all"))
    assert management == {"eventCategory": {"Equals": ["Management"]}, "readOnly": {"Equals": ["false"]}}


def test_without_names_every_bucket_but_the_log_bucket_is_logged(deployed: Callable[..., Template]) -> None:
    data, *_ = selectors(deployed(Trail="deletes"))
    assert logs(data, "arn:aws:s3:::any/key")
    assert not logs(data, "TrailLogs.Arn/AWSLogs/x")
    assert "StartsWith" not in data["resources.ARN"]


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-eusc"])
def test_with_names_exactly_these_buckets_are_logged(deployed: Callable[..., Template], partition: str) -> None:
    data, *_ = selectors(deployed(Trail="deletes", TrailBuckets="one, two,three", **{"AWS::Partition": partition}))
    assert data["resources.ARN"]["StartsWith"] == [f"arn:{partition}:s3:::{name}/" for name in ("one", "two", "three")]
    assert logs(data, f"arn:{partition}:s3:::two/key")
    assert not logs(data, f"arn:{partition}:s3:::two-more/key")
    assert not logs(data, "TrailLogs.Arn/AWSLogs/x")


def test_a_single_name_is_enough(deployed: Callable[..., Template]) -> None:
    data, *_ = selectors(deployed(Trail="all", TrailBuckets="one"))
    assert data["resources.ARN"]["StartsWith"] == ["arn:aws:s3:::one/"]


def test_the_log_bucket_is_encrypted_private_and_versioned(everything: Template) -> None:
    bucket = everything["TrailLogs"]["Properties"]
    assert bucket["BucketEncryption"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}


def test_only_the_trail_of_this_stack_may_write_to_the_log_bucket(everything: Template) -> None:
    policy = everything["TrailLogsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    allowed = [statement for statement in policy if statement["Effect"] == "Allow"]
    assert {statement["Action"] for statement in allowed} == {"s3:GetBucketAcl", "s3:PutObject"}
    for statement in allowed:
        assert statement["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
        source = "arn:aws:cloudtrail:us-east-1:111122223333:trail/stack-*"
        assert statement["Condition"]["ArnLike"] == {"aws:SourceArn": source}


def test_the_trail_is_made_after_the_policy_it_needs(template: Template) -> None:
    assert template["Resources"]["DeleteTrail"]["DependsOn"] == "TrailLogsPolicy"


def test_the_trail_logs_and_its_files_can_be_verified(everything: Template) -> None:
    trail = everything["DeleteTrail"]["Properties"]
    assert (trail["IsLogging"], trail["EnableLogFileValidation"]) == (True, True)


def test_the_trail_is_the_only_type_the_embedded_cloud_refuses(deployed: Callable[..., Template]) -> None:
    # CreateChangeSet refuses it unless its condition is false (local/)
    assert "AWS::CloudTrail::Trail" not in {entry["Type"] for entry in deployed().values()}
