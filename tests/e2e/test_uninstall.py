"""What `guardrail uninstall --dry-run` says would be left, and what is left when the stack is really deleted."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

from local import stack
from local.cloud import Cloud, Credentials
from tests.e2e.local_setting import ON, put_version, refusal, until, versioning
from tests.e2e.test_deliveries import vault
from tests.e2e.test_operator import guardrail, person, refused

SAM = "aws-sam-cli-managed-default"
UNCOUNTED = True
"""Who deletes is root here; what the roles call on the way says nothing of their grants."""

INVENTORY: dict[str, Callable[[Cloud], Any]] = {
    "alarms": lambda c: [each["AlarmName"] for each in c.client("cloudwatch").describe_alarms()["MetricAlarms"]],
    "buckets": lambda c: [each["Name"] for each in c.client("s3").list_buckets()["Buckets"]],
    "buses": lambda c: [each["Name"] for each in c.client("events").list_event_buses()["EventBuses"]],
    "dashboards": lambda c: [
        each["DashboardName"] for each in c.client("cloudwatch").list_dashboards()["DashboardEntries"]
    ],
    "functions": lambda c: [each["FunctionName"] for each in c.client("lambda").list_functions()["Functions"]],
    "keys": lambda c: [each["KeyId"] for each in c.client("kms").list_keys()["Keys"]],
    "logs": lambda c: [each["logGroupName"] for each in c.client("logs").describe_log_groups()["logGroups"]],
    "policies": lambda c: [each["Arn"] for each in c.client("iam").list_policies(Scope="Local")["Policies"]],
    "queues": lambda c: c.client("sqs").list_queues().get("QueueUrls", []),
    "roles": lambda c: [each["RoleName"] for each in c.client("iam").list_roles()["Roles"]],
    "rules": lambda c: [each["Name"] for each in c.client("events").list_rules()["Rules"]],
    "schedules": lambda c: [each["Name"] for each in c.client("scheduler").list_schedules()["Schedules"]],
    "stacks": lambda c: [
        each["StackName"]
        for each in c.client("cloudformation").list_stacks()["StackSummaries"]
        if each["StackStatus"] != "DELETE_COMPLETE"
    ],
    "subscriptions": lambda c: [
        each["SubscriptionArn"] for each in c.client("sns").list_subscriptions()["Subscriptions"]
    ],
    "tables": lambda c: c.client("dynamodb").list_tables()["TableNames"],
    "topics": lambda c: [each["TopicArn"] for each in c.client("sns").list_topics()["Topics"]],
}


def inventory(cloud: Cloud) -> dict[str, set[str]]:
    """All that there is in the account, of the kinds that the stack is made of."""
    return {kind: set(look(cloud)) for kind, look in INVENTORY.items()}


def more(now: dict[str, set[str]], before: dict[str, set[str]]) -> dict[str, set[str]]:
    """What has come since."""
    return {kind: now[kind] - before[kind] for kind in now if now[kind] - before[kind]}


def typed(cloud: Cloud, command: str) -> None:
    """A command as it was printed, in a shell; as root."""
    done = subprocess.run(["bash", "-c", command], env=cloud.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


def asked(cloud: Cloud, by: Credentials) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and what it says."""
    done = guardrail(cloud, "uninstall", "--dry-run", "--json", by=by)
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def printed(found: list[dict[str, Any]], *abouts: str) -> list[str]:
    """The commands about these."""
    return [command for each in found if each["about"] in abouts for command in each["commands"]]


def test_what_is_left_is_what_was_said_and_goes_by_the_commands_that_were_printed(cloud: Cloud) -> None:
    before = inventory(cloud)
    outputs = stack.deploy(cloud, Drill="yes")
    s3, stacks = cloud.client("s3"), cloud.client("cloudformation")
    for name in ("kept-vault", "held-vault"):
        vault(cloud, name)
    s3.put_bucket_versioning(Bucket="kept-vault", VersioningConfiguration=ON, MFA=cloud.mfa())
    stack.sweep(cloud, outputs)
    assert guardrail(cloud, "contain", "held-vault").returncode == 0
    assert guardrail(cloud, "selectors", "--trail", "lab", "--write").returncode == 0
    bus = {"EventBusName": outputs["EventBusName"]}
    events, pattern = cloud.client("events"), json.dumps({"source": ["mfa-delete-guardrail"]})
    events.put_rule(Name="tickets", EventPattern=pattern, **bus)
    events.put_targets(Rule="tickets", Targets=[{"Id": "1", "Arn": outputs["SilenceTopicArn"]}], **bus)
    stacks.update_termination_protection(StackName="guardrail", EnableTerminationProtection=True)
    reader = person(cloud, "reader", outputs["ReaderPolicyArn"])

    code, found = asked(cloud, reader)
    assert (code, refused(cloud, "reader")) == (1, set())
    assert {each["about"] for each in found if each["kind"] == "first"} == {"stack", "policies", "rules"}
    assert refusal(stacks.delete_stack, StackName="guardrail")[0] == "ValidationError"
    for command in printed(found, "stack", "statements", "policies", "rules"):
        typed(cloud, command)
    typed(cloud, "aws cloudformation delete-stack --region us-east-1 --stack-name guardrail")
    until(lambda: "guardrail" not in inventory(cloud)["stacks"])

    left = more(inventory(cloud), before)
    [key] = left.pop("keys")
    assert cloud.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    vaults = {"kept-vault", "held-vault"}
    [packages] = left["buckets"] - vaults
    assert left == {"buckets": {packages, *vaults}, "stacks": {SAM}, "tables": {outputs["TableName"]}}
    for part in (key, packages, outputs["TableName"]):
        assert any(part in each["meaning"] for each in found), part

    assert versioning(cloud, "kept-vault") == ON
    version = put_version(cloud, "kept-vault")
    assert refusal(s3.delete_object, Bucket="kept-vault", Key="report.csv", VersionId=version)[1] == 403
    for command in printed(found, "selectors", "table", "sam"):
        typed(cloud, command)
    until(lambda: SAM not in inventory(cloud)["stacks"])
    assert more(inventory(cloud), before) == {"buckets": vaults, "keys": {key}}
    logged = cloud.client("cloudtrail").get_event_selectors(TrailName="lab")["AdvancedEventSelectors"]
    assert not any(each["Name"].startswith("Deletes on enrolled buckets") for each in logged)
