"""`make audit` and what linters are given to read."""

import json
from pathlib import Path
from typing import Any

import pytest

from audit import __main__ as audit
from audit import resolved
from tests.template.cloudformation import ROOT, spoke_deployed, written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written for linters."""
    there, before = tmp_path_factory.mktemp("audit"), resolved.FOLDER
    resolved.FOLDER = there
    try:
        resolved.main()
    finally:
        resolved.FOLDER = before
    return there


def resources_in(folder: Path, name: str) -> dict[str, Any]:
    """Those of a template as deployed."""
    found: dict[str, Any] = json.loads((folder / name).read_text())["Resources"]
    return found


def test_linters_read_every_resource_and_no_function(folder: Path) -> None:
    for name, template in (("template.json", written()), ("spoke.json", written(ROOT / "spoke.yaml"))):
        found = resources_in(folder, name)
        assert found.keys() >= template["Resources"].keys()
        assert not [key for key in _keys(found) if key == "Ref" or key.startswith("Fn::")]
        assert not [name for name, entry in found.items() if "Condition" in entry]


def _keys(node: Any) -> list[str]:
    if isinstance(node, list):
        return [key for each in node for key in _keys(each)]
    return [*node, *(key for each in node.values() for key in _keys(each))] if isinstance(node, dict) else []


def test_every_policy_but_those_of_trust_is_there_to_read(folder: Path) -> None:
    read = {path.name.split(".")[1] for path in (folder / "policies").iterdir()}
    have = {name for name, entry in written()["Resources"].items() if "Statement" in _keys(entry)}
    assert read == have | {"ForwardRole", "ReadRole", "UndeliveredPolicy"}
    assert {"ForwardRole", "ReadRole", "UndeliveredPolicy"} <= spoke_deployed().resources().keys()


def test_a_key_s_policy_is_read_as_for_that_key_alone(folder: Path) -> None:
    [path] = (folder / "policies").glob("template.AlertKey.*")
    statements = json.loads(path.read_text())["Statement"]
    assert {each["Resource"].split(":")[2] for each in statements} == {"kms"}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What comes of each tool; nothing is run."""
    outcomes = {"checkov": "nothing found", "parliament": "nothing found", "pip-audit": "nothing found"}
    monkeypatch.setattr(audit, "_run", lambda tool: outcomes[tool.name])
    monkeypatch.setattr(resolved, "main", lambda: None)
    return outcomes


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and output of a run."""
    monkeypatch.setattr("sys.argv", ["audit", *arguments])
    return audit.main(), capsys.readouterr().out


def test_each_of_our_requirement_files_is_looked_at() -> None:
    looked_at = {tool.looks_at for tool in audit.tools() if tool.online}
    assert looked_at >= {"src/requirements.txt", "requirements-dev.txt", "audit/tools/pip-audit.txt"}


def test_what_was_not_run_is_said_for_each_file(
    ran: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran["pip-audit"] = "failed: it must not be run"
    code, told = said(monkeypatch, capsys, "--offline")
    assert code == 0
    assert "audit: pip-audit, src/requirements.txt: NOT RUN, by OFFLINE=1\n" in told
    assert told.count("NOT RUN") == sum(tool.online for tool in audit.tools())


@pytest.mark.parametrize("tool", ["checkov", "parliament", "pip-audit"])
def test_one_that_finds_something_or_could_not_look_fails_the_audit(
    tool: str, ran: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(monkeypatch, capsys)[0] == 0
    ran[tool] = "failed: it found something"
    assert said(monkeypatch, capsys)[0] == 1
