"""`guardrail spokes`: the accounts and Regions that a hub looks after, and what is open there."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.screen import is_narrow, printable
from cli.stack import Stack, Trouble
from cli.standing import finding_entry
from shared.evidence import Memory
from shared.facts import BucketKey, Verdict
from shared.finding import Finding, Severity, Status
from shared.unread import keys, listed

type Place = tuple[str, str]
"""An account and a Region."""
WORST_FIRST = list(Severity)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object, findings by bucket.")
@click.pass_obj
def spokes(stack: Stack, as_json: bool) -> int:
    """List the spokes of this hub: when they last said hello, how their buckets were last seen, what is open there.

    All of it is what the last sweep left in the table; no other account is asked. Exit code: 0 nothing is open
    there that nobody has acknowledged, 1 something is, 3 some of what is remembered of them could not be read.
    """
    _ = stack.outputs  # raises where there is no stack
    if not stack.settings.has_spokes:
        raise Trouble(f"the stack {stack.name} is no hub: it was deployed without OrganizationId")
    entries = _entries(stack)
    if as_json:
        document = {"hub": stack.name, "region": stack.settings.aws_region, "spokes": entries}
        click.echo(json.dumps(document, indent=2))
    else:
        _show(entries)
    if any(entry["unread"] for entry in entries):
        return 3
    statuses = {finding["status"] for entry in entries for found in entry["findings"].values() for finding in found}
    return int(Status.OPEN.value in statuses)


def _entries(stack: Stack) -> list[dict[str, Any]]:
    """One for each place but home that said hello, or of which something is still open, or cannot be read."""
    guard = stack.guard
    assert guard.spokes  # noqa: S101  # `spokes` saw to it
    heard = {(s.account, s.region): s.heard_at for s in guard.spokes.roster.spokes(guard.clock())}
    known: dict[Place, dict[BucketKey, Memory]] = {}
    for bucket, memory in guard.store.recall_everything(now=guard.clock()).items():
        known.setdefault((bucket.account, bucket.region), {})[bucket] = memory
    left = {place for place, memories in known.items() if any(map(_is_of_interest, memories.values()))}
    away = [place for place in sorted(heard.keys() | left) if not stack.settings.is_home(*place)]
    names = guard.spokes.roster.names() if away else {}
    return [_entry(place, heard.get(place), names.get(place[0]), known.get(place, {})) for place in away]


def _entry(
    place: Place, heard_at: datetime | None, name: str | None, memories: Mapping[BucketKey, Memory]
) -> dict[str, Any]:
    lasts = [memory.last for bucket, memory in memories.items() if bucket.is_bucket and memory.last]
    counts = Counter(last.verdict for last in lasts if last.verdict and not last.gone)
    findings = {
        bucket.name or "(root)": [finding_entry(finding) for finding in found]
        for bucket, memory in sorted(memories.items(), key=lambda item: item[0].name)
        if (found := _open(memory))
    }
    return {
        "account": place[0],
        "account_name": name,
        "region": place[1],
        "heard_at": heard_at.isoformat() if heard_at else None,
        "forgotten": heard_at is None,
        "buckets": {verdict.value: counts[verdict] for verdict in Verdict if counts[verdict]},
        "findings": findings,
        "unread": keys(memories),
    }


def _is_of_interest(memory: Memory) -> bool:
    return bool(memory.unread) or any(finding.status is Status.OPEN for finding in memory.findings)


def _open(memory: Memory) -> list[Finding]:
    return [finding for finding in memory.findings if finding.is_open]


def _show(entries: list[dict[str, Any]]) -> None:
    console = Console(highlight=False)
    if not entries:
        console.print("no spoke has said hello yet: deploy spoke.yaml, and wait an hour")
        return
    if is_narrow(console):
        for entry in entries:
            console.print(escape("\n  ".join(_cells(entry))))
    else:
        console.print(_table(entries))
    for entry in entries:
        if entry["unread"]:
            where = f"{entry['account']}, {entry['region']}"
            line = f"{where}: {len(entry['unread'])} item(s) cannot be read by this version: {listed(entry['unread'])}"
            console.print(escape(printable(line)), style="red")


def _table(entries: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("account", "region", "last hello", "buckets, as last seen", "open"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        table.add_row(*map(escape, _cells(entry)))
    return table


def _cells(entry: Mapping[str, Any]) -> list[str]:
    name, number = entry["account_name"], entry["account"]
    heard = entry["heard_at"][:16].replace("T", " ") if entry["heard_at"] else "silent for over 30 days, forgotten"
    seen = ", ".join(f"{count} {verdict}" for verdict, count in entry["buckets"].items()) or "none enrolled"
    return [
        printable(f"{name} ({number})") if name else number,
        entry["region"],
        heard,
        seen,
        _worst(entry["findings"]),
    ]


def _worst(findings: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """How many, and the digits of the worst, which `guardrail ack` takes."""
    found = [
        (WORST_FIRST.index(Severity(each["severity"])), each, name) for name, of in findings.items() for each in of
    ]
    if not found:
        return "nothing"
    _, worst, name = min(found, key=lambda each: each[0])
    return printable(f"{len(found)}; {worst['severity']} {worst['id']} {worst['control']} of {name}")
