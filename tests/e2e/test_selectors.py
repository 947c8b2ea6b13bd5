"""`guardrail selectors` in the embedded cloud: a trail of the account's own comes to log what the rules wait for."""

import json
from typing import Any

from local.cloud import Cloud
from shared.selectors import logs_deletes_of, logs_management_writes
from tests.e2e.test_deliveries import guardrail, vault


def test_a_new_trail_comes_to_log_the_deletes_of_both_buckets(cloud: Cloud, outputs: dict[str, str]) -> None:
    s3, cloudtrail = cloud.client("s3"), cloud.client("cloudtrail")
    s3.create_bucket(Bucket="trail-logs")
    cloudtrail.stop_logging(Name="lab")  # the one that every embedded account has, and that logs all
    cloudtrail.create_trail(Name="main", S3BucketName="trail-logs")
    cloudtrail.start_logging(Name="main")
    s3.create_bucket(Bucket="plain")
    assert "no bucket is enrolled" in guardrail(cloud, "selectors", "--trail", "main").stdout

    for name in ("one-vault", "two-vault"):
        vault(cloud, name)
    deletes = next(line for line in _doctor(cloud) if line["about"] == "deletes")
    assert deletes["state"] == "bad"

    tried = guardrail(cloud, "selectors", "--trail", "main")
    assert (tried.returncode, tried.stderr) == (1, "")
    before: Any = cloudtrail.get_event_selectors(TrailName="main")
    assert logs_management_writes(before)
    assert not logs_deletes_of("one-vault", before)

    written = guardrail(cloud, "selectors", "--trail", "main", "--write")
    assert (written.returncode, written.stderr) == (0, "")
    assert "added: one-vault\nadded: two-vault\n" in written.stdout

    after: Any = cloudtrail.get_event_selectors(TrailName="main")
    assert logs_management_writes(after)
    assert [name for name in ("one-vault", "two-vault", "plain", "trail-logs") if logs_deletes_of(name, after)] == [
        "one-vault",
        "two-vault",
    ]
    again = guardrail(cloud, "selectors", "--trail", "main", "--write", "--json")
    said = json.loads(again.stdout)
    assert (again.returncode, said["written"], said["changes"]) == (0, False, False)
    assert said["buckets"] == ["one-vault", "two-vault"]
    deletes = next(line for line in _doctor(cloud) if line["about"] == "deletes")
    assert deletes["state"] == "fine"

    missing = guardrail(cloud, "selectors")
    assert (missing.returncode, missing.stdout) == (3, "")
    assert missing.stderr.startswith("guardrail: the stack has no trail of its own")


def test_no_role_of_the_stack_may_change_a_trail(cloud: Cloud, outputs: dict[str, str]) -> None:
    iam = cloud.client("iam")
    policies = [
        iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
        for role in iam.list_roles()["Roles"]
        for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    ]
    assert policies
    assert "PutEventSelectors" not in json.dumps(policies)


def _doctor(cloud: Cloud) -> list[dict[str, Any]]:
    return [json.loads(line) for line in guardrail(cloud, "doctor", "--json").stdout.splitlines()]
