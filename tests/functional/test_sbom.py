"""`make sbom`: what it lists is what is pinned."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.pages import ROOT
from tests.unit.test_release import DEPLOYED, pins


@pytest.fixture(scope="module")
def folder() -> Path:
    """What it wrote."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "sbom"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return ROOT / "build" / "sbom"


@pytest.mark.parametrize(
    ("file", "requirements"), [("deployed.cdx.json", DEPLOYED), ("tools.cdx.json", "requirements-dev.txt")]
)
def test_it_lists_each_pinned_package_with_its_hashes_and_no_other(folder: Path, file: str, requirements: str) -> None:
    document: dict[str, Any] = json.loads((folder / file).read_text(encoding="utf-8"))
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "mfa-delete-guardrail")
    listed = {
        f"{each['name']}=={each['version']}": {f"--hash=sha256:{found}" for found in _hashes(each)}
        for each in document["components"]
    }
    assert listed == {requirement: set(hashes) for requirement, hashes in pins(requirements).items()}


def _hashes(component: dict[str, Any]) -> list[str]:
    return [each["content"] for reference in component["externalReferences"] for each in reference["hashes"]]
