"""What a linter or a scanner said and we let stand has its reason beside it."""

import importlib
import re
import subprocess
from typing import Any

import pytest

from tests.unit.pages import ROOT

REASON = r"( - |  # )\S.{3,}"
IN_A_LINE = {
    "noqa": rf"# noqa: [A-Z]+\d+(, [A-Z]+\d+)*{REASON}",
    "allowlist secret": rf"# pragma: allowlist secret{REASON}",
}
"""How a suppression in a line of source has to look."""
OURS = ("*.py", "*.toml", "*.yaml", "*.yml")


def lines(*patterns: str) -> list[tuple[str, str]]:
    """Each line of the files in git, with where it is; of settings and of code."""
    command = ["git", "-C", str(ROOT), "grep", "-nI", "", "--", *patterns]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [(f"{path}:{number}", line) for path, number, line in (each.split(":", 2) for each in found)]


@pytest.mark.parametrize("word", IN_A_LINE)
def test_each_suppression_in_a_line_has_a_reason_in_that_line(word: str) -> None:
    marked = [(place, line) for place, line in lines(*OURS) if re.search(rf"#\s*(pragma:\s*)?{word}", line)]
    assert len(marked) > 5
    without = [place for place, line in marked if not re.search(IN_A_LINE[word], line)]
    assert [place for place in without if "test_suppressions.py" not in place] == []


@pytest.mark.parametrize("word", ["nosec", "nosemgrep", "cfn-lint:"])
def test_no_other_way_to_silence_is_used(word: str) -> None:
    marked = [place for place, line in lines(*OURS) if f"# {word}" in line]
    assert [place for place in marked if "test_suppressions.py" not in place] == []


@pytest.mark.parametrize(
    ("file", "entry"), [("checkov.yaml", r"  - CKV\w+$"), ("parliament.yaml", r"  severity: MUTE$")]
)
def test_what_is_skipped_everywhere_has_its_reason_above(file: str, entry: str) -> None:
    text = (ROOT / "audit" / file).read_text(encoding="utf-8").splitlines()
    skipped = [number for number, line in enumerate(text) if re.match(entry, line)]
    assert skipped
    for number in skipped:
        assert re.match(r"  # .{10,}", text[number - 1]), text[number]


def test_what_is_skipped_for_one_resource_has_its_reason_there() -> None:
    parse = importlib.import_module("samcli.yamlhelper").yaml_parse
    reasons: list[tuple[str, Any]] = []
    for template in ("template.yaml", "spoke.yaml"):
        resources = parse((ROOT / template).read_text(encoding="utf-8"))["Resources"]
        for name, entry in resources.items():
            skipped = entry.get("Metadata", {}).get("checkov", {}).get("skip", [])
            reasons += [(name, each.get("comment", "")) for each in skipped]
    assert len(reasons) == 5
    assert [name for name, reason in reasons if len(reason.split()) < 5] == []
