"""Whom of AWS's services a policy lets in: each statement says for which resource and account the service may act.

So no other account can make it act on our queues, topics, key, buckets or roles (a confused deputy).
"""

from typing import Any, NamedTuple

import pytest

from tests.template.cloudformation import Deployment, everything_deployed, spoke_deployed
from tests.template.test_permissions import listed, statements

BOTH = {"aws:SourceArn", "aws:SourceAccount"}
OF_A_RULE = "EventBridge's guide has aws:SourceArn here; the ARN of a rule names the account"
SPARED: dict[tuple[str, str], tuple[set[str], str]] = {
    ("events", "AWS::SQS::QueuePolicy"): ({"aws:SourceAccount"}, OF_A_RULE),
    ("events", "AWS::Lambda::Permission"): ({"aws:SourceAccount"}, OF_A_RULE),
    ("events", "AWS::SNS::TopicPolicy"): (BOTH, "EventBridge's guide: a topic's policy can have no Condition for it"),
    ("cloudtrail", "AWS::S3::BucketPolicy"): (
        {"aws:SourceAccount"},
        "CloudTrail's guide has aws:SourceArn for a trail's bucket; the ARN of a trail names the account",
    ),
    ("lambda", "AWS::IAM::Role"): (
        BOTH,
        "a function has a role of its own account only (a role is not passed to another); and what Lambda says of "
        "itself when it polls a queue, or hands a failed run over, is not documented",
    ),
}
"""Which of the two a service's statement in a policy of a kind may leave out, and why."""


class LetIn(NamedTuple):
    """A statement that lets a service in."""

    account: str
    resource: str
    kind: str
    service: str
    condition: dict[str, dict[str, Any]]

    def named(self, key: str) -> list[str]:
        """What the statement wants this key to be."""
        return [value for keys in self.condition.values() for value in listed(keys.get(key, []))]


def let_in(deployment: Deployment) -> list[LetIn]:
    """Every statement of every policy that lets a service in, and every permission of a function."""
    found = []
    for name, entry in deployment.resources().items():
        properties = entry.get("Properties", {})
        granted = [s for s in statements(properties) if "Service" in principal_of(s)]
        if entry["Type"] == "AWS::Lambda::Permission":
            source = {f"aws:{key}": properties[key] for key in ("SourceArn", "SourceAccount") if key in properties}
            granted = [{"Principal": {"Service": properties["Principal"]}, "Condition": {"ArnLike": source}}]
        for statement in granted:
            for service in listed(statement["Principal"]["Service"]):
                short = service.removesuffix(".amazonaws.com")
                account = deployment.values["AWS::AccountId"]
                found.append(LetIn(account, name, entry["Type"], short, statement.get("Condition", {})))
    return found


def principal_of(statement: dict[str, Any]) -> dict[str, Any]:
    """The statement's principal; none where the policy is a role's own, or it is everybody."""
    principal = statement.get("Principal", {})
    return principal if isinstance(principal, dict) else {}


ALL = let_in(everything_deployed()) + let_in(spoke_deployed())
IDS = [f"{each.resource}-{each.service}" for each in ALL]


def test_there_are_such_statements_in_policies_of_every_kind_that_we_have() -> None:
    kinds = {"IAM::Role", "SQS::QueuePolicy", "SNS::TopicPolicy", "KMS::Key", "S3::BucketPolicy", "Lambda::Permission"}
    assert {each.kind for each in ALL} == {f"AWS::{kind}" for kind in kinds}


@pytest.mark.parametrize("statement", ALL, ids=IDS)
def test_a_service_is_let_in_for_a_named_source_and_account_only(statement: LetIn) -> None:
    spared, _reason = SPARED.get((statement.service, statement.kind), (set(), ""))
    assert {key for key in BOTH if statement.named(key)} == BOTH - spared


@pytest.mark.parametrize("statement", ALL, ids=IDS)
def test_the_source_is_of_the_own_account_and_may_not_be_left_out(statement: LetIn) -> None:
    for arn in statement.named("aws:SourceArn"):
        _, partition, service, _region, account, resource = arn.split(":", 5)
        assert (partition, account) == ("aws", statement.account), arn
        assert service == statement.service
        assert resource not in {"*", ""}
    assert set(statement.named("aws:SourceAccount")) <= {statement.account}
    for operator in statement.condition:
        assert operator in {"ArnEquals", "ArnLike", "StringEquals"}, "it must be positive, and not IfExists"


def test_whoever_is_spared_is_there_and_has_a_reason() -> None:
    assert SPARED.keys() <= {(each.service, each.kind) for each in ALL}
    assert all(len(reason.split()) > 5 for _spared, reason in SPARED.values())
