"""Alarms, and the two topics: whoever silences one way out is told of by the other."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.template.cloudformation import Template, of_type
from tests.template.conftest import Deployed, RulesThatTake

RATES = {"rate(15 minutes)": 900, "rate(1 hour)": 3600, "rate(6 hours)": 21600, "rate(24 hours)": 86400}
HEARTBEATS = {"SweepHeartbeatAlarm": "SweepDone", "HealthHeartbeatAlarm": "HealthLooked"}
FAILING = {
    "BucketChangeErrorsAlarm": "BucketChangeFunction",
    "HealthErrorsAlarm": "HealthFunction",
    "SweepErrorsAlarm": "SweepFunction",
    "VersionDeleteErrorsAlarm": "VersionDeleteFunction",
}
LOOKED_AT_FIRST = {"TrailTamperRule", "DeployRule", "BucketNotificationRule"}
"""Rules whose events are only news once the function has looked: they do not go past it to the second topic."""

# ---- alarms ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def alarms(everything: Template) -> dict[str, Template]:
    """The alarms."""
    return of_type(everything, "AWS::CloudWatch::Alarm")


def test_every_alarm_and_its_end_is_told_both_ways(alarms: dict[str, Template]) -> None:
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == ["AlertTopic", "SilenceTopic", "PagerTopic"], name
        assert alarm["OKActions"] == ["AlertTopic", "SilenceTopic", "PagerTopic"], name
        assert alarm.get("ActionsEnabled", True) is True, name


def test_the_alarms_of_the_heartbeats_name_the_doctor_of_this_very_stack(alarms: dict[str, Template]) -> None:
    for name, alarm in alarms.items():
        named = "Run guardrail --stack stack --region us-east-1 doctor" in " ".join(alarm["AlarmDescription"].split())
        assert named == (name in HEARTBEATS), name


def test_silence_is_an_alarm_where_a_heartbeat_is_awaited_and_nowhere_else(alarms: dict[str, Template]) -> None:
    for name, alarm in alarms.items():
        awaited = name in HEARTBEATS
        assert alarm["TreatMissingData"] == ("breaching" if awaited else "notBreaching"), name
        sense = "LessThanThreshold" if awaited else "GreaterThanOrEqualToThreshold"
        assert alarm["ComparisonOperator"] == sense, name


@pytest.mark.parametrize(("name", "metric"), HEARTBEATS.items())
def test_a_heartbeat_is_the_metric_that_the_functions_write(
    alarms: dict[str, Template], translated: Template, root: Path, name: str, metric: str
) -> None:
    variables = translated["HealthFunction"]["Properties"]["Environment"]["Variables"]
    assert alarms[name]["Namespace"] == variables["POWERTOOLS_METRICS_NAMESPACE"]
    assert variables["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}
    assert alarms[name]["Dimensions"] == [{"Name": "service", "Value": "stack"}]
    assert alarms[name]["MetricName"] == metric
    assert any(f'heartbeat="{metric}"' in file.read_text() for file in (root / "src" / "shared").glob("*.py"))
    assert (alarms[name]["Statistic"], alarms[name]["Threshold"]) == ("Sum", 1)


@pytest.mark.parametrize(("rate", "seconds"), RATES.items())
def test_two_or_three_sweeps_that_did_not_come_are_an_alarm(deployed: Deployed, rate: str, seconds: int) -> None:
    alarm = deployed(SweepRate=rate)["SweepHeartbeatAlarm"]["Properties"]
    assert alarm["Period"] == seconds
    assert alarm["EvaluationPeriods"] == (3 if seconds <= 3600 else 2)
    assert "DatapointsToAlarm" not in alarm


def test_every_rate_of_the_sweep_has_its_row_above(template: Template) -> None:
    assert template["Parameters"]["SweepRate"]["AllowedValues"] == list(RATES)


def test_three_looks_that_did_not_come_are_an_alarm(alarms: dict[str, Template]) -> None:
    alarm = alarms["HealthHeartbeatAlarm"]
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (900, 3)


@pytest.mark.parametrize("rate", RATES)
def test_cloudwatch_takes_how_far_back_an_alarm_looks(deployed: Deployed, rate: str) -> None:
    # a day in all where a period is under an hour, else seven days; more is refused when it is deployed
    for name, alarm in of_type(deployed(SweepRate=rate), "AWS::CloudWatch::Alarm").items():
        period, periods = alarm["Period"], alarm["EvaluationPeriods"]
        assert period in {10, 20, 30} or period % 60 == 0, name
        assert period <= 86400, name
        assert period * periods <= (86400 if period < 3600 else 7 * 86400), name


@pytest.mark.parametrize("queue", ["DeadLetterQueue", "OnFailureQueue"])
def test_a_single_message_in_a_failure_queue_raises_an_alarm(alarms: dict[str, Template], queue: str) -> None:
    (alarm,) = [
        alarm
        for alarm in alarms.values()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
        and alarm["Dimensions"] == [{"Name": "QueueName", "Value": f"{queue}.QueueName"}]
    ]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanOrEqualToThreshold", 1)


@pytest.mark.parametrize(("name", "function"), FAILING.items())
def test_a_function_that_fails_again_and_again_raises_an_alarm(
    alarms: dict[str, Template], name: str, function: str
) -> None:
    alarm = alarms[name]
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/Lambda", "Errors", "Sum")
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": function}]
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["Threshold"]) == (900, 1, 3)
    assert alarm["AlarmDescription"].startswith(f"{function} of the MFA delete guardrail")


def test_every_function_but_the_drills_has_such_an_alarm(everything: Template, alarms: dict[str, Template]) -> None:
    # the drill runs once a day; its failures are in the on-failure queue, and its silence is told by the look
    assert {alarm for alarm in alarms if alarm.endswith("ErrorsAlarm")} == FAILING.keys()
    assert of_type(everything, "AWS::Serverless::Function").keys() - FAILING.values() == {"DrillFunction"}


# ---- the second topic ------------------------------------------------------------------------------------------------


def test_the_second_topic_has_no_key_that_could_be_switched_off(everything: Template) -> None:
    assert "KmsMasterKeyId" not in everything["SilenceTopic"]["Properties"]
    assert "KmsMasterKeyId" in everything["AlertTopic"]["Properties"]


def test_only_rules_and_our_alarms_publish_to_the_second_topic(everything: Template) -> None:
    policy = everything["SilenceTopicPolicy"]["Properties"]
    assert policy["Topics"] == ["SilenceTopic"]
    rules, ours = policy["PolicyDocument"]["Statement"]
    for statement in (rules, ours):
        assert (statement["Effect"], statement["Action"]) == ("Allow", "sns:Publish")
        assert statement["Resource"] == "SilenceTopic"
    assert rules["Principal"] == {"Service": "events.amazonaws.com"}
    assert "Condition" not in rules  # this way must not fail
    assert ours["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert ours["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111122223333"},
        "ArnLike": {"aws:SourceArn": "arn:aws:cloudwatch:us-east-1:111122223333:alarm:stack-*"},
    }


@pytest.mark.parametrize(
    ("given", "subscriptions"),
    [
        ({}, {}),
        ({"AlertUrl": "https://x.example/"}, {"UrlSubscription": ("AlertTopic", "https", "https://x.example/")}),
        (
            {"AlertEmail": "ann@x.example"},
            {
                "EmailSubscription": ("AlertTopic", "email", "ann@x.example"),
                "SilenceEmailSubscription": ("SilenceTopic", "email", "ann@x.example"),
            },
        ),
        (
            {"AlertEmail": "ann@x.example", "SilenceEmail": "eve@y.example"},
            {
                "EmailSubscription": ("AlertTopic", "email", "ann@x.example"),
                "SilenceEmailSubscription": ("SilenceTopic", "email", "eve@y.example"),
            },
        ),
        (
            {"SilenceEmail": "eve@y.example"},
            {"SilenceEmailSubscription": ("SilenceTopic", "email", "eve@y.example")},
        ),
    ],
)
def test_who_is_subscribed_to_what(
    deployed: Deployed, given: dict[str, str], subscriptions: dict[str, tuple[str, str, str]]
) -> None:
    found = of_type(deployed(**given), "AWS::SNS::Subscription")
    assert {
        name: (entry["TopicArn"], entry["Protocol"], entry["Endpoint"]) for name, entry in found.items()
    } == subscriptions


# ---- what the rules themselves say -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def spoken(everything: Template) -> dict[str, Template]:
    """The targets that are the second topic, by the name of their rule."""
    return {
        name: target
        for name, rule in of_type(everything, "AWS::Events::Rule").items()
        for target in rule["Targets"]
        if target["Arn"] == "SilenceTopic"
    }


def test_every_tamper_rule_tells_past_our_code_unless_it_is_to_be_looked_at_first(
    everything: Template, spoken: dict[str, Template]
) -> None:
    rules = of_type(everything, "AWS::Events::Rule")
    looked_at = {name for name, rule in rules.items() if "HealthFunction.Arn" in {t["Arn"] for t in rule["Targets"]}}
    assert looked_at - spoken.keys() == LOOKED_AT_FIRST
    assert spoken.keys() - looked_at == {"OwnTrailTamperRule"}
    for name, rule in rules.items():
        ids = [target["Id"] for target in rule["Targets"]]
        assert len(ids) == len(set(ids)), name


def lines(target: Template) -> list[str]:
    """The template's lines, each of which has to be a JSON string."""
    return [json.loads(line) for line in target["InputTransformer"]["InputTemplate"].splitlines()]


def test_each_line_of_what_a_rule_says_is_one_json_string(spoken: dict[str, Template]) -> None:
    for target in spoken.values():
        assert len(lines(target)) == 3
        assert all(isinstance(line, str) for line in lines(target))
        assert len(target["InputTransformer"]["InputTemplate"]) <= 8192
        assert not {"Input", "InputPath", "RoleArn"} & target.keys()


def test_what_a_rule_says_uses_every_path_and_no_other(spoken: dict[str, Template]) -> None:
    for name, target in spoken.items():
        used = set(re.findall(r"<([^<>]*)>", target["InputTransformer"]["InputTemplate"]))
        assert used == target["InputTransformer"]["InputPathsMap"].keys(), name
        assert "stack" in lines(target)[0], "the stack is not named"


@pytest.mark.parametrize(
    "event", ["disable-rule.our-rule.json", "update-function-code.our-function.json", "delete-stack.done.json"]
)
def test_each_path_leads_to_something_in_an_event(
    root: Path, spoken: dict[str, Template], rules_that_take: RulesThatTake, event: str
) -> None:
    content = json.loads((root / "events" / event).read_text())
    (rule,) = rules_that_take(content)
    for path in spoken[rule]["InputTransformer"]["InputPathsMap"].values():
        assert re.fullmatch(r"\$(\.\w+)+", path)
        found: Any = content
        for member in path.removeprefix("$.").split("."):
            found = found[member]
        assert isinstance(found, str), path
        assert found, path


def test_the_command_that_a_rule_names_is_one_of_ours(spoken: dict[str, Template]) -> None:
    (command,) = {lines(target)[2] for target in spoken.values()}
    assert command == "guardrail --stack stack --region <region> doctor"


def test_the_functions_are_told_their_own_topic_and_not_the_one_that_goes_past_them(template: Template) -> None:
    variables: dict[str, Any] = template["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["ALERT_TOPIC_ARN"] == {"Ref": "AlertTopic"}
    assert {"Ref": "SilenceTopic"} not in variables.values()
    assert template["Outputs"]["SilenceTopicArn"]["Value"] == {"Ref": "SilenceTopic"}  # by this the doctor knows it
