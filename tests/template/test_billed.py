"""The bill counts what template.yaml deploys, and what the code sends."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from cli import bill, cost
from cli.bill import Usage
from tests.template.cloudformation import EVERYTHING, Deployment

Template = dict[str, Any]

COUNTED_BY_USE = {
    *("AWS::DynamoDB::Table", "AWS::SNS::Topic", "AWS::SNS::Subscription", "AWS::SQS::Queue", "AWS::Logs::LogGroup"),
    "AWS::Events::EventBus",
    *("AWS::Serverless::Function", "AWS::Scheduler::Schedule", "AWS::CloudTrail::Trail", "AWS::S3::Bucket"),
}
FREE = {
    *("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::Lambda::Permission", "AWS::Events::Rule"),
    *("AWS::Events::EventBusPolicy", "AWS::Lambda::EventSourceMapping"),
    *("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"),
}


@pytest.mark.parametrize(("watch", "drill", "rate"), list(product(("yes", "no"), ("yes", "no"), cost.RATES)))
def test_what_is_paid_by_piece_is_counted_as_deployed(template: Template, watch: str, drill: str, rate: str) -> None:
    parameters = {"WatchVersionDeletes": watch, "Drill": drill, "SweepRate": rate}
    resources = Deployment(template, parameters).resources()
    usage = Usage(deletes=0, buckets=0, watches_deletes=watch == "yes", drill=drill == "yes", sweep_rate=rate)
    for kind in bill.BY_PIECE:
        assert bill.pieces(usage, kind) == sum(each["Type"] == kind for each in resources.values()), kind
    expressions = {
        name: each["Properties"]["ScheduleExpression"]
        for name, each in resources.items()
        if each["Type"] == "AWS::Scheduler::Schedule"
    }
    hours = {"rate(5 minutes)": 1 / 12, "rate(15 minutes)": 1 / 4, "rate(1 hour)": 1, "rate(6 hours)": 6}
    hours |= {"rate(24 hours)": 24, "rate(1 day)": 24}
    assert bill.runs(usage) == {name: pytest.approx(730 / hours[each]) for name, each in expressions.items()}
    assert expressions.keys() <= bill.RUN_S.keys()


def test_every_kind_of_resource_is_known_to_cost_or_to_cost_nothing(template: Template) -> None:
    deployed = {each["Type"] for each in Deployment(template, EVERYTHING).resources().values()}
    assert deployed - FREE - COUNTED_BY_USE - bill.BY_PIECE.keys() == set()


def test_the_commands_choices_and_defaults_are_the_templates(template: Template) -> None:
    parameters, usage = template["Parameters"], Usage(deletes=0, buckets=0)
    assert tuple(tuple(parameters[n]["AllowedValues"]) for n in ("SweepRate", "Trail")) == (cost.RATES, cost.TRAILS)
    assert (usage.sweep_rate, usage.trail) == (parameters["SweepRate"]["Default"], parameters["Trail"]["Default"])
    defaults = (parameters["WatchVersionDeletes"]["Default"], parameters["Drill"]["Default"])
    assert (usage.watches_deletes, usage.drill) == tuple(each == "yes" for each in defaults)


def test_memory_is_that_of_every_function(template: Template) -> None:
    parts, usual = template["Resources"], template["Globals"]["Function"]["MemorySize"]
    functions = {name: each for name, each in parts.items() if each["Type"] == "AWS::Serverless::Function"}
    memory = {name: each["Properties"].get("MemorySize", usual) for name, each in functions.items()}
    assert usual == bill.billed()["memory_mb"]
    started = {
        name: each["Properties"]["Target"]["Arn"]["Fn::GetAtt"][0]
        for name, each in parts.items()
        if each["Type"] == "AWS::Scheduler::Schedule"
    }
    assert {name: each["memory_mb"] for name, each in bill.billed()["schedules"].items()} == {
        name: memory[function] for name, function in started.items()
    }
    assert {memory[name] for name in functions if name not in started.values()} == {usual}


def test_every_metric_that_the_code_sends_is_on_the_bill(root: Path) -> None:
    files = ("report.py", "sweep.py", "health.py")
    source = "".join((root / "src" / "shared" / name).read_text() for name in files)
    counts = source[source.index("def count(") : source.index("def summary(")]
    named = set(re.findall(r'^ +"(\w+)": ', counts, re.MULTILINE)) | set(
        re.findall(r'add_metric\(name="(\w+)"', source)
    )
    assert named | set(re.findall(r'heartbeat="(\w+)"', source)) == bill.METRICS
