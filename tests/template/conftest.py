"""template.yaml as the tests see it: as written, as deployed with given parameters, and as SAM makes it."""

import copy
import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).resolve().parents[2]
PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()

Template = dict[str, Any]
Deployed = Callable[..., Template]


class Deployment:
    """What CloudFormation makes of a template: conditions and functions done.

    A reference to a resource becomes its logical id, an attribute `LogicalId.Attribute`.
    """

    def __init__(self, template: Template, parameters: dict[str, str]) -> None:
        self.template = template
        defaults = {name: str(entry.get("Default", "")) for name, entry in template["Parameters"].items()}
        self.values = {**PSEUDO, **defaults, **parameters}

    def resources(self) -> Template:
        """The resources whose condition holds."""
        return self._present(self.template["Resources"])

    def outputs(self) -> dict[str, str]:
        """The outputs whose condition holds."""
        return {name: output["Value"] for name, output in self._present(self.template["Outputs"]).items()}

    def _present(self, entries: Template) -> Template:
        return {
            name: self.resolve(entry, top=True)
            for name, entry in entries.items()
            if "Condition" not in entry or self._holds({"Condition": entry["Condition"]})
        }

    def _holds(self, condition: Any) -> bool:
        if isinstance(condition, bool):
            return condition
        (verb, arguments), *more = condition.items()
        assert not more
        if verb == "Condition":
            return self._holds(self.template["Conditions"][arguments])
        if verb == "Fn::Equals":
            left, right = (self.resolve(argument) for argument in arguments)
            return bool(left == right)
        held = [self._holds(argument) for argument in arguments]
        return {"Fn::Not": lambda: not held[0], "Fn::Or": lambda: any(held), "Fn::And": lambda: all(held)}[verb]()

    def resolve(self, node: Any, *, top: bool = False) -> Any:
        """The node without functions; `top` says that it is a resource, whose `Condition` is no function."""
        if isinstance(node, list):
            items = [self.resolve(item) for item in node]
            return [item for item in items if item is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1 and not top:
            ((verb, argument),) = node.items()
            if verb == "Ref" or verb.startswith("Fn::"):
                return getattr(self, "_" + verb.removeprefix("Fn::").lower())(argument)
        members = {name: self.resolve(value) for name, value in node.items()}
        return {name: value for name, value in members.items() if value is not NO_VALUE}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if self.template["Parameters"].get(name, {}).get("Type") == "CommaDelimitedList":
            return [item.strip() for item in self.values[name].split(",")]
        return self.values.get(name, name)

    def _getatt(self, argument: Any) -> str:
        return argument if isinstance(argument, str) else ".".join(argument)

    def _if(self, argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return self.resolve(then if self._holds({"Condition": condition}) else otherwise)

    def _join(self, argument: list[Any]) -> str:
        delimiter, items = argument
        assert isinstance(delimiter, str), "CloudFormation wants a literal here"
        return delimiter.join(self.resolve(items))

    def _split(self, argument: list[Any]) -> list[str]:
        delimiter, text = argument
        return str(self.resolve(text)).split(delimiter)

    def _sub(self, argument: Any) -> str:
        text, names = (argument, {}) if isinstance(argument, str) else argument
        values = {name: self.resolve(value) for name, value in names.items()}
        return re.sub(r"\$\{([^!}]+)\}", lambda found: str(values.get(found[1]) or self._ref(found[1])), text)

    def _findinmap(self, argument: list[str]) -> str:
        mapping, first, second = argument
        return str(self.template["Mappings"][mapping][first][second])


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def source() -> str:
    """template.yaml as text."""
    return (ROOT / "template.yaml").read_text()


@pytest.fixture(scope="session")
def template(source: str) -> Template:
    """template.yaml as written, functions in their long form."""
    parsed: Template = json.loads(json.dumps(importlib.import_module("samcli.yamlhelper").yaml_parse(source)))
    return parsed


@pytest.fixture(scope="session")
def deployed(template: Template) -> Deployed:
    """What is deployed with the given parameters: `deployed(Trail="all")["DeleteTrail"]`."""
    return lambda **parameters: Deployment(template, parameters).resources()


@pytest.fixture(scope="session")
def outputs(template: Template) -> Callable[..., dict[str, str]]:
    """What the stack tells a person."""
    return lambda **parameters: Deployment(template, parameters).outputs()


@pytest.fixture(scope="session")
def everything(template: Template) -> Template:
    """All resources: a trail, a boundary and both subscriptions too."""
    parameters = {
        "AlertEmail": "ann@example.com",
        "AlertUrl": "https://example.com/alert",
        "PermissionsBoundary": "arn:aws:iam::111122223333:policy/edge",
        "Trail": "all",
        "TrailBuckets": "one,two",
    }
    resources = Deployment(template, parameters).resources()
    assert resources.keys() == template["Resources"].keys(), "a resource that no parameter of this fixture deploys"
    return resources


@pytest.fixture(scope="session")
def translated(template: Template) -> Template:
    """The resources after the SAM transform: what CloudFormation really gets, functions not resolved."""
    packaged = copy.deepcopy(template)
    packaged["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="eu-west-1"))
    parameters = {name: str(entry.get("Default", "")) for name, entry in template["Parameters"].items()}
    resources: Template = translator.translate(sam_template=packaged, parameter_values=parameters)["Resources"]
    return resources
