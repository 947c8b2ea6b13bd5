"""`guardrail replay`: run CloudTrail records through the code of the functions, without storing or sending anything."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from cli.kept import Kept, kept_in
from cli.logs import Search, checked
from cli.reading import read_all
from cli.records import trigger_of
from cli.screen import printable
from cli.stack import Stack
from cli.state import State, before_exception, load_state
from shared import lifecycle
from shared.evidence import Memory, Rules
from shared.facts import BucketKey, Gone, Outcome, Reading, Trigger
from shared.finding import Change, Finding, Transition
from shared.guardrail import after, weighed
from shared.parse import Event

REASONS_SHOWN = 20


class _Time(click.ParamType):
    """A date or a time, ISO 8601, UTC where nothing else is said."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a date nor a time such as 2026-09-25T09:14:03Z", param, ctx)
        return at if at.tzinfo else at.replace(tzinfo=UTC)


_A_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("logs", metavar="LOGS...", nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="Ask AWS for no bucket; --state says what live reads would have said.")
@click.option("--state", "state_file", type=_A_FILE, help="A JSON file.")
@click.option("--since", type=_Time(), help="Judge nothing that happened before; a date or time, UTC.")
@click.option("--until", type=_Time(), help="Judge nothing that happened then or later.")
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep in this file what was read, and do not read it again: to go on after an interruption.",
)
@click.option("--workers", type=click.IntRange(min=1), default=os.process_cpu_count() or 1, help="Processes that read.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per finding.")
@click.pass_obj
def replay(
    stack: Stack,
    logs: tuple[str, ...],
    offline: bool,
    state_file: Path | None,
    since: datetime | None,
    until: datetime | None,
    resume: Path | None,
    workers: int,
    as_json: bool,
) -> int:
    """Judge the CloudTrail records of LOGS as of their own time, and print what they raise.

    LOGS are files, folders, or s3://BUCKET/PREFIX; they hold CloudTrail log files, bare records or EventBridge events,
    plain or gzip. The state file has the shape that `guardrail status --json` writes. Exit code: 0 nothing, 1
    findings, 3 something was rejected or damaged.
    """
    if offline and state_file is None:
        raise click.UsageError("--offline needs --state FILE: without it nothing is known of any bucket")
    checked(logs)
    judge = _Judge(stack, load_state(state_file) if state_file else None)
    search = Search(s3=lambda: stack.s3, since=since, until=until)
    with kept_in(resume) as kept:
        damaged = list(_gather(stack, search, logs, kept, workers))
        with _bar() as bar:
            found = judge.findings(bar.track(kept.events(since, until), description="judging"))
        for finding, event_id, source in found:
            _show(finding, event_id, source, as_json=as_json)
        damaged += search.unseen
        rejected = _reject(kept.rejected(), damaged)
        _sum_up(kept.records, len(found), rejected, len(damaged), search.others)
    return 3 if rejected else int(bool(found))


def _gather(stack: Stack, search: Search, places: tuple[str, ...], kept: Kept, workers: int) -> Iterator[str]:
    """Read what was not read yet into `kept`; yields what was damaged."""
    logs = (log for place in places for log in search.under(place) if kept.lacks(log))
    files = packed = 0
    with _bar() as bar:
        task = bar.add_task("reading", total=None)
        for read in read_all(stack, logs, workers):
            kept.add(read)
            files, packed = files + 1, packed + read.log.size
            bar.update(task, completed=files, description=f"{packed / 1e6:,.0f} MB read, files:")
            if read.damage:
                yield f"{read.log.name}: {read.damage}"


def _bar() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"))
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


class _Judge:
    """Looks, plans and remembers as the functions do; the memory lasts as long as the command."""

    def __init__(self, stack: Stack, state: State | None) -> None:
        self._stack, self._state = stack, state
        self._memories: dict[BucketKey, Memory] = {}
        self._known: set[str] = set()

    def findings(self, events: Iterable[tuple[str, str]]) -> list[tuple[Finding, str, str]]:
        """What is raised, in the order of time; each with the id of the event that raised it and its file.

        events: as JSON, in the order of time, each with its file.
        """
        raised: dict[tuple[str, int], tuple[Finding, str, str]] = {}
        latest: dict[str, int] = {}
        for text, source in events:
            event = json.loads(text)
            trigger = self._news(trigger_of(event))
            if trigger is None:
                continue
            for change in self._settle(trigger, event):
                finding = change.finding
                if change.change in {Change.OPENED, Change.REOPENED} and change.is_told:
                    latest[finding.id] = latest.get(finding.id, 0) + 1
                    raised[finding.id, latest[finding.id]] = (finding, _event_id(event, trigger), source)
                elif _is_joined(change):
                    raised.pop((finding.id, latest.get(finding.id, 0)), None)
                elif (key := (finding.id, latest.get(finding.id, 0))) in raised:
                    raised[key] = (
                        replace(raised[key][0], severity=finding.severity, count=finding.count),
                        *raised[key][1:],
                    )
        return list(raised.values())

    def _news(self, trigger: Trigger) -> Trigger | None:
        """None for what counts no more. CloudTrail's record of a delete that S3's own event told of joins it."""
        if trigger.outcome is Outcome.FAILED or self._known & set(trigger.event_ids):
            return None
        joins = int(bool(self._known & set(trigger.own_ids)))
        self._known |= {*trigger.event_ids, *trigger.own_ids}
        return replace(trigger, joins=joins)

    def _settle(self, trigger: Trigger, event: Event) -> tuple[Transition, ...]:
        memory = self._memory(trigger.bucket)
        if self._state:
            memory = before_exception(memory, trigger, event)
        reading = self._reading(trigger, event, memory)
        rules = Rules() if self._state else self._stack.guard.rules
        plan = lifecycle.plan(weighed(trigger, memory, reading, now=trigger.at, rules=rules))
        self._memories[trigger.bucket] = after(memory, plan)
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


def _is_joined(change: Transition) -> bool:
    """Whether a finding without a name ends because another one says who it was."""
    principal = change.finding.principal
    return change.change is Change.SUPERSEDED and principal is not None and not principal.is_named


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
    who = row["principal"] or "nobody named"
    return click.echo(printable(f"{row['at']}  [{row['severity']}] {row['finding']}: {row['bucket']} by {who}"))


def _reject(rejected: Iterable[str], damaged: list[str]) -> int:
    """Name every damaged file, and the first rejected entries; returns how many there are of both."""
    for reason in damaged:
        click.echo(printable(f"rejected: {reason}"), err=True)
    count = 0
    for count, reason in enumerate(rejected, 1):
        if count <= REASONS_SHOWN:
            click.echo(printable(f"rejected: {reason}"), err=True)
    if count > REASONS_SHOWN:
        click.echo(f"and {count - REASONS_SHOWN} more rejected", err=True)
    return count + len(damaged)


def _sum_up(records: int, found: int, rejected: int, damaged: int, others: int) -> None:
    if others:
        click.echo(f"{others} files are no logs by their names, and were left out", err=True)
    if damaged:
        click.echo(f"{damaged} files or folders could not be read", err=True)
    click.echo(f"{records} records, {found} findings, {rejected} rejected", err=True)
