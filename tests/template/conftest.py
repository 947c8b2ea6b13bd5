"""template.yaml as the tests see it: as written, as deployed with given parameters, and as SAM makes it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from moto.events.models import EventPattern

from audit.resolved import transformed
from tests.template.cloudformation import EVERYTHING, ROOT, Deployment, Template, patterns_of, physical_names, written

__all__ = ["ROOT", "STACK", "Deployed", "Deployment", "RulesThatTake", "Template"]  # tests of other layers use them too

STACK = "guardrail"
"""The name of the stack in events/."""
Deployed = Callable[..., Template]
RulesThatTake = Callable[[dict[str, Any]], set[str]]


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def source() -> str:
    """template.yaml as text."""
    return (ROOT / "template.yaml").read_text()


@pytest.fixture(scope="session")
def template() -> Template:
    """template.yaml as written, functions in their long form."""
    return written()


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
    """All resources: those too that only a parameter, or us-east-1, brings."""
    resources = Deployment(template, EVERYTHING).resources()
    assert resources.keys() == template["Resources"].keys(), "a resource that no parameter in EVERYTHING deploys"
    return resources


@pytest.fixture(scope="session")
def patterns(template: Template) -> dict[str, Template]:
    """Each rule's pattern in a stack named as in events/, with everything."""
    place = EVERYTHING | {"AWS::StackName": STACK}
    return patterns_of(Deployment(template, place, physical_names(place)))


@pytest.fixture(scope="session")
def rules_that_take(patterns: dict[str, Template]) -> RulesThatTake:
    """The names of the rules whose pattern an event matches."""
    matchers: dict[str, Any] = {name: EventPattern(json.dumps(pattern), pattern) for name, pattern in patterns.items()}
    return lambda event: {name for name, matcher in matchers.items() if matcher.matches_event(event)}


@pytest.fixture(scope="session")
def translated(template: Template) -> Template:
    """The resources after the SAM transform: what CloudFormation really gets, functions not resolved."""
    resources: Template = transformed(template)["Resources"]
    return resources
