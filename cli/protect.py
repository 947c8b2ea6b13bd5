"""`guardrail protect`: enrol buckets, by the protection tag."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from cli.bill import of_deletes
from cli.names import why_no_bucket
from cli.screen import at_once, printable
from cli.stack import Stack, Trouble
from cli.tagging import Pen, tag
from shared.facts import BucketKey, BucketState, Lifecycle, Tags, Unreadable
from shared.quoting import quoted
from shared.runbook import RULES_SHOWN

WORST_FIRST = ("failed", "left", "would be tagged", "tagged", "already tagged")
COLOURS = {"failed": "red", "left": "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bucket: what became of it (`WORST_FIRST`), why, and what stands between it and MFA delete."""

    bucket: str
    done: str
    why: str = ""
    tool: str = ""
    snippet: str = ""
    versioning: str | None = None
    mfa_delete: str | None = None
    lifecycle_rules: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@click.command()
@click.argument("buckets", nargs=-1)
@click.option(
    "--from-file", "listed", type=click.Path(dir_okay=False, allow_dash=True), help="A name a line; - is stdin."
)
@click.option("--force", is_flag=True, help="Write also where CloudFormation or Terraform owns the tags.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option(
    "--deletes-per-month", type=click.IntRange(0), help="Of all these buckets together, to show what logging costs."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def protect(
    stack: Stack,
    buckets: tuple[str, ...],
    listed: str | None,
    force: bool,
    dry_run: bool,
    deletes_per_month: int | None,
    as_json: bool,
) -> int:
    """Put the protection tag on BUCKETS, beside the tags that they have; turning MFA delete on is root's, see runbook.

    Exit code: 0 all carry it (or would), 1 some do not: failed, or left to the tool that owns their tags; 2 usage.
    """
    names = list(dict.fromkeys([*buckets, *(_names_in(listed) if listed else ())]))
    if not names:
        raise click.UsageError("give names of buckets, or --from-file FILE")
    pen = _pen(stack, dry_run=dry_run, force=force)
    regions, guard = _regions(pen), stack.guard
    rows = at_once("tagging buckets", lambda name: _one(stack, pen, regions, name), names)
    rows.sort(key=lambda row: WORST_FIRST.index(row.done))
    if as_json:
        document = {"tag": f"{pen.key}={pen.value}", "dry_run": dry_run, "buckets": [asdict(row) for row in rows]}
        click.echo(json.dumps(document | {"cost": _cost(deletes_per_month)}, indent=2))
    else:
        _show(rows, deletes_per_month, watches=guard.settings.watch_version_deletes)
    return int(any(row.done in {"failed", "left"} for row in rows))


def _pen(stack: Stack, *, dry_run: bool, force: bool) -> Pen:
    told = stack.settings
    return Pen(
        s3=stack.client("s3"),
        s3control=stack.client("s3control"),
        partition=told.partition,
        key=told.protect_tag_key,
        value=told.protect_tag_value,
        dry_run=dry_run,
        force=force,
    )


def _names_in(listed: str) -> list[str]:
    """A name a line; blank lines and those that begin with # count for nothing."""
    try:
        text = sys.stdin.read() if listed == "-" else Path(listed).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as wrong:
        raise click.UsageError(f"{listed} cannot be read: {wrong}") from wrong
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _regions(pen: Pen) -> dict[str, str | None]:
    """The account's buckets, and where they lie."""
    pages = pen.s3.get_paginator("list_buckets").paginate(MaxBuckets=1000)
    return {each["Name"]: each.get("BucketRegion") for page in pages for each in page["Buckets"]}


def _one(stack: Stack, pen: Pen, regions: dict[str, str | None], name: str) -> Row:
    """One bucket's trouble is its own."""
    bucket = BucketKey(account=stack.settings.account_id, region=stack.settings.aws_region, name=name)
    if wrong := why_no_bucket(name) or _why_not_ours(stack, regions, name):
        return Row(bucket=name, done="failed", why=wrong)
    try:
        tagged = tag(pen, bucket)
        reading = stack.guard.buckets.versioning(bucket, Tags(tagged=True), with_lifecycle=True)
    except (Trouble, ClientError, BotoCoreError) as wrong:
        return Row(bucket=name, done="failed", why=printable(str(wrong)))
    state = reading if isinstance(reading, BucketState) else None
    return Row(
        bucket=name,
        done=tagged.done,
        tool=tagged.tool,
        snippet=tagged.snippet,
        versioning=state.versioning.value if state else None,
        mfa_delete=state.mfa_delete.value if state else None,
        lifecycle_rules=state.lifecycle.rules if state and isinstance(state.lifecycle, Lifecycle) else (),
        notes=(*tagged.notes, *_unread(reading), *_unread(state.lifecycle if state else None)),
    )


def _why_not_ours(stack: Stack, regions: dict[str, str | None], name: str) -> str:
    account, here = stack.settings.account_id, stack.settings.aws_region
    if name not in regions:
        return f"account {account} has no bucket {name}: there is none, or it is another account's"
    if (there := regions[name] or here) != here:
        return f"{name} lies in {there}, and a stack looks after one Region: guardrail --region {there} protect {name}"
    if name == stack.settings.canary_bucket:
        return f"{name} is the drill's own bucket, which is never enrolled"
    return ""


def _unread(reading: Any) -> Iterator[str]:
    if isinstance(reading, Unreadable):
        yield f"{reading.action} is refused ({reading.error_code}): what may be in the way is not known"


def _cost(deletes: int | None) -> dict[str, Any]:
    usd = None if deletes is None else round(of_deletes(deletes), 2)
    return {"usd_per_100000_deletes": of_deletes(100_000), "deletes_per_month": deletes, "usd_per_month": usd}


def _show(rows: list[Row], deletes: int | None, *, watches: bool) -> None:
    console = Console(highlight=False, markup=False)
    for row in rows:
        console.print(f"{row.done:15} {printable(row.bucket)}", style=COLOURS.get(row.done, "green"))
        for line in _about(row):
            console.print(f"  {line}")
        if row.done == "left":
            console.print(row.snippet, soft_wrap=True, style="cyan")
    counts = Counter(row.done for row in rows)
    console.print(", ".join(f"{counts[done]} {done}" for done in WORST_FIRST if counts[done]))
    for line in _closing(deletes, watches=watches):
        console.print(line)


def _about(row: Row) -> Iterator[str]:
    if row.why:
        yield row.why
    if row.done == "left":
        yield f"{row.tool} owns its tags and would take ours away again: put it there (or --force)"
    elif row.tool:
        yield f"{row.tool} owns its tags, and takes ours away again unless it is put there too"
    yield from row.notes
    if row.versioning and row.versioning != "Enabled":
        yield f"versioning is {row.versioning}; the runbook turns it on together with MFA delete"
    if row.lifecycle_rules:
        named = ", ".join(quoted(rule) for rule in row.lifecycle_rules[:RULES_SHOWN])
        more = f" and {len(row.lifecycle_rules) - RULES_SHOWN} more" if len(row.lifecycle_rules) > RULES_SHOWN else ""
        yield f"lifecycle rules in the way of MFA delete: {named}{more}; guardrail runbook {row.bucket} says what to do"


def _closing(deletes: int | None, *, watches: bool) -> Iterator[str]:
    if not watches:
        yield "Version deletes are not watched, by choice: nothing has to be logged."
    elif deletes is None:
        yield (
            f"Logging deletes (data events) costs ${of_deletes(100_000):.2f} per 100,000, each key of a batch delete"
            " counting. How many there are is not known here; --deletes-per-month N makes it a sum."
        )
    else:
        usd = _cost(deletes)["usd_per_month"]
        yield f"Logging {deletes:,} deletes a month (data events) costs ${usd:,.2f} a month."
    yield "Next: guardrail selectors lets a trail log them; guardrail runbook BUCKET is for the holder of root."
