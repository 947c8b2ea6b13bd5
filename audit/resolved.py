"""`python -m audit.resolved`: both templates as CloudFormation deploys them, for linters that know no functions.

Into build/audit: template.json and spoke.json with every resource that some parameter brings, SAM's transform,
conditions and functions done, names and ARNs as CloudFormation gives them; and each policy of theirs in policies/.
"""

import copy
import json
import shutil
from collections.abc import Iterator
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from local.cloud import ROOM
from tests.template.cloudformation import EVERYTHING, Template, everything_deployed, spoke_deployed, written

FOLDER = ROOM / "build" / "audit"


def main() -> None:
    """Write them anew."""
    shutil.rmtree(FOLDER / "policies", ignore_errors=True)
    (FOLDER / "policies").mkdir(parents=True)
    hub = everything_deployed(transformed(written(), EVERYTHING)).resources()
    for name, resources in (("template", hub), ("spoke", spoke_deployed().resources())):
        for entry in resources.values():
            entry.pop("Condition", None)  # it holds
        document = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources | bus_policies(resources)}
        (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1))
        for number, (resource, policy) in enumerate(policies(resources)):
            (FOLDER / "policies" / f"{name}.{resource}.{number}.json").write_text(json.dumps(policy))


def transformed(template: Template, parameters: dict[str, str] | None = None) -> Template:
    """template.yaml after the SAM transform: what CloudFormation really gets."""
    packaged = copy.deepcopy(template)
    packaged["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    defaults = {name: str(entry.get("Default", "")) for name, entry in template["Parameters"].items()}
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="eu-west-1"))
    made: Template = translator.translate(sam_template=packaged, parameter_values=defaults | (parameters or {}))
    return template | made


def bus_policies(resources: Template) -> Template:
    """The policies of buses once more, as managed ones: cfn-lint knows none of a bus."""
    return {
        f"{name}AsManagedPolicy": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}
        for name, entry in resources.items()
        if entry["Type"] == "AWS::Events::EventBusPolicy"
        for policy in [_document([_without(entry["Properties"]["Statement"], "Principal")])]
    }


def policies(resources: Template) -> Iterator[tuple[str, Template]]:
    """Each policy with the name of its resource; no trust policy, which has no Resource (cfn-lint reads those)."""
    for name, entry in resources.items():
        # in a key's policy * is this key
        own = {"Resource": "arn:aws:kms:us-east-1:111122223333:key/own"} if entry["Type"] == "AWS::KMS::Key" else {}
        for policy in _documents(entry):
            statements = [each | own for each in policy if "Resource" in each]
            if statements:
                yield name, _document(statements)


def _documents(node: Any) -> Iterator[list[Template]]:
    """The statements of each policy below a node."""
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _documents(each)
    if isinstance(node, dict) and "Statement" in node:
        yield node["Statement"] if isinstance(node["Statement"], list) else [node["Statement"]]


def _document(statements: list[Template]) -> Template:
    return {"Version": "2012-10-17", "Statement": statements}


def _without(node: Template, name: str) -> Template:
    return {key: value for key, value in node.items() if key != name}


if __name__ == "__main__":
    main()
