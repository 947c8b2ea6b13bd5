"""What CloudFormation makes of template.yaml: conditions and functions done, names given as it gives them."""

import importlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

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

EVERYTHING = {
    "AWS::Region": "us-east-1",  # the Region that gets IAM's events, and so a rule for them
    "AlertEmail": "ann@example.com",
    "AlertUrl": "https://example.com/alert",
    "Chat": "yes",
    "DeployPrincipals": "arn:aws:iam::111122223333:role/Deploy",
    "Drill": "yes",
    "HeartbeatUrl": "https://example.com/beat",
    "PagerUrl": "https://example.com/page",
    "OrganizationId": "o-exampleorgid",
    "PermissionsBoundary": "arn:aws:iam::111122223333:policy/edge",
    "SecurityHub": "yes",
    "SilenceEmail": "eve@example.com",
    "SpokeExternalId": "hub-and-spokes",
    "Trail": "all",
    "TrailBuckets": "one,two",
}
"""Parameters that leave no resource out."""

MADE_BY_SAM = {"VersionDeleteFunctionDeletes": "AWS::Lambda::EventSourceMapping"}
"""Resources that a pattern names, that only the SAM transform makes."""
ARNS = {
    "AWS::CloudWatch::Alarm": "cloudwatch:{region}:{account}:alarm:{}",
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{}",
    "AWS::Events::EventBus": "events:{region}:{account}:event-bus/{}",
    "AWS::Events::Rule": "events:{region}:{account}:rule/{}",
    "AWS::IAM::Role": "iam::{account}:role/{}",
    "AWS::KMS::Key": "kms:{region}:{account}:key/{}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{}:*",
    "AWS::S3::Bucket": "s3:::{}",
    "AWS::SQS::Queue": "sqs:{region}:{account}:{}",
    "AWS::Serverless::Function": "lambda:{region}:{account}:function:{}",
}
"""What GetAtt Arn gives, after the partition."""
SPOKE = {
    "AWS::AccountId": "444455556666",
    "AWS::Region": "us-east-1",
    "HubAccountId": "111122223333",
    "HubRegion": "us-east-1",
    "HubStackName": "guardrail",
    "OrganizationId": "o-exampleorgid",
    "ExternalId": "hub-and-spokes",
}
"""Parameters of a spoke in the hub's Region, where the role is made."""
AT_MOST_64 = {"AWS::Events::Rule", "AWS::IAM::Role", "AWS::Scheduler::Schedule", "AWS::Serverless::Function"}
AT_MOST_80 = {"AWS::SQS::Queue"}


class Deployment:
    """What CloudFormation makes of a template: conditions and functions done.

    names: what a reference to a resource becomes; without one it is the logical id. An attribute is `name.Attribute`,
    if it does not stand there itself.
    """

    def __init__(
        self, template: Template, parameters: Mapping[str, str], names: Mapping[str, str] | None = None
    ) -> None:
        self.template = template
        self.names = names or {}
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
        if name in self.values:
            return self.values[name]
        if name in self.names:
            return self.names[name]
        resource, dot, attribute = name.partition(".")
        return self.names.get(resource, resource) + dot + attribute

    def _getatt(self, argument: Any) -> Any:
        return self._ref(argument if isinstance(argument, str) else ".".join(argument))

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

    def _select(self, argument: list[Any]) -> str:
        number, items = argument
        return str(self.resolve(items)[int(number)])

    def _sub(self, argument: Any) -> str:
        text, names = (argument, {}) if isinstance(argument, str) else argument
        values = {name: self.resolve(value) for name, value in names.items()}
        return re.sub(r"\$\{([^!}]+)\}", lambda found: str(values.get(found[1], self._ref(found[1]))), text)

    def _findinmap(self, argument: list[str]) -> str:
        mapping, first, second = argument
        return str(self.template["Mappings"][mapping][first][second])


@cache
def written(path: Path = ROOT / "template.yaml") -> Template:
    """template.yaml, or an older one, as written, functions in their long form."""
    source = path.read_text()
    parsed: Template = json.loads(json.dumps(importlib.import_module("samcli.yamlhelper").yaml_parse(source)))
    return parsed


def everything_deployed(template: Template | None = None) -> Deployment:
    """template.yaml, or what the SAM transform makes of it, with all resources, named as CloudFormation names them."""
    names = _with_arns(physical_names(EVERYTHING), {**PSEUDO, **EVERYTHING})
    return Deployment(template or written(), EVERYTHING, names)


def spoke_deployed() -> Deployment:
    """spoke.yaml in the hub's Region of another account, named likewise: there it makes all that it has."""
    template, place = written(ROOT / "spoke.yaml"), {**PSEUDO, **SPOKE}
    names = {name: f"stack-{name}-EXAMPLE" for name in template["Resources"]}
    return Deployment(template, SPOKE, _with_arns(names, place, template))


def _with_arns(names: Mapping[str, str], place: Mapping[str, str], template: Template | None = None) -> dict[str, str]:
    """The names, and for each what GetAtt gives of it that our templates ask for."""
    resources = (template or written())["Resources"]
    account, partition, region = (place[f"AWS::{part}"] for part in ("AccountId", "Partition", "Region"))
    found = dict(names)
    for logical_id, entry in resources.items():
        name = names[logical_id].replace("|", "/")  # a rule of a bus of ours
        if entry["Type"] == "AWS::S3::Bucket":
            name = found[logical_id] = name.lower()
        if entry["Type"] == "AWS::SQS::Queue":
            name = found[f"{logical_id}.QueueName"] = name.rpartition("/")[2]  # the reference is an address
        if kind := ARNS.get(entry["Type"]):
            found[f"{logical_id}.Arn"] = f"arn:{partition}:" + kind.format(name, account=account, region=region)
    return found


def kinds() -> dict[str, str]:
    """The type of every resource by its logical id, those that a pattern names and SAM makes included."""
    return {name: entry["Type"] for name, entry in written()["Resources"].items()} | MADE_BY_SAM


def physical_names(place: Mapping[str, str], suffix: str = "EXAMPLE") -> dict[str, str]:
    """What a reference to each resource becomes, named as CloudFormation names what has no name of its own.

    place: account, partition, Region and stack name, as in PSEUDO.
    """
    return {
        logical_id: _physical(logical_id, kind, {**PSEUDO, **place}, suffix) for logical_id, kind in kinds().items()
    }


def _physical(logical_id: str, kind: str, place: Mapping[str, str], suffix: str) -> str:
    most = 64 if kind in AT_MOST_64 else 80 if kind in AT_MOST_80 else 128
    name = _name(place["AWS::StackName"], logical_id, suffix, most)
    account, partition, region = (place[f"AWS::{part}"] for part in ("AccountId", "Partition", "Region"))
    if kind == "AWS::SQS::Queue":
        return f"https://sqs.{region}.amazonaws.com/{account}/{name}"
    if kind == "AWS::SNS::Topic":
        return f"arn:{partition}:sns:{region}:{account}:{name}"
    if kind == "AWS::Events::EventBus":
        return str(Deployment(written(), place).resolve(written()["Resources"][logical_id]["Properties"]["Name"]))
    if kind == "AWS::Events::Rule" and "EventBusName" in written()["Resources"][logical_id]["Properties"]:
        return f"{place['AWS::StackName']}-spokes|{name}"
    if kind in {"AWS::KMS::Key", "AWS::Lambda::EventSourceMapping"}:
        return f"12345678-1234-4123-8123-{len(logical_id):012}"
    return name


def _name(stack: str, logical_id: str, suffix: str, most: int) -> str:
    """Too long a name is cut in the stack's part and in the id's, to one half each (seen, not documented)."""
    whole = f"{stack}-{logical_id}-{suffix}"
    if len(whole) <= most:
        return whole
    half = (most - len(suffix) - 2) // 2
    return f"{stack[:half]}-{logical_id[:half]}-{suffix}"


def of_type(resources: Template, kind: str) -> dict[str, Template]:
    """The properties of all resources of one type, by logical id."""
    return {name: entry.get("Properties", {}) for name, entry in resources.items() if entry["Type"] == kind}


def patterns_of(deployment: Deployment) -> dict[str, Template]:
    """The event pattern of each rule of the default bus; those for spokes are twins (test_spoke.py)."""
    rules = of_type(deployment.resources(), "AWS::Events::Rule").items()
    return {name: rule["EventPattern"] for name, rule in rules if "EventBusName" not in rule}
