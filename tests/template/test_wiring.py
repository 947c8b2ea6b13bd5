"""What is connected to what: nothing that fails may vanish, and two stacks fit in one account."""

import importlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.template.cloudformation import Deployment, Template, kinds, of_type

# The property that would give a resource a fixed name; None: the type has no name of its own.
NAME_PROPERTY: dict[str, str | None] = {
    "AWS::CloudTrail::Trail": "TrailName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Events::EventBus": None,  # must have a name; ours begin with the stack's
    "AWS::Events::EventBusPolicy": None,
    "AWS::Events::Rule": "Name",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": None,  # its PolicyName is inline in roles, each role has its own
    "AWS::IAM::Role": "RoleName",
    "AWS::KMS::Key": None,
    "AWS::Lambda::EventInvokeConfig": None,
    "AWS::Lambda::EventSourceMapping": None,
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::Permission": None,
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::S3::BucketPolicy": None,
    "AWS::SNS::Subscription": None,
    "AWS::SNS::Topic": "TopicName",
    "AWS::SNS::TopicPolicy": None,
    "AWS::SQS::Queue": "QueueName",
    "AWS::SQS::QueuePolicy": None,
    "AWS::Scheduler::Schedule": "Name",
}


CHOICES = [
    {"WatchVersionDeletes": watched, "Drill": drill, "Trail": trail, "AWS::Region": region, "OrganizationId": hub}
    for watched, drill, trail, region, hub in itertools.product(
        ("yes", "no"), ("yes", "no"), ("none", "deletes"), ("us-east-1", "eu-west-1"), ("", "o-exampleorgid")
    )
]


def attribute(logical_id: str, name: str = "Arn") -> dict[str, list[str]]:
    """A reference as it stands in the template after the transform."""
    return {"Fn::GetAtt": [logical_id, name]}


def named(arn: Any) -> str:
    """The logical id in a reference, as it stands in the template after the transform."""
    return str(arn["Ref"] if "Ref" in arn else arn["Fn::GetAtt"][0])


@pytest.fixture(scope="session")
def functions(everything: Template) -> dict[str, Template]:
    """The functions, as SAM has them."""
    return of_type(everything, "AWS::Serverless::Function")


# ---- functions -----------------------------------------------------------------------------------------------------


def test_every_handler_path_imports(functions: dict[str, Template]) -> None:
    # sam build does not notice a handler that points at nothing
    for name, function in functions.items():
        module, _, attribute_name = function["Handler"].rpartition(".")
        assert callable(getattr(importlib.import_module(module), attribute_name)), name


def test_the_handlers_are_those_of_the_house(functions: dict[str, Template]) -> None:
    assert {name: function["Handler"] for name, function in functions.items()} == {
        "BucketChangeFunction": "handlers.bucket_change.handler",
        "VersionDeleteFunction": "handlers.version_delete.handler",
        "SweepFunction": "handlers.sweep.handler",
        "HealthFunction": "handlers.guardrail_health.handler",
        "DrillFunction": "handlers.drill.handler",
    }


def test_every_function_is_deployed_from_src_on_python_3_13_arm64(translated: Template, template: Template) -> None:
    assert template["Globals"]["Function"]["CodeUri"] == "src"
    for name, function in of_type(translated, "AWS::Lambda::Function").items():
        assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"]), name


def test_the_runtime_is_set_once(functions: dict[str, Template]) -> None:
    # sam build refuses a runtime that is not the Python on the PATH: one place to change
    for function in functions.values():
        assert not {"Runtime", "CodeUri", "Architectures"} & function.keys()


def test_the_environment_is_what_the_settings_read(translated: Template) -> None:
    settings = importlib.import_module("shared.settings")
    powertools = {"POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_SERVICE_NAME"}
    for name, function in of_type(translated, "AWS::Lambda::Function").items():
        assert function["Environment"]["Variables"].keys() - powertools == settings.ENV_NAMES - powertools, name
        assert powertools <= function["Environment"]["Variables"].keys(), name


def test_the_canary_is_known_to_every_function_and_the_heartbeat_to_one(
    translated: Template, deployed: Callable[..., Template], template: Template
) -> None:
    variables = {
        name: function["Environment"]["Variables"]
        for name, function in of_type(translated, "AWS::Lambda::Function").items()
    }
    beating = {name for name, told in variables.items() if told["HEARTBEAT_URL"] != ""}
    assert beating == {"HealthFunction"}
    assert variables["HealthFunction"]["HEARTBEAT_URL"] == {"Ref": "HeartbeatUrl"}
    # each function must know that the canary is never enrolled
    for name, told in variables.items():
        for drill, canary in (("yes", "Canary"), ("no", "")):
            if name in deployed(Drill=drill):
                assert Deployment(template, {"Drill": drill}).resolve(told["CANARY_BUCKET"]) == canary, name


def test_every_function_writes_to_a_log_group_with_retention(
    everything: Template, functions: dict[str, Template]
) -> None:
    groups = of_type(everything, "AWS::Logs::LogGroup")
    used = {function["LoggingConfig"]["LogGroup"] for function in functions.values()}
    assert used == groups.keys()
    assert len(used) == len(functions)
    assert {group["RetentionInDays"] for group in groups.values()} == {"90"}


def test_no_function_runs_before_it_may(everything: Template) -> None:
    # but for HealthSeesRoles, which waits for a role that waits for the function; while the stack is deployed its look
    # is not judged; what Security Hub does not take yet stays owed
    policies = of_type(everything, "AWS::IAM::Policy")
    for name, function in everything.items():
        if function["Type"] == "AWS::Serverless::Function":
            role = function["Properties"]["Role"].removesuffix(".Arn")
            attached = {policy for policy, entry in policies.items() if role in entry["Roles"]}
            attached -= {"HealthSeesRoles", "SecurityHubPermissions"}
            waits = function.get("DependsOn", [])
            assert set(waits if isinstance(waits, list) else [waits]) == attached, name


# ---- nothing vanishes ----------------------------------------------------------------------------------------------


def test_every_rule_target_retries_and_ends_in_the_dead_letters(everything: Template) -> None:
    rules = of_type(everything, "AWS::Events::Rule")
    assert rules
    for name, rule in rules.items():
        assert rule["Targets"], name
        for target in rule["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": "DeadLetterQueue.Arn"}, name
            assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}, name


def test_every_schedule_retries_and_ends_in_the_dead_letters(everything: Template, translated: Template) -> None:
    schedules = of_type(everything, "AWS::Scheduler::Schedule")
    assert schedules.keys() == of_type(translated, "AWS::Scheduler::Schedule").keys(), "SAM made another one"
    for name, schedule in schedules.items():
        assert schedule["Target"]["DeadLetterConfig"] == {"Arn": "DeadLetterQueue.Arn"}, name
        assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] > 0, name


def test_every_asynchronous_function_ends_in_on_failure_after_three_runs(translated: Template) -> None:
    rules = of_type(translated, "AWS::Events::Rule").values()
    invoked = {named(target["Arn"]) for rule in rules for target in rule["Targets"]}
    invoked |= {named(s["Target"]["Arn"]) for s in of_type(translated, "AWS::Scheduler::Schedule").values()}
    functions = of_type(translated, "AWS::Lambda::Function").keys()
    configured = {}
    for config in of_type(translated, "AWS::Lambda::EventInvokeConfig").values():
        configured[config["FunctionName"]["Ref"]] = config
    assert configured.keys() == invoked & functions
    for name, config in configured.items():
        assert config["DestinationConfig"] == {"OnFailure": {"Destination": attribute("OnFailureQueue")}}, name
        assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (2, 6 * 3600), name


def test_every_function_is_started_by_something(translated: Template) -> None:
    kinds = ("AWS::Lambda::EventSourceMapping", "AWS::Lambda::EventInvokeConfig")
    started = {entry["FunctionName"]["Ref"] for kind in kinds for entry in of_type(translated, kind).values()}
    assert started == of_type(translated, "AWS::Lambda::Function").keys()


def test_a_rule_may_invoke_its_function_and_no_other_rule_may(everything: Template) -> None:
    permissions = of_type(everything, "AWS::Lambda::Permission").values()
    assert {(p["Principal"], p["Action"]) for p in permissions} == {("events.amazonaws.com", "lambda:InvokeFunction")}
    allowed = {(p["FunctionName"], p["SourceArn"]) for p in permissions}
    functions = of_type(everything, "AWS::Serverless::Function")
    wanted = {
        (function, f"{name}.Arn")
        for name, rule in of_type(everything, "AWS::Events::Rule").items()
        for function in (target["Arn"].removesuffix(".Arn") for target in rule["Targets"])
        if function in functions and function != "HealthFunction"
    }
    # a permission per tamper rule would outgrow what a function's policy may be
    rules_of_the_stack = "arn:aws:events:us-east-1:111122223333:rule/stack-*"
    assert allowed == wanted | {("HealthFunction", rules_of_the_stack)}


@pytest.mark.parametrize("chosen", CHOICES, ids=str)
def test_the_dead_letters_take_from_every_rule_and_from_nobody_else(
    deployed: Callable[..., Template], chosen: dict[str, str]
) -> None:
    resources = deployed(**chosen)
    (statement,) = resources["DeadLetterQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    rules = {f"{name}.Arn" for name in of_type(resources, "AWS::Events::Rule")}
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"].keys() == {"ArnEquals"}
    assert set(statement["Condition"]["ArnEquals"]["aws:SourceArn"]) == rules


def test_the_delete_queue_takes_from_the_rules_that_feed_it_and_from_nobody_else(everything: Template) -> None:
    (statement,) = everything["DeleteQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    feeding = {
        f"{name}.Arn"
        for name, rule in of_type(everything, "AWS::Events::Rule").items()
        if rule["Targets"][0]["Arn"] == "DeleteQueue.Arn"
    }
    assert len(feeding) == 4
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert set(statement["Condition"]["ArnEquals"]["aws:SourceArn"]) == feeding


# ---- queues --------------------------------------------------------------------------------------------------------


def test_every_queue_is_encrypted(everything: Template) -> None:
    for name, queue in of_type(everything, "AWS::SQS::Queue").items():
        assert queue["SqsManagedSseEnabled"] is True, name


@pytest.mark.parametrize("queue", ["DeadLetterQueue", "OnFailureQueue"])
def test_a_failure_is_kept_for_14_days(everything: Template, queue: str) -> None:
    assert everything[queue]["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_there_are_two_failure_queues_for_the_whole_stack(translated: Template) -> None:
    # SAM makes a queue of its own when a DeadLetterConfig or a destination names none
    assert of_type(translated, "AWS::SQS::Queue").keys() == {
        *("DeadLetterQueue", "OnFailureQueue", "DeleteQueue", "SpokeQueue"),
    }


def test_a_version_delete_stays_hidden_as_long_as_a_batch_can_take(translated: Template, template: Template) -> None:
    timeout = translated["VersionDeleteFunction"]["Properties"]["Timeout"]
    window = template["Parameters"]["DeleteBatchingWindow"]["MaxValue"]
    assert translated["DeleteQueue"]["Properties"]["VisibilityTimeout"] >= 6 * timeout + window


def test_a_version_delete_that_fails_five_times_ends_in_the_dead_letters(everything: Template) -> None:
    redrive = everything["DeleteQueue"]["Properties"]["RedrivePolicy"]
    assert redrive == {"deadLetterTargetArn": "DeadLetterQueue.Arn", "maxReceiveCount": 5}


def test_version_deletes_come_in_batches_whose_failures_are_reported_one_by_one(translated: Template) -> None:
    mapping = of_type(translated, "AWS::Lambda::EventSourceMapping")["VersionDeleteFunctionDeletes"]
    assert mapping["EventSourceArn"] == attribute("DeleteQueue")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["MaximumBatchingWindowInSeconds"] == {"Ref": "DeleteBatchingWindow"}
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}
    assert 100 <= mapping["BatchSize"] <= 1000


def test_without_version_deletes_queue_function_and_role_are_not_deployed(deployed: Callable[..., Template]) -> None:
    gone = deployed().keys() - deployed(WatchVersionDeletes="no").keys()
    assert gone == {
        "BucketNotificationRule",
        "DeleteQueue",
        "DeleteQueueAlarm",
        "DeleteQueuePolicy",
        "ObjectDeletedRule",
        "VersionDeleteErrorsAlarm",
        "VersionDeleteFunction",
        "VersionDeleteLogs",
        "VersionDeleteRole",
        "VersionDeleteRule",
    }


def test_without_a_drill_nothing_of_it_is_deployed(deployed: Callable[..., Template]) -> None:
    assert deployed(Drill="yes").keys() - deployed().keys() == {
        "Canary",
        "CanaryPolicy",
        "DrillFunction",
        "DrillLogs",
        "DrillRole",
        "DrillSchedule",
        "DrillScheduleRole",
    }


@pytest.mark.parametrize("chosen", CHOICES, ids=str)
def test_nothing_that_is_deployed_refers_to_something_that_is_not(template: Template, chosen: dict[str, str]) -> None:
    # brackets, because DeleteQueue and DeleteTrail are names of calls too
    resources = Deployment(template, chosen, {name: f"<{name}>" for name in kinds()}).resources()
    text = json.dumps(resources)
    assert "<Table>" in text
    for absent in template["Resources"].keys() - resources.keys():
        assert f"<{absent}>" not in text


# ---- the sweep -----------------------------------------------------------------------------------------------------


def test_the_sweep_is_started_with_an_input_that_says_so(everything: Template) -> None:
    target = everything["SweepSchedule"]["Properties"]["Target"]
    # without one the scheduler sends detail as the string "{}"
    assert json.loads(target["Input"]) == {"sweep": "scheduled"}
    assert target["Arn"] == "SweepFunction.Arn"


def test_the_sweep_runs_at_the_rate_that_was_asked_for(deployed: Callable[..., Template], template: Template) -> None:
    assert deployed()["SweepSchedule"]["Properties"]["ScheduleExpression"] == "rate(1 hour)"
    owed = deployed()["OwedSchedule"]["Properties"]
    assert owed["ScheduleExpression"] == "rate(5 minutes)"
    assert json.loads(owed["Target"]["Input"]) == {"sweep": "owed"}
    rates = ["rate(15 minutes)", "rate(1 hour)", "rate(6 hours)", "rate(24 hours)"]
    assert template["Parameters"]["SweepRate"]["AllowedValues"] == rates
    for rate in rates:
        assert deployed(SweepRate=rate)["SweepSchedule"]["Properties"]["ScheduleExpression"] == rate


# ---- the look at itself, and the drill -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "rate", "function", "sample"),
    [
        ("HealthSchedule", "rate(15 minutes)", "HealthFunction", "health.tick.json"),
        ("DrillSchedule", "rate(1 day)", "DrillFunction", "drill.tick.json"),
    ],
)
def test_a_schedule_of_its_own_kind_starts_it(
    everything: Template, root: Path, schedule: str, rate: str, function: str, sample: str
) -> None:
    # EventBridge Scheduler's, not a rule's: whoever may call events:* alone cannot stop it
    assert everything[schedule]["Type"] == "AWS::Scheduler::Schedule"
    properties = everything[schedule]["Properties"]
    assert properties["ScheduleExpression"] == rate
    assert "State" not in properties
    assert properties["Target"]["Arn"] == f"{function}.Arn"
    assert json.loads(properties["Target"]["Input"]) == json.loads((root / "events" / sample).read_text())


def test_no_rule_is_a_schedule(everything: Template) -> None:
    for name, rule in of_type(everything, "AWS::Events::Rule").items():
        assert not {"ScheduleExpression", "State"} & rule.keys(), name
        assert name.startswith("Spoke") == ("EventBusName" in rule), name  # the tamper rules know them by that


def test_the_canary_goes_with_the_stack_and_is_as_private_as_can_be(everything: Template) -> None:
    canary = everything["Canary"]
    assert canary["DeletionPolicy"] == "Delete"
    assert canary["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(canary["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(canary["Properties"]["PublicAccessBlockConfiguration"]) == 4


# ---- memory and alerts ---------------------------------------------------------------------------------------------


def test_the_table_is_on_demand_forgets_by_expires_at_and_can_be_restored(everything: Template) -> None:
    table = everything["Table"]["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_history_and_evidence_outlive_the_stack(everything: Template) -> None:
    for name in ("Table", "TrailLogs"):
        assert everything[name]["UpdateReplacePolicy"] == "Retain"
        assert everything[name]["DeletionPolicy"] in ("Retain", "RetainExceptOnCreate")


def test_the_alert_topic_is_encrypted_with_a_key_of_ours(everything: Template) -> None:
    assert everything["AlertTopic"]["Properties"]["KmsMasterKeyId"] == "AlertKey.Arn"
    assert everything["AlertKey"]["Properties"]["EnableKeyRotation"] is True


# ---- names ---------------------------------------------------------------------------------------------------------


def test_no_resource_has_a_fixed_name(translated: Template) -> None:
    for logical_id, resource in translated.items():
        kind = resource["Type"]
        assert kind in NAME_PROPERTY, f"say in NAME_PROPERTY which property names a {kind}"
        assert NAME_PROPERTY[kind] not in resource.get("Properties", {}), logical_id


def test_two_stacks_do_not_add_up_in_one_metric(translated: Template) -> None:
    for function in of_type(translated, "AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        assert variables["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}
        assert variables["POWERTOOLS_METRICS_NAMESPACE"] == "MfaDeleteGuardrail"
