"""The diagram and the templates in docs: what they draw is in template.yaml, what they give is sound."""

import importlib
import itertools
import json
import re
from pathlib import Path

import pytest

from tests.template.cloudformation import ROOT, Template
from tests.unit import pages

PAGE = ROOT / "docs" / "how-it-works.md"
DRAWN = {
    "AWS::Serverless::Function",
    "AWS::SQS::Queue",
    "AWS::SNS::Topic",
    "AWS::DynamoDB::Table",
    "AWS::Events::EventBus",
    "AWS::Scheduler::Schedule",
}
"""Every part of these kinds is drawn; of rules, those that differ in where they lead."""
DEPLOYED = json.loads((ROOT / "src/shared/aws/deployed.json").read_text())
TEMPLATES = [
    (page.name, text) for page in pages.PAGES for text in pages.blocks(page, "yaml") if "AWSTemplateFormat" in text
]


def diagram() -> str:
    """The diagram, without the words on its arrows and in its boxes."""
    [drawn] = pages.blocks(PAGE, "mermaid")
    return re.sub(r"\|[^|\n]*\||\"[^\"]*\"", "", drawn)


def arrows() -> set[tuple[str, str]]:
    """From where to where, of every arrow."""
    found = set()
    for line in diagram().splitlines():
        ends = re.findall(r"\w+", re.sub(r"[(\[{][(\[{)\]}]*[)\]}]", "", re.sub(r"-\.->|-->", " ", line)))
        found |= set(itertools.pairwise(ends))
    return found


def test_every_part_in_the_diagram_is_in_the_template(template: Template) -> None:
    named = set(re.findall(r"\b[A-Z][a-z]\w+\b", diagram()))
    assert len(named) > 10
    assert named <= template["Resources"].keys()


def test_every_function_queue_topic_and_schedule_is_in_the_diagram(template: Template) -> None:
    parts = {name for name, each in template["Resources"].items() if each["Type"] in DRAWN}
    assert parts <= set(re.findall(r"\w+", diagram()))


def test_the_arrows_of_rules_and_schedules_lead_where_they_do() -> None:
    led = {(name, target["to"]) for name, rule in DEPLOYED["rules"].items() for target in rule["targets"]}
    led |= {(name, each["to"]) for name, each in DEPLOYED["schedules"].items()}
    drawn = {(a, b) for a, b in arrows() if a.endswith(("Rule", "Schedule"))}
    assert len(drawn) > 8
    assert drawn <= led


@pytest.mark.parametrize(("page", "text"), TEMPLATES, ids=[page for page, _ in TEMPLATES])
def test_a_template_in_the_docs_is_sound(page: str, text: str) -> None:
    lint = importlib.import_module("cfnlint.api")
    assert lint.lint(text, regions=["us-east-1"]) == [], page  # not every Region has every type


def test_a_template_that_is_not_sound_is_found() -> None:
    text = 'AWSTemplateFormatVersion: "2010-09-09"\nResources:\n  B: {Type: AWS::S3::Bucket, Properties: {Tag: []}}\n'
    assert importlib.import_module("cfnlint.api").lint(text, regions=["us-east-1"])


def test_the_tags_in_the_docs_are_the_defaults(template: Template) -> None:
    key, value = (template["Parameters"][f"ProtectTag{each}"]["Default"] for each in ("Key", "Value"))
    enrol = Path(ROOT / "docs" / "enrol.md").read_text(encoding="utf-8")
    for written in (f"{key}={value}", f'"{key}" = "{value}"', f"{{ Key: {key}, Value: {value} }}"):
        assert written in enrol
