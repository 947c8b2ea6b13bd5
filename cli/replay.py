"""`guardrail replay`: run CloudTrail records through the code of the functions, without storing or sending anything."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from cli.records import Damaged, events_in, is_subscribed
from cli.stack import Stack
from cli.state import State, before_exception, load_state
from shared import lifecycle, parse
from shared.evidence import Memory, Rules
from shared.facts import BadEvent, BucketKey, Gone, Outcome, Reading, Trigger
from shared.finding import Change, Finding, Transition
from shared.guardrail import weighed
from shared.parse import Event

REASONS_SHOWN = 20


@dataclass(slots=True, kw_only=True)
class Read:
    """What was read: triggers with the file and event each came from, and what was rejected with its reason."""

    triggers: list[tuple[Trigger, Event, str]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    records: int = 0


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--offline", is_flag=True, help="Ask AWS nothing; --state says what live reads would have said.")
@click.option(
    "--state", "state_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A JSON file."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per finding.")
@click.pass_obj
def replay(stack: Stack, files: tuple[Path, ...], offline: bool, state_file: Path | None, as_json: bool) -> int:
    """Judge the CloudTrail records of FILES as of their own time, and print what they raise.

    FILES hold bare records, CloudTrail log files or EventBridge events, plain or gzip. The state file has the shape
    that `guardrail status --json` writes. Exit code: 0 nothing, 1 findings, 3 something was rejected or damaged.
    """
    if offline and state_file is None:
        raise click.UsageError("--offline needs --state FILE: without it nothing is known of any bucket")
    state = load_state(state_file) if state_file else None
    read = _read(files)
    judge = _Judge(stack, state)
    found = list(judge.findings(read))
    for finding, event_id, source in found:
        _show(finding, event_id, source, as_json=as_json)
    _sum_up(read, len(found))
    return 3 if read.rejected else int(bool(found))


def _read(files: tuple[Path, ...]) -> Read:
    read = Read()
    for path in files:
        try:
            for event in events_in(path):
                read.records += 1
                _take(event, str(path), read)
        except Damaged as damaged:
            read.rejected.append(f"{path}: {damaged}")
    read.triggers.sort(key=lambda taken: taken[0].at)
    return read


def _take(event: Event | Damaged, source: str, read: Read) -> None:
    if isinstance(event, Damaged):
        read.rejected.append(f"{source}: {event}")
    elif is_subscribed(event):
        try:
            trigger = _parsed(event)
        except BadEvent as bad:
            read.rejected.append(f"{source}: {bad}")
        else:
            read.triggers.append((trigger, event, source))


def _parsed(event: Event) -> Trigger:
    detail = event.get("detail")
    name = detail.get("eventName") if isinstance(detail, Mapping) else None
    is_delete = event.get("detail-type") == "Object Deleted" or name in {"DeleteObject", "DeleteObjects"}
    return parse.version_delete(event) if is_delete else parse.bucket_change(event)


class _Judge:
    """Looks, plans and remembers as the functions do; the memory lasts as long as the command."""

    def __init__(self, stack: Stack, state: State | None) -> None:
        self._stack, self._state = stack, state
        self._memories: dict[BucketKey, Memory] = {}
        self._known: set[str] = set()

    def findings(self, read: Read) -> list[tuple[Finding, str, str]]:
        """What is raised, in the order of time; each with the id of the event that raised it and its file."""
        raised: dict[tuple[str, int], tuple[Finding, str, str]] = {}
        latest: dict[str, int] = {}
        for trigger, event, source in read.triggers:
            if trigger.outcome is Outcome.FAILED or self._known & set(trigger.event_ids):
                continue
            self._known |= set(trigger.event_ids)
            for change in self._settle(trigger, event):
                finding = change.finding
                if change.change in {Change.OPENED, Change.REOPENED} and change.is_told:
                    latest[finding.id] = latest.get(finding.id, 0) + 1
                    raised[finding.id, latest[finding.id]] = (finding, _event_id(event, trigger), source)
                elif finding.id in latest:
                    key = finding.id, latest[finding.id]
                    raised[key] = (
                        replace(raised[key][0], severity=finding.severity, count=finding.count),
                        *raised[key][1:],
                    )
        return list(raised.values())

    def _settle(self, trigger: Trigger, event: Event) -> tuple[Transition, ...]:
        memory = self._memory(trigger.bucket)
        if self._state:
            memory = before_exception(memory, trigger, event)
        reading = self._reading(trigger, event, memory)
        rules = Rules() if self._state else self._stack.guard.rules
        plan = lifecycle.plan(weighed(trigger, memory, reading, now=trigger.at, rules=rules))
        changed = {t.finding.id: t.finding for t in plan.transitions}
        kept = tuple(finding for finding in memory.findings if finding.id not in changed)
        self._memories[trigger.bucket] = Memory(rev=1, last=plan.last, findings=(*kept, *changed.values()))
        return plan.transitions

    def _memory(self, bucket: BucketKey) -> Memory:
        if bucket not in self._memories:
            if self._state:
                self._memories[bucket] = self._state.memory(bucket.name)
            elif self._stack.exists:
                known = self._stack.guard.store.recall(bucket, now=self._stack.guard.clock())
                self._memories[bucket] = replace(known, findings=())  # or what was told already would not be printed
            else:
                self._memories[bucket] = Memory()
        return self._memories[bucket]

    def _reading(self, trigger: Trigger, event: Event, memory: Memory) -> Reading:
        # Judged as of its own time: right after it was deleted, a bucket was gone, whatever stands there now.
        if trigger.event_name == "DeleteBucket" and trigger.outcome is Outcome.DONE:
            return Gone()
        if self._state:
            return self._state.reading(trigger, event)
        return self._stack.guard.buckets.read(trigger.bucket, judged_before=memory.judged, with_lifecycle=True)


def _event_id(event: Event, trigger: Trigger) -> str:
    detail = event.get("detail")
    return str(detail.get("eventID") or trigger.event_ids[0]) if isinstance(detail, Mapping) else trigger.event_ids[0]


def _row(finding: Finding, event_id: str, source: str) -> dict[str, Any]:
    return {
        "finding": finding.control,
        "severity": finding.severity.value,
        "bucket": finding.bucket.name,
        "account": finding.bucket.account,
        "region": finding.bucket.region,
        "event_id": event_id,
        "principal": finding.principal.id if finding.principal else None,
        "at": finding.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cause": finding.cause.value if finding.cause.value != "none" else None,
        "source_file": source,
    }


def _show(finding: Finding, event_id: str, source: str, *, as_json: bool) -> None:
    row = _row(finding, event_id, source)
    if as_json:
        return click.echo(json.dumps(row))
    line = f"{row['at']}  [{row['severity']}] {row['finding']}: {row['bucket']} by {row['principal'] or 'nobody named'}"
    return click.echo("".join(char if char.isprintable() else "?" for char in line))


def _sum_up(read: Read, found: int) -> None:
    for reason in read.rejected[:REASONS_SHOWN]:
        click.echo("".join(char if char.isprintable() else "?" for char in f"rejected: {reason}"), err=True)
    if len(read.rejected) > REASONS_SHOWN:
        click.echo(f"and {len(read.rejected) - REASONS_SHOWN} more rejected", err=True)
    click.echo(f"{read.records} records, {found} findings, {len(read.rejected)} rejected", err=True)
