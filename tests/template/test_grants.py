"""What people are granted for the command: exactly what its verbs call."""

import json
import re
from typing import Any

from tests.template.test_permissions import listed, statements

Template = dict[str, Any]

BUCKETS = {"s3:GetBucketTagging", "s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"}
STACK = {"cloudformation:DescribeStacks"}
WATCHED = STACK | {"tag:GetResources", "dynamodb:Query"}
TRAILS = {"cloudtrail:DescribeTrails", "cloudtrail:GetEventSelectors"}
"""sts:GetCallerIdentity needs no permission."""
READER: dict[str, set[str]] = {
    "status": BUCKETS
    | WATCHED
    | {
        "cloudformation:ListStackResources",
        "dynamodb:GetItem",
        "iam:GetAccountSummary",
        "iam:ListVirtualMFADevices",
        "s3:ListAllMyBuckets",
        "sns:GetTopicAttributes",
    },
    "doctor": WATCHED
    | TRAILS
    | {
        "cloudformation:ListStackResources",
        "cloudtrail:GetTrailStatus",
        "cloudwatch:DescribeAlarms",
        "dynamodb:GetItem",
        "events:DescribeEventBus",
        "events:DescribeRule",
        "events:ListTargetsByRule",
        "iam:GetAccountSummary",
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:ListAttachedRolePolicies",
        "iam:ListRolePolicies",
        "iam:ListVirtualMFADevices",
        "kms:DescribeKey",
        "lambda:GetEventSourceMapping",
        "lambda:GetFunctionConcurrency",
        "s3:GetBucketNotification",
        "s3:ListAllMyBuckets",
        "scheduler:GetSchedule",
        "sns:GetSubscriptionAttributes",
        "sns:GetTopicAttributes",
        "sqs:GetQueueAttributes",
    },
    "runbook": BUCKETS | STACK | {"dynamodb:Query"},
    "replay": BUCKETS | STACK | {"dynamodb:Query"},
    "selectors": WATCHED | TRAILS | {"cloudformation:ListStackResources"},
    "spokes": STACK | {"dynamodb:Query"},
    "uninstall": WATCHED
    | TRAILS
    | {
        "cloudformation:ListStackResources",
        "events:ListRules",
        "iam:GetAccountSummary",
        "iam:ListEntitiesForPolicy",
        "iam:ListVirtualMFADevices",
        "s3:GetBucketPolicy",
        "s3:GetBucketVersioning",
        "s3:ListBucketVersions",
        "sqs:GetQueueAttributes",
    },
}
OPERATOR: dict[str, set[str]] = {
    "ack": STACK | {"dynamodb:PutItem", "dynamodb:Query", "lambda:InvokeFunction"},
    "redrive": STACK
    | {
        "lambda:InvokeFunction",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    },
    "drill": STACK | {"cloudwatch:SetAlarmState", "dynamodb:GetItem", "lambda:InvokeFunction"},
    "protect": BUCKETS | STACK | {"s3:ListAllMyBuckets", "s3:PutBucketTagging", "s3:TagResource"},
    "contain": BUCKETS - {"s3:GetBucketTagging"}
    | STACK
    | {"s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy"},
    "selectors --write": READER["selectors"] | {"cloudtrail:PutEventSelectors"},
}
LIMIT = 6144
"""Characters of a managed policy, blanks not counted (IAM quotas)."""


def granted(resources: Template, policy: str) -> set[str]:
    """The actions of a policy, each allowed."""
    found = statements(resources[policy])
    assert {statement["Effect"] for statement in found} == {"Allow"}
    return {action for statement in found for action in listed(statement["Action"])}


def test_the_reader_may_do_what_the_looking_verbs_call_and_nothing_else(everything: Template) -> None:
    assert granted(everything, "ReaderPolicy") == set[str]().union(*READER.values())


def test_the_operator_may_do_besides_what_the_changing_verbs_call(everything: Template) -> None:
    reader = granted(everything, "ReaderPolicy")
    assert granted(everything, "OperatorPolicy") == set[str]().union(*OPERATOR.values()) - reader


def test_the_reader_changes_nothing(everything: Template) -> None:
    for action in granted(everything, "ReaderPolicy"):
        assert re.fullmatch(r"(Get|List|Describe)\w+|Query", action.partition(":")[2]), action
    assert not [action for action in granted(everything, "ReaderPolicy") if action.startswith("s3:GetObject")]


def test_what_changes_something_names_its_resources(everything: Template) -> None:
    for statement in statements(everything["OperatorPolicy"]):
        assert "*" not in listed(statement["Resource"]), statement["Sid"]


def test_each_fits_into_one_policy_and_has_its_output(everything: Template, outputs: Any) -> None:
    for policy in ("ReaderPolicy", "OperatorPolicy"):
        document = everything[policy]["Properties"]["PolicyDocument"]
        # references are short here: let each be the longest ARN that a stack could make of it
        assert len(json.dumps(document, separators=(",", ":"))) + 80 * len(statements(everything[policy])) < LIMIT
        assert outputs()[f"{policy}Arn"] == policy


def test_without_the_watch_on_deletes_or_the_drill_nothing_is_granted_on_them(deployed: Any) -> None:
    text = json.dumps(deployed(WatchVersionDeletes="no")["OperatorPolicy"])
    assert "DeleteQueue" not in text
    assert "DrillFunction" not in text
