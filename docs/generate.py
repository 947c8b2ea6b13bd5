"""Write what is generated out of code and template. `--verify` only compares.

docs/controls.md; the script's SHA-256 in template.yaml; src/shared/aws/deployed.json, the rules and schedules of
template.yaml as the look at the guardrail itself expects them.
"""

import hashlib
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from shared.controls import CONTROLS  # noqa: E402  # src is put on the path first
from shared.evidence import Control  # noqa: E402

HEAD = """# Controls

Written by `make docs` from `src/shared/controls.py`; do not edit. What raises each one, and what does not, stands row
by row in `events/cases.toml`.

| control | alert's headline | what it means | ends | runbook section | also known as |
| --- | --- | --- | --- | --- | --- |
"""


def controls_page() -> str:
    """The table of controls."""
    return HEAD + "".join(_row(control) for control in CONTROLS)


def _row(control: Control) -> str:
    ends = "when it is no longer so" if control.clears else "a deed: after 30 days"
    meaning = " ".join((control.holds.__doc__ or "").split())
    return (
        f"| `{control.id}` | {control.title} | {meaning} | {ends} | `{control.runbook}` | {'; '.join(control.refs)} |\n"
    )


def template_text() -> str:
    """template.yaml with the SHA-256 of the script as it is now."""
    digest = hashlib.sha256((ROOT / "runbook" / "mfa_delete.py").read_bytes()).hexdigest()
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    new, count = re.subn(r'(Sha256: )"?[0-9a-f]{64}"?', rf'\g<1>"{digest}"', text)
    if count != 1:
        raise SystemExit("docs: template.yaml must hold the script's Sha256 exactly once")
    return new


def deployed_text() -> str:
    """The rules and schedules of template.yaml: patterns and inputs, with references to be filled in."""
    resources = importlib.import_module("samcli.yamlhelper").yaml_parse(template_text())["Resources"]
    of_type = {
        kind: {name: entry["Properties"] for name, entry in resources.items() if entry["Type"] == kind}
        for kind in ("AWS::Events::Rule", "AWS::Scheduler::Schedule")
    }
    document = {
        "rules": {
            name: {"pattern": rule["EventPattern"], "targets": [_target(each) for each in rule["Targets"]]}
            for name, rule in of_type["AWS::Events::Rule"].items()
        },
        "schedules": {
            name: {
                "rate": schedule["ScheduleExpression"],
                "to": _referred(schedule["Target"]["Arn"]),
                "input": schedule["Target"]["Input"],
            }
            for name, schedule in of_type["AWS::Scheduler::Schedule"].items()
        },
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def _target(target: dict[str, Any]) -> dict[str, Any]:
    shaped = {name: target[name] for name in ("Input", "InputPath", "InputTransformer") if name in target}
    return {"to": _referred(target["Arn"]), "input": shaped}


def _referred(arn: dict[str, Any]) -> str:
    """The logical id in a Ref or GetAtt."""
    return str(arn.get("Ref") or arn["Fn::GetAtt"][0])


def main() -> int:
    """Write or verify; the exit code is 1 when something was stale."""
    wanted = {
        ROOT / "docs" / "controls.md": controls_page(),
        ROOT / "template.yaml": template_text(),
        ROOT / "src" / "shared" / "aws" / "deployed.json": deployed_text(),
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--verify" in sys.argv[1:]:
        for path in stale:
            print(f"docs: {path.relative_to(ROOT)} is stale: run make docs", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
