"""What docs/operations.md, the runbook and the alerts say of the command can be typed."""

import re
from pathlib import Path

import click
import pytest

from cli.main import guardrail

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["docs/operations.md", "docs/limits.md", "README.md", "runbook/RUNBOOK.md", "src/shared/wording.py"]
VERBS = "|".join(guardrail.commands)
TYPED = re.compile(rf"\bguardrail ((?:--(?:stack|region) \S+ )*)({VERBS})\b([^`\n]*)")


def _options(verb: str) -> set[str]:
    found = [each for each in guardrail.commands[verb].params if isinstance(each, click.Option)]
    return {name for option in found for name in option.opts}


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    for _, verb, rest in TYPED.findall(text):
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= _options(verb), (verb, rest)


def test_operations_names_every_verb() -> None:
    named = {verb for _, verb, _ in TYPED.findall((ROOT / "docs" / "operations.md").read_text())}
    assert guardrail.commands.keys() <= named
