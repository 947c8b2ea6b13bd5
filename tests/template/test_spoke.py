"""spoke.yaml, and what of template.yaml makes a hub: the same events come, and the role may read what is read there."""

import importlib
import json
import re
import subprocess
from collections.abc import Callable

import pytest

from shared.aws import spokes
from tests.template.cloudformation import EVERYTHING, ROOT, SPOKE, Deployment, Template, of_type, written
from tests.template.test_permissions import SPOKES, actions_of, listed, statements

HUB = {"OrganizationId": "o-exampleorgid", "SpokeExternalId": "hub-and-spokes"}
TWINS = {
    "BucketChangeRule": "SpokeChangeRule",
    "BucketSettingRule": "SpokeSettingRule",
    "VersionDeleteRule": "SpokeDeleteRule",
    "ObjectDeletedRule": "SpokeObjectRule",
}
"""Rules of the hub at home, which have the same names in spoke.yaml, and those of its bus."""
BUS = "arn:aws:events:us-east-1:111122223333:event-bus/guardrail-spokes"


@pytest.fixture(scope="session")
def written_spoke() -> Template:
    """spoke.yaml as written."""
    return written(ROOT / "spoke.yaml")


@pytest.fixture(scope="session")
def spoke(written_spoke: Template) -> Callable[..., Template]:
    """What is deployed in an account and Region."""
    return lambda **place: Deployment(written_spoke, SPOKE | place).resources()


@pytest.fixture(scope="session")
def whole(spoke: Callable[..., Template]) -> Template:
    """A spoke in the hub's Region, where the role is made."""
    return spoke()


# ---- spoke.yaml ----------------------------------------------------------------------------------------------------


def test_a_service_managed_stack_set_can_roll_it_out(written_spoke: Template) -> None:
    # it runs no transforms, and knows no nested stacks
    assert "Transform" not in written_spoke
    types = {entry["Type"] for entry in written_spoke["Resources"].values()}
    assert types == {"AWS::Events::Rule", "AWS::IAM::Role", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy"}


@pytest.mark.parametrize(("name", "twin"), TWINS.items())
def test_the_same_events_come_from_a_spoke_as_are_waited_for_at_home(
    everything: Template, whole: Template, name: str, twin: str
) -> None:
    at_home, on_the_bus = everything[name]["Properties"], everything[twin]["Properties"]
    assert whole[name]["Properties"]["EventPattern"] == at_home["EventPattern"]
    assert on_the_bus["EventPattern"] == at_home["EventPattern"]
    assert on_the_bus["Targets"] == at_home["Targets"]
    assert (on_the_bus["EventBusName"], at_home.get("EventBusName")) == ("SpokeBus", None)


def test_every_rule_forwards_to_the_hub_retries_and_keeps_what_was_not_taken(whole: Template) -> None:
    rules = of_type(whole, "AWS::Events::Rule")
    assert rules.keys() == {*TWINS, "HelloRule"}
    for name, rule in rules.items():
        [target] = rule["Targets"]
        assert (target["Arn"], target["RoleArn"]) == (BUS, "ForwardRole.Arn"), name
        assert target["DeadLetterConfig"] == {"Arn": "Undelivered.Arn"}, name
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}, name
    [statement] = statements(whole["UndeliveredPolicy"])
    assert set(statement["Condition"]["ArnEquals"]["aws:SourceArn"]) == {f"{name}.Arn" for name in rules}


def test_a_spoke_says_hello_often_enough_and_the_hub_waits_for_it(whole: Template, everything: Template) -> None:
    assert whole["HelloRule"]["Properties"]["ScheduleExpression"] == "rate(1 hour)"
    assert spokes.SILENT.total_seconds() == 3 * 3600
    hello = everything["SpokeHelloRule"]["Properties"]
    assert hello["EventPattern"] == {"source": ["aws.events"], "detail-type": ["Scheduled Event"]}
    assert [target["Arn"] for target in hello["Targets"]] == ["SpokeQueue.Arn"]


def test_the_rules_may_put_events_on_the_hubs_bus_and_nothing_else(whole: Template) -> None:
    assert actions_of(whole, "ForwardRole") == {("events:PutEvents", BUS.replace("us-east-1", "HERE"))}
    [trust] = statements(whole["ForwardRole"]["Properties"]["AssumeRolePolicyDocument"])
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "444455556666"},
        "ArnLike": {"aws:SourceArn": "arn:aws:events:*:444455556666:rule/*"},
    }


def test_the_role_may_read_what_the_hub_reads_at_home_and_no_more(whole: Template, everything: Template) -> None:
    reads = {(a, r) for a, r in actions_of(everything, "SweepRole") if a.partition(":")[0] in {"s3", "tag", "iam"}}
    queue = f"arn:aws:sqs:*:444455556666:{spokes.UNDELIVERED}"
    of_the_spoke = {("account:GetAccountInformation", "*"), ("sqs:GetQueueAttributes", queue)}
    assert actions_of(whole, "ReadRole") == reads | of_the_spoke
    assert whole["Undelivered"]["Properties"]["QueueName"] == spokes.UNDELIVERED


def test_only_functions_of_the_hub_may_assume_the_role_with_the_external_id_and_in_the_organization(
    whole: Template,
) -> None:
    [trust] = statements(whole["ReadRole"]["Properties"]["AssumeRolePolicyDocument"])
    assert (trust["Effect"], trust["Action"]) == ("Allow", "sts:AssumeRole")
    assert trust["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    assert trust["Condition"] == {
        "StringEquals": {"sts:ExternalId": "hub-and-spokes", "aws:PrincipalOrgID": "o-exampleorgid"},
        "ArnLike": {
            "aws:PrincipalArn": [
                "arn:aws:iam::111122223333:role/guardrail-*",
                "arn:aws:sts::111122223333:assumed-role/guardrail-*",
            ]
        },
    }


def test_the_role_is_made_once_per_account_in_the_hubs_region(spoke: Callable[..., Template]) -> None:
    assert "ReadRole" in spoke()
    elsewhere = spoke(**{"AWS::Region": "eu-west-1"})
    assert "ReadRole" not in elsewhere
    assert "HelloRule" in elsewhere


def test_in_the_hubs_own_place_nothing_is_forwarded_and_its_other_regions_have_a_role(
    spoke: Callable[..., Template],
) -> None:
    at_home = spoke(**{"AWS::AccountId": "111122223333"})
    assert at_home.keys() == {"ReadRole"}
    assert "HelloRule" in spoke(**{"AWS::AccountId": "111122223333", "AWS::Region": "eu-west-1"})


def test_names_and_ids_are_the_same_on_both_sides(written_spoke: Template, template: Template) -> None:
    hub, there = template["Parameters"], written_spoke["Parameters"]
    assert there["RoleName"]["Default"] == hub["SpokeRoleName"]["Default"]
    assert there["RoleName"]["AllowedPattern"] == hub["SpokeRoleName"]["AllowedPattern"]
    assert hub["OrganizationId"]["AllowedPattern"] == f"^$|{there['OrganizationId']['AllowedPattern']}"
    place = {"AWS::StackName": "guardrail", "AWS::Region": "us-east-1"}
    deployment = Deployment(template, EVERYTHING | place)
    assert BUS.endswith("/" + deployment.resources()["SpokeBus"]["Properties"]["Name"])
    # the output is what a person gives to the stack set
    given = dict(each.split("=", 1) for each in deployment.outputs()["SpokeParameters"].split())
    told = {name: value for name, value in SPOKE.items() if not name.startswith("AWS::")}
    assert given == told | {"ExternalId": "hub-and-spokes", "RoleName": "mfa-delete-guardrail-spoke"}
    assert given.keys() == there.keys()
    assert "ExternalId" in there
    assert "Default" not in there["ExternalId"]


def test_the_parameters_of_a_spoke_come_out_whole_of_the_command_in_the_docs(template: Template) -> None:
    place = {"AWS::AccountId": "111122223333", "AWS::Region": "us-east-1", "AWS::StackName": "guardrail"}
    hostile = {"SpokeExternalId": "a=b,c@d/e:f-g_h.i", "SpokeRoleName": "r_+=,.@-"}
    output = Deployment(template, EVERYTHING | HUB | place | hostile).outputs()["SpokeParameters"]
    page = (ROOT / "docs" / "many-accounts.md").read_text(encoding="utf-8")
    [program] = re.findall(r"\| sed -E '(.+)' >", page)
    made = subprocess.run(["sed", "-E", program], input=output, capture_output=True, text=True, check=True).stdout
    parse = importlib.import_module("awscli.shorthand").ShorthandParser().parse
    found = {each["ParameterKey"]: each["ParameterValue"] for each in map(parse, made.split())}
    told = {name: value for name, value in SPOKE.items() if not name.startswith("AWS::")}
    wanted = told | {"ExternalId": hostile["SpokeExternalId"], "RoleName": hostile["SpokeRoleName"]}
    assert found == wanted


def test_no_statement_of_a_spoke_names_an_action_by_wildcard_or_changes_a_thing(whole: Template) -> None:
    for statement in statements(whole["ReadRole"]["Properties"]["Policies"]):
        for action in listed(statement["Action"]):
            assert re.fullmatch(r"[a-z0-9]+:(Get|List)\w+", action), action


# ---- the hub -------------------------------------------------------------------------------------------------------


def test_without_an_organization_nothing_of_a_hub_is_deployed(deployed: Callable[..., Template]) -> None:
    alone, hub = deployed(), deployed(**HUB)
    made = {
        *("SpokeBus", "SpokeBusPolicy", "SpokeChangeRule", "SpokeSettingRule", "SpokeDeleteRule", "SpokeObjectRule"),
        *("SpokeHelloRule", "SpokeChangePermission", "SpokeSettingPermission", "SpokeQueue", "SpokeQueuePolicy"),
        *("SpokeMapping", "SpokeQueueAlarm"),
    }
    assert hub.keys() - alone.keys() == made
    assert {name for name in made if name in deployed(WatchVersionDeletes="no", **HUB)} == made - {
        *("SpokeDeleteRule", "SpokeObjectRule"),
    }
    assert "sts:AssumeRole" not in json.dumps(alone["BucketPermissions"])
    assert "SpokeQueue" not in json.dumps(alone)


def test_a_stack_without_an_organization_tells_its_functions_of_no_spokes(
    template: Template, translated: Template
) -> None:
    variables = translated["SweepFunction"]["Properties"]["Environment"]["Variables"]
    names = {name for name in variables if name.startswith("SPOKE_")}
    assert names == {"SPOKE_ROLE_NAME", "SPOKE_EXTERNAL_ID", "SPOKE_QUEUE_URL"}
    assert {Deployment(template, {}).resolve(variables[name]) for name in names} == {""}
    assert all(Deployment(template, HUB).resolve(variables[name]) for name in names)


def test_a_hub_without_an_external_id_cannot_be_deployed(template: Template) -> None:
    rule = template["Rules"]["SpokesNeedAnExternalId"]
    [assertion] = rule["Assertions"]

    def refused(**parameters: str) -> bool:
        holds = Deployment(template, parameters)._holds
        return holds(rule["RuleCondition"]) and not holds(assertion["Assert"])

    assert refused(OrganizationId="o-exampleorgid")
    assert not refused(**HUB)
    assert not refused()


def test_only_the_organization_may_forward_and_only_what_customers_cannot_send(everything: Template) -> None:
    policy = everything["SpokeBusPolicy"]["Properties"]
    assert policy["EventBusName"] == "SpokeBus"
    statement = policy["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Allow", "*", "events:PutEvents")
    assert statement["Resource"] == "SpokeBus.Arn"
    # a PutEvents call by a customer is refused for any source that begins with aws. (EventBridge API reference)
    assert statement["Condition"] == {
        "StringEquals": {"aws:PrincipalOrgID": "o-exampleorgid"},
        "ForAllValues:StringEquals": {"events:source": ["aws.s3", "aws.events"]},
    }


def test_a_role_of_another_organization_is_never_assumed(everything: Template) -> None:
    [statement] = [s for s in statements(everything["BucketPermissions"]) if s["Action"] == "sts:AssumeRole"]
    assert statement["Resource"] == SPOKES
    assert statement["Condition"] == {"StringEqualsIfExists": {"aws:ResourceOrgID": "o-exampleorgid"}}


def test_turns_and_hellos_stay_hidden_as_long_as_a_batch_can_take_and_end_in_the_dead_letters(
    everything: Template, translated: Template
) -> None:
    queue, mapping = everything["SpokeQueue"]["Properties"], everything["SpokeMapping"]["Properties"]
    timeout = translated["SweepFunction"]["Properties"]["Timeout"]
    assert queue["VisibilityTimeout"] >= 6 * timeout + mapping["MaximumBatchingWindowInSeconds"]
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": "DeadLetterQueue.Arn", "maxReceiveCount": 5}
    assert (mapping["FunctionName"], mapping["EventSourceArn"]) == ("SweepFunction", "SpokeQueue.Arn")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_spoke_queue_takes_from_the_hello_rule_and_from_no_other_service(everything: Template) -> None:
    [statement] = statements(everything["SpokeQueuePolicy"])
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": "SpokeHelloRule.Arn"}}
