"""Each step of the story that `make demo` lives through, what it leaves behind, and what README and docs show of it."""

import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from local import demo
from local.cloud import ROOM, Cloud
from local.story import STEPS, Story
from tests.unit import pages

SILENT = {3, 7}


@pytest.fixture(scope="module")
def console() -> Console:
    """What the demo prints."""
    return Console(highlight=False, soft_wrap=True, file=io.StringIO(), record=True)


@pytest.fixture(scope="module")
def lived(cloud: Cloud, console: Console, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story, lived through once, as `make demo` does."""
    return demo.play(cloud, console, tmp_path_factory.mktemp("story") / "demo")


def test_the_story_has_eight_steps(lived: Story) -> None:
    assert len(lived.steps) == len(STEPS) == 8


@pytest.mark.parametrize("number", range(1, 9), ids=[title for title, _ in STEPS])
def test_step(lived: Story, number: int) -> None:
    step = lived.steps[number - 1]
    assert step.ok, lived.reasons.get(number)
    assert len(step.alerts) == (0 if number in SILENT else 1)
    assert (step.call_to_alert_ms is None) == (number in SILENT)


def test_what_a_person_would_have_received_is_left(lived: Story) -> None:
    timeline = json.loads((lived.folder / "timeline.json").read_text())
    assert [set(line) for line in timeline] == [{"step", "title", "ok", "call_to_alert_ms", "alerts"}] * 8
    controls = ["mfa-delete-missing"] * 2 + ["version-delete-denied", "version-deleted"] + ["mfa-delete-disabled"] * 2
    for suffix in ("txt", "json"):
        names = sorted(path.name for path in (lived.folder / "alerts").glob(f"*.{suffix}"))
        assert names == [f"{n:02}-{control}.{suffix}" for n, control in enumerate(controls, 1)]
    assert (lived.folder / "runbooks" / "example-vault.md").read_text().startswith("# Turn MFA delete on")


def test_no_code_is_left_anywhere(lived: Story) -> None:
    texts = [path.read_text() for path in Path(lived.folder).rglob("*.*")]
    logs = [
        event["message"]
        for group in lived.cloud.client("logs").describe_log_groups()["logGroups"]
        for event in lived.cloud.client("logs").filter_log_events(logGroupName=group["logGroupName"])["events"]
    ]
    assert logs
    serials = [call["mfa"] for call in lived.cloud.calls() if call["mfa"]]
    assert len(serials) == len({json.dumps(mfa, sort_keys=True) for mfa in serials})  # no code was used twice
    table = lived.cloud.client("dynamodb").scan(TableName=lived.outputs["TableName"])["Items"]
    everything = re.sub(r"\.[0-9]{6}", "", " ".join([*texts, *logs, json.dumps(table)]))  # microseconds are no codes
    assert len(lived.cloud.codes_given) >= 6
    for code in lived.cloud.codes_given:
        assert not re.search(rf"(?<![0-9a-f]){code}(?![0-9a-f])", everything)


def test_nothing_was_denied_to_the_functions_and_nothing_failed(lived: Story) -> None:
    refused = [
        call
        for call in lived.cloud.calls()
        if "assumed-role" in str(call["principal"]) and call["status"] in {401, 403}
    ]
    assert refused == []
    sqs = lived.cloud.client("sqs")
    for queue in ("DeadLetterUrl", "OnFailureUrl"):
        assert sqs.receive_message(QueueUrl=lived.outputs[queue]).get("Messages", []) == []


def test_the_readme_shows_what_the_demo_prints(lived: Story, console: Console) -> None:
    _, shown = pages.blocks(pages.README, "text")
    assert without_times(shown) in without_times(console.export_text())
    assert lived.steps


def test_the_readme_shows_the_mail_of_that_demo(lived: Story) -> None:
    shown, _ = pages.blocks(pages.README, "text")
    mail = (lived.folder / "alerts" / "05-mfa-delete-disabled.txt").read_text(encoding="utf-8")
    assert without_times(mail).startswith(without_times(shown))


@pytest.mark.parametrize(
    ("page", "command", "output"),
    [(page.name, *each) for page in pages.PAGES for each in pages.shown(page)],
    ids=[f"{page.name}-{command}" for page in pages.PAGES for command, _ in pages.shown(page)],
)
def test_what_a_page_shows_of_a_command_is_what_it_prints(lived: Story, page: str, command: str, output: str) -> None:
    name, *words = shlex.split(command)
    assert name == "guardrail", f"{page}: only the operator's command is run again"
    typed = [sys.executable, "-m", "cli.main", "--stack", "guardrail", *words]
    environment = lived.cloud.environment() | {"PYTHONPATH": "src:.", "COLUMNS": "100"}
    done = subprocess.run(typed, cwd=ROOM, env=environment, capture_output=True, text=True, check=False)
    assert without_times(done.stdout) == without_times(output)


def without_times(text: str) -> str:
    """Times, and the ids that hang on them, differ from run to run."""
    text = re.sub(r" +[0-9]+ ms", " N ms", text)
    text = re.sub(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}(:[0-9]{2})?)?\b", "DAY", text)
    return "".join(f"{line.rstrip()}\n" for line in re.sub(r"\b[0-9a-f]{8}\b", "ID", text).splitlines())
