"""Every command in README, docs, runbook and alerts can be typed: verbs, options and parameters exist."""

import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from cli.main import VERBS, guardrail
from tests.template.cloudformation import written
from tests.unit import pages
from tests.unit.pages import PAGES, ROOT

IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
WORDING = (ROOT / "src/shared/wording.py", ROOT / "src/shared/render.py", *sorted((ROOT / "cli").glob("*.py")))
TYPED = re.compile(rf"\bguardrail ((?:--(?:stack|region) \S+ )*)({'|'.join(VERBS)})\b([^`\n]*)")
AWS_ONLY_IN_2 = {"login", "logout"}
"""Commands of the AWS CLI 2, which is not among the tools here."""


@cache
def aws() -> Any:
    """The AWS CLI's own tables of commands and arguments."""
    return importlib.import_module("awscli.clidriver").create_clidriver().create_help_command()


def tables(words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The arguments of the AWS CLI's command that the words begin with, and the words after it."""
    command = aws()
    arguments = dict(command.arg_table)
    while words and not words[0].startswith("-"):
        if words[0] not in command.command_table:
            break
        command = command.command_table[words.pop(0)]
        arguments |= command.arg_table if hasattr(command, "arg_table") else {}
        command = command.create_help_command()
    return arguments, words


def aws_faults(words: list[str], *, whole: bool) -> list[str]:
    """What is wrong with a command of the AWS CLI. `whole`: what is required must be there."""
    if words[1] in AWS_ONLY_IN_2:
        return []
    arguments, rest = tables(words[1:])
    given = {word.removeprefix("--").split("=")[0] for word in rest if word.startswith("--")}
    given |= {name.removeprefix("no-") for name in given & arguments.keys()}  # the other half of a switch
    faults = [f"no --{name}" for name in given - arguments.keys()]
    if rest and not rest[0].startswith("-") and words[1] != "configure":
        faults.append(f"no command {rest[0]}")
    needed = {name for name, each in arguments.items() if getattr(each, "required", False)}
    return faults + [f"--{name} is missing" for name in needed - given if whole]


def click_faults(command: click.Command, words: list[str], *, whole: bool) -> list[str]:
    """What is wrong with the words of a command that click reads, its group's options among them."""
    context = click.Context(command, info_name=words[0])
    try:
        options, rest, _ = command.make_parser(context).parse_args(words[1:])
    except click.UsageError as wrong:
        return [wrong.format_message()]
    if isinstance(command, click.Group):
        if not rest:
            return []
        under = command.get_command(context, rest[0])
        return click_faults(under, rest, whole=whole) if under else [f"no verb {rest[0]}"]
    missing = [each.name for each in command.params if each.required and options.get(str(each.name)) in {None, ()}]
    return [f"{name} is missing" for name in missing if whole] + [f"too much: {each}" for each in rest]


def sam_faults(words: list[str], *, whole: bool) -> list[str]:
    """What is wrong with a command of SAM; the parameters that it sets must be the template's."""
    command = importlib.import_module(f"samcli.commands.{words[1]}.command").cli
    parameters = written()["Parameters"]
    set_here = [word.split("=")[0] for word in words if re.match(r"[A-Z]\w+=", word)]
    return click_faults(command, words[1:], whole=whole) + [
        f"no parameter {n}" for n in set_here if n not in parameters
    ]


def faults(words: list[str], *, whole: bool) -> list[str]:
    """What is wrong with a command, in words; nothing if it can be typed."""
    if words[0] == "aws":
        return aws_faults(words, whole=whole)
    if words[0] == "sam":
        return sam_faults(words, whole=whole)
    if words[0] == "guardrail":
        return click_faults(guardrail, words, whole=whole)
    verbs = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return [f"no verb {word}" for word in words[1:] if "=" not in word and word not in verbs]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_to_be_typed_is_one(page: Path) -> None:
    assert {" ".join(words): found for words in pages.typed(page) if (found := faults(words, whole=True))} == {}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_that_is_mentioned_is_one(page: Path) -> None:
    assert {" ".join(words): found for words in pages.mentioned(page) if (found := faults(words, whole=False))} == {}


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("guardrail statsu", ["no verb statsu"]),
        ("guardrail status --cvs", ["No such option: --cvs Did you mean --csv?"]),
        ("guardrail ack ID", ["why is missing"]),
        ("guardrail runbook ONE TWO", ["too much: TWO"]),
        ("make dmeo", ["no verb dmeo"]),
        ("aws sns subscribe --topic ARN --protocol email", ["no --topic", "--topic-arn is missing"]),
        ("aws sns unsubscrib", ["no command unsubscrib"]),
        ("sam deploy --parameter-overrides Trial=all", ["no parameter Trial"]),
    ],
)
def test_what_cannot_be_typed_is_found(command: str, wrong: list[str]) -> None:
    assert faults(command.split(), whole=True) == wrong


@pytest.mark.parametrize("source", WORDING, ids=lambda path: path.name)
def test_every_option_that_an_alert_or_the_command_names_exists(source: Path) -> None:
    for _, verb, rest in TYPED.findall(source.read_text(encoding="utf-8")):
        command = guardrail.get_command(click.Context(guardrail), verb)
        assert command is not None
        options = {name for each in command.params for name in each.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options, (verb, rest)


def test_operations_names_every_verb() -> None:
    named = {verb for _, verb, _ in TYPED.findall((ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))}
    assert set(VERBS) <= named


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_parameters_and_outputs_that_a_page_names_are_the_templates(page: Path) -> None:
    template = written()
    for span in pages.spans(page):
        if setting := re.fullmatch(r"([A-Z][a-z]\w+)=(\S+)", span):
            parameter = template["Parameters"].get(setting[1])
            assert parameter, span
            assert setting[2] in parameter.get("AllowedValues", [setting[2]]), span
    for name in re.findall(r"outputs? `([A-Z]\w+)`", page.read_text(encoding="utf-8")):
        assert name in template["Outputs"], name
