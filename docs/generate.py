"""Write what is generated out of code and template. `--verify` only compares.

docs/controls.md; the script's SHA-256 in template.yaml; src/shared/aws/deployed.json, the rules and schedules of
template.yaml as the look at the guardrail itself expects them; docs/attacks.md and a section of docs/limits.md, out of
docs/attacks.json, which UPDATE_ATTACKS=1 lets tests/e2e/test_attacks_*.py write.
"""

import hashlib
import importlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from shared.controls import CONTROLS  # noqa: E402  # src is put on the path first
from shared.evidence import Control  # noqa: E402

HEAD = """# Controls

Written by `make docs` from `src/shared/controls.py`; do not edit. What raises each one, and what does not, stands row
by row in `events/cases.toml`. A finding closes by itself when the fourth column is true, and that is told. What to do
is a section of the runbook: the alert brings it filled in for its bucket, and `guardrail runbook BUCKET --section NAME`
prints it.

| control | alert's headline | what it means | when it closes | what to do | also known as |
| --- | --- | --- | --- | --- | --- |
"""


ATTACKS_HEAD = """# Attacks

Written by `make docs` from `docs/attacks.json`, what came of each move in a run of `tests/e2e/attack_*.py` against the
embedded cloud, under IAM enforcement: the attacker is a user who may do what the move needs, and nothing else. A run
whose results differ fails; `UPDATE_ATTACKS=1` records them anew.

- **Way out**: `alert topic`, by our functions; `silence topic`, straight from EventBridge; `alarm`, of CloudWatch.
- **After**: until the first of them. In the embedded cloud events come at once; on AWS, CloudTrail adds minutes to each
  "seconds". What no event tells, the next look at the guardrail itself finds, every 15 minutes, or the next sweep.
"""
BLINDING = (1, 2, 7, 13)
ROWS = {
    1: "all rules at once",
    2: "rules that match, or tell, something else",
    3: "the protection tag",
    4: "an exception as a pretext",
    5: "a lifecycle rule",
    6: "a batch of versions",
    7: "S3's own events",
    8: "the whole bucket",
    9: "a bucket policy against the guardrail",
    10: "versioning suspended",
    11: "access points",
    12: "a role that the trail leaves out",
    13: "the parts of the guardrail",
    14: "a storm that buries one line",
    15: "old events replayed",
    16: "forged events, hostile names",
    17: "the data without deleting it",
}
SILENT = re.compile(r"(<!-- attacks: written by make docs -->\n).*(<!-- end of attacks -->)", re.DOTALL)


def attacks() -> list[dict[str, Any]]:
    """The results of a run: row, move, seen, ways, after, measured_s, and why nothing was seen, or had to be."""
    found: list[dict[str, Any]] = json.loads((ROOT / "docs" / "attacks.json").read_text(encoding="utf-8"))
    return found


def attacks_page() -> str:
    """Two tables: what blinds or silences the guardrail, and what is done to buckets and by events."""
    blinding = [each for each in attacks() if each["row"] in BLINDING]
    others = [each for each in attacks() if each["row"] not in BLINDING]
    return (
        f"{ATTACKS_HEAD}\n## From blinding to notice\n\n{_attack_table(blinding)}"
        f"\n## From deed to notice\n\n{_attack_table(others)}"
    )


def _attack_table(results: list[dict[str, Any]]) -> str:
    head = "| row | move | seen as | way out | after | in that run | note |\n" + "| --- " * 7 + "|\n"
    return head + "".join(_attack_row(each) for each in results)


def _attack_row(result: dict[str, Any]) -> str:
    nothing = "nothing, rightly" if result["rightly"] else "**nothing**"
    seen = ", ".join(each if " " in each else f"`{each}`" for each in result["seen"]) or nothing
    took = "" if result["measured_s"] is None else f"{result['measured_s']:g} s"
    why = result["rightly"] or result["silent"]
    note = " ".join(filter(None, (why and _sentence(why), result["note"])))
    row = f"{result['row']}, {ROWS[result['row']]}"
    return (
        f"| {row} | {result['move']} | {seen} | {', '.join(result['ways'])} | {result['after']} | {took} | {note} |\n"
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def limits_text() -> str:
    """docs/limits.md with the moves that nothing tells of."""
    silent = [each for each in attacks() if each["silent"]]
    lines = [f"- Row {each['row']}, {each['move']}: {each['silent']}.\n" for each in silent]
    section = "## Attacks that stay silent\n\nAs tried in the embedded cloud, see [attacks.md](attacks.md).\n\n"
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    new, count = SILENT.subn(lambda found: f"{found[1]}{section}{''.join(lines)}{found[2]}", text)
    if count != 1:
        raise SystemExit("docs: docs/limits.md must hold the section of the attacks exactly once")
    return new


def controls_page() -> str:
    """The table of controls."""
    return HEAD + "".join(_row(control) for control in CONTROLS)


def _row(control: Control) -> str:
    ends = _said(control.clears) if control.clears else "A deed: by `guardrail ack`, or after 30 days."
    todo = f"[`{control.runbook}`](../runbook/RUNBOOK.md#{control.runbook})"
    refs = "; ".join(control.refs)
    return f"| `{control.id}` | {control.title} | {_said(control.holds)} | {ends} | {todo} | {refs} |\n"


def _said(predicate: Callable[..., bool]) -> str:
    """A predicate's docstring, on one line. One without leaves a hole in the page."""
    if not predicate.__doc__:
        raise SystemExit(f"docs: {predicate.__name__} needs a docstring: docs/controls.md quotes it")
    return " ".join(predicate.__doc__.split())


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
        ROOT / "docs" / "attacks.md": attacks_page(),
        ROOT / "docs" / "limits.md": limits_text(),
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
