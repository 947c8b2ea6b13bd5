"""What is released: pinned by hash, the same bytes from everywhere, under one version and one license."""

import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pages import ROOT

DEPLOYED = "src/requirements.txt"
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # pragma: allowlist secret - a sum
"""SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""
COMPILE = "import sys; from pathlib import Path; from local import package; package.compiled(Path(sys.argv[1]))"


def pins(name: str) -> dict[str, list[str]]:
    """The hashes of each requirement of a file, comments left out."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {first: rest for first, *rest in lines}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """pyproject.toml's own."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


# What is installed


TOOLS = [*ROOT.glob("audit/tools/*.txt"), *ROOT.glob("bench/peers/*.txt")]
"""Each goes into an environment of its own."""
PINNED = [DEPLOYED, "requirements-dev.txt", *sorted(str(path.relative_to(ROOT)) for path in TOOLS)]


@pytest.mark.parametrize("name", PINNED)
def test_every_requirement_is_pinned_by_hash(name: str) -> None:
    for requirement, hashes in pins(name).items():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+", requirement), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes), requirement


def test_three_packages_are_deployed() -> None:
    names = {requirement.partition("==")[0] for requirement in pins(DEPLOYED)}
    assert names == {"aws-lambda-powertools", "jmespath", "typing-extensions"}


def test_compiled_anew_elsewhere_and_later_it_is_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for number, (place, seed) in enumerate((("one", "1"), ("somewhere/else/entirely", "2"))):
        folder = tmp_path / place
        shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("__pycache__"))
        for source in folder.rglob("*.py"):
            os.utime(source, (1_700_000_000 + number, 1_700_000_000 + number))
        done = {"PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        subprocess.run([sys.executable, "-c", COMPILE, str(folder)], env=os.environ | done, cwd=ROOT, check=True)
        compiled = sorted(folder.rglob("*.pyc"))
        assert len(compiled) > 40
        digests.append({str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest() for path in compiled})
    assert digests[0] == digests[1]


# What is said of it


def test_the_license_is_apache_2_whole_and_unchanged(project: dict[str, Any]) -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    assert project["license"] == "Apache-2.0"


def test_the_newest_version_of_the_changelog_is_the_projects(project: dict[str, Any]) -> None:
    versions = re.findall(r"^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == project["version"]


def test_the_workflow_calls_ci_run_and_make_audit_and_nothing_of_its_own() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    workflow = importlib.import_module("yaml").safe_load(text)
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run", "make audit"]
    used = [step["uses"] for step in steps if "uses" in step]
    assert all(re.fullmatch(r"actions/checkout@[0-9a-f]{40}", each) for each in used), used
    assert workflow["permissions"] == {"contents": "read"}
