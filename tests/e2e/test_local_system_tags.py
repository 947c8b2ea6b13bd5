"""The embedded cloud keeps the tags that CloudFormation writes on a stack's buckets, as S3 does."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud import Cloud
from tests.e2e.local_setting import refusal

SYSTEM = {"aws:cloudformation:stack-name": "data", "aws:cloudformation:logical-id": "Vault"}
TEAM: Any = {"Key": "team", "Value": "data"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud.start(batching_window_s=None) as running:
        yield running


@pytest.fixture(scope="module")
def vault(cloud: Cloud) -> str:
    """A bucket of a stack."""
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "stack-vault", "Tags": [TEAM]}}
    formation = cloud.client("cloudformation")
    formation.create_stack(StackName="data", TemplateBody=json.dumps({"Resources": {"Vault": bucket}}))
    formation.get_waiter("stack_create_complete").wait(StackName="data", WaiterConfig={"Delay": 1})
    return "stack-vault"


def tags(cloud: Cloud, bucket: str) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in cloud.client("s3").get_bucket_tagging(Bucket=bucket)["TagSet"]}


def test_a_set_without_them_is_refused_and_one_that_repeats_them_is_taken(cloud: Cloud, vault: str) -> None:
    put = cloud.client("s3").put_bucket_tagging
    assert tags(cloud, vault) == {"team": "data", **SYSTEM}
    said = "System Tags cannot be removed by requester"
    assert refusal(put, Bucket=vault, Tagging={"TagSet": [TEAM]}) == ("InvalidTag", 400, said)
    listed: Any = [{"Key": key, "Value": value} for key, value in SYSTEM.items()]
    put(Bucket=vault, Tagging={"TagSet": [*listed, {"Key": "cost", "Value": "42"}]})
    assert tags(cloud, vault) == {"cost": "42", **SYSTEM}


def test_nobody_else_writes_them(cloud: Cloud, bucket: str) -> None:
    forged: Any = [{"Key": key, "Value": value} for key, value in SYSTEM.items()]
    said = refusal(cloud.client("s3").put_bucket_tagging, Bucket=bucket, Tagging={"TagSet": forged})
    assert said == ("InvalidTag", 400, "Your TagKey cannot be prefixed with aws:")


def test_a_single_tag_is_added_beside_them(cloud: Cloud, vault: str) -> None:
    before = tags(cloud, vault)
    arn, ours = f"arn:aws:s3:::{vault}", {"Key": "mfa-delete", "Value": "required"}
    control = cloud.client("s3control")

    def here(request: Any, **_: Any) -> None:  # the account stands before the host's name, which has no such subdomain
        request.url = request.url.replace(f"//{cloud.account}.", "//")

    control.meta.events.register("before-sign.s3-control.TagResource", here)
    control.tag_resource(AccountId=cloud.account, ResourceArn=arn, Tags=[ours])
    assert tags(cloud, vault) == {**before, "mfa-delete": "required"}
