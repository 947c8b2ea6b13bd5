"""The dashboard draws what the code sends, and says what each number means."""

import json
from typing import Any

import pytest

from cli import bill
from shared.facts import Verdict
from tests.template.cloudformation import Template

Widget = dict[str, Any]
QUEUES = {"DeadLetterQueue.QueueName", "OnFailureQueue.QueueName"}


@pytest.fixture(scope="session")
def widgets(everything: Template) -> list[Widget]:
    """What the dashboard is made of."""
    found: list[Widget] = json.loads(everything["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
    return found


def written_out(widget: Widget) -> list[list[Any]]:
    """Its metrics with what CloudWatch's `.` and `...` repeat."""
    metrics: list[list[Any]] = []
    for each in widget["properties"]["metrics"]:
        names = [part for part in each if isinstance(part, str)]
        if names[0] == "...":
            names = [*metrics[-1][: len(metrics[-1]) - len(names) + 1], *names[1:]]
        metrics.append([metrics[-1][at] if name == "." else name for at, name in enumerate(names)])
    return metrics


def drawn(widgets: list[Widget]) -> list[list[Any]]:
    """Every metric: namespace, name, dimension, value."""
    return [metric for each in widgets if each["type"] == "metric" for metric in written_out(each)]


def test_every_metric_of_ours_is_one_that_the_code_sends(widgets: list[Widget]) -> None:
    ours = [metric for metric in drawn(widgets) if metric[0] == "MfaDeleteGuardrail"]
    assert {tuple(metric[2:]) for metric in ours} == {("service", "stack")}
    assert {metric[1] for metric in ours} <= bill.METRICS | {f"Buckets{verdict.value.title()}" for verdict in Verdict}


def test_it_shows_verdicts_findings_lags_sweep_and_failure_queues(widgets: list[Widget]) -> None:
    names = {metric[1] for metric in drawn(widgets)}
    assert {f"Buckets{verdict.value.title()}" for verdict in Verdict} <= names
    assert {"FindingOpened", "FindingResolved", "AlertOwed", "AlertLag", "DrillLag", "SweepDuration"} <= names
    assert {metric[3] for metric in drawn(widgets) if metric[0] == "AWS/SQS"} == QUEUES


def test_below_each_picture_stands_what_it_means(widgets: list[Widget]) -> None:
    texts = {(each["x"], each["y"], each["width"]) for each in widgets if each["type"] == "text"}
    for each in widgets:
        if each["type"] == "metric":
            assert (each["x"], each["y"] + each["height"], each["width"]) in texts, each["properties"]["title"]


def test_nothing_lies_on_anything_else(widgets: list[Widget]) -> None:
    taken = [
        (x, y)
        for each in widgets
        for x in range(each["x"], each["x"] + each["width"])
        for y in range(each["y"], each["y"] + each["height"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
