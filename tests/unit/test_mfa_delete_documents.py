"""The script's help, its runbook and the page for the holder of root say the same as the script does."""

import re
import shlex
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from runbook import mfa_delete as script

ROOM = Path(script.__file__).resolve().parent.parent
PAGES = ["docs/root-holder.md", "runbook/RUNBOOK.md"]


def commands_of(text: str) -> list[str]:
    found = re.findall(r"python3 mfa_delete\.py ((?:check|enable|disable|delete-version)[^\n`]*)", text)
    return [each.replace("{{", "").replace("}}", "") for each in found]


@pytest.mark.parametrize("page", [*PAGES, "--help"])
def test_every_command_in_the_documents_is_one(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    found = commands_of(script.EPILOG if page == "--help" else (ROOM / page).read_text())
    assert found
    for each in found:
        if not each.endswith("--help"):
            script.parse(shlex.split(each))


def test_the_root_holders_page_names_every_api_call() -> None:
    source, page = Path(script.__file__).read_text(), (ROOM / "docs/root-holder.md").read_text()
    loader, missing = botocore.session.get_session(), []
    for service in ("s3", "s3control", "iam", "sts"):
        for operation in loader.get_service_model(service).operation_names:
            if re.search(rf"\b{xform_name(operation)}\b", source) and operation not in page:
                missing.append(operation)
    assert missing == []
