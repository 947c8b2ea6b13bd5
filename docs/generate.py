"""Write what is generated out of code and template. `--verify` only compares.

docs/controls.md; in template.yaml the script's SHA-256 and the version of pyproject.toml; src/shared/aws/deployed.json,
the rules and schedules of template.yaml as the look at the guardrail itself expects them; cli/billed.json, what it
deploys that costs money, and the tables of docs/cost.md; docs/attacks.md and a section of docs/limits.md, out of
docs/attacks.json, which UPDATE_ATTACKS=1 lets tests/e2e/test_attacks_*.py write.
"""

import hashlib
import importlib
import json
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from cli import bill, cost  # noqa: E402  # src is put on the path first
from cli.bill import Usage  # noqa: E402  # as above
from shared.controls import CONTROLS  # noqa: E402  # src is put on the path first
from shared.evidence import Control  # noqa: E402  # as above

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
COST = re.compile(r"(<!-- cost: written by make docs -->\n).*(<!-- end of cost -->)", re.DOTALL)
BILLS = {
    "A few buckets": Usage(deletes=100_000, buckets=10),
    "1,000 buckets, 100 million deletes": Usage(deletes=100_000_000, buckets=1000, version_deletes=1000),
    "the same, 90 % of the deletes by a role left out": Usage(deletes=10_000_000, buckets=1000, version_deletes=1000),
    "the same, version deletes not watched": Usage(deletes=0, buckets=1000, watches_deletes=False),
    "10,000 buckets, swept every hour": Usage(deletes=10_000_000, buckets=10_000, version_deletes=1000),
    "10,000 buckets, swept once a day": Usage(
        deletes=10_000_000, buckets=10_000, version_deletes=1000, sweep_rate="rate(24 hours)"
    ),
}
WHOLE = ("A few buckets", "1,000 buckets, 100 million deletes")
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
    """template.yaml with the SHA-256 of the script as it is now, and the version of pyproject.toml."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    digest = hashlib.sha256((ROOT / "runbook" / "mfa_delete.py").read_bytes()).hexdigest()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, value in {"Sha256": digest, "Version": project["version"]}.items():
        text, count = re.subn(rf'^(      {name}: )"[^"]*"', rf'\g<1>"{value}"', text, flags=re.MULTILINE)
        if count != 1:
            raise SystemExit(f"docs: template.yaml must hold the mapping's {name} exactly once")
    return text


def _resources() -> dict[str, Any]:
    found: dict[str, Any] = importlib.import_module("samcli.yamlhelper").yaml_parse(template_text())
    return found


def _started(schedule: dict[str, Any]) -> str:
    """The function that a schedule starts."""
    name, _ = schedule["Properties"]["Target"]["Arn"]["Fn::GetAtt"]
    return str(name)


def billed_text() -> str:
    """What template.yaml deploys of what costs money, by the condition it stands under."""
    template = _resources()
    pieces: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in template["Resources"].values():
        if entry["Type"] in bill.BY_PIECE:
            pieces[entry["Type"]][entry.get("Condition", "")] += 1
    memory = template["Globals"]["Function"]["MemorySize"]
    schedules = {
        name: {
            "rate": _rate(entry["Properties"]["ScheduleExpression"]),
            "condition": entry.get("Condition", ""),
            "memory_mb": template["Resources"][_started(entry)]["Properties"].get("MemorySize", memory),
        }
        for name, entry in template["Resources"].items()
        if entry["Type"] == "AWS::Scheduler::Schedule"
    }
    return json.dumps({"memory_mb": memory, "pieces": pieces, "schedules": schedules}, indent=1) + "\n"


def _rate(expression: Any) -> str:
    return expression if isinstance(expression, str) else str(expression["Ref"])


def cost_text() -> str:
    """docs/cost.md with its tables."""
    sums = [
        "| a month | sum | dearest | more, if data events on the bus are charged |\n",
        "| --- | ---: | --- | ---: |\n",
    ]
    for name, usage in BILLS.items():
        found = bill.lines(usage)
        cells = (name, cost.shown(bill.total(found)), found[0].what, cost.shown(bill.total(found, sure=False)))
        sums.append(f"| {' | '.join(cells)} |\n")
    bills = [_bill(name, BILLS[name]) for name in WHOLE]
    text = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    new, count = COST.subn(lambda found: f"{found[1]}\n{''.join(sums)}\n{chr(10).join(bills)}\n{found[2]}", text)
    if count != 1:
        raise SystemExit("docs: docs/cost.md must hold the place of the tables exactly once")
    return new


def _bill(name: str, usage: Usage) -> str:
    found = bill.lines(usage)
    command = f"guardrail cost --deletes-per-month {usage.deletes} --buckets {usage.buckets}"
    command += f" --version-deletes {usage.version_deletes}" if usage.version_deletes else ""
    rows = "".join(f"| {' | '.join(row)} |\n" for row in cost.rows(found))
    head = "| service | what | a month | price | $ |\n| --- | --- | ---: | --- | ---: |\n"
    said = "".join(f"- {line}\n" for line in (*cost.notes(found), *cost.advice(usage, found)))
    return f"## {name}\n\n`{command}`\n\n{head}{rows}| | **sum** | | | **{cost.shown(bill.total(found))}** |\n\n{said}"


def deployed_text() -> str:
    """The rules and schedules of template.yaml: patterns and inputs, with references to be filled in."""
    resources = _resources()["Resources"]
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
    verifies, stale = "--verify" in sys.argv[1:], 0
    for path, write in WRITTEN.items():  # in this order: what is written is read by those below
        text, file = write(), ROOT / path
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if verifies:
            print(f"docs: {path} is stale: run make docs", file=sys.stderr)
        else:
            file.write_text(text, encoding="utf-8")
    return int(verifies and stale > 0)


WRITTEN: dict[str, Callable[[], str]] = {
    "docs/controls.md": controls_page,
    "docs/attacks.md": attacks_page,
    "docs/limits.md": limits_text,
    "template.yaml": template_text,
    "src/shared/aws/deployed.json": deployed_text,
    "cli/billed.json": billed_text,
    "docs/cost.md": cost_text,
}


if __name__ == "__main__":
    sys.exit(main())
