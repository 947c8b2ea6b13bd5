"""Who may do what. A new permission is a line here, so that a reviewer sees it."""

import re
from typing import Any

import pytest

Template = dict[str, Any]
Statement = dict[str, Any]

SETTINGS_OF_BUCKETS = "arn:aws:s3:::*"
SPOKES = "arn:aws:iam::*:role/mfa-delete-guardrail-spoke"
BUCKETS = {
    ("s3:GetBucketVersioning", SETTINGS_OF_BUCKETS),
    ("s3:GetBucketTagging", SETTINGS_OF_BUCKETS),
    ("s3:GetLifecycleConfiguration", SETTINGS_OF_BUCKETS),
    ("sts:AssumeRole", SPOKES),
}
SHARED = {
    ("dynamodb:GetItem", "Table.Arn"),
    ("dynamodb:Query", "Table.Arn"),
    ("dynamodb:DeleteItem", "Table.Arn"),
    ("dynamodb:PutItem", "Table.Arn"),
    ("dynamodb:UpdateItem", "Table.Arn"),
    ("sns:Publish", "AlertTopic"),
    ("sns:Publish", "PagerTopic"),
    ("sns:Publish", "ChatTopic"),
    ("events:PutEvents", "EventBus.Arn"),
    ("securityhub:BatchImportFindings", "arn:aws:securityhub:HERE:111122223333:product/111122223333/default"),
    ("securityhub:BatchImportFindings", "arn:aws:securityhub:HERE:111122223333:hub/default"),
    ("securityhub:BatchUpdateFindings", "arn:aws:securityhub:HERE:111122223333:product/111122223333/default"),
    ("securityhub:BatchUpdateFindings", "arn:aws:securityhub:HERE:111122223333:hub/default"),
    ("kms:Decrypt", "AlertKey.Arn"),
    ("kms:GenerateDataKey", "AlertKey.Arn"),
    ("sqs:SendMessage", "DeadLetterQueue.Arn"),
}
OUR_ROLES = (
    *("BucketChange", "VersionDelete", "Sweep", "SweepSchedule", "Health", "HealthSchedule", "Drill", "DrillSchedule"),
)
ROLES: dict[str, set[tuple[str, str]]] = {
    "BucketChangeRole": SHARED
    | BUCKETS
    | {
        ("logs:CreateLogStream", "BucketChangeLogs.Arn"),
        ("logs:PutLogEvents", "BucketChangeLogs.Arn"),
        ("sqs:SendMessage", "OnFailureQueue.Arn"),
    },
    "VersionDeleteRole": SHARED
    | BUCKETS
    | {
        ("logs:CreateLogStream", "VersionDeleteLogs.Arn"),
        ("logs:PutLogEvents", "VersionDeleteLogs.Arn"),
        ("sqs:ReceiveMessage", "DeleteQueue.Arn"),
        ("sqs:DeleteMessage", "DeleteQueue.Arn"),
        ("sqs:GetQueueAttributes", "DeleteQueue.Arn"),
    },
    "SweepRole": SHARED
    | BUCKETS
    | {
        ("logs:CreateLogStream", "SweepLogs.Arn"),
        ("logs:PutLogEvents", "SweepLogs.Arn"),
        ("sqs:SendMessage", "OnFailureQueue.Arn"),
        ("tag:GetResources", "*"),
        ("iam:GetAccountSummary", "*"),
        ("iam:ListVirtualMFADevices", "*"),
        ("sns:GetTopicAttributes", "AlertTopic"),
        ("sqs:SendMessage", "SpokeQueue.Arn"),
        ("sqs:ReceiveMessage", "SpokeQueue.Arn"),
        ("sqs:DeleteMessage", "SpokeQueue.Arn"),
        ("sqs:GetQueueAttributes", "SpokeQueue.Arn"),
    },
    "SweepScheduleRole": {
        ("lambda:InvokeFunction", "SweepFunction.Arn"),
        ("sqs:SendMessage", "DeadLetterQueue.Arn"),
    },
    "HealthRole": SHARED
    | {
        ("logs:CreateLogStream", "HealthLogs.Arn"),
        ("logs:PutLogEvents", "HealthLogs.Arn"),
        ("sqs:SendMessage", "OnFailureQueue.Arn"),
        ("tag:GetResources", "*"),
        ("s3:ListAllMyBuckets", "*"),
        ("s3:GetBucketNotification", SETTINGS_OF_BUCKETS),
        ("s3:GetLifecycleConfiguration", SETTINGS_OF_BUCKETS),
        ("cloudtrail:DescribeTrails", "*"),
        ("cloudtrail:GetEventSelectors", "arn:aws:cloudtrail:*:*:trail/*"),
        ("cloudtrail:GetTrailStatus", "arn:aws:cloudtrail:*:*:trail/*"),
        ("cloudformation:DescribeStacks", "arn:aws:cloudformation:*:111122223333:stack/stack/*"),
        ("cloudformation:ListStackResources", "arn:aws:cloudformation:*:111122223333:stack/stack/*"),
        ("events:DescribeRule", "arn:aws:events:HERE:111122223333:rule/stack-*"),
        ("events:ListTargetsByRule", "arn:aws:events:HERE:111122223333:rule/stack-*"),
        ("scheduler:GetSchedule", "arn:aws:scheduler:HERE:111122223333:schedule/default/stack-*"),
        ("lambda:GetFunctionConcurrency", "arn:aws:lambda:HERE:111122223333:function:stack-*"),
        ("lambda:GetEventSourceMapping", "arn:aws:lambda:HERE:111122223333:event-source-mapping:*"),
        ("sqs:GetQueueAttributes", "DeadLetterQueue.Arn"),
        ("sqs:GetQueueAttributes", "OnFailureQueue.Arn"),
        ("sqs:GetQueueAttributes", "DeleteQueue.Arn"),
        ("sqs:GetQueueAttributes", "SpokeQueue.Arn"),
        ("sns:GetTopicAttributes", "AlertTopic"),
        ("sns:GetTopicAttributes", "SilenceTopic"),
        ("sns:GetTopicAttributes", "PagerTopic"),
        ("sns:GetTopicAttributes", "ChatTopic"),
        ("sns:GetSubscriptionAttributes", "*"),
        ("cloudwatch:DescribeAlarms", "arn:aws:cloudwatch:HERE:111122223333:alarm:*"),
        ("kms:DescribeKey", "AlertKey.Arn"),
        ("events:DescribeEventBus", "EventBus.Arn"),
        ("events:DescribeEventBus", "SpokeBus.Arn"),
    }
    | {
        (f"iam:{read}", f"{role}Role.Arn")
        for read in ("GetRole", "GetRolePolicy", "ListAttachedRolePolicies", "ListRolePolicies")
        for role in OUR_ROLES
    },
    "HealthScheduleRole": {
        ("lambda:InvokeFunction", "HealthFunction.Arn"),
        ("sqs:SendMessage", "DeadLetterQueue.Arn"),
    },
    "DrillRole": {
        ("logs:CreateLogStream", "DrillLogs.Arn"),
        ("logs:PutLogEvents", "DrillLogs.Arn"),
        ("sqs:SendMessage", "OnFailureQueue.Arn"),
        ("sqs:SendMessage", "DeadLetterQueue.Arn"),
        ("s3:PutBucketVersioning", "Canary.Arn"),
        ("dynamodb:GetItem", "Table.Arn"),
        ("dynamodb:PutItem", "Table.Arn"),
        ("dynamodb:UpdateItem", "Table.Arn"),
    },
    "DrillScheduleRole": {
        ("lambda:InvokeFunction", "DrillFunction.Arn"),
        ("sqs:SendMessage", "DeadLetterQueue.Arn"),
    },
}
PUBLISHING = {role for role in ROLES if not role.endswith("ScheduleRole")} - {"DrillRole"}
"""The roles of functions that send alerts."""
ATTACHED = ("SharedPermissions", "SecurityHubPermissions", "BucketPermissions", "HealthSeesRoles")


def listed(value: Any) -> list[Any]:
    """A policy may write one value without a list."""
    return value if isinstance(value, list) else [value]


def here(text: str) -> str:
    """The same whichever Region the tests deploy to."""
    return re.sub(r":[a-z]{2}-[a-z]+-\d:", ":HERE:", text)


def statements(node: Any) -> list[Statement]:
    """Every statement of every policy below a node."""
    if isinstance(node, list):
        return [statement for item in node for statement in statements(item)]
    if not isinstance(node, dict):
        return []
    here: list[Statement] = listed(node.get("Statement", []))
    return here + [statement for value in node.values() if value is not here for statement in statements(value)]


def statements_of_role(resources: Template, role: str) -> list[Statement]:
    """What a role may do: its own policies and those attached to it."""
    own = statements(resources[role]["Properties"].get("Policies", []))
    policies = [entry["Properties"] for entry in resources.values() if entry["Type"] == "AWS::IAM::Policy"]
    return own + statements([policy for policy in policies if role in policy["Roles"]])


def by_sid(resources: Template, name: str) -> dict[str, Statement]:
    """The statements of one resource."""
    return {statement["Sid"]: statement for statement in statements(resources[name])}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_needs_and_nothing_else(everything: Template, role: str) -> None:
    assert actions_of(everything, role) == ROLES[role]


def test_every_role_stands_in_the_table_above(everything: Template, translated: Template) -> None:
    # translated: a role that SAM made would come with a policy managed by AWS
    assert {name for name, entry in everything.items() if entry["Type"] == "AWS::IAM::Role"} == ROLES.keys()
    assert {name for name, entry in translated.items() if entry["Type"] == "AWS::IAM::Role"} == ROLES.keys()


def test_no_statement_allows_an_action_by_wildcard(everything: Template) -> None:
    found = statements(everything)
    assert len(found) > 20
    for statement in found:
        assert "NotAction" not in statement, statement
        assert not [action for action in listed(statement["Action"]) if "*" in action], statement


def test_the_only_managed_policies_are_for_people_and_attached_to_nobody(translated: Template) -> None:
    for name, resource in translated.items():
        assert "ManagedPolicyArns" not in resource.get("Properties", {}), name
    managed = {name: r["Properties"] for name, r in translated.items() if r["Type"] == "AWS::IAM::ManagedPolicy"}
    assert managed.keys() == {"ReaderPolicy", "OperatorPolicy"}
    for properties in managed.values():
        assert properties.keys() == {"Description", "PolicyDocument"}  # no name, and no role, user or group


READS = re.compile(r"(Get|List|Describe)\w+|Query")
READS_OF_S3 = re.compile(r"GetBucket(Versioning|Tagging|Notification)|GetLifecycleConfiguration|ListAllMyBuckets")
WRITES = {
    "dynamodb:DeleteItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "events:PutEvents",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "lambda:InvokeFunction",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "s3:PutBucketVersioning",
    "securityhub:BatchImportFindings",
    "securityhub:BatchUpdateFindings",
    "sns:Publish",
    "sqs:DeleteMessage",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
}


def test_no_role_may_change_anything_but_our_own_or_read_an_object(everything: Template) -> None:
    for role in ROLES:
        for statement in statements_of_role(everything, role):
            for action in listed(statement["Action"]):
                service, _, name = action.partition(":")
                assert action in WRITES | {"sts:AssumeRole"} or READS.fullmatch(name), action
                assert action not in WRITES or "*" not in listed(statement["Resource"]), action
                on_the_canary = listed(statement["Resource"]) == ["Canary.Arn"]
                assert service != "s3" or READS_OF_S3.fullmatch(name) or on_the_canary, action
                assert service != "sts" or listed(statement["Resource"]) == [SPOKES], action


def actions_of(resources: Template, role: str) -> set[tuple[str, str]]:
    """Each action with each resource of it that a role is granted."""
    return {
        (action, here(resource))
        for statement in statements_of_role(resources, role)
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def test_of_all_buckets_the_drill_reaches_the_canary_alone(everything: Template) -> None:
    buckets = {resource for action, resource in actions_of(everything, "DrillRole") if action.startswith("s3:")}
    assert buckets == {"Canary.Arn"}


def test_only_the_drill_may_change_a_bucket_and_nobody_may_delete_from_one(everything: Template) -> None:
    changing = {
        (role, action)
        for role in ROLES
        for action, _ in actions_of(everything, role)
        if action.startswith("s3:") and not READS.fullmatch(action.partition(":")[2])
    }
    assert changing == {("DrillRole", "s3:PutBucketVersioning")}


def test_a_version_of_the_canary_can_be_deleted_by_nobody(everything: Template) -> None:
    (deny,) = statements(everything["CanaryPolicy"])
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:DeleteObjectVersion")
    assert deny["Resource"] == "Canary.Arn/*"
    assert "Condition" not in deny
    assert everything["CanaryPolicy"]["Properties"]["Bucket"] == "Canary"


@pytest.mark.parametrize("service", ["cloudtrail", "cloudformation", "events", "scheduler", "iam", "cloudwatch"])
def test_no_role_may_change_a_trail_the_stack_a_rule_a_schedule_a_role_or_an_alarm(
    everything: Template, service: str
) -> None:
    granted = [
        action.partition(":")[2]
        for role in ROLES
        for action, resource in actions_of(everything, role)
        if action.startswith(f"{service}:") and resource != "EventBus.Arn"
    ]
    assert granted, "nothing is granted, so this claims nothing"
    assert all(READS.fullmatch(name) for name in granted)


def test_but_for_what_every_function_writes_the_health_role_only_reads(everything: Template) -> None:
    own = actions_of(everything, "HealthRole") - SHARED
    writing = {(action, resource) for action, resource in own if not READS.fullmatch(action.partition(":")[2])}
    assert writing == {
        ("logs:CreateLogStream", "HealthLogs.Arn"),
        ("logs:PutLogEvents", "HealthLogs.Arn"),
        ("sqs:SendMessage", "OnFailureQueue.Arn"),
    }


def test_the_health_role_may_look_at_every_role_of_the_stack(everything: Template) -> None:
    looked_at = {resource for action, resource in actions_of(everything, "HealthRole") if action == "iam:GetRole"}
    assert looked_at == {f"{name}.Arn" for name, entry in everything.items() if entry["Type"] == "AWS::IAM::Role"}


def test_every_statement_says_what_it_is_for(everything: Template, source: str) -> None:
    for statement in statements(everything):
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]{5,}", statement["Sid"]), statement
    for role in (*ROLES, *ATTACHED):
        block = source.split(f"\n  {role}:\n")[1].split("\n\n", maxsplit=1)[0]
        policies = re.split(r"(?:Policies|PolicyName):", block, maxsplit=1)[1]
        assert re.findall(r"- Sid:", policies), role
        assert not re.findall(r"(?<!\n)\n(?! *#)[^\n]*\n *- Sid:", policies), f"a statement of {role} without a comment"


def test_every_role_carries_the_boundary_if_one_is_given(everything: Template, deployed: Any) -> None:
    without = deployed(Drill="yes")
    for role in ROLES:
        assert everything[role]["Properties"]["PermissionsBoundary"] == "arn:aws:iam::111122223333:policy/edge"
        assert "PermissionsBoundary" not in without[role]["Properties"]


def test_only_the_service_that_uses_it_may_assume_a_role(everything: Template) -> None:
    for role in ROLES:
        (statement,) = everything[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        service = "scheduler" if role.endswith("ScheduleRole") else "lambda"
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
        assert statement["Action"] == "sts:AssumeRole"


# ---- the topic -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watched", ["yes", "no"])
def test_everybody_but_our_functions_and_aws_services_is_denied_to_publish(deployed: Any, watched: str) -> None:
    resources = deployed(WatchVersionDeletes=watched)
    deny = by_sid(resources, "AlertTopicPolicy")["NobodyElsePublishes"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "sns:Publish")
    assert deny["Condition"].keys() == {"BoolIfExists", "ArnNotLike"}
    assert deny["Condition"]["BoolIfExists"] == {"aws:PrincipalIsAWSService": "false"}
    spared = set(deny["Condition"]["ArnNotLike"]["aws:PrincipalArn"])
    roles = PUBLISHING & resources.keys()
    sessions = {f"arn:aws:sts::111122223333:assumed-role/{role}/*" for role in roles}
    assert spared == {f"{role}.Arn" for role in roles} | sessions


def test_of_the_aws_services_only_alarms_of_this_stack_may_publish(everything: Template) -> None:
    found = by_sid(everything, "AlertTopicPolicy")
    services = [s for s in found.values() if s["Effect"] == "Allow" and "Service" in s["Principal"]]
    (alarms,) = services
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Condition"].keys() == {"StringEquals", "ArnLike"}
    assert alarms["Condition"]["StringEquals"] == {"aws:SourceAccount": "111122223333"}
    source = here(alarms["Condition"]["ArnLike"]["aws:SourceArn"])
    assert source == "arn:aws:cloudwatch:HERE:111122223333:alarm:stack-*"


def test_everybody_but_our_functions_is_denied_to_put_events_on_the_outgoing_bus(everything: Template) -> None:
    policy = everything["EventBusPolicy"]["Properties"]
    deny = policy["Statement"]
    assert (policy["EventBusName"], policy["StatementId"]) == ("EventBus", deny["Sid"])
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "events:PutEvents")
    assert deny["Resource"] == "EventBus.Arn"
    assert deny["Condition"] == by_sid(everything, "AlertTopicPolicy")["NobodyElsePublishes"]["Condition"]


def test_whom_the_topic_allows_is_whom_it_does_not_deny(everything: Template) -> None:
    found = by_sid(everything, "AlertTopicPolicy")
    allowed = found["OurFunctionsPublish"]["Condition"]["ArnLike"]["aws:PrincipalArn"]
    assert allowed == found["NobodyElsePublishes"]["Condition"]["ArnNotLike"]["aws:PrincipalArn"]


def test_the_alarms_that_may_publish_may_use_the_key(everything: Template) -> None:
    publish = by_sid(everything, "AlertTopicPolicy")["OurAlarmsPublish"]
    use = by_sid(everything, "AlertKey")["OurAlarmsUseIt"]
    assert use["Principal"] == publish["Principal"]
    assert use["Condition"] == publish["Condition"]
    assert set(use["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}


def test_the_account_can_still_manage_the_key(everything: Template) -> None:
    # KMS refuses a policy that shuts its author out, and a key nobody manages cannot be deleted
    manage = by_sid(everything, "AlertKey")["TheAccountManagesItByIam"]
    assert manage["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    assert {"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:DescribeKey"} <= set(manage["Action"])
