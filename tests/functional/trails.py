"""A trail on moto for the tests of `guardrail selectors`, and what the command says of it."""

import importlib
import json
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import Result

from cli.stack import Stack
from tests.functional.conftest import ACCOUNT, Stage
from tests.functional.test_cli import run
from tests.template.conftest import ROOT, Deployment, Template

DEFAULT: Any = [{"ReadWriteType": "All", "IncludeManagementEvents": True}]


@dataclass
class Scene:
    """The stage with a trail `main`, and every call of the command to CloudTrail."""

    stage: Stage
    outputs: dict[str, str] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    owner: str = ACCOUNT
    denied: str = ""

    def __post_init__(self) -> None:
        self.cloudtrail: Any = boto3.client("cloudtrail")

    def trail(self, name: str = "main", region: str = "us-east-1", **more: Any) -> Any:
        """A trail of moto's, logging what a new trail logs."""
        if "trail-logs" not in [bucket["Name"] for bucket in self.stage.s3.list_buckets()["Buckets"]]:
            self.stage.bucket("trail-logs", tagged=False)
        client = boto3.client("cloudtrail", region_name=region)
        client.create_trail(Name=name, S3BucketName="trail-logs", **more)
        client.put_event_selectors(TrailName=name, EventSelectors=DEFAULT)
        return client

    def now(self, name: str = "main", region: str = "us-east-1") -> dict[str, Any]:
        """What the trail logs."""
        answer: Any = boto3.client("cloudtrail", region_name=region).get_event_selectors(TrailName=name)
        return {key: answer.get(key) or [] for key in ("EventSelectors", "AdvancedEventSelectors")}

    def written(self) -> int:
        """How often the command wrote."""
        return sum(call == "PutEventSelectors" for call, _ in self.calls)

    def watch(self, client: Any) -> Any:
        """Note the calls, refuse what is denied, and let another account own the trails if so told."""
        events, region = client.meta.events, client.meta.region_name

        def before(model: Any, **_: Any) -> None:
            self.calls.append((model.name, region))
            if model.name == self.denied:
                raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, model.name)

        def after(parsed: dict[str, Any], **_: Any) -> None:
            for trail in parsed["trailList"]:
                trail["TrailARN"] = trail["TrailARN"].replace(ACCOUNT, self.owner)

        events.register("before-parameter-build.cloudtrail.*", before, unique_id="scene-before")
        events.register("after-call.cloudtrail.DescribeTrails", after, unique_id="scene-after")
        return client


def staged_trail(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A deployed stack without a trail of its own, and a trail `main` with the basic selector of a new one."""
    made = Scene(stage)
    real = Stack.client

    def client(self: Stack, service: str, region: str | None = None) -> Any:
        found = real(self, service, region)
        return made.watch(found) if service == "cloudtrail" else found

    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(Stack, "client", client)
    monkeypatch.setattr(Stack, "exists", True)
    monkeypatch.setattr(Stack, "outputs", made.outputs)
    monkeypatch.setattr(Stack, "physical", lambda _self, kind: made.own if "Trail" in kind else [])
    monkeypatch.setattr(Stack, "guard", stage.guard)
    monkeypatch.setattr(Stack, "settings", stage.guard.settings)
    made.trail()
    return made


def said(*words: str) -> dict[str, Any]:
    """Its JSON object; it must be one and alone."""
    result = run("selectors", "--json", *words)
    assert result.exception is None, result.exception
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def refusal(*words: str) -> str:
    """The one sentence it refuses with."""
    result: Result = run("selectors", *words)
    assert result.exception is not None, result.stdout
    assert result.stdout == ""
    assert "\n" not in str(result.exception)
    return str(result.exception)


def values(selector: dict[str, Any], name: str) -> dict[str, list[str]]:
    """Operators and values of a field."""
    [found] = [each for each in selector["FieldSelectors"] if each["Field"] == name]
    return {operator: listed for operator, listed in found.items() if operator != "Field" and listed}


def conditions(selector: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """All of a selector: field, operator, values."""
    return {each["Field"]: values(selector, each["Field"]) for each in selector["FieldSelectors"]}


def advanced(scene: Scene, *listed: dict[str, Any]) -> None:
    """Give the trail these advanced selectors."""
    scene.cloudtrail.put_event_selectors(TrailName="main", AdvancedEventSelectors=list(listed))
    assert scene.now()["AdvancedEventSelectors"] == list(listed)


def rendered(**parameters: str) -> list[dict[str, Any]]:
    """The selectors of template.yaml's trail, as CloudFormation would send them, the log bucket being `trail-logs`."""
    parse = importlib.import_module("samcli.yamlhelper").yaml_parse
    parsed: Template = json.loads(json.dumps(parse((ROOT / "template.yaml").read_text())))
    trail = Deployment(parsed, parameters).resources()["DeleteTrail"]["Properties"]
    text = json.dumps(trail["AdvancedEventSelectors"]).replace("TrailLogs.Arn", "arn:aws:s3:::trail-logs")
    selectors: list[dict[str, Any]] = json.loads(text)
    return selectors


def crowd(monkeypatch: pytest.MonkeyPatch, scene: Scene, count: int) -> None:
    """So many enrolled buckets, without making them."""

    class Many:
        def buckets(self) -> list[tuple[str, None]]:
            return [(f"bucket-{number:04}", None) for number in range(count)]

    monkeypatch.setattr(scene.stage.guard, "enrolment", Many)
