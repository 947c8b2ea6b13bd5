"""The embedded cloud forwards events to a bus of another account or Region where role and bus policy allow it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud import Cloud
from local.server import ACCOUNT, NAMES, ORGANIZATION

_, DEV, _, OUTSIDER = NAMES
HERE, THERE = "us-east-1", "eu-west-1"
BUS = f"arn:aws:events:{HERE}:{ACCOUNT}:event-bus/hub"
ADMIT = {
    "Sid": "Admit",
    "Effect": "Allow",
    "Principal": "*",
    "Action": "events:PutEvents",
    "Resource": BUS,
    "Condition": {
        "StringEquals": {"aws:PrincipalOrgID": ORGANIZATION},
        "ForAllValues:StringEquals": {"events:source": ["app"]},
    },
}


@pytest.fixture(autouse=True)
def inbox(cloud: Cloud) -> Iterator[str]:
    """A bus of the hub's account whose events all go to this queue."""
    sqs, events = cloud.client("sqs"), cloud.client("events")
    url = str(sqs.create_queue(QueueName="inbox")["QueueUrl"])
    queue = f"arn:aws:sqs:{HERE}:{ACCOUNT}:inbox"
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:*", "Resource": queue}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    events.create_event_bus(Name="hub")
    events.put_rule(Name="all", EventBusName="hub", EventPattern='{"source": [{"prefix": ""}]}')
    events.put_targets(Rule="all", EventBusName="hub", Targets=[{"Id": "inbox", "Arn": queue}])
    yield url
    cloud.reset()


def admit(cloud: Cloud, statement: dict[str, Any] = ADMIT) -> None:
    """Give the bus a policy, as CloudFormation does."""
    policy = {"EventBusName": "hub", "StatementId": "Admit", "Statement": statement}
    template = {"Resources": {"Policy": {"Type": "AWS::Events::EventBusPolicy", "Properties": policy}}}
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName="policy", TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="policy", WaiterConfig={"Delay": 1})


def send(
    cloud: Cloud, account: str, region: str, *, source: str = "app", may: str = BUS, rule: str = "forward"
) -> None:
    """An event of an account, which a rule of its own forwards by a role that may put events on `may`."""
    root = cloud.root_of(account)
    iam, events = cloud.client("iam", root), cloud.client("events", root, region)
    for_rule = {"ArnLike": {"aws:SourceArn": f"arn:aws:events:*:{account}:rule/{rule}"}}
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": for_rule,
    }
    role = iam.create_role(RoleName="forward", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]
    allow = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": may}
    iam.put_role_policy(RoleName="forward", PolicyName="p", PolicyDocument=json.dumps({"Statement": [allow]}))
    events.put_rule(Name="forward", EventPattern=json.dumps({"source": [source]}))
    events.put_targets(Rule="forward", Targets=[{"Id": "hub", "Arn": BUS, "RoleArn": role["Arn"]}])
    events.put_events(Entries=[{"Source": source, "DetailType": "t", "Detail": "{}"}])


def received(cloud: Cloud, inbox: str) -> list[tuple[str, str]]:
    """Account and Region of what came."""
    time.sleep(0.2)
    messages = cloud.client("sqs").receive_message(QueueUrl=inbox, MaxNumberOfMessages=10).get("Messages", [])
    return [(event["account"], event["region"]) for event in (json.loads(each["Body"]) for each in messages)]


@pytest.mark.parametrize("region", [HERE, THERE])
def test_an_event_of_another_account_or_region_keeps_both(cloud: Cloud, inbox: str, region: str) -> None:
    admit(cloud)
    send(cloud, DEV, region)
    assert received(cloud, inbox) == [(DEV, region)]


def test_within_an_account_the_role_is_enough(cloud: Cloud, inbox: str) -> None:
    send(cloud, ACCOUNT, THERE)
    assert received(cloud, inbox) == [(ACCOUNT, THERE)]


def test_a_bus_without_a_policy_takes_nothing_of_others(cloud: Cloud, inbox: str) -> None:
    send(cloud, DEV, HERE)
    assert received(cloud, inbox) == []


def test_an_account_outside_of_the_organization_is_refused(cloud: Cloud, inbox: str) -> None:
    admit(cloud)
    send(cloud, OUTSIDER, HERE)
    assert received(cloud, inbox) == []


def test_a_source_that_the_policy_does_not_name_is_refused(cloud: Cloud, inbox: str) -> None:
    admit(cloud)
    send(cloud, DEV, HERE, source="other")
    assert received(cloud, inbox) == []


def test_a_role_that_may_not_put_events_on_the_bus_forwards_nothing(cloud: Cloud, inbox: str) -> None:
    admit(cloud)
    send(cloud, DEV, HERE, may=f"{BUS}-two")
    assert received(cloud, inbox) == []


def test_a_role_that_trusts_another_rule_forwards_nothing(cloud: Cloud, inbox: str) -> None:
    admit(cloud)
    send(cloud, DEV, HERE, rule="another")
    assert received(cloud, inbox) == []
